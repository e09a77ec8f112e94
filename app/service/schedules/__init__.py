"""Schedules: verbs for users, and the submission of tasks that are due."""
