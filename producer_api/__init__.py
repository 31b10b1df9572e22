"""The HTTP API: takes scans, splits them without decoding, publishes them to Kafka, and tells how they fare."""
