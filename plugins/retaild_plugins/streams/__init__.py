"""Plugins of the kind: stream processors."""
