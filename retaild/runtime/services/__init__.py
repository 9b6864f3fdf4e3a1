"""Managed services: fetching their software, keeping their servers alive, telling of them."""
