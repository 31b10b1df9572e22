"""A submission on its way: its records, its claim, its scan."""
