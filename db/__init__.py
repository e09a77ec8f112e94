"""Database: engine, schema, queries, search, maintenance, backup and restore."""
