"""Reads and writes of the tables, grouped by subject."""
