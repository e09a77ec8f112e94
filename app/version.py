"""Version numbers."""

VERSION = "0.1.0"

PROTOCOL = 1
"""Version of the control-socket protocol."""
