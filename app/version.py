"""Which Taskdeck this is."""

VERSION = "0.1.0"

PROTOCOL = 1
"""Of the control socket."""
