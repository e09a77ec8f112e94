"""Health checks of versions, and of owner and permissions in the home."""

from __future__ import annotations

import os
import stat
import sys
import time

from app.core.text.joining import join_colon
from app.core.text.sanitize import sanitize
from app.health.finding import OTHER_HOME_COMMAND, Finding, make_root_command, quote_word
from app.paths import get_user_name
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_SQLITE = (3, 38)
"""First version with the operator ->>, which our statements use."""
MIN_PYTHON = (3, 11)

TIME_LIMIT = 1.0
"""Seconds to spend on permissions: a home may hold a million logs."""


def check_versions() -> Iterator[Finding]:
    """Check the versions of Taskdeck, Python and SQLite."""
    import sqlite3

    from app.version import VERSION

    python = ".".join(map(str, sys.version_info[:3]))
    text = f"Taskdeck {VERSION}, Python {python}, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < MIN_SQLITE or sys.version_info < MIN_PYTHON:
        needs = "Python 3.11 and SQLite 3.38 or later are required"
        yield Finding(
            "versions", f"{text}: {needs}", "broken", "pipx reinstall --python python3.13 taskdeck"
        )
    else:
        yield Finding("versions", text)


def check_home(path: str) -> Iterator[Finding]:
    """Check that the home and its content are ours, private and writable."""
    shown = sanitize(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        yield _check_missing_home(path)
        return
    except OSError as error:
        yield _suggest_other_home(join_colon(shown, (error.strerror or "unknown").lower()))
        return
    if not stat.S_ISDIR(found.st_mode):
        yield _suggest_other_home(tr("{shown} is not a directory", shown=shown))
    elif found.st_uid != os.geteuid():
        owner = get_user_name(found.st_uid, "uid ")
        named = quote_word(f"#{found.st_uid}" if owner.startswith("uid ") else owner)
        cure = f"sudo -u {named} taskdeck --home {quote_word(path)} doctor"
        yield Finding(
            "home",
            tr("{shown} belongs to {owner}, not to you", shown=shown, owner=sanitize(owner)),
            "broken",
            cure,
        )
    elif found.st_mode & 0o700 != 0o700:
        yield Finding(
            "home",
            tr("{shown} is not writable", shown=shown),
            "broken",
            f"chmod 700 {quote_word(path)}",
        )
    else:
        yield _check_privacy(path, found.st_mode)
        yield from _check_content(path)


def _check_missing_home(path: str) -> Finding:
    ancestor = path
    while not os.path.lexists(ancestor):
        ancestor = os.path.dirname(ancestor)
    if os.path.isdir(ancestor) and os.access(ancestor, os.W_OK | os.X_OK):
        return Finding(
            "home",
            tr("{path} does not exist yet; the first submit creates it", path=sanitize(path)),
        )
    return _suggest_other_home(
        tr(
            "{path} cannot be created: {ancestor} is not writable",
            path=sanitize(path),
            ancestor=sanitize(ancestor),
        )
    )


def _suggest_other_home(text: str) -> Finding:
    return Finding("home", text, "broken", OTHER_HOME_COMMAND)


def _check_privacy(path: str, mode: int) -> Finding:
    if mode & 0o022:
        return Finding(
            "home",
            tr("{path} is writable by other users", path=sanitize(path)),
            "broken",
            f"chmod 700 {quote_word(path)}",
        )
    if mode & 0o077:
        return Finding(
            "home",
            tr("{path} is readable by other users", path=sanitize(path)),
            "hint",
            f"chmod 700 {quote_word(path)}",
        )
    return Finding("home", tr("{path}, private to you", path=sanitize(path)))


def _check_content(path: str) -> Iterator[Finding]:
    """Check owners and permissions inside the home."""
    owners, modes, seen, until = [], [], 0, time.monotonic() + TIME_LIMIT
    for one in _iter_files(path):
        seen += 1
        try:
            found = os.lstat(one)
        except OSError:
            continue
        if found.st_uid != os.geteuid():
            owners.append(one)
        elif not _has_expected_mode(found.st_mode):
            modes.append(one)
        if time.monotonic() > until:
            break
    if owners:
        whose = f"{get_user_name(os.geteuid())}:"
        text = tr("{n} not yours, so the runtime cannot work", n=_format_count(owners, path))
        yield Finding(
            "owner",
            text,
            "broken",
            make_root_command(f"chown -R {quote_word(whose)} {quote_word(path)}"),
        )
    if modes:
        yield Finding(
            "modes",
            tr("{n} not private to you", n=_format_count(modes, path)),
            "hint",
            f"chmod -R u+rwX,go= {quote_word(path)}",
        )
    if not owners and not modes and seen:
        yield Finding("modes", tr("{seen:,} files and folders, all private to you", seen=seen))


def _has_expected_mode(mode: int) -> bool:
    """Return True for the modes that Taskdeck sets.

    Folders are 0700; files and sockets are 0600, or 0700 if somebody made them executable. Links
    have no mode of their own.
    """
    if stat.S_ISLNK(mode):
        return True
    return stat.S_IMODE(mode) in ((0o700,) if stat.S_ISDIR(mode) else (0o600, 0o700))


def _iter_files(path: str) -> Iterator[str]:
    """Yield the files of the home, the numerous logs of runs last."""
    with_logs = os.path.join(path, "runs")
    databases = (
        f"{name}.db{end}" for name in ("taskdeck", "search") for end in ("", "-wal", "-shm")
    )
    for name in (*databases, "deck.json"):
        if os.path.lexists(os.path.join(path, name)):
            yield os.path.join(path, name)
    for top in (os.path.join(path, "run"), os.path.join(path, "backups"), with_logs):
        if os.path.lexists(top):
            yield top
        for folder, folders, files in os.walk(top):
            yield from (os.path.join(folder, name) for name in (*folders, *files))


def _format_count(found: list[str], path: str) -> str:
    first = sanitize(os.path.relpath(found[0], path))
    return (
        tr("{first} is", first=first)
        if len(found) == 1
        else tr("{first} and {more:,} more are", first=first, more=len(found) - 1)
    )
