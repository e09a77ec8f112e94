"""Taking a backup. The copy is made by SQLite in one step, so that a writer beside it neither waits nor makes it begin anew.

    copy → hash each page → write the pages that are stored to FILE.part → build the whole up again from it and check it →
    fsync → rename → fsync of the folder → a line in the manifest

What can be seen in the folder was therefore restored once and found well.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from db import raw_sql, timestamps
from db.backup import folder as backup_folder
from db.backup import restore_tool as tool
from db.backup import space_errors
from db.backup.catalog import Backup, BadBackup, Store, told
from db.error_translation import explain
from db.errors import Problem, Storage, damaged
from db.maintenance import value_checks
from db.sqlite_files import read_only_uri

LEVEL = 3
"""How hard zstd tries."""
BUSY_SECONDS = 10.0
DAY, HOUR = 86400.0, 3600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds from one full backup to the next, from one increment to the next, and that a backup is kept; None: for good."""

    full: float = DAY
    increment: float = HOUR
    keep: float | None = 30 * DAY


def due(backups: Sequence[Backup], rules: Rules) -> bool:
    """Whether it is time for one. One that was bad when it was taken was one too: it is tried again after as long as an increment waits.
    One that was found bad since, or lost, is none, nor is what lies there and is no backup."""
    lately = [backup for backup in backups if (backup.verified or _was_bad(backup)) and 0 <= _age(backup) < rules.increment]
    return not lately or _full_is_due(backups, rules) and all(backup.verified for backup in lately)


def _was_bad(backup: Backup) -> bool:
    """Whether it was bad when it was taken: of such a one no file is kept."""
    return not backup.bytes and not os.path.lexists(backup.path)


def _full_is_due(backups: Sequence[Backup], rules: Rules) -> bool:
    """Also when the clock was set back behind one of the last: their times say nothing then."""
    since = _since_full(backups)
    return not since or _age(since[0]) >= rules.full or any(_age(backup) < 0 for backup in since)


def _age(backup: Backup) -> float:
    return (timestamps.utcnow() - timestamps.parse(backup.at)).total_seconds()


def _since_full(backups: Sequence[Backup]) -> list[Backup]:
    """The last good full one and the good ones taken after it; none when there is no full one."""
    good = [backup for backup in backups if backup.verified]
    last = max((place for place, backup in enumerate(good) if backup.kind == "full"), default=len(good))
    return good[last:]


def base_for(backups: Sequence[Backup], rules: Rules) -> Backup | None:
    """What the next one is to be built upon; None when it has to be a full one."""
    if _full_is_due(backups, rules):
        return None
    full, *increments = _since_full(backups)
    return [full, *increments][-1] if sum(backup.bytes for backup in increments) <= full.bytes else None


def take(
    source: Path, folder: Path, rules: Rules, full: bool = False, beside: Mapping[str, bytes] | None = None,
    step: Callable[[], None] = tool.no_step,
) -> Backup:  # fmt: skip
    """Back the database `source` up into `folder`, and prune by the rules: before, as it may be what makes room, and after.
    `beside`: the texts that travel along (`keeping.BESIDE`).

    Blocks: to be called in a thread; what `step`, called now and then, raises gives it up and leaves nothing behind. Raises
    BadBackup for one that could not be restored, which is told in the manifest; DamagedDatabase where the database is to blame, and
    Storage.
    """
    try:
        with backup_folder.alone(folder, step), told(folder):
            store = Store(folder, source)
            backup_folder.sweep(store)
            _refuse_others(store, source.parent)
            _prune(store, rules)
            try:
                taken = _Taking(store, source, rules, full, beside or {}, step).run()
            except _BadBase as bad:
                backup_folder.mark_bad(folder, bad.ident, bad.why)
                taken = _Taking(store, source, rules, True, beside or {}, step).run()
            _prune(store, rules)
            return taken
    except OSError as error:
        raise space_errors.problem(folder, error) from error


def _prune(store: Store, rules: Rules) -> None:
    if rules.keep is None:
        return
    backup_folder.prune(store, rules.keep)
    with suppress(OSError):  # the next one tries again
        backup_folder.shorten(store.folder, rules.keep)


def _refuse_others(store: Store, home: Path) -> None:
    """A folder that several homes share would mix what is theirs. One that lies in its home may have moved with it, and to one in which
    there are some of this home already those of others were put."""
    theirs = store.others() if store.folder.parent != home else []
    if theirs:
        files = [os.path.basename(entry["path"]) for entry in theirs]
        named = ", ".join(files[:3]) + f" and {len(files) - 3} more" * (len(files) > 3)
        said = f"the folder {store.folder} holds backups of another database ({theirs[0]['of']}), and none of this one: {named}."
        raise Storage(f"{said} {space_errors.UNDONE}", "Move them away, or choose another folder for this home.")


