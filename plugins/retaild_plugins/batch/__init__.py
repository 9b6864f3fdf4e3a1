"""Plugins of the kind: batch engines."""
