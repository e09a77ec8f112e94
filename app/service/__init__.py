"""Verbs of the control socket, grouped by subject."""
