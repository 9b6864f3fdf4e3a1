"""Plugins of the kind: sources."""
