"""systemd scope for the keeper, so that jobs survive the end of the runtime's session or service.

Root gets a system scope. Other users get a scope of their user manager, but only if the manager
lingers after logout; otherwise the manager could end before a detached session. `systemd-run
--scope` executes the program in its place, so the exit code is the program's own and the
environment is inherited.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from app.core.text.sanitize import sanitize, truncate

log = logging.getLogger(__name__)

SYSTEMD_FOLDER = Path("/run/systemd/system")
LINGER_FOLDER = Path("/var/lib/systemd/linger")
USER_RUNTIME_FOLDER = Path("/run/user")

TIMEOUT = 4.0
"""Maximum seconds for systemd."""

PROPERTIES = ("TasksMax=infinity", "TimeoutStopSec=20s")
"""The keeper ignores TERM, so a shutdown would wait for systemd's default of 90 s."""

DELEGATION = "Delegate=memory cpu"
"""Let the keeper divide its scope. Asked for only by homes with a pool that enforces limits: the
controller of CPU in one scope makes its neighbours share by weight, too."""

OOM_PROPERTY = "OOMPolicy=continue"
"""Keep the scope when the kernel kills one job. Unknown to systemd before 253, which needs no
setting."""

ScopedStart = Callable[
    [Sequence[str], dict[bytes, bytes], float], "subprocess.CompletedProcess[bytes]"
]
"""Function that runs a program with a command prefix, extra variables and a timeout in seconds."""


def run_in_scope(
    home: Path, program: ScopedStart, answers: frozenset[int], delegates: bool = False
) -> subprocess.CompletedProcess[bytes] | None:
    """Run the program in its own scope; with `delegates`, in one that the program may divide.

    Return None without a scope, or if its exit code is not one of `answers`.
    """
    why, always = "", (*PROPERTIES, DELEGATION) if delegates else PROPERTIES
    for properties in ((*always, OOM_PROPERTY), always):
        words = build_command(home, properties)
        if words is None:
            return None
        try:
            done = program(words, build_environment(), TIMEOUT)
        except subprocess.TimeoutExpired:
            why = f"systemd-run gave no answer within {TIMEOUT:.0f} s"
            break
        except OSError as error:
            why = f"systemd-run: {error.strerror}"
            break
        if done.returncode in answers:
            return done
        why = (
            done.stderr.decode(errors="replace").strip()[-300:]
            or f"systemd-run exited with {done.returncode}"
        )
        if b"OOMPolicy" not in done.stderr:
            break
    log.warning("the keeper gets no scope of its own and is started directly: %s", sanitize(why))
    return None


def build_command(home: Path, properties: Sequence[str]) -> list[str] | None:
    """Return the command prefix that creates a scope, or None without a usable systemd."""
    program = shutil.which("systemd-run")
    if program is None or not has_scopes():
        return None
    return [
        program, "--scope", "--quiet", "--collect", "--no-ask-password",
        f"--unit={_make_unit_name(home)}",
        f"--description=Taskdeck keeper of {truncate(sanitize(os.fspath(home)), 200)}",
        *(["--user"] if os.geteuid() else []),
        *(word for each in properties for word in ("-p", each)), "--",
    ]  # fmt: skip


def has_scopes() -> bool:
    """Return True if systemd can give this user a scope that outlives sessions."""
    found = shutil.which("systemd-run") is not None and SYSTEMD_FOLDER.is_dir()
    return found and (os.geteuid() == 0 or _has_linger())


def build_environment() -> dict[bytes, bytes]:
    """Return the variables that reach the user manager without a login (cron, `su`)."""
    folder = USER_RUNTIME_FOLDER / str(os.geteuid())
    return (
        {}
        if b"XDG_RUNTIME_DIR" in os.environb or not folder.is_dir()
        else {b"XDG_RUNTIME_DIR": os.fsencode(folder)}
    )


def _make_unit_name(home: Path) -> str:
    """Return a short unique unit name. Jobs of an earlier keeper may hold its scope."""
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
    return f"taskdeck-keeper-{digest}-{os.urandom(4).hex()}.scope"


def _has_linger() -> bool:
    """Return True if the user manager lingers after logout."""
    try:
        return (LINGER_FOLDER / pwd.getpwuid(os.geteuid()).pw_name).exists()
    except (KeyError, OSError):
        return False
