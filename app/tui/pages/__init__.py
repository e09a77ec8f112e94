"""Documents that the screens draw, built from plain data."""
