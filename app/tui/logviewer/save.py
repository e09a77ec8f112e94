"""Saving a log to a file: unchanged bytes, complete or not at all; and path completion."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core.text.prefix import find_common_prefix
from app.core.text.sanitize import sanitize
from app.translation import tr
from app.tui.logviewer.source import LogSource

_CHUNK = 1024 * 1024
_MAX_NAMES = 10_000
"""Maximum names of a folder examined for a completion."""


class SaveCancelledError(Exception):
    """The copy is no longer wanted."""


def suggest_name(number: int, name: str, attempt: int) -> str:
    """Return a file name for a task's log that needs no quoting."""
    word = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80]
    return (
        "-".join(filter(None, (str(number), word, f"attempt{attempt}" if attempt > 1 else "")))
        + ".log"
    )


def resolve_path(typed: str, name: str) -> Path:
    """Return the file for a typed path: `~` expanded, absolute, `name` inside a folder.

    Raise OSError or ValueError.
    """
    path = Path(os.path.abspath(Path(typed).expanduser()))
    return path / name if path.is_dir() or typed.endswith("/") else path


def save_log(source: LogSource, path: Path, *, replace: bool, wanted: Callable[[], bool]) -> int:
    """Write the current log to a file; return the number of bytes.

    An existing file is replaced only if `replace` is set, atomically. Raise FileExistsError, other
    OSErrors, or SaveCancelledError when no longer `wanted`. No partial file remains.
    """
    if path.is_dir() or (os.path.lexists(path) and not path.is_file()):
        raise OSError(None, tr("exists and is not a regular file"), str(path))
    if not replace:
        return _write_new(source, path, wanted)
    partial_path = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    written = _write_new(source, partial_path, wanted)
    try:
        os.replace(partial_path, path)
    except OSError:
        partial_path.unlink()
        raise
    return written


def _write_new(source: LogSource, path: Path, wanted: Callable[[], bool]) -> int:
    """Write the log as a new file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            return _copy_bytes(source, file.write, wanted)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _copy_bytes(
    source: LogSource, write: Callable[[bytes], int | None], wanted: Callable[[], bool]
) -> int:
    at, size = 0, source.size()
    while at < size and (piece := source.read(at, min(at + _CHUNK, size))):
        if not wanted():
            raise SaveCancelledError
        at += write(piece) or 0
    return at


def complete_path(typed: str) -> tuple[str, list[str]]:
    """Complete the last part of a path to a folder; return the path and the candidates."""
    head, slash, prefix = typed.rpartition("/")
    try:
        found = _list_folders(Path(head + slash or ".").expanduser(), prefix)
    except (OSError, ValueError, RuntimeError):
        return typed, []
    if not found:
        return typed, []
    rest = find_common_prefix(found)
    return head + slash + (rest + "/" if len(found) == 1 else rest), found


def _list_folders(folder: Path, prefix: str) -> list[str]:
    """Return the folder names with this beginning."""
    with os.scandir(folder) as entries:
        near = [
            entry
            for _, entry in zip(range(_MAX_NAMES), entries, strict=False)
            if entry.name.startswith(prefix)
        ]
    return sorted(
        entry.name for entry in near if _is_offered(entry.name, prefix) and entry.is_dir()
    )


def _is_offered(name: str, prefix: str) -> bool:
    """Return True for names that can be typed; hidden ones need at least a first character."""
    return (bool(prefix) or name[0] != ".") and sanitize(name) == name
