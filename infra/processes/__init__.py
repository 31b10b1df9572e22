"""Child processes: one, the services of the pipeline, and what watches them."""
