"""Verbs that change tasks or their runs."""
