"""Saving a log as a file: its bytes as they were written, whole or not at all; and completing the path that is typed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core.text.sanitize import sanitize
from app.tui.logviewer.source import LogSource

_CHUNK = 1024 * 1024
_MAX_NAMES = 10_000
"""Names of a folder that are looked at to complete one."""


class SaveCancelled(Exception):
    """Whoever wanted the copy does not want it any longer."""


def suggest_name(number: int, name: str, attempt: int) -> str:
    """The file's name for a task's log, made of letters that need no quoting."""
    word = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80]
    return "-".join(filter(None, (str(number), word, f"attempt{attempt}" if attempt > 1 else ""))) + ".log"


def resolve_path(typed: str, name: str) -> Path:
    """The file that a typed path means: `~` expanded, absolute; in a folder the file `name`. Raises OSError, ValueError."""
    path = Path(os.path.abspath(Path(typed).expanduser()))
    return path / name if path.is_dir() or typed.endswith("/") else path


def save_log(source: LogSource, path: Path, *, replace: bool, wanted: Callable[[], bool]) -> int:
    """Write what there is of the log now to a file; the bytes written.

    A file that is there is replaced only when told so, and then at once by a whole one. Raises FileExistsError, any other
    OSError, and Stopped when it is not `wanted` any longer; none of them leaves a part of the log behind.
    """
    if path.is_dir() or (os.path.lexists(path) and not path.is_file()):
        raise OSError(None, "there is something that is not a file", str(path))
    if not replace:
        return _write_new(source, path, wanted)
    beside = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    written = _write_new(source, beside, wanted)
    try:
        os.replace(beside, path)
    except OSError:
        beside.unlink()
        raise
    return written


def _write_new(source: LogSource, path: Path, wanted: Callable[[], bool]) -> int:
    """The log as a new file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            return _copy_bytes(source, file.write, wanted)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _copy_bytes(source: LogSource, write: Callable[[bytes], int | None], wanted: Callable[[], bool]) -> int:
    at, size = 0, source.size()
    while at < size and (piece := source.read(at, min(at + _CHUNK, size))):
        if not wanted():
            raise SaveCancelled
        at += write(piece) or 0
    return at


def complete_path(typed: str) -> tuple[str, list[str]]:
    """The path with its last part completed to a folder, as far as that is one thing only; and the folders it may be."""
    head, slash, begun = typed.rpartition("/")
    try:
        found = _list_folders(Path(head + slash or ".").expanduser(), begun)
    except (OSError, ValueError, RuntimeError):
        return typed, []
    if not found:
        return typed, []
    rest = os.path.commonprefix(found)
    return head + slash + (rest + "/" if len(found) == 1 else rest), found


def _list_folders(folder: Path, begun: str) -> list[str]:
    """The folders in a folder whose names begin so."""
    with os.scandir(folder) as entries:
        near = [entry for _, entry in zip(range(_MAX_NAMES), entries, strict=False) if entry.name.startswith(begun)]
    return sorted(entry.name for entry in near if _is_offered(entry.name, begun) and entry.is_dir())


def _is_offered(name: str, begun: str) -> bool:
    """Hidden folders only when asked for, and none whose name could not be typed."""
    return (bool(begun) or name[0] != ".") and sanitize(name) == name
