"""Apache Spark: batch engine, stream processor, trainer, and a cluster as a managed service."""
