"""Receiving from browsers over Socket.IO: the server, signing in, and the message handlers."""
