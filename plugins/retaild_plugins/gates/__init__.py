"""Plugins of the kind: gates."""
