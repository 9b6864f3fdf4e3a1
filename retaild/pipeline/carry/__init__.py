"""The pipelines over Arrow tables in one process, with DuckDB and delta-rs.

For stream processors that do not write the lake with an engine of their own.
"""
