"""The way of a partition's messages into the sink: micro-batches, lanes, and what guards them."""
