"""What works while retaild runs: workers, jobs, schedules, supervision, state."""
