"""What browsers send over Socket.IO."""
