"""Ticket Service: events, ticket types, seats and reservations for a box office."""
