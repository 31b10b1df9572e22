"""What operators look at first: gathered once a process, however many look."""
