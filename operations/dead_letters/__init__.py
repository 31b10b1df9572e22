"""Dead letters: looked at, sent again, or put aside for good."""
