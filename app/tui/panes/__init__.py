"""Panes of the deck screen, one module for each."""
