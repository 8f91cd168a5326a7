"""What we use of the private parts of libraries."""
