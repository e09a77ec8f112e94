"""Terminal driver: everything that needs Textual's private names."""
