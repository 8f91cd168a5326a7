"""What we use of libraries beyond what they promise to keep."""
