"""Shell context that a task inherits from its submitter.

The context is the environment without variables of the terminal session, the umask, and the
terminal.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_EXCLUDED_NAMES = frozenset(
    {
        "TERM",
        "COLUMNS",
        "LINES",
        "SHLVL",
        "OLDPWD",
        "PS1",
        "STY",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "ESCDELAY",
        "_",
    }
)
_EXCLUDED_PREFIXES = ("TMUX", "SSH_", "DBUS_", "XDG_SESSION_", "BASH_FUNC_", "TASKDECK_", "TEXTUAL")
"""Prefixes of variables that are meaningless or wrong for a task that outlives its terminal."""


def read_environment() -> dict[str, str]:
    """Return the current environment without variables of the terminal session."""
    return leave_out_session(os.environ)


def leave_out_session(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without variables of a terminal session."""
    return {
        name: value
        for name, value in env.items()
        if name not in _EXCLUDED_NAMES and not name.startswith(_EXCLUDED_PREFIXES)
    }


def read_umask() -> int:
    """Return the umask without changing it: another thread may be creating a file."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        line = next((line for line in status if line.startswith("Umask:")), "Umask: 0022")
    return int(line.split()[1], 8)


def read_context() -> dict[str, Any]:
    """Return `cwd`, `umask` and `env` of this process, for the tasks of a schedule."""
    try:
        cwd = os.getcwd()
    except OSError:  # the directory was removed
        cwd = "/"
    return {"cwd": cwd, "umask": read_umask(), "env": read_environment()}


def identify_terminal() -> str:
    """Return an identifier of the terminal session, unique until the next reboot.

    Example: `pts/3 4120 81734`, for the terminal, its session leader and the leader's start time
    (`-` and 0 if unknown).
    """
    session, device = (int(word) for word in _read_stat("self")[3:5])
    major, minor = os.major(device), os.minor(device)
    name = f"pts/{minor}" if 136 <= major < 144 else f"tty{minor}" if major == 4 else "-"
    try:
        began = _read_stat(str(session))[19]
    except (OSError, IndexError):
        began = "0"
    return f"{name} {session} {began}"


def _read_stat(pid: str) -> list[str]:
    """Return the fields after the process name, which may contain any characters."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()
