"""The only modules that know a driver."""
