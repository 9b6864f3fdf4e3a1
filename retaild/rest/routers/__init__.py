"""The routes, one module per subject. Each `router(services)` is mounted under /api/v1."""
