"""What changes a folder of backups: lines of the manifest, small files, what is swept and what is pruned. One process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from db import clock
from db.backup import restore_tool as tool
from db.backup.store import Backup, Store

log = logging.getLogger(__name__)

TOOL = "restore.py"
_LEFT = ("*.part", "*.image", "*.image-journal")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder, private to the user, and have it to ourselves; waits for whoever has it. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def append(folder: Path, **said: Any) -> None:
    """Add a line to the manifest, and see it on the disk. One that was torn before it stays a line of its own."""
    fd = os.open(folder / tool.MANIFEST, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        _write(fd, (b"\n" if torn else b"") + tool.manifest_line(said))
        os.fsync(fd)
    finally:
        os.close(fd)


def put(path: Path, data: bytes) -> None:
    """A small file, whole or not at all, with all that it says on the disk."""
    part = path.with_name(f"{path.name}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(part, path)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync(folder: Path) -> None:
    """See the names in a folder on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep(store: Store) -> None:
    """Remove what one that was killed left behind, tell in the manifest of what it had finished, and lay the tool beside."""
    folder = store.folder
    for pattern in _LEFT:
        for left in folder.glob(pattern):
            left.unlink()
    entries, (said, damaged) = store.entries(), tool.manifest(str(folder))
    _adopt(folder, entries, {line["id"] for line in said if line["what"] == "taken"})
    if damaged:
        log.warning("lines %s of %s were damaged; what can be known is told anew", damaged, folder / tool.MANIFEST)
        append(folder, what="seen", id="", lines=damaged)
    known = {entry["id"] for entry in entries}
    for ident in {line["id"] for line in said if line["what"] == "pruned"} - known:
        _path(folder, ident).unlink(missing_ok=True)
    _sweep_beside(folder, {name for entry in entries for name in beside_names(entry["id"])})
    _lay_tool(folder)


def _adopt(folder: Path, entries: list[dict[str, Any]], told: set[str]) -> None:
    for entry in entries:
        if entry["id"] not in told and entry["digest"] and entry["problem"] is None:
            append(folder, what="taken", **{name: entry[name] for name in entry if name not in ("path", "problem")})


def _sweep_beside(folder: Path, wanted: set[str]) -> None:
    for kind in BESIDE:
        for path in folder.glob(f"{kind}-*.toml"):
            if path.name not in wanted:
                path.unlink()


BESIDE = ("config", "definitions")
"""The small files that travel along with a backup."""


def beside_names(ident: str) -> list[str]:
    """Their names."""
    return [beside_name(kind, ident) for kind in BESIDE]


def beside_name(kind: str, ident: str) -> str:
    """The name of one of them."""
    return f"{kind}-{ident}.toml"


def put_beside(folder: Path, ident: str, texts: Mapping[str, bytes]) -> dict[str, str]:
    """Store the texts of `BESIDE` that there are; the sha256 of each by its name."""
    made = {}
    for kind, text in texts.items():
        name = beside_name(kind, ident)
        put(folder / name, text)
        made[name] = hashlib.sha256(text).hexdigest()
    return made


def _lay_tool(folder: Path) -> None:
    wanted, path = Path(tool.__file__).read_bytes(), folder / TOOL
    if not path.exists() or path.read_bytes() != wanted:
        put(path, wanted)


def _path(folder: Path, ident: str) -> Path:
    return Path(tool.path_of(str(folder), ident))


def mark_bad(folder: Path, ident: str, why: str) -> None:
    """From now on it counts neither as good nor as a base."""
    append(folder, what="bad", id=ident, why=why, at=clock.now())


def outdated(backups: list[Backup], keep: float) -> list[Backup]:
    """Those older than `keep` seconds that nothing needs: not the last good full one, nor what one that stays is built upon."""
    since = clock.stamp(clock.utcnow() - timedelta(seconds=keep))
    by_id = {backup.id: backup for backup in backups}
    full = [backup.id for backup in backups if backup.verified and backup.kind == "full"][-1:]
    stay = set()
    for ident in [*full, *(backup.id for backup in backups if backup.at >= since)]:
        at: str | None = ident
        while at in by_id and at not in stay:
            stay.add(at)
            at = by_id[at].base
    return [backup for backup in backups if backup.id not in stay]


def prune(store: Store, keep: float) -> list[str]:
    """Remove what is outdated; the ids. The line comes first: a file that stays behind is swept, one that is missing would alarm."""
    gone = [backup.id for backup in outdated(store.backups(), keep)]
    for ident in gone:
        append(store.folder, what="pruned", id=ident, at=clock.now())
        for path in (_path(store.folder, ident), *(store.folder / name for name in beside_names(ident))):
            path.unlink(missing_ok=True)
    return gone
