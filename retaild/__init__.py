"""retaild: a whole retail AI stack on a store's own hardware. Start at docs/architecture.md."""

__version__ = "0.1.0"
