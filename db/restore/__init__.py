"""Restore, reconcile and promote."""
