"""Plugins of the kind: feature backends."""
