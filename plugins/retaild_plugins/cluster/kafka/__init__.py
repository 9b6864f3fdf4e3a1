"""Kafka: the log on a broker, the broker itself, and a source that reads other people's topics."""
