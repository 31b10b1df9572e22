"""The operations on a running system: dead letters, replays, rebuilding, lag, offsets. May import everything but cli
and trials."""
