"""Undo of recorded operations."""
