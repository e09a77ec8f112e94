"""The versions of what Taskdeck stands on, and the home: is it ours, private, whole and writable?"""

from __future__ import annotations

import os
import stat
import sys
import time

from app.core.text.sanitize import clean
from app.health.finding import Finding, quote, sudo
from app.paths import user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SQLITE = (3, 38)
"""The first that has the operator ->>, which our statements use."""
PYTHON = (3, 11)

PATIENCE = 1.0
"""Seconds for a look at the permissions of everything in the home, which may hold a million logs."""


def versions() -> Iterator[Finding]:
    """Taskdeck, Python and SQLite."""
    import sqlite3

    from app.version import VERSION

    python = ".".join(map(str, sys.version_info[:3]))
    text = f"Taskdeck {VERSION}, Python {python}, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < SQLITE or sys.version_info < PYTHON:
        needs = "it needs Python 3.11 and SQLite 3.38, or later"
        yield Finding("versions", f"{text}: {needs}", "broken", "pipx reinstall --python python3.13 taskdeck")
    else:
        yield Finding("versions", text)


def home(path: str) -> Iterator[Finding]:
    """Is the home ours, private and writable, and all that is in it?"""
    shown = clean(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        yield _to_be_made(path)
        return
    except OSError as error:
        yield _elsewhere(f"{shown}: {(error.strerror or 'unknown').lower()}")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield _elsewhere(f"{shown} is no directory")
    elif found.st_uid != os.geteuid():
        owner = user_name(found.st_uid, "uid ")
        named = quote(f"#{found.st_uid}" if owner.startswith("uid ") else owner)
        cure = f"sudo -u {named} taskdeck --home {quote(path)} doctor"
        yield Finding("home", f"{shown} belongs to {clean(owner)}, not to you", "broken", cure)
    elif found.st_mode & 0o700 != 0o700:
        yield Finding("home", f"{shown} cannot be written to", "broken", f"chmod 700 {quote(path)}")
    else:
        yield _private(path, found.st_mode)
        yield from _inside(path)


def _to_be_made(path: str) -> Finding:
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK):
        return Finding("home", f"{clean(path)}, not made yet: the first submit makes it")
    return _elsewhere(f"{clean(path)} cannot be made: {clean(above)} cannot be written to")


def _elsewhere(text: str) -> Finding:
    return Finding("home", text, "broken", 'taskdeck --home "$HOME/taskdeck" doctor')


def _private(path: str, mode: int) -> Finding:
    if mode & 0o022:
        return Finding("home", f"{clean(path)} can be changed by others", "broken", f"chmod 700 {quote(path)}")
    if mode & 0o077:
        return Finding("home", f"{clean(path)} can be read by others", "hint", f"chmod 700 {quote(path)}")
    return Finding("home", f"{clean(path)}, private to you")


def _inside(path: str) -> Iterator[Finding]:
    """Whose is what we made there, and who may read it?"""
    owners, modes, seen, until = [], [], 0, time.monotonic() + PATIENCE
    for one in _all_below(path):
        seen += 1
        try:
            found = os.lstat(one)
        except OSError:
            continue
        if found.st_uid != os.geteuid():
            owners.append(one)
        elif not _as_we_make_it(found.st_mode):
            modes.append(one)
        if time.monotonic() > until:
            break
    if owners:
        whose = f"{user_name(os.geteuid())}:"
        text = f"{_counted(owners, path)} not yours: the runtime cannot use what it must"
        yield Finding("owner", text, "broken", sudo(f"chown -R {quote(whose)} {quote(path)}"))
    if modes:
        yield Finding("modes", f"{_counted(modes, path)} not as private as it was made", "hint", f"chmod -R u+rwX,go= {quote(path)}")
    if not owners and not modes and seen:
        yield Finding("modes", f"{seen:,} files and folders, all private to you")


def _as_we_make_it(mode: int) -> bool:
    """Folders 0700, files and sockets 0600, or 0700 where somebody made them so; links have no mode of their own."""
    if stat.S_ISLNK(mode):
        return True
    return stat.S_IMODE(mode) in ((0o700,) if stat.S_ISDIR(mode) else (0o600, 0o700))


def _all_below(path: str) -> Iterator[str]:
    """What Taskdeck makes in a home: everything but the logs of runs first, since those are many."""
    with_logs = os.path.join(path, "runs")
    databases = (f"{name}.db{end}" for name in ("taskdeck", "search") for end in ("", "-wal", "-shm"))
    for name in (*databases, "deck.json"):
        if os.path.lexists(os.path.join(path, name)):
            yield os.path.join(path, name)
    for top in (os.path.join(path, "run"), os.path.join(path, "backups"), with_logs):
        if os.path.lexists(top):
            yield top
        for folder, folders, files in os.walk(top):
            yield from (os.path.join(folder, name) for name in (*folders, *files))


def _counted(found: list[str], path: str) -> str:
    first = clean(os.path.relpath(found[0], path))
    return f"{first} is" if len(found) == 1 else f"{first} and {len(found) - 1:,} more are"
