"""What a task inherits from the shell or deck it was submitted in: the environment less what belongs to the terminal, and the umask;
and which terminal that is."""

from __future__ import annotations

import os

_EXCLUDED_NAMES = frozenset({"TERM", "COLUMNS", "LINES", "SHLVL", "OLDPWD", "PS1", "STY", "DISPLAY", "WAYLAND_DISPLAY", "ESCDELAY", "_"})
_EXCLUDED_PREFIXES = ("TMUX", "SSH_", "DBUS_", "XDG_SESSION_", "BASH_FUNC_", "TASKDECK_", "TEXTUAL")
"""Variables that mean nothing, or the wrong thing, to a task that outlives its terminal."""


def read_environment() -> dict[str, str]:
    """Our environment without what belongs to the terminal session."""
    return {name: value for name, value in os.environ.items() if name not in _EXCLUDED_NAMES and not name.startswith(_EXCLUDED_PREFIXES)}


def read_umask() -> int:
    """Our umask, read without changing it: another thread may be creating a file."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        line = next((line for line in status if line.startswith("Umask:")), "Umask: 0022")
    return int(line.split()[1], 8)


def identify_terminal() -> str:
    """Our terminal session, told apart from all others of this machine's life: `pts/3 4120 81734`, the terminal, its first process
    and when that began (`-` and 0 for what cannot be seen)."""
    session, device = (int(word) for word in _read_stat("self")[3:5])
    major, minor = os.major(device), os.minor(device)
    name = f"pts/{minor}" if 136 <= major < 144 else f"tty{minor}" if major == 4 else "-"
    try:
        began = _read_stat(str(session))[19]
    except (OSError, IndexError):
        began = "0"
    return f"{name} {session} {began}"


def _read_stat(pid: str) -> list[str]:
    """The fields of a process behind its name, which may hold anything."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()
