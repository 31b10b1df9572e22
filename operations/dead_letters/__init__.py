"""What operators do about messages that could not be read: look, send again, put aside for good."""
