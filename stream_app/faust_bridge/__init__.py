"""The part of the worker that exists only because of Faust and aiokafka: slices instead of events, bounded fetching and
unpacking."""
