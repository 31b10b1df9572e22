"""Trials of the system: chaos and its checker, load, soak, benchmark, demo. Not in the production image."""
