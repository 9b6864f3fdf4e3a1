"""Batch engine `duckdb`: the gold layer's SQL on DuckDB, in one process."""
