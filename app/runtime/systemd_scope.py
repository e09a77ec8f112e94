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

from app.core.text.sanitize import clean, cut

log = logging.getLogger(__name__)

BOOTED = Path("/run/systemd/system")
LINGER = Path("/var/lib/systemd/linger")
USERS = Path("/run/user")

PATIENCE = 4.0
"""Seconds that systemd may take."""

PROPERTIES = ("TasksMax=infinity", "TimeoutStopSec=20s")
"""The keeper heeds no TERM, so a shutdown would wait for it for as long as systemd waits by default: 90 s."""

NEWER = "OOMPolicy=continue"
"""The kernel's end of one job is not the end of all; systemd before 253 has no such setting, and no need of it."""

Starting = Callable[[Sequence[str], dict[bytes, bytes], float], "subprocess.CompletedProcess[bytes]"]
"""Runs a program by way of the given words, with these names added to its environment, within so many seconds."""


def start(home: Path, program: Starting, answers: frozenset[int]) -> subprocess.CompletedProcess[bytes] | None:
    """Run the program in a scope of its own. None when there is none to be had, or when it did not come to one of its `answers`."""
    why = ""
    for properties in ((*PROPERTIES, NEWER), PROPERTIES):
        words = command(home, properties)
        if words is None:
            return None
        try:
            done = program(words, environment(), PATIENCE)
        except subprocess.TimeoutExpired:
            why = f"systemd-run gave no answer within {PATIENCE:.0f} s"
            break
        except OSError as error:
            why = f"systemd-run: {error.strerror}"
            break
        if done.returncode in answers:
            return done
        why = done.stderr.decode(errors="replace").strip()[-300:] or f"systemd-run exited with {done.returncode}"
        if b"OOMPolicy" not in done.stderr:
            break
    log.warning("the keeper gets no scope of its own and is started directly: %s", clean(why))
    return None


def command(home: Path, properties: Sequence[str]) -> list[str] | None:
    """What to put before a command so that it gets a scope of its own; None where there is none to be had."""
    program = shutil.which("systemd-run")
    if program is None or not BOOTED.is_dir() or not (os.geteuid() == 0 or _stays()):
        return None
    return [
        program, "--scope", "--quiet", "--collect", "--no-ask-password", f"--unit={_name(home)}",
        f"--description=Taskdeck keeper of {cut(clean(os.fspath(home)), 200)}", *(["--user"] if os.geteuid() else []),
        *(word for each in properties for word in ("-p", each)), "--",
    ]  # fmt: skip


def environment() -> dict[bytes, bytes]:
    """What it takes to reach our own manager where we were not started by a login, such as by cron or `su`."""
    folder = USERS / str(os.geteuid())
    return {} if b"XDG_RUNTIME_DIR" in os.environb or not folder.is_dir() else {b"XDG_RUNTIME_DIR": os.fsencode(folder)}


def _name(home: Path) -> str:
    """The home in a few letters; and never the name of a scope that jobs of a keeper before still hold."""
    return f"taskdeck-keeper-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}-{os.urandom(4).hex()}.scope"


def _stays() -> bool:
    """Does our manager stay when we log out?"""
    try:
        return (LINGER / pwd.getpwuid(os.geteuid()).pw_name).exists()
    except (KeyError, OSError):
        return False
