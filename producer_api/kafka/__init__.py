"""The API's use of Kafka: publishing, and the statuses it follows."""
