"""Verbs and views of tasks."""
