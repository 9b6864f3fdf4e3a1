"""Opsgenie: alerts by the Alert API v2."""
