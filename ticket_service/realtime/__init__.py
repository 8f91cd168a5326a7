"""What browsers are told over Socket.IO, and who is there to hear it."""
