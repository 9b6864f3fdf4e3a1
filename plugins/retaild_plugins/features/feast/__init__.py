"""Features by Feast: sqlite registry and online store, DuckDB for the joins in time."""
