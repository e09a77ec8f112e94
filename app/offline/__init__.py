"""Commands without a runtime: reads, verbs that need the home for themselves, and backups."""
