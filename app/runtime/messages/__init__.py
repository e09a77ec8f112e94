"""Sending of messages, and programs that rules start."""
