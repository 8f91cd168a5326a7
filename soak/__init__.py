"""The soak, `make soak`: a steady sale for half an hour, after which nothing may have grown
(docs/reliability.md)."""

GREENLETS = "/soak/greenlets"
"""The path at which an instance of the soak says how many greenlets it has."""
