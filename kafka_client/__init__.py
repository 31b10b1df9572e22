"""How we talk to Kafka, whoever does: what its clients need to be told, and what their answers mean."""
