"""Schedules: verbs for users, and the submission of what is due."""
