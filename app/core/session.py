"""What a task inherits from the shell or deck it was submitted in: the environment less what belongs to the terminal, and the umask."""

from __future__ import annotations

import os

_NAMES = frozenset({"TERM", "COLUMNS", "LINES", "SHLVL", "OLDPWD", "PS1", "STY", "DISPLAY", "WAYLAND_DISPLAY", "ESCDELAY", "_"})
_STARTS = ("TMUX", "SSH_", "DBUS_", "XDG_SESSION_", "BASH_FUNC_", "TASKDECK_", "TEXTUAL")
"""Variables that mean nothing, or the wrong thing, to a task that outlives its terminal."""


def environment() -> dict[str, str]:
    """Our environment without what belongs to the terminal session."""
    return {name: value for name, value in os.environ.items() if name not in _NAMES and not name.startswith(_STARTS)}


def umask() -> int:
    """Our umask, read without changing it: another thread may be creating a file."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        line = next((line for line in status if line.startswith("Umask:")), "Umask: 0022")
    return int(line.split()[1], 8)
