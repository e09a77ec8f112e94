"""Commands without a runtime: reads, verbs that need the home alone, and backups."""
