"""What one request costs: `make bench` (the table "What one request may cost" in the docs)."""
