"""Sending to browsers over Socket.IO: events, rooms, feeds, and the bus between instances."""
