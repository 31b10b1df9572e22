"""The exporter: a process that looks at the pipeline's lag and at its servers, also while no worker lives, and tells
Prometheus."""
