"""Table rows, built from plain data."""
