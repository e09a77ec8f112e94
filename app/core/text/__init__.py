"""Text for people: units, sanitizing, glyphs and diffs."""
