"""What comes in is checked by these; what goes out is only documented (design, "Traps")."""
