"""A alert plugin for retaild. Start at plugin.py."""
