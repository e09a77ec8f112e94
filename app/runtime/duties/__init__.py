"""Periodic duties of the runtime, and what they measure."""
