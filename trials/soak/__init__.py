"""A long run at half load, and whether anything grew in it."""
