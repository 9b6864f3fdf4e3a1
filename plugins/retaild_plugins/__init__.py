"""First-party plugins. They use the same door as a stranger's: entry points and `retaild.api`."""