class _BadBase(Exception):
    """An older backup was found damaged while an increment was built upon it."""

    def __init__(self, ident: str, why: str) -> None:
        super().__init__(why)
        self.ident, self.why = ident, why


@dataclass
class _Taking:
    """One backup on its way."""

    store: Store
    source: Path
    rules: Rules
    full: bool
    beside: Mapping[str, bytes]
    step: Callable[[], None]
    at: str = field(default_factory=timestamps.now)
    made: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def run(self) -> Backup:
        try:
            return self._taken()
        except raw_sql.FAILED as error:
            raise self._explained(error) from error
        finally:
            for path in self.made:
                path.unlink(missing_ok=True)

    def _taken(self) -> Backup:
        image = self._file(backup_folder.image(self.store.folder, "copying"))
        page_size, pages = self._copy(image)
        with closing(tool.open_image(str(image))) as c:
            facts, home = tool.facts(c), tool.home(c)
        index, sha256 = _hashed(image, page_size, self.step)
        base = self._base(page_size)
        numbers = _changed(index, base.index) if base else range(pages)
        ident = self._ident("increment" if base else "full")
        self.made += [self.store.folder / backup_folder.beside_name(kind, ident) for kind in self.beside]
        header = {
            "format": tool.FORMAT, "id": ident, "kind": "increment" if base else "full", "base": base.ident if base else None,
            "at": self.at, "page_size": page_size, "pages": pages, "sha256": sha256, "facts": facts, "stored": len(numbers),
            "of": os.path.realpath(self.source), "home": home, "number": self._number(),
            "beside": backup_folder.put_beside(self.store.folder, ident, self.beside),
        }  # fmt: skip
        space_errors.require(self.store.folder, len(numbers) * page_size)
        part = self._file(self.store.folder / f"{ident}{tool.SUFFIX}{backup_folder.PART}")
        write(part, image, header, index, numbers, self.step)
        image.unlink()
        self._check(part, header, base)
        return self._publish(part, header)

    def _file(self, path: Path) -> Path:
        """A file of ours that goes with us."""
        self.made.append(path)
        return path

    def _copy(self, image: Path) -> tuple[int, int]:
        """Copy the database as it is now; (bytes of a page, pages)."""
        os.close(os.open(image, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            closing(sqlite3.connect(read_only_uri(self.source), uri=True, timeout=BUSY_SECONDS)) as source,
            closing(sqlite3.connect(image, isolation_level=None)) as copy,
        ):
            size, pages = (source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
            space_errors.require(self.store.folder, size * pages + self._expected(size * pages))
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")
            source.backup(copy, pages=-1)
        return size, image.stat().st_size // size

    def _expected(self, whole: int) -> int:
        """Bytes that the file may have: those of the whole for a full one; what an increment stores is only known once it is copied."""
        return 0 if not self.full and base_for(self.store.own(), self.rules) else whole

    def _base(self, page_size: int) -> tool.Opened | None:
        """The file of the newest good backup, when this one is to be built upon it."""
        found = None if self.full else base_for(self.store.own(), self.rules)
        if found is None or found.page_size != page_size:
            return None
        try:
            return tool.Opened(str(found.path))
        except tool.Damaged as damaged:
            raise _BadBase(found.id, damaged.why) from None

    def _number(self) -> int:
        """Above those of all that were taken before."""
        return 1 + max((entry.get("number") or 0 for entry in self.store.entries()), default=0)

    def _ident(self, kind: str) -> str:
        """Named by its time; one that there was already is never given again."""
        known = {said["id"] for said in tool.manifest(str(self.store.folder))[0]} | {entry["id"] for entry in self.store.entries()}
        name = f"{timestamps.parse(self.at):%Y%m%dT%H%M%SZ}-{kind}"
        return next(ident for n in range(1, len(known) + 2) if (ident := f"{name}-{n}" if n > 1 else name) not in known)

    def _check(self, part: Path, header: Mapping[str, Any], base: tool.Opened | None) -> None:
        """Restore it and look at what came out. A bad one is told in the manifest; its file is not kept."""
        image = self._file(backup_folder.image(self.store.folder, "checking"))
        below = tool.chain(self.store.entries(), base.ident) if base else []
        try:
            tool.rebuild([*below, (str(part), "")], str(image), self.step)
        except tool.Damaged as damaged:
            if damaged.ident != header["id"]:
                raise _BadBase(damaged.ident, damaged.why) from None
            wrong = [damaged.why]
        else:
            wrong = tool.check_image(str(image), header["facts"], self.step)
            if wrong:
                self._blame_source(image)
            else:  # tasks, runs and environments take as long as the increment itself: they are looked at with the next full one
                self.unreadable = value_checks.of_image(image, self.step, value_checks.FEW if base else value_checks.ALL)
            image.unlink()
        if wrong:
            backup_folder.mark_bad(self.store.folder, header["id"], wrong[0])
            raise BadBackup(header["id"], wrong[0])

    def _blame_source(self, image: Path) -> None:
        """Raises where the database is not in order: the image is exactly what was copied of it."""
        with closing(tool.open_image(str(image))) as c:
            (found,) = c.execute("PRAGMA integrity_check(1)").fetchone()
            found = next(iter(tool.broken_rules(c)), found) if found == "ok" else found
            row = c.execute("PRAGMA foreign_key_check").fetchone() if found == "ok" else None
        if found != "ok":
            raise damaged(self.source, " ".join(found.replace("*** in database main ***", "").split()))
        if row is not None:
            said = f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}"
            raise Storage(f"the database is not in order ({said}). {space_errors.UNDONE}", "Mend it: taskdeck stop && taskdeck db check --repair")

    def _publish(self, part: Path, header: Mapping[str, Any]) -> Backup:
        folder, ident = self.store.folder, header["id"]
        opened = tool.Opened(str(part))
        os.rename(part, tool.path_of(str(folder), ident))
        self.made.clear()
        backup_folder.sync(folder)
        backup_folder.append(folder, what="taken", **opened.entry(), **({"unreadable": self.unreadable} if self.unreadable else {}))
        return self.store.find(ident)

    def _explained(self, error: Exception) -> Problem:
        said = str(error).lower()
        if "full" in said:
            return space_errors.full(self.store.folder)
        if "i/o error" in said:
            return Storage(f"the database could not be copied ({said}). {space_errors.UNDONE}", "See whether the disks are well.")
        return explain(error, self.source) or Storage(f"the database could not be copied ({said}). {space_errors.UNDONE}")


def _hashed(image: Path, page_size: int, step: Callable[[], None]) -> tuple[bytes, str]:
    """The hashes of all pages one after the other, and the sha256 of the whole."""
    hashes, whole = bytearray(), hashlib.sha256()
    with open(image, "rb") as file:
        for chunk in iter(lambda: file.read(tool.frame_pages(page_size) * page_size), b""):
            step()
            whole.update(chunk)
            for at in range(0, len(chunk), page_size):
                hashes += tool.page_hash(chunk[at : at + page_size])
    return bytes(hashes), whole.hexdigest()


def _changed(index: bytes, before: bytes) -> list[int]:
    """The numbers of the pages whose hash is another than it was."""
    return [at // tool.HASH for at in range(0, len(index), tool.HASH) if index[at : at + tool.HASH] != before[at : at + tool.HASH]]


def write(
    part: Path, image: Path, header: Mapping[str, Any], index: bytes, numbers: Sequence[int], step: Callable[[], None] = tool.no_step
) -> None:
    """The file of a backup at `part`, on the disk when this returns. The pages are those of `image`."""
    packed = compress(index)
    listed = b"" if isinstance(numbers, range) else compress(struct.pack(f"<{len(numbers)}I", *numbers))
    head = json.dumps({**header, "index": len(packed), "numbers": len(listed)}).encode()
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file, open(image, "rb") as pages:
        summed = hashlib.sha256()
        for data in (tool.MAGIC, struct.pack("<I", len(head)), head, packed, listed):
            _add(file, summed, data)
        many = tool.frame_pages(header["page_size"])
        for start in range(0, len(numbers), many):
            step()
            frame = compress(_read(pages, numbers[start : start + many], header["page_size"]))
            _add(file, summed, struct.pack("<I", len(frame)) + frame)
        file.write(summed.digest())
        file.flush()
        os.fsync(fd)


def _add(file: IO[bytes], summed: Any, data: bytes) -> None:
    summed.update(data)
    file.write(data)


def _read(pages: IO[bytes], numbers: Sequence[int], size: int) -> bytes:
    if isinstance(numbers, range):
        pages.seek(numbers[0] * size)
        return pages.read(len(numbers) * size)
    found = []
    for number in numbers:
        pages.seek(number * size)
        found.append(pages.read(size))
    return b"".join(found)


def compress(data: bytes) -> bytes:
    """One zstd frame."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(data, LEVEL)
