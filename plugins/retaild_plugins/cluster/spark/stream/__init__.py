"""Stream processor `spark`: Kafka to lake by Structured Streaming."""
