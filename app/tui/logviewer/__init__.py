"""The log viewer: source, search and widget."""
