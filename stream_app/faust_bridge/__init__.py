"""The part of the worker that exists only because of Faust: slices instead of events, what it fetched and dropped, what its
libraries log."""
