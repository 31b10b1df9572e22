"""Apache Kafka: the broker as a child process, and the topics."""
