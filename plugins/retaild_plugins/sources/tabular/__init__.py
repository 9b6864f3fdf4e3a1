"""Files with rows: CSV, TSV, JSON lines and Parquet, one file or a watched folder."""
