"""Lists, checks and restores the backups in this folder. Needs Python 3.8 and zstd.

    python3 restore.py list
    python3 restore.py verify [ID]
    python3 restore.py restore ID FILE
    python3 restore.py restore --at TIME FILE

ID may be abbreviated, or be a file name. TIME is a past time: 10:00, "yesterday 10:00",
2026-01-31T08:00, or 2h for two hours ago.

File format: MAGIC, the header's length (4 bytes, little endian) and the header (JSON), the hashes
of all pages, the numbers of the stored pages (none in a full backup, which stores all), the pages
in frames of about 1 MiB, and the sha256 of everything before. Hashes, numbers and frames are zstd.
A length (4 bytes) precedes each frame. An increment stores the pages that differ from its base.
`manifest.jsonl` lists the backups taken, found bad and pruned; each line has its own checksum.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import struct
import sys
import tempfile
from contextlib import closing
from datetime import date, datetime, time, timedelta, timezone
from urllib.parse import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO, Any

MAGIC = b"TASKDECK-BACKUP\n"
FORMAT = 1
HASH_SIZE = 16
"""Bytes of a page hash."""
FRAME_SIZE = 2**20
"""Uncompressed bytes of a frame."""
DIGEST_SIZE = 32
MANIFEST = "manifest.jsonl"
SUFFIX = ".backup"
_ID = re.compile("[0-9]{8}T[0-9]{6}Z-(full|increment)(-[0-9]+)?")
_CHECKSUM_LENGTH = 16
_LINE_START = b'{"sum":"'
_LINE_MIDDLE = b'","line":'


class DamagedBackupError(Exception):
    """A backup that cannot be used. `ident` names the backup, `why` the fault."""

    def __init__(self, ident: str, why: str) -> None:
        super().__init__("backup %s is damaged: %s" % (ident, why))
        self.ident, self.why = ident, why


class RestoreError(Exception):
    """A wrong request: no such backup, an invalid time or target, or no zstd decoder."""


def hash_pages(data: bytes, size: int) -> bytes:
    """Return the hashes of the pages in `data`, `HASH_SIZE` bytes each.

    Processors have instructions for sha256: 0.5 s for 500 MiB, against 0.8 s with blake2b.
    """
    return b"".join(
        hashlib.sha256(data[at : at + size]).digest()[:HASH_SIZE]
        for at in range(0, len(data), size)
    )


def hash_image(image: IO[bytes], size: int, step: Callable[[], None]) -> bytes:
    """Return the hashes of all pages of an open database file."""
    image.seek(0)
    hashes = []
    for chunk in iter(lambda: image.read(get_frame_pages(size) * size), b""):
        step()
        hashes.append(hash_pages(chunk, size))
    return b"".join(hashes)


def format_manifest_line(line: dict[str, Any]) -> bytes:
    """Return a manifest line with its checksum."""
    body = json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
    return _LINE_START + _compute_checksum(body) + _LINE_MIDDLE + body + b"}\n"


def _compute_checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_LENGTH // 2).hexdigest().encode()


def _parse_manifest_line(line: bytes) -> dict[str, Any] | None:
    """Parse a manifest line; return None if it is damaged."""
    body = line[len(_LINE_START) + _CHECKSUM_LENGTH + len(_LINE_MIDDLE) : -2]
    said = (
        json.loads(body)
        if line == _LINE_START + _compute_checksum(body) + _LINE_MIDDLE + body + b"}\n"
        else None
    )
    return None if said is None or "/" in said["id"] else said  # an id must be a plain file name


def open_regular(path: str) -> IO[bytes]:
    """Open a regular file of a backup folder for reading. Raise OSError.

    Devices and pipes are refused, because they have no end.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "It is no regular file", path)


