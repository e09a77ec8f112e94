"""Schedules: their fire times, the words for them, and the missed ones that are made up for."""
