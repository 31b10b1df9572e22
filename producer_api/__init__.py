"""The HTTP API: takes scans, splits them without decoding, publishes them to Kafka, and says how they fare."""
