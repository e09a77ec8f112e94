"""A home directory: its lock, its database file and the checks before use."""
