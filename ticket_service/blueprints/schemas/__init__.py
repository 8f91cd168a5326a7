"""What comes in is checked by these; what goes out is only documented: marshmallow takes
too long to dump thousands of rows."""
