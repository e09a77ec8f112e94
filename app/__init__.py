"""Taskdeck: runs the jobs of one server, from commands and from a deck in the terminal."""
