"""Checks of `taskdeck doctor`."""
