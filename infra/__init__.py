"""Servers: Kafka, PostgreSQL and the processes of the pipeline, started and prepared."""
