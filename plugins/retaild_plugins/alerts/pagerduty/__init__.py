"""PagerDuty: incidents by the Events API v2."""
