"""Verbs that show tasks, groups and flows, and why tasks wait."""
