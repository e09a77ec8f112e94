"""Full-text search and filtered pages."""
