"""Plugins of the kind: trainers."""
