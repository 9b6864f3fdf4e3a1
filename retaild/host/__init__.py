"""Finding, loading, configuring and building plugins. Start at `registry.py`."""
