"""Screens about tasks, their groups and their output."""
