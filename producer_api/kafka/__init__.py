"""What the API asks of Kafka: publishing, and the statuses it follows."""
