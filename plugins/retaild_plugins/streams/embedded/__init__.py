"""Stream processor `embedded`: log to lake in one process, with Arrow, DuckDB and delta-rs."""