def read_manifest(folder: str) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the manifest's lines in order, and the numbers of damaged lines.

    Damaged lines are left out once a later line records them as seen: what is known was written
    again. A missing manifest is empty.
    """
    try:
        with open_regular(os.path.join(folder, MANIFEST)) as file:
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return [], []
    read = [_parse_manifest_line(line) for line in lines]
    damaged = [
        number
        for number, (line, said) in enumerate(zip(lines, read), 1)
        if said is None and line.strip()
    ]
    told = [said for said in read if said is not None]
    seen = {number for said in told if said["what"] == "seen" for number in said["lines"]}
    return told, [number for number in damaged if number not in seen]


def list_entries(folder: str) -> list[dict[str, Any]]:
    """Return every backup as a dict, in the order taken.

    Keys: id, number, kind, base, at, bytes, pages, page_size, sha256, facts, beside, of, home,
    digest, path and `problem`, None for a good one. A backup missing in the manifest is read from
    its header and has no `what`. An unreadable one is bad. Old backups have no home.
    """
    entries, bad, pruned = {}, {}, set()
    for line in read_manifest(folder)[0]:
        if line["what"] == "taken":
            entries[line["id"]] = dict(line)
        elif line["what"] == "bad":
            bad.setdefault(line["id"], line)
        elif line["what"] == "pruned":
            pruned.add(line["id"])
    for ident in _list_ids(folder) - set(entries) - pruned:
        entries[ident] = _read_entry(folder, ident)
    for ident in set(bad) - set(entries):
        entries[ident] = dict(_make_empty_entry(ident), at=bad[ident]["at"])
    found = {
        ident: _check_entry(folder, entry, bad.get(ident))
        for ident, entry in entries.items()
        if ident not in pruned
    }
    for entry in found.values():
        entry["problem"] = entry["problem"] or _find_broken_base(found, entry)
    return _sort_as_taken(list(found.values()))


def _sort_as_taken(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort by number, which no clock affects.

    A backup without a number follows those that are not newer by time.
    """
    numbered = [entry for entry in found if entry.get("number")]

    def place(entry: dict[str, Any]) -> tuple[int, bool, str, str]:
        number = entry.get("number") or max(
            (one["number"] for one in numbered if one["at"] <= entry["at"]), default=0
        )
        return number, not entry.get("number"), entry["at"], entry["id"]

    return sorted(found, key=place)


def _list_ids(folder: str) -> set[str]:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return {
        name[: -len(SUFFIX)]
        for name in names
        if name.endswith(SUFFIX) and is_id(name[: -len(SUFFIX)])
    }


