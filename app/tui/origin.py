"""What a task submitted from the deck inherits: its directory, umask and environment, less the terminal session."""

from __future__ import annotations

import os
from typing import Any

_SESSION = frozenset({
    "TERM", "COLUMNS", "LINES", "SHLVL", "OLDPWD", "PS1", "STY", "DISPLAY", "WAYLAND_DISPLAY", "ESCDELAY", "_",
})  # fmt: skip
_SESSION_BEGINNINGS = ("TMUX", "SSH_", "DBUS_", "XDG_SESSION_", "BASH_FUNC_", "TASKDECK_", "TEXTUAL")


def here() -> dict[str, Any]:
    """`cwd`, `umask` and `env` as the verb `submit` takes them."""
    return {"cwd": _directory(), "umask": _umask(), "env": environment()}


def environment() -> dict[str, str]:
    """The environment without what belongs to the terminal session."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _SESSION and not name.startswith(_SESSION_BEGINNINGS)
    }


def _directory() -> str:
    """The directory that the deck was opened in; the root when it no longer exists."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _umask() -> int:
    """The umask, read without changing it: another thread may be creating a file."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        line = next((line for line in status if line.startswith("Umask:")), "Umask: 0022")
    return int(line.split()[1], 8)
