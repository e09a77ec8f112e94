"""A scope of systemd's for the keeper, so that what ends the runtime's session or service does not end the jobs.

For root it is one of the system's. For others it is one of their own manager's, and only where that stays when they log
out (linger): without it, it would end sooner than a session that is only left. `systemd-run --scope` becomes the program
it is given, so that program's exit code is its own, and the environment is ours.
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
"""Seconds that systemd may take."""

PROPERTIES = ("TasksMax=infinity", "TimeoutStopSec=20s")
"""The keeper heeds no TERM, so a shutdown would wait for it for as long as systemd waits by default: 90 s."""

OOM_PROPERTY = "OOMPolicy=continue"
"""The kernel's end of one job is not the end of all; systemd before 253 has no such setting, and no need of it."""

ScopedStart = Callable[[Sequence[str], dict[bytes, bytes], float], "subprocess.CompletedProcess[bytes]"]
"""Runs a program by way of the given words, with these names added to its environment, within so many seconds."""


def run_in_scope(home: Path, program: ScopedStart, answers: frozenset[int]) -> subprocess.CompletedProcess[bytes] | None:
    """Run the program in a scope of its own. None when there is none to be had, or when it did not come to one of its `answers`."""
    why = ""
    for properties in ((*PROPERTIES, OOM_PROPERTY), PROPERTIES):
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
        why = done.stderr.decode(errors="replace").strip()[-300:] or f"systemd-run exited with {done.returncode}"
        if b"OOMPolicy" not in done.stderr:
            break
    log.warning("the keeper gets no scope of its own and is started directly: %s", sanitize(why))
    return None


def build_command(home: Path, properties: Sequence[str]) -> list[str] | None:
    """What to put before a command so that it gets a scope of its own; None where there is none to be had."""
    program = shutil.which("systemd-run")
    if program is None or not SYSTEMD_FOLDER.is_dir() or not (os.geteuid() == 0 or _has_linger()):
        return None
    return [
        program, "--scope", "--quiet", "--collect", "--no-ask-password", f"--unit={_make_unit_name(home)}",
        f"--description=Taskdeck keeper of {truncate(sanitize(os.fspath(home)), 200)}", *(["--user"] if os.geteuid() else []),
        *(word for each in properties for word in ("-p", each)), "--",
    ]  # fmt: skip


def build_environment() -> dict[bytes, bytes]:
    """What it takes to reach our own manager where we were not started by a login, such as by cron or `su`."""
    folder = USER_RUNTIME_FOLDER / str(os.geteuid())
    return {} if b"XDG_RUNTIME_DIR" in os.environb or not folder.is_dir() else {b"XDG_RUNTIME_DIR": os.fsencode(folder)}


def _make_unit_name(home: Path) -> str:
    """The home in a few letters; and never the name of a scope that jobs of a keeper before still hold."""
    return f"taskdeck-keeper-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}-{os.urandom(4).hex()}.scope"


def _has_linger() -> bool:
    """Does our manager stay when we log out?"""
    try:
        return (LINGER_FOLDER / pwd.getpwuid(os.geteuid()).pw_name).exists()
    except (KeyError, OSError):
        return False
