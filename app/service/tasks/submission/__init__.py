"""Submission of tasks: resolution, checks, dependencies, storage."""
