"""Verbs of the database: backups, cleanup, integrity."""
