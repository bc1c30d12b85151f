"""The conversation as it flows: the only package that knows Kafka."""
