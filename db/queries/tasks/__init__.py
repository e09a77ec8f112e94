"""Reads and writes of tasks, their runs, groups and dependencies; their status transitions."""
