"""Deck: screens, panes and forms in the terminal."""
