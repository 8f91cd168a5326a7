"""The benchmark, `make bench`: what one request costs (docs/performance.md)."""
