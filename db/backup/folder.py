"""Changes to a backup folder: manifest lines, small files, cleanup and pruning.

A lock admits one process at a time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from db import timestamps
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import Backup, BackupCatalog
from db.sqlite_files import try_lock

log = logging.getLogger(__name__)

TOOL_NAME = "restore.py"
PART_SUFFIX = ".part"
"""Suffix of incomplete files."""
_IMAGE = re.compile(r"\.(copying|verifying)(-[0-9]+)?\.image(-journal)?")


LOCK_TIMEOUT = 30.0
"""Seconds to wait for another process."""


@contextmanager
def lock_folder(
    folder: Path,
    step: Callable[[], None] = tool.do_nothing,
    undone: str = space_errors.NO_BACKUP_TAKEN,
) -> Iterator[None]:
    """Create the private folder if needed and lock it.

    Wait for another process for a while, then raise Storage with `undone`. `step` is called
    meanwhile and may raise. Raise OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + LOCK_TIMEOUT
        while not try_lock(fd):
            if time.monotonic() >= end:
                raise space_errors.make_busy(folder, undone)
            step()
            time.sleep(0.05)
        yield
    finally:
        os.close(fd)


def append_line(folder: Path, **fields: Any) -> None:
    """Append a line to the manifest and flush it to disk.

    A torn line before it stays separate.
    """
    with suppress(FileNotFoundError), tool.open_regular(os.fspath(folder / tool.MANIFEST)):
        pass  # a pipe or device takes no line
    fd = os.open(folder / tool.MANIFEST, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        lacks_newline = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        _write_all(fd, (b"\n" if lacks_newline else b"") + tool.format_manifest_line(fields))
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes) -> None:
    """Write a small file atomically and flush it to disk."""
    part = path.with_name(path.name + PART_SUFFIX)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, data)
        os.fsync(fd)
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def clean_up(store: BackupCatalog) -> None:
    """Clean up after a killed process.

    Remove its temporary files, record finished backups in the manifest, and store the restore tool
    beside them.
    """
    folder = store.folder
    remove_temporary_files(folder)
    entries, (lines, damaged) = store.list_entries(), tool.read_manifest(str(folder))
    _record_unlisted(folder, entries, {line["id"] for line in lines if line["what"] == "taken"})
    if damaged:
        log.warning(
            "lines %s of %s were damaged; rewriting what is known", damaged, folder / tool.MANIFEST
        )
        append_line(folder, what="seen", id="", lines=damaged)
    known = {entry["id"] for entry in entries}
    for ident in {line["id"] for line in lines if line["what"] == "pruned"} - known:
        _remove_file(_get_path(folder, ident))
    _remove_companions(
        folder, {name for entry in entries for name in get_companion_names(entry["id"])}
    )
    _store_tool(folder)


def remove_temporary_files(folder: Path) -> None:
    """Remove temporary files by our exact names: the folder may hold foreign files."""
    for name in os.listdir(folder):
        if (
            _IMAGE.fullmatch(name)
            or name.endswith(PART_SUFFIX)
            and _is_ours(name[: -len(PART_SUFFIX)])
        ):
            _remove_file(folder / name)


def _is_ours(name: str) -> bool:
    return (
        name in (TOOL_NAME, tool.MANIFEST)
        or name.endswith(tool.SUFFIX)
        and tool.is_id(name[: -len(tool.SUFFIX)])
        or _is_companion(name)
    )


def _is_companion(name: str) -> bool:
    return any(
        name == get_companion_name(kind, ident) and tool.is_id(ident)
        for kind in COMPANIONS
        for ident in [name[len(kind) + 1 : -5]]
    )


def _remove_file(path: Path) -> None:
    """Remove a regular file. Anything else is foreign and stays."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()


def find_image_path(folder: Path, name: str) -> Path:
    """Return an unused path for a temporary database file.

    The name is `.NAME.image`, or has a number.
    """
    names = (f".{name}{f'-{n}' if n > 1 else ''}.image" for n in count(1))
    return next(folder / name for name in names if not os.path.lexists(folder / name))


def _record_unlisted(folder: Path, entries: list[dict[str, Any]], recorded: set[str]) -> None:
    for entry in entries:
        if entry["id"] not in recorded and entry["digest"] and entry["problem"] is None:
            append_line(
                folder,
                what="taken",
                **{name: entry[name] for name in entry if name not in ("path", "problem")},
            )


def _remove_companions(folder: Path, wanted: set[str]) -> None:
    for name in os.listdir(folder):
        if _is_companion(name) and name not in wanted:
            _remove_file(folder / name)


COMPANIONS = ("config", "definitions")
"""Companion files of a backup."""


def get_companion_names(ident: str) -> list[str]:
    """Return the names of a backup's companion files."""
    return [get_companion_name(kind, ident) for kind in COMPANIONS]


def get_companion_name(kind: str, ident: str) -> str:
    """Return the name of a companion file."""
    return f"{kind}-{ident}.toml"


