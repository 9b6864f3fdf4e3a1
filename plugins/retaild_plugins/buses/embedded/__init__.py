"""The embedded log: segments on local disk, any number of writing and reading processes."""
