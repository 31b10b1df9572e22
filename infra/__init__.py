"""Servers, command line, demo and benchmark: what puts the pieces together. May import everything."""
