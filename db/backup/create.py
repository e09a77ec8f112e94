"""Creation of backups.

SQLite copies the database in one step, so a concurrent writer neither waits nor restarts the copy.

    copy → hash each page → write the stored pages to FILE.part → fsync → read them back and compare
    → rename → fsync of the folder → manifest line

A second thread checks the copy meanwhile. The pages of every published backup therefore have the
hashes of a checked database, and the files that the backup builds on are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from app.translation import tr
from db import raw_sql, timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import Backup, BackupCatalog, BackupErrorTranslator, BadBackup
from db.backup.verify import DamagedBaseError, check_copy, open_base, read_back
from db.error_translation import translate_error
from db.errors import Problem, Storage
from db.sqlite_files import make_read_only_uri

LEVEL = 3
"""zstd compression level."""
BUSY_SECONDS = 10.0
DAY, HOUR = 86400.0, 3600.0


@dataclass(frozen=True, slots=True)
class BackupRules:
    """Backup intervals and retention in seconds.

    Time between full backups, between increments, and until deletion (None: never).
    """

    full: float = DAY
    increment: float = HOUR
    keep: float | None = 30 * DAY


def is_due(backups: Sequence[Backup], rules: BackupRules) -> bool:
    """Return True if a backup is due.

    A backup that was bad when taken counts too: the next attempt waits as long as an increment. A
    backup found bad or lost later does not count, nor does a foreign file.
    """
    recent = [
        backup
        for backup in backups
        if (backup.verified or _was_bad(backup)) and 0 <= _get_age(backup) < rules.increment
    ]
    return not recent or _is_full_due(backups, rules) and all(backup.verified for backup in recent)


def _was_bad(backup: Backup) -> bool:
    """Return True if a backup was bad when taken. Its file is not kept."""
    return not backup.bytes and not os.path.lexists(backup.path)


def _is_full_due(backups: Sequence[Backup], rules: BackupRules) -> bool:
    """Return True if a full backup is due.

    A full backup is also due if the clock was set back before the last backups, whose times then
    mean nothing.
    """
    since = _list_since_full(backups)
    return (
        not since
        or _get_age(since[0]) >= rules.full
        or any(_get_age(backup) < 0 for backup in since)
    )


def _get_age(backup: Backup) -> float:
    return (timestamps.utcnow() - timestamps.parse_time(backup.at)).total_seconds()


def _list_since_full(backups: Sequence[Backup]) -> list[Backup]:
    """Return the last good full backup and the later good ones."""
    good = [backup for backup in backups if backup.verified]
    last = max(
        (place for place, backup in enumerate(good) if backup.kind == "full"), default=len(good)
    )
    return good[last:]


def find_base(backups: Sequence[Backup], rules: BackupRules) -> Backup | None:
    """Return the base for the next backup, or None for a full one."""
    if _is_full_due(backups, rules):
        return None
    full, *increments = _list_since_full(backups)
    return (
        [full, *increments][-1]
        if sum(backup.bytes for backup in increments) <= full.bytes
        else None
    )


def take_backup(
    source: Path, folder: Path, rules: BackupRules, full: bool = False,
    companions: Mapping[str, bytes] | None = None,
    step: Callable[[], None] = tool.do_nothing, compare_indexes: bool = False,
) -> Backup:  # fmt: skip
    """Back up the database `source` into `folder`, and prune before and after.

    Pruning first may provide the space. `companions`: texts of the companion files.
    `compare_indexes`: if the backup is full, also compare indexes with rows. Blocks; call it
    in a thread. `step` is called regularly and may raise to cancel, which leaves nothing behind.
    Raise BadBackup for a backup that fails verification (recorded in the manifest), DamagedDatabase
    for a damaged source, and Storage.
    """
    try:
        with backup_folder.lock_folder(folder, step), BackupErrorTranslator(folder):
            store = BackupCatalog(folder, source)
            backup_folder.clean_up(store)
            _refuse_others(store, source.parent)
            _prune_by_rules(store, rules)
            job = _BackupJob(store, source, rules, full, companions or {}, step, compare_indexes)
            try:
                taken = job.run()
            except DamagedBaseError as bad:
                backup_folder.mark_bad(folder, bad.ident, bad.why)
                taken = replace(job, full=True, temporary_files=[]).run()
            _prune_by_rules(store, rules)
            return taken
    except OSError as error:
        raise space_errors.make_problem(folder, error) from error


def _prune_by_rules(store: BackupCatalog, rules: BackupRules) -> None:
    if rules.keep is None:
        return
    backup_folder.prune_backups(store, rules.keep)
    with suppress(OSError):  # the next backup tries again
        backup_folder.shorten_manifest(store.folder, rules.keep)


def _refuse_others(store: BackupCatalog, home: Path) -> None:
    """Raise Storage for a shared folder with backups of other homes only.

    A folder inside the home may have moved with it, and mixed folders already hold own backups.
    """
    others = store.list_others() if store.folder.parent != home else []
    if others:
        files = [os.path.basename(entry["path"]) for entry in others]
        named = ", ".join(files[:3]) + tr(" and {more} more", more=len(files) - 3) * (
            len(files) > 3
        )
        said = tr(
            "the folder {folder} holds backups of another database ({uuid}), and none of this"
            " one: {named}.",
            folder=store.folder,
            uuid=others[0]["of"],
            named=named,
        )
        raise Storage(
            "{said} {undone}",
            "Move them away, or choose another folder for this home.",
            said=said,
            undone=tr(space_errors.NO_BACKUP_TAKEN),
        )


@dataclass
class _BackupJob:
    """A backup in progress."""

    store: BackupCatalog
    source: Path
    rules: BackupRules
    full: bool
    beside: Mapping[str, bytes]
    step: Callable[[], None]
    compare_indexes: bool
    at: str = field(default_factory=timestamps.now)
    temporary_files: list[Path] = field(default_factory=list)

    def run(self) -> Backup:
        try:
            return self._create()
        except raw_sql.DRIVER_ERRORS as error:
            raise self._translate_error(error) from error
        finally:
            for path in self.temporary_files:
                path.unlink(missing_ok=True)

    def _create(self) -> Backup:
        image = self._register_file(backup_folder.find_image_path(self.store.folder, "copying"))
        page_size, pages = self._copy_database(image)
        base = self._open_base(page_size)
        with closing(tool.open_image(str(image))) as c:
            facts, home = tool.read_facts(c), tool.read_home_uuid(c)
        kind = "increment" if base else "full"
        header = {
            "format": tool.FORMAT, "id": self._make_id(kind), "kind": kind,
            "base": base.ident if base else None,
            "at": self.at, "page_size": page_size, "pages": pages, "facts": facts,
            "of": os.path.realpath(self.source), "home": home, "number": self._make_number(),
        }  # fmt: skip
        try:
            with ThreadPoolExecutor(1) as pool:
                checked = pool.submit(self._check, image, header)
                try:
                    file = self._write(image, header, base)
                finally:
                    checked.result()  # a damaged database may cause any other error
        except BadBackup as bad:
            backup_folder.mark_bad(self.store.folder, bad.ident, bad.why)
            raise
        image.unlink()
        return self._publish(file)

    def _check(self, image: Path, header: Mapping[str, Any]) -> None:
        """Check the copy `image`."""
        compare_indexes = self.compare_indexes and header["kind"] == "full"
        check_copy(image, header, self.source, self.step, compare_indexes)

    def _write(
        self, image: Path, header: Mapping[str, Any], base: tool.BackupFile | None
    ) -> tool.BackupFile:
        """Write the backup of the copy `image`, read it back and return it."""
        folder, ident, page_size = self.store.folder, header["id"], header["page_size"]
        with open(image, "rb") as copy:
            index = tool.hash_image(copy, page_size, self.step)
        numbers = _find_changed_pages(index, base.index) if base else range(header["pages"])
        space_errors.require_space(folder, len(numbers) * page_size)
        self.temporary_files += [
            folder / backup_folder.get_companion_name(kind, ident) for kind in self.beside
        ]
        parts = {
            "sha256": hashlib.sha256(index).hexdigest(),
            "stored": len(numbers),
            "beside": backup_folder.write_companions(folder, ident, self.beside),
        }
        part = self._register_file(folder / f"{ident}{tool.SUFFIX}{backup_folder.PART_SUFFIX}")
        write_backup(part, image, {**header, **parts}, index, numbers, self.step)
        return read_back(part, index, numbers, self.step)

    def _register_file(self, path: Path) -> Path:
        """Register a temporary file for removal."""
        self.temporary_files.append(path)
        return path

    def _copy_database(self, image: Path) -> tuple[int, int]:
        """Copy the database; return page size and page count."""
        os.close(os.open(image, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            closing(
                sqlite3.connect(make_read_only_uri(self.source), uri=True, timeout=BUSY_SECONDS)
            ) as source,
            closing(sqlite3.connect(image, isolation_level=None)) as copy,
        ):
            size, pages = (
                source.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count")
            )
            space_errors.require_space(
                self.store.folder, size * pages + self._estimate_size(size * pages)
            )
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")
            source.backup(copy, pages=-1)
        return size, image.stat().st_size // size

    def _estimate_size(self, database_size: int) -> int:
        """Return the expected file size: the whole database, or 0 for an increment.

        An increment's size is known only after the copy.
        """
        return (
            0 if not self.full and find_base(self.store.list_own(), self.rules) else database_size
        )

    def _open_base(self, page_size: int) -> tool.BackupFile | None:
        """Return the file of the base, if this backup is an increment."""
        found = None if self.full else find_base(self.store.list_own(), self.rules)
        if found is None or found.page_size != page_size:
            return None
        return open_base(tool.find_chain(self.store.list_entries(), found.id))

    def _make_number(self) -> int:
        """Return a number above all earlier backups."""
        return 1 + max((entry.get("number") or 0 for entry in self.store.list_entries()), default=0)

    def _make_id(self, kind: str) -> str:
        """Return an id from the time. Ids are never reused."""
        known = {said["id"] for said in tool.read_manifest(str(self.store.folder))[0]} | {
            entry["id"] for entry in self.store.list_entries()
        }
        name = f"{timestamps.parse_time(self.at):%Y%m%dT%H%M%SZ}-{kind}"
        return next(
            ident
            for n in range(1, len(known) + 2)
            if (ident := f"{name}-{n}" if n > 1 else name) not in known
        )

    def _publish(self, file: tool.BackupFile) -> Backup:
        folder, ident = self.store.folder, file.ident
        os.rename(file.path, tool.get_path(str(folder), ident))
        self.temporary_files.clear()
        backup_folder.sync_folder(folder)
        backup_folder.append_line(folder, what="taken", **file.make_entry())
        return self.store.find_backup(ident)

    def _translate_error(self, error: Exception) -> Problem:
        said = str(error).lower()
        if "full" in said:
            return space_errors.make_disk_full(self.store.folder)
        if "i/o error" in said:
            return Storage(
                "the database could not be copied ({said}). {undone}",
                "Check the disks.",
                said=said,
                undone=tr(space_errors.NO_BACKUP_TAKEN),
            )
        return translate_error(error, self.source) or Storage(
            "the database could not be copied ({said}). {undone}",
            said=said,
            undone=tr(space_errors.NO_BACKUP_TAKEN),
        )


def _find_changed_pages(index: bytes, before: bytes) -> list[int]:
    """Return the numbers of the pages whose hash changed."""
    return [
        at // tool.HASH_SIZE
        for at in range(0, len(index), tool.HASH_SIZE)
        if index[at : at + tool.HASH_SIZE] != before[at : at + tool.HASH_SIZE]
    ]


def write_backup(
    part: Path,
    image: Path,
    header: Mapping[str, Any],
    index: bytes,
    numbers: Sequence[int],
    step: Callable[[], None] = tool.do_nothing,
) -> None:
    """Write a backup to `part` with pages of `image`, and flush it to disk."""
    packed = compress(index)
    listed = (
        b"" if isinstance(numbers, range) else compress(struct.pack(f"<{len(numbers)}I", *numbers))
    )
    head = json.dumps({**header, "index": len(packed), "numbers": len(listed)}).encode()
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file, open(image, "rb") as pages:
        summed = hashlib.sha256()
        for data in (tool.MAGIC, struct.pack("<I", len(head)), head, packed, listed):
            _write_hashed(file, summed, data)
        many = tool.get_frame_pages(header["page_size"])
        for start in range(0, len(numbers), many):
            step()
            frame = compress(_read_pages(pages, numbers[start : start + many], header["page_size"]))
            _write_hashed(file, summed, struct.pack("<I", len(frame)) + frame)
        file.write(summed.digest())
        file.flush()
        os.fsync(fd)


def _write_hashed(file: IO[bytes], summed: Any, data: bytes) -> None:
    summed.update(data)
    file.write(data)


def _read_pages(pages: IO[bytes], numbers: Sequence[int], size: int) -> bytes:
    if isinstance(numbers, range):
        pages.seek(numbers[0] * size)
        return pages.read(len(numbers) * size)
    found = []
    for number in numbers:
        pages.seek(number * size)
        found.append(pages.read(size))
    return b"".join(found)


def compress(data: bytes) -> bytes:
    """Compress data into one zstd frame."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(data, LEVEL)
