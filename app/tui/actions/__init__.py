"""Requests to the runtime, built from rows."""
