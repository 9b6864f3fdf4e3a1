"""Flume: an agent that ships files and growing logs into a Kafka topic."""
