"""Plugins of the kind: buses."""
