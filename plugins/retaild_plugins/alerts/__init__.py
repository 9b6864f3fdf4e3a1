"""Plugins of the kind: alerts."""
