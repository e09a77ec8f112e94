"""Terminal: driver, input and output, and what needs Textual's private names."""
