"""What the deck remembers."""
