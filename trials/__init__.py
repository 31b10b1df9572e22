"""What tries the system out: chaos and its checker, load, soak, benchmark, demo. Not in the production image."""
