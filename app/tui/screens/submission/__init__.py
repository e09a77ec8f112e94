"""Submit form."""
