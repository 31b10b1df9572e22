"""The Faust worker: slices in, micro-batches out."""
