"""A source plugin for retaild. Start at plugin.py."""
