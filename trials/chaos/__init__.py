"""Breaking the running system on purpose, and checking what became of every record."""