def write_companions(folder: Path, ident: str, texts: Mapping[str, bytes]) -> dict[str, str]:
    """Store the companion texts; return {name: sha256}."""
    made = {}
    for kind, text in texts.items():
        name = get_companion_name(kind, ident)
        write_file(folder / name, text)
        made[name] = hashlib.sha256(text).hexdigest()
    return made


def _store_tool(folder: Path) -> None:
    """Store the restore tool in the folder, but never overwrite a foreign file.

    The beginning of the module docstring, up to its first full stop, identifies the tool: do not
    change it.
    """
    wanted, path = Path(tool.__file__).read_bytes(), folder / TOOL_NAME
    stored = path.read_bytes() if path.is_file() else b""
    if os.path.lexists(path) and not stored.startswith(wanted[: wanted.index(b".")]):
        log.warning(
            "%s is a foreign file and was kept; the backups beside it have no restore tool", path
        )
    elif stored != wanted:
        write_file(path, wanted)


def _get_path(folder: Path, ident: str) -> Path:
    return Path(tool.get_path(str(folder), ident))


def mark_bad(folder: Path, ident: str, why: str) -> None:
    """Record a backup as bad: it no longer counts as good or as a base."""
    append_line(folder, what="bad", id=ident, why=why, at=timestamps.now())


def find_outdated(backups: list[Backup], keep: float) -> list[Backup]:
    """Return the backups older than `keep` seconds that no other backup needs.

    The last two good full backups stay with their increments, because a clock may be wrong. A
    backup from the future was taken by such a clock and is not one of the two.
    """
    since, now = (
        timestamps.format_time(timestamps.utcnow() - timedelta(seconds=keep)),
        timestamps.now(),
    )
    by_id = {backup.id: backup for backup in backups}
    full = {
        backup.id
        for backup in [
            one for one in backups if one.verified and one.kind == "full" and one.at <= now
        ][-2:]
    }
    stay: set[str] = set()
    for backup in backups:
        needed = _collect_bases(by_id, backup)
        if backup.at >= since or full & needed:
            stay |= needed
    return [backup for backup in backups if backup.id not in stay]


def _collect_bases(by_id: Mapping[str, Backup], backup: Backup | None) -> set[str]:
    found: set[str] = set()
    while backup is not None and backup.id not in found:
        found.add(backup.id)
        backup = by_id.get(backup.base or "")
    return found


def prune_backups(store: BackupCatalog, keep: float) -> list[str]:
    """Remove outdated backups of the home; return their ids."""
    outdated = [backup.id for backup in find_outdated(store.list_own(), keep)]
    for ident in outdated:
        _prune_backup(store.folder, ident)
    return outdated


SHORTEN_INTERVAL = timedelta(days=1)
"""Minimum time between two rewrites of the manifest."""


def shorten_manifest(folder: Path, keep: float) -> None:
    """Drop backups pruned over `keep` seconds ago from the manifest.

    Runs at most once a day. Other pruned backups keep their line: their names are not reused, and
    leftover files are removed. Readers see the old or the new file, whole. The caller holds the
    lock and has cleaned up. Raise OSError.
    """
    fields, now = tool.read_manifest(str(folder))[0], timestamps.utcnow()
    since, lately = (
        timestamps.format_time(now - timedelta(seconds=keep)),
        timestamps.format_time(now - SHORTEN_INTERVAL),
    )
    pruned = {line["id"]: line["at"] for line in fields if line["what"] == "pruned"}
    removed_ids = {
        ident
        for ident, at in pruned.items()
        if at < since and not os.path.lexists(_get_path(folder, ident))
    }
    if not removed_ids or any(
        lately <= line["at"] <= timestamps.format_time(now)
        for line in fields
        if line["what"] == "shortened"
    ):
        return
    lines = [line for line in fields if _is_kept(line, pruned.keys(), removed_ids)]
    write_file(
        folder / tool.MANIFEST,
        b"".join(
            map(
                tool.format_manifest_line,
                [*lines, {"what": "shortened", "id": "", "at": timestamps.format_time(now)}],
            )
        ),
    )
    sync_folder(folder)


def _is_kept(line: Mapping[str, Any], pruned: Set[str], outdated: Set[str]) -> bool:
    """Return True if a line is worth keeping.

    Numbers of damaged lines mean nothing once those lines are gone.
    """
    if line["what"] in ("seen", "shortened"):
        return False
    return line["id"] not in outdated if line["what"] == "pruned" else line["id"] not in pruned


def _prune_backup(folder: Path, ident: str) -> None:
    """Remove a backup. The manifest line comes first, unless the disk is full.

    A leftover file is cleaned up later; a missing one would raise an alarm.
    """
    try:
        append_line(folder, what="pruned", id=ident, at=timestamps.now())
        is_recorded = True
    except OSError as error:
        is_recorded = False
        if not space_errors.is_full(error):
            raise
    for path in (_get_path(folder, ident), *(folder / name for name in get_companion_names(ident))):
        _remove_file(path)
    if not is_recorded:
        append_line(folder, what="pruned", id=ident, at=timestamps.now())
