"""State of the deck: preferences, read marks, row changes, saved views and undo."""