def is_id(text: str) -> bool:
    """Return True for a backup id: time, kind, and a number for duplicates."""
    try:
        return bool(_ID.fullmatch(text) and datetime.strptime(text[:16], "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return False


def _read_entry(folder: str, ident: str) -> dict[str, Any]:
    """Return the entry from a file's header.

    An unreadable file is bad, whatever its size.
    """
    try:
        return BackupFile(get_path(folder, ident)).make_entry()
    except DamagedBackupError as damaged:
        return dict(_make_empty_entry(ident), problem=damaged.why)
    except OSError as error:
        return dict(
            _make_empty_entry(ident),
            problem=UNREADABLE_PREFIX + (error.strerror or "unknown").lower(),
        )


def _make_empty_entry(ident: str) -> dict[str, Any]:
    """Return an entry for a backup of which only the id is known."""
    at = "%s-%s-%sT%s:%s:%s.000000Z" % (
        ident[:4],
        ident[4:6],
        ident[6:8],
        ident[9:11],
        ident[11:13],
        ident[13:15],
    )
    return {"id": ident, "kind": "full" if "full" in ident else "increment", "base": None, "at": at,
    "bytes": 0, "pages": 0,
            "page_size": 0, "sha256": "", "facts": {}, "beside": {}, "digest": ""}  # fmt: skip


def _check_entry(folder: str, entry: dict[str, Any], bad: dict[str, Any] | None) -> dict[str, Any]:
    path = get_path(folder, entry["id"])
    try:
        size, gone = os.path.getsize(path), None
    except OSError:
        size, gone = 0, "its file is gone"
    damaged = gone or (
        None if size == entry["bytes"] else "its file cannot be read, or its size has changed"
    )
    return dict(entry, path=path, problem=bad["why"] if bad else entry.get("problem") or damaged)


def _find_broken_base(found: dict[str, dict[str, Any]], entry: dict[str, Any]) -> str | None:
    """Return the fault of the nearest base that is bad or missing."""
    while entry["kind"] != "full":
        base = found.get(entry["base"])
        if base is None:
            return "its base %s is gone" % entry["base"]
        if base["problem"]:
            return "its base %s is bad: %s" % (base["id"], base["problem"])
        entry = base
    return None


def get_path(folder: str, ident: str) -> str:
    """Return the path of a backup."""
    return os.path.join(folder, ident + SUFFIX)


def find_chain(found: list[dict[str, Any]], ident: str | None) -> list[tuple[str, str]]:
    """Return (path, digest) of the files of a backup, full one first. Raise RestoreError."""
    known = {entry["id"]: entry for entry in found}
    files = []
    while ident is not None:
        if ident not in known:
            raise RestoreError("there is no backup %s in this folder" % ident)
        files.append((known[ident]["path"], known[ident]["digest"]))
        ident = known[ident]["base"]
    return files[::-1]


class BackupFile:
    """A verified backup file. Raise DamagedBackupError or OSError."""

    def __init__(self, path: str, digest: str = "") -> None:
        self.path = path
        self._name = os.path.basename(path).split(".")[0]
        self.bytes = os.path.getsize(path)
        self.digest = self._verify_digest(digest)
        try:
            with open_regular(path) as file:
                self._read_header(file)
        except (KeyError, TypeError, ValueError, struct.error) as error:
            raise DamagedBackupError(self._name, "its parts are inconsistent (%s)" % error)

    def _verify_digest(self, digest: str) -> str:
        """Return the sha256 at the file's end.

        Raise DamagedBackupError if it differs from the content or from `digest`.
        """
        summed, left = hashlib.sha256(), self.bytes - DIGEST_SIZE
        with open_regular(self.path) as file:
            while left > 0:
                chunk = file.read(min(FRAME_SIZE, left))
                if not chunk:
                    break
                summed.update(chunk)
                left -= len(chunk)
            end = file.read().hex()
        if summed.hexdigest() != end or digest not in ("", end):
            raise DamagedBackupError(self._name, "its checksum is wrong")
        return end

    def _read_header(self, file: IO[bytes]) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise DamagedBackupError(self._name, "it is not a backup")
        self.header = json.loads(_read_block(file))
        if self.header["format"] != FORMAT:
            raise DamagedBackupError(
                self._name,
                "its format is %s, this program reads %s" % (self.header["format"], FORMAT),
            )
        self.ident, self.pages, self.page_size = (
            self.header["id"],
            self.header["pages"],
            self.header["page_size"],
        )
        if self.ident != self._name:
            raise DamagedBackupError(self._name, "it is the file of %s" % self.ident)
        self.index = decompress(file.read(self.header["index"]), self.pages * HASH_SIZE)
        numbers = (
            decompress(file.read(self.header["numbers"]), self.header["stored"] * 4)
            if self.header["numbers"]
            else b""
        )
        full = self.header["kind"] == "full"
        self.stored = (
            range(self.pages) if full else struct.unpack("<%dI" % (len(numbers) // 4), numbers)
        )
        self._frames = file.tell()

    def make_entry(self) -> dict[str, Any]:
        """Return the manifest entry of the file."""
        names = (
            "id",
            "kind",
            "base",
            "at",
            "pages",
            "page_size",
            "sha256",
            "facts",
            "beside",
            "of",
        )
        more = {
            "number": self.header.get("number", 0),
            "home": self.header.get("home"),
            "bytes": self.bytes,
            "digest": self.digest,
        }
        line = dict({name: self.header[name] for name in names}, **more)
        return dict(
            line,
            **{name: None if line[name] is None else str(line[name]) for name in ("of", "home")},
        )

    def read_frames(self) -> Iterator[tuple[Sequence[int], bytes]]:
        """Yield (page numbers from 0, page data) of each frame."""
        many = get_frame_pages(self.page_size)
        with open_regular(self.path) as file:
            file.seek(self._frames)
            for start in range(0, len(self.stored), many):
                numbers = self.stored[start : start + many]
                yield numbers, decompress(_read_block(file), len(numbers) * self.page_size)

    def write_pages(self, image: IO[bytes], step: Callable[[], None]) -> None:
        """Write the stored pages into the open file `image`."""
        size = self.page_size
        for numbers, data in self.read_frames():
            step()
            if isinstance(numbers, range):
                image.seek(numbers[0] * size)
                image.write(data)
                continue
            for at, number in enumerate(numbers):
                image.seek(number * size)
                image.write(data[at * size : (at + 1) * size])
        image.truncate(self.pages * size)


def get_frame_pages(page_size: int) -> int:
    """Return the number of pages in a frame."""
    return max(1, FRAME_SIZE // page_size)


def _read_block(file: IO[bytes]) -> bytes:
    (length,) = struct.unpack("<I", file.read(4))
    return file.read(length)


def do_nothing() -> None:
    """Do nothing.

    Default for `step`, which is called regularly and may raise to cancel.
    """


def rebuild(
    files: Sequence[tuple[str, str]], target: str, step: Callable[[], None] = do_nothing
) -> None:
    """Rebuild the database of the last of `files` at `target` and check the hash of each page.

    `target` must not exist, and is not flushed to disk. Each file is a path and its expected
    digest, or "" if unknown. Raise DamagedBackupError, FileExistsError and OSError; `target` is
    then removed.
    """
    with open(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b") as image:
        try:
            for path, digest in files[:-1]:
                BackupFile(path, digest).write_pages(image, step)
            last = BackupFile(*files[-1])
            last.write_pages(image, step)
            if hash_image(image, last.page_size, step) != last.index:
                raise DamagedBackupError(
                    last.ident, "the rebuilt database differs from the original"
                )
        except BaseException:
            os.unlink(target)
            raise


def hash_file(file: IO[bytes]) -> str:
    """Return the sha256 of an open file from its position, as text."""
    summed = hashlib.sha256()
    for chunk in iter(lambda: file.read(FRAME_SIZE), b""):
        summed.update(chunk)
    return summed.hexdigest()


def open_image(path: str) -> sqlite3.Connection:
    """Open a database file that nothing else uses, without writing to it or beside it."""
    return sqlite3.connect("file:%s?mode=ro&immutable=1" % quote(os.fsencode(path)), uri=True)


def read_facts(c: sqlite3.Connection) -> dict[str, Any]:
    """Return rows by table, last event, revision, highest number and newest task."""
    names = [
        name
        for (name,) in c.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    rows = {
        name: _fetch_value(c, 'SELECT count(*) FROM "%s"' % name.replace('"', '""'))
        for name in sorted(names)
    }
    return {
        "rows": rows,
        "last_event": _fetch_value(c, "SELECT max(id) FROM events") or 0 if "events" in rows else 0,
        "revision": (
            _fetch_value(c, "SELECT version_num FROM alembic_version") or ""
            if "alembic_version" in rows
            else ""
        ),
        "highest": (
            _fetch_value(c, "SELECT value FROM counters WHERE name = 'task-number'") or 0
            if "counters" in rows
            else 0
        ),
        "newest_task": (
            _fetch_value(
                c, "SELECT '#' || number || ' ' || name FROM tasks ORDER BY number DESC LIMIT 1"
            )
            if "tasks" in rows
            else None
        ),
    }


def read_home_uuid(c: sqlite3.Connection) -> str | None:
    """Return the UUID of the home that a database is of; None where it has none."""
    there = _fetch_value(c, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'home'")
    return _fetch_value(c, "SELECT uuid FROM home") if there else None


def _fetch_value(c: sqlite3.Connection, statement: str) -> Any:
    row = c.execute(statement).fetchone()
    return row[0] if row else None


def check_image(
    path: str,
    expected: dict[str, Any],
    step: Callable[[], None] = do_nothing,
    compare_indexes: bool = False,
) -> list[str]:
    """Return the faults of a copied or rebuilt database.

    Check its structure, foreign keys and recorded figures. With `compare_indexes`, also compare
    indexes with rows, which takes seven times as long.
    """
    pragma = "integrity_check" if compare_indexes else "quick_check"
    try:
        with closing(open_image(path)) as c:
            c.set_progress_handler(step, 100000)
            damaged = [
                row[0] for row in c.execute("PRAGMA %s(5)" % pragma) if row[0] != "ok"
            ] or find_broken_checks(c)
            damaged += ["row %s of %s refers to a missing row of %s" % (row[1], row[0], row[2])
                      for row in c.execute("PRAGMA foreign_key_check").fetchmany(5)]  # fmt: skip
            return damaged + (
                ["its row counts differ from the recorded ones"]
                if read_facts(c) != expected
                else []
            )
    # UnicodeDecodeError: SQLite's message quotes damaged text
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        step()  # may have caused the interrupt
        return [str(error)]


def find_broken_checks(c: sqlite3.Connection) -> list[str]:
    """Return the violated CHECK constraints.

    On a read-only connection SQLite does not report them.
    """
    damaged = []
    for name, text in c.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall():
        for rule in _parse_checks(text):
            many = _fetch_value(
                c, 'SELECT count(*) FROM "%s" WHERE NOT (%s)' % (name.replace('"', '""'), rule)
            )
            if many:
                damaged.append(
                    "%d %s the rule of %s: %s"
                    % (many, "row breaks" if many == 1 else "rows break", name, rule)
                )
    return damaged


def _parse_checks(text: str) -> list[str]:
    """Return the CHECK conditions of a CREATE TABLE statement.

    No string in our conditions contains a parenthesis.
    """
    found = []
    for match in re.finditer(r"\bCHECK \(", text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        found.append(text[match.end() : at - 1])
    return found


def check_companions(folder: str, entry: dict[str, Any]) -> list[str]:
    """Return the faults of a backup's companion files."""
    return [
        "%s is gone or changed" % name
        for name, digest in sorted(entry["beside"].items())
        if _hash_companion(folder, name) != digest
    ]


def _hash_companion(folder: str, name: str) -> str | None:
    try:
        with open_regular(os.path.join(folder, name)) as file:
            return hash_file(file)
    except OSError:
        return None


UNREADABLE_PREFIX = "its file cannot be read: "


def check_file(folder: str, entry: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the faults of a backup without rebuilding it, and oddities.

    Oddities do not make it bad: it is unreadable now, or its companion files changed.
    """
    if entry["problem"]:
        return [entry["problem"]], []
    try:
        BackupFile(entry["path"], entry["digest"])
    except DamagedBackupError as damaged:
        return [damaged.why], []
    except OSError as error:
        return [], [UNREADABLE_PREFIX + (error.strerror or "unknown").lower()]
    return [], check_companions(folder, entry)


def check_whole(
    folder: str,
    found: list[dict[str, Any]],
    entry: dict[str, Any],
    image: str,
    step: Callable[[], None] = do_nothing,
) -> tuple[list[str], list[str]]:
    """Check the file, then rebuild it temporarily at `image` and check the result.

    Return what `check_file` returns. Raise DamagedBackupError for a bad base, RestoreError and
    OSError.
    """
    damaged, suspicious = check_file(folder, entry)
    if damaged or any(why.startswith(UNREADABLE_PREFIX) for why in suspicious):
        return damaged, suspicious
    try:
        rebuild(find_chain(found, entry["id"]), image, step)
    except DamagedBackupError as error:
        if error.ident != entry["id"]:
            raise
        return [error.why], suspicious
    try:
        return check_image(image, entry["facts"], step), suspicious
    finally:
        os.unlink(image)


def pick_backup(
    found: list[dict[str, Any]], ident: str | None = None, at: str | None = None
) -> dict[str, Any]:
    """Return the backup `ident`, else the last good one, up to the stored time `at`.

    Raise RestoreError.
    """
    if ident is not None:
        return find_by_name(found, ident)
    good = [entry for entry in found if not entry["problem"]]
    if not good:
        raise RestoreError("there is no good backup")
    if at is None:
        return good[-1]
    by_time = sorted(good, key=lambda entry: entry["at"])
    fit = [entry for entry in by_time if entry["at"] <= at]
    if not fit:
        raise RestoreError(
            "there is no good backup up to %s; the oldest is from %s"
            % (format_local_time(at), format_local_time(by_time[0]["at"]))
        )
    return fit[-1]


def find_by_name(found: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """Return the backup with this id, unique prefix or file name. Raise RestoreError."""
    name = os.path.basename(text)
    name = name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name
    prefixed = [entry for entry in found if name and entry["id"].startswith(name)]
    matches = [entry for entry in prefixed if entry["id"] == name] or prefixed
    if not matches:
        raise RestoreError("there is no backup %s" % text)
    if len(matches) > 1:
        first = ", ".join(entry["id"] for entry in matches[:3]) + (
            ", ..." if len(matches) > 3 else ""
        )
        raise RestoreError("%d backups begin with %s (%s)" % (len(matches), name, first))
    return matches[0]


def decompress(data: bytes, size: int) -> bytes:
    """Return `size` bytes from a zstd frame.

    Raise ValueError for other content, RestoreError without a decoder.
    """
    found = _get_decoder()(data, size)
    if len(found) != size:
        raise ValueError("a frame has %d bytes instead of %d" % (len(found), size))
    return found


_decoder: list[Any] = []


def _get_decoder() -> Callable[[bytes, int], bytes]:
    """Return the first available zstd decoder."""
    if not _decoder:
        _decoder.append(_load_module() or _load_library() or _find_program())
    if _decoder[0] is None:
        _decoder.clear()
        raise RestoreError(
            "no zstd decoder found: install the package libzstd1 or zstd, "
            "or use Python 3.14 or later"
        )
    return _decoder[0]


def _load_module() -> Callable[[bytes, int], bytes] | None:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue

        def read(data: bytes, size: int, module: Any = module) -> bytes:
            try:
                return module.decompress(data)
            except module.ZstdError as error:
                raise ValueError(str(error))

        return read
    return None


def _load_library() -> Callable[[bytes, int], bytes] | None:
    import ctypes  # rarely needed, slow to import
    import ctypes.util

    for name in ("libzstd.so.1", "libzstd.1.dylib", ctypes.util.find_library("zstd")):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library is not None:
            break
    else:
        return None
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]

    def read(data: bytes, size: int) -> bytes:
        room = ctypes.create_string_buffer(size or 1)
        done = library.ZSTD_decompress(room, size, data, len(data))
        if library.ZSTD_isError(done):
            raise ValueError("a frame is no zstd")
        return room.raw[:done]

    return read


def _find_program() -> Callable[[bytes, int], bytes] | None:
    import subprocess  # rarely needed, slow to import

    program = shutil.which("zstd")
    if program is None:
        return None

    def read(data: bytes, size: int) -> bytes:
        done = subprocess.run(
            [program, "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if done.returncode:
            raise ValueError("a frame is no zstd")
        return done.stdout

    return read


TIME_NOTATIONS = '10:00, "yesterday 10:00", 2026-01-31T08:00, or 2h for two hours ago'
"""Accepted notations of a past time."""
_DURATION = re.compile(
    "(?:([0-9.]+)d)? ?(?:([0-9.]+)h)? ?(?:([0-9.]+)m)? ?(?:([0-9.]+)s)?(?: ago)?"
)
_MOMENT = re.compile(
    "(today|yesterday|[0-9]{4}-[0-9]{2}-[0-9]{2})?[ t]?"
    "(?:([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]+))?)?)?(z|[+-][0-9]{2}:[0-9]{2})?"
)


def parse_past_time(text: str, now: datetime | None = None) -> str:
    """Return a past time (`TIME_NOTATIONS`, local without a zone) as stored text.

    The result is the last moment of the given day, minute or second. A time of day means its last
    occurrence before `now`. Raise RestoreError.
    """
    word, now = " ".join(text.lower().split()), now or datetime.now().astimezone()
    try:
        moment = now if word == "now" else _parse_duration(word, now) or _parse_moment(word, now)
        # also fails for times out of range
        at = moment and moment.astimezone().astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise RestoreError("a past time is written %s, not %r" % (TIME_NOTATIONS, text))
    # strftime omits leading zeros of early years
    return at.isoformat(timespec="microseconds") + "Z"


def _parse_duration(word: str, now: datetime) -> datetime | None:
    match = _DURATION.fullmatch(word)
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _parse_moment(word: str, now: datetime) -> datetime | None:
    match = _MOMENT.fullmatch(word)
    if match is None or not (match.group(1) or match.group(2)):
        return None
    day, hour, minute, second, part, zone = match.groups()
    at = time(int(hour), int(minute), int(second or 0)) if hour else time()
    on = (
        date.fromisoformat(day)
        if day and "-" in day
        else now.date() - timedelta(days=day == "yesterday")
    )
    begin = _make_datetime(on, at, zone)
    if not day and begin > now:
        begin = _make_datetime(on - timedelta(days=1), at, zone)
    if part:
        return begin + timedelta(microseconds=int((part + "000000")[:6]))
    length = timedelta(seconds=1) if second else timedelta(minutes=1)
    # a day may have 23 or 25 hours
    end = begin + length if hour else _make_datetime(on + timedelta(days=1), at, zone)
    return end - timedelta(microseconds=1)


def _make_datetime(on: date, at: time, zone: str | None) -> datetime:
    """Return an aware datetime, in the local zone by default."""
    naive = datetime.combine(on, at)
    if not zone:
        # `naive.astimezone()` moves a time skipped in spring back by an hour.
        return datetime.fromtimestamp(naive.timestamp(), timezone.utc).astimezone()
    return naive.replace(
        tzinfo=timezone.utc if zone == "z" else datetime.strptime(zone, "%z").tzinfo
    )


def format_local_time(at: str) -> str:
    """Return a stored time in local time."""
    moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _require_entries(folder: str) -> list[dict[str, Any]]:
    """Return the backups of the folder. Raise RestoreError if there are none."""
    found = list_entries(folder)
    if not found:
        raise RestoreError("there is no backup in %s" % folder)
    return found


def _find_asked(folder: str, found: list[dict[str, Any]], ident: str) -> dict[str, Any]:
    """Return the named backup. Raise RestoreError for a path to another folder."""
    where = os.path.dirname(ident)
    if where and os.path.realpath(where) != os.path.realpath(folder):
        raise RestoreError("%s is not in %s; use the restore.py beside it" % (ident, folder))
    return find_by_name(found, ident)


def make_folder_name(home_path: str) -> str:
    """Return the name of a home's backup folder beside others.

    `home_path` is its real path.
    """
    return "%s-%s" % (
        os.path.basename(home_path)[:40],
        hashlib.sha256(os.fsencode(home_path)).hexdigest()[:8],
    )


def _group_by_home(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group the backups that name their home by the UUID of the home."""
    homes: dict[str, list[dict[str, Any]]] = {}
    for entry in found:
        if entry.get("home"):
            homes.setdefault(entry["home"], []).append(entry)
    return list(homes.values())


def _format_place(entry: dict[str, Any]) -> str:
    """Return the path of a backup's database, safe for a terminal."""
    return "".join(
        letter if letter.isprintable() else "?" for letter in entry.get("of") or "an unknown place"
    )


def _select_home(folder: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the backups that do not surely belong to another home than the folder's.

    The folder's location or the manifest tells the home. Raise RestoreError if neither does.
    """
    homes, where = _group_by_home(found), os.path.realpath(folder)
    if len(homes) < 2:
        return found

    def is_own(entry: dict[str, Any]) -> bool:
        home_path = os.path.dirname(entry.get("of") or "")
        if home_path == os.path.dirname(where):
            return True
        try:
            return make_folder_name(home_path) == os.path.basename(where)
        except UnicodeEncodeError:  # not a folder name
            return False

    for tells in (is_own, lambda entry: "what" in entry):
        own = [entries for entries in homes if any(map(tells, entries))]
        if len(own) == 1:
            others = {
                entry["id"] for entries in homes if entries is not own[0] for entry in entries
            }
            return [entry for entry in found if entry["id"] not in others]
    some = "; ".join(
        "%s of %s" % (entries[-1]["id"], _format_place(entries[-1])) for entries in homes
    )
    raise RestoreError(
        "there are backups of %d homes here: name one by its ID, see list (%s)" % (len(homes), some)
    )


def _pick_newest(folder: str, found: list[dict[str, Any]], at: str) -> dict[str, Any]:
    """Return the last good backup of the folder's home up to a time.

    Report skipped backups of other homes. Raise RestoreError.
    """
    own = _select_home(folder, found)
    others = [entry for entry in found if entry not in own and entry["at"] <= at]
    if others:
        last = max(others, key=lambda entry: entry["at"])
        line = "%s and others" % last["id"] if len(others) > 1 else last["id"]
        print(
            "restore.py: skipped, from another home (%s): %s. To restore it, give its ID"
            % (_format_place(last), line),
            file=sys.stderr,
        )
    return pick_backup(own, at=at)


def _run_list(folder: str, args: argparse.Namespace) -> int:
    found = _require_entries(folder)
    several = len(_group_by_home(found)) > 1
    for entry in found:
        whose = ", of %s" % _format_place(entry) if several else ""
        print(
            "%-32s %s %12d  %s%s"
            % (entry["id"], entry["at"], entry["bytes"], entry["problem"] or "good", whose)
        )
    return 0


def _run_verify(folder: str, args: argparse.Namespace) -> int:
    found = _require_entries(folder)
    asked = [_find_asked(folder, found, args.id)] if args.id else found
    newest = next((entry["id"] for entry in reversed(found) if not entry["problem"]), None)
    damaged = [
        "line %d of %s is damaged" % (number, MANIFEST) for number in read_manifest(folder)[1]
    ]
    with tempfile.TemporaryDirectory() as room:
        for entry in asked:
            whole = args.id or entry["id"] == newest
            try:
                said, suspicious = (
                    check_whole(folder, found, entry, os.path.join(room, "image"))
                    if whole
                    else check_file(folder, entry)
                )
            except DamagedBackupError as error:
                said, suspicious = [str(error)], []
            damaged += ["%s: %s" % (entry["id"], why) for why in said + suspicious]
    for line in damaged or ["%d checked, no faults" % len(asked)]:
        print(line)
    return 5 if damaged else 0


def _run_restore(folder: str, args: argparse.Namespace) -> int:
    found = _require_entries(folder)
    entry = (
        _find_asked(folder, found, args.id)
        if args.id
        else _pick_newest(folder, found, parse_past_time(args.at))
    )
    beside = _require_target(args.file)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=beside) as room:
        damaged = check_whole(folder, found, entry, os.path.join(room, "image"))[0]
    if damaged:
        raise DamagedBackupError(entry["id"], "; ".join(damaged))
    rebuild(find_chain(found, entry["id"]), args.file)
    with open(args.file, "rb") as file:
        os.fsync(file.fileno())
    print("%s restored to %s" % (entry["id"], args.file))
    return 0


def _require_target(file: str) -> str:
    """Return the folder of a new file. Raise RestoreError if the file cannot be created."""
    folder = os.path.dirname(os.path.abspath(file))
    for path in [file] + [file + ending for ending in ("-wal", "-shm", "-journal")]:
        if os.path.lexists(path):  # SQLite would apply an old WAL to the new file
            raise RestoreError("%s is there already: choose another name" % path)
    if not os.path.isdir(folder):
        raise RestoreError("there is no folder %s: make it first" % folder)
    return folder


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("list", help="list the backups, oldest first")
    verbs.add_parser(
        "verify", help="check all files and rebuild the newest, or rebuild and check one"
    ).add_argument("id", nargs="?")
    restore = verbs.add_parser("restore", help="make a database file from a backup")
    restore.add_argument("id", nargs="?")
    restore.add_argument(
        "--at", metavar="TIME", help="the newest good backup up to that time: " + TIME_NOTATIONS
    )
    restore.add_argument("file")
    args = parser.parse_args(argv)
    if args.verb is None or (args.verb == "restore" and (args.id is None) == (args.at is None)):
        parser.error("type list, verify [ID], restore ID FILE or restore --at TIME FILE")
    return args


def main(argv: list[str]) -> int:
    """Run the command; return 5 for a bad backup, 1 for other failures."""
    args = _parse_arguments(argv)
    try:
        return {"list": _run_list, "verify": _run_verify, "restore": _run_restore}[args.verb](
            os.path.dirname(os.path.abspath(__file__)), args
        )
    except (DamagedBackupError, RestoreError, OSError) as error:
        line = (
            "%s: %s" % (error.filename, (error.strerror or "unknown").lower())
            if isinstance(error, OSError)
            else error
        )
        print("restore.py: %s" % line, file=sys.stderr)
        return 5 if isinstance(error, DamagedBackupError) else 1


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # paths may not be encodable
    sys.exit(main(sys.argv[1:]))
