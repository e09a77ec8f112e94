"""Reasons why a task waits, and suggestions that would let it start sooner."""
