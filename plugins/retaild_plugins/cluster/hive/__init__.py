"""The Hive Metastore: the lake's tables by name, for Spark and whatever else asks a metastore."""
