"""Senders that never let go, over HTTP and straight to Kafka, with every acknowledgement written down."""
