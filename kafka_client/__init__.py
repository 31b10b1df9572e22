"""Talks to Kafka for all other packages: how its clients are set up, and what their answers mean."""
