"""Screens of the deck, one module for each."""
