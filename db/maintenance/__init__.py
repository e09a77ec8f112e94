"""Migration, integrity checks and statistics."""
