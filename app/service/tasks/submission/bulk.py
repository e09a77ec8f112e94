"""Storage of a large submission: all of its tasks or none, without a long transaction.

The steps, and what is left if the runtime is killed after each:

1. Staged: the checked tasks are written to a file in `run/submissions`, which no query reads. A
   file without a counter is removed.
2. Published: the file is synced, then a short transaction adds a counter named after the file.
   From here on the submission is accepted, and a duty completes it (`finish_interrupted`), also
   after a kill or once a full disk has space again. None of its tasks starts before step 4,
   although readers see those that are stored, and `status` names their number.
3. Stored: short transactions insert the tasks in the order of the file. The counter is the position
   in the file; it moves in the same transaction, so no task is inserted twice.
4. Recorded: the last transaction logs the operation and deletes the counter. The file is removed
   last.

Each insert takes the next task numbers. Numbers, rowids and times therefore keep one order, on
which the search index, the cursors of SLA rules and the lists rely. While a large file is stored, a
task of another user may get a number between its numbers. The caller learns the numbers after step
4. Rows hidden until step 4 would need a condition in each query, counter and search; rows in a
table of their own, a long transaction that moves them.

Each process locks the file that it works on, also the file of lines that a command leaves in the
same folder. The lock of a killed process is gone, so the duty sees which files to remove or to
complete. A restored backup never completes a submission: its tasks may have run since.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from app.core.ids import make_following_id
from app.paths import NOT_REGULAR_ERRORS, SUBMISSIONS, open_locked, open_regular
from app.service.tasks.submission import number_file
from app.service.tasks.submission.batch_dependencies import DependencyEdge, iterate_parents_first
from db.engine import Connection, Database
from db.errors import Storage
from db.queries import counters
from db.queries.history import operations
from db.queries.history.operations import Actor
from db.queries.tasks import environments, groups, packed_task, task_numbers, transitions

MAX_BATCH = 1_000_000
"""Maximum number of tasks of one submission."""
PART = 100
"""Rows in a line of a staged file, inserted between two looks at the clock."""
MAX_PAIRS = 1_000
"""Dependencies that end a line of fewer than `PART` rows. Inserting one dependency takes 8 µs."""
STEP_SECONDS = 0.03
"""Seconds after which a transaction that inserts tasks ends."""
SYNC_BYTES = 2**23
"""Bytes after which a staged file is synced, so that no commit waits for a large sync."""
DUTY_SECONDS = 0.5
"""Seconds that one call of the duty may insert tasks."""


class StagedFile:
    """Locked file of the rows of one submission: a header, then lines of up to `PART` rows.

    The header holds the names of the columns, those that all tasks share, the environment, the
    author, and name and limit of the `group`. The names let a later version store the rows. A row
    is a packed task (`packed_task.pack_task`) without the shared columns, and maybe its
    dependencies.
    """

    def __init__(
        self,
        home: Path,
        first: str,
        by: str,
        environment: str,
        group: tuple[str, int | None] | None = None,
    ) -> None:
        self.first = first
        self.count = 0
        self.start = 0
        """Position of the first row."""
        folder = home / "run" / SUBMISSIONS
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / f"{first}-{secrets.token_hex(4)}.rows"
        self._author: dict[str, Any] = {"by": by, "environment": environment}
        if isinstance(by, Actor):
            self._author |= {"source": by.source, "origin": by.origin}
        if group is not None:
            self._author["group"] = group
        self._file = open_locked(self.path)
        self._part: list[list[Any]] = []
        self._pairs = 0
        self._unsynced = 0
        """Bytes written since the last sync."""

    def add(self, row: list[Any]) -> None:
        """Append a packed task."""
        if not self.start:
            self._author["columns"] = packed_task.COLUMNS
            self._author["common"] = row[-len(packed_task.COMMON_COLUMNS) :]
            self.start = self._file.write(_encode_line(self._author))
        del row[-len(packed_task.COMMON_COLUMNS) :]
        self._append(row)

    def _append(self, row: list[Any], pairs: int = 0) -> None:
        self._part.append(row)
        self.count, self._pairs = self.count + 1, self._pairs + pairs
        if len(self._part) == PART or self._pairs >= MAX_PAIRS:
            self._flush()

    def _flush(self) -> None:
        if self._part:
            self._unsynced += self._file.write(_encode_line(self._part))
            self._part, self._pairs = [], 0
        self._file.flush()
        if self._unsynced > SYNC_BYTES:
            os.fdatasync(self._file.fileno())
            self._unsynced = 0

    def find_positions(self, names: Collection[str]) -> dict[str, list[int]]:
        """Return the positions of the tasks with these names."""
        found: dict[str, list[int]] = {}
        self._flush()
        self._file.seek(self.start)
        for at, row in enumerate(row for line in self._file for row in json.loads(line)):
            if row[1] in names:
                found.setdefault(row[1], []).append(at)
        return found

    def link(self, edges: Sequence[DependencyEdge], dropped: Collection[int]) -> None:
        """Add dependencies, drop tasks, and put each task behind its parents."""
        parents: dict[int, list[DependencyEdge]] = {}
        for edge in edges:
            parents.setdefault(edge.task, []).append(edge)
        self._flush()
        with self._file as rows:
            reader = _PartReader(rows, self.start)
            order, old = iterate_parents_first(self.count, parents), self.path
            self.path, self.count = old.with_suffix(".linked"), 0
            self._file = open_locked(self.path)
            old.unlink()
            self._file.write(_encode_line(self._author))
            for at in order:
                if at not in dropped:
                    pairs = [(self._get_uuid(e.parent), e.kind) for e in parents.get(at, ())]
                    row = reader.read_row(at)
                    self._append([*row, pairs] if pairs else row, len(pairs))

    def _get_uuid(self, parent: int | str) -> str:
        return make_following_id(self.first, parent) if isinstance(parent, int) else parent

    def sync(self) -> None:
        """Write the file to the disk under its final name, which contains the number of tasks."""
        self._flush()
        os.fsync(self._file.fileno())
        path = self.path.with_name(f"{self.path.stem}-{self.count}.rows")
        self.path = self.path.rename(path)
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove the file, before its publication or after all of its rows are stored."""
        with suppress(OSError):
            os.unlink(self.path)

    def close(self) -> None:
        """Release the file. The duty removes or completes what is left of it."""
        with suppress(OSError):  # buffered rows of a full disk
            self._file.close()


class _PartReader:
    """Rows of a staged file by position. Parts are cached, since rows are mostly read in order."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._places = [start]
        file.seek(start)
        for line in file:
            self._places.append(self._places[-1] + len(line))
        self._read_part = lru_cache(64)(self._read)

    def read_row(self, at: int) -> list[Any]:
        """Return the row at a position."""
        return self._read_part(at // PART)[at % PART]

    def _read(self, part: int) -> list[list[Any]]:
        self._file.seek(self._places[part])
        return json.loads(self._file.readline())


def _encode_line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def publish(c: Connection, staged: StagedFile) -> None:
    """Accept a submission, whose file is on the disk."""
    counters.create(c, task_numbers.SUBMISSIONS + staged.path.name, staged.start)


def is_known(c: Connection, first: str) -> bool:
    """Return True if a submission was stored or published."""
    return find_published(c, first) is not None or task_numbers.is_known(c, *get_uuid_range(first))


def get_uuid_range(first: str) -> tuple[str, str]:
    """Return the first and the last possible uuid of a submission."""
    return first, make_following_id(first, MAX_BATCH - 1)


class UnfinishedSubmission(NamedTuple):
    """A published submission that is not completely stored: range of uuids, number of tasks."""

    first: str
    last: str
    size: int


def parse_name(name: str) -> UnfinishedSubmission:
    """Return the submission of a synced file."""
    size = int(name.removesuffix(".rows").rpartition("-")[2])
    return UnfinishedSubmission(*get_uuid_range(name[:36]), size)


def count_unfinished(c: Connection) -> int:
    """Return the number of tasks of the submissions that are being stored."""
    names = counters.map_values(c, task_numbers.SUBMISSIONS)
    return sum(parse_name(name).size for name in names)


def find_published(c: Connection, first: str) -> str | None:
    """Return the file name of a published submission that is not completely stored."""
    names = counters.map_values(c, task_numbers.SUBMISSIONS)
    return next((name for name in names if name.startswith(first)), None)


async def store_published(db: Database, path: Path, by: str | None = None) -> None:
    """Store the rest of a published submission in short transactions, and remove its file."""
    while await db.write_quietly(_store_some, path):
        pass
    await _finish(db, path, by)
    path.unlink(missing_ok=True)


async def _finish(db: Database, path: Path, by: str | None = None) -> None:
    """Record a stored submission and its highest number."""
    highest = await db.write(_record, path, by)
    await number_file.raise_mark(path.parents[2], highest)


def _store_some(c: Connection, path: Path) -> bool:
    """Store tasks for a while; return True if some are left."""
    place = counters.read_value(c, task_numbers.SUBMISSIONS + path.name)
    if place is None:  # stored by somebody else meanwhile
        return False
    with open_regular(str(path)) as file:
        header = json.loads(file.readline())
        environments.keep_environment(c, header["common"][0], header["environment"])
        if "group" in header:
            name, most = header["group"]
            number = groups.create(c, path.name[:36], name, header["by"], most)
            place_from_end = header["columns"].index("group_number") - len(header["columns"])
            header["common"][place_from_end] = number
        file.seek(place)
        end = time.monotonic() + STEP_SECONDS
        while line := file.readline():
            _store_rows(c, json.loads(line), header)
            place += len(line)
            if time.monotonic() > end:
                break
    counters.set_value(c, task_numbers.SUBMISSIONS + path.name, place)
    return bool(line)


def _store_rows(c: Connection, rows: list[list[Any]], header: Mapping[str, Any]) -> None:
    common, links = header["common"], []
    columns = tuple(header.get("columns", packed_task.UNTOLD_COLUMNS))
    width = len(columns) - len(common)
    for row in rows:
        if len(row) > width:
            links += [
                {"task_id": row[0], "parent_id": parent, "kind": kind} for parent, kind in row.pop()
            ]
        row += common
    if columns != packed_task.COLUMNS:
        rows = [packed_task.arrange_row(row, columns) for row in rows]
    transitions.submit_rows(c, rows, links, header["by"])


def _record(c: Connection, path: Path, by: str | None = None) -> int:
    """Record a stored submission, once; return its last number."""
    limits = task_numbers.find_number_limits(c, *get_uuid_range(path.name[:36]))
    if counters.read_value(c, task_numbers.SUBMISSIONS + path.name) is None:
        return limits[1]
    with open_regular(str(path)) as file:
        header = json.loads(file.readline())
    by = by or Actor(header["by"], header.get("source", "cli"), header.get("origin"))
    record_submission(c, by, parse_name(path.name).size, *limits)
    counters.delete(c, task_numbers.SUBMISSIONS + path.name)
    return limits[1]


def record_submission(c: Connection, by: str, count: int, first: int, last: int) -> None:
    """Record one operation for a submission of any size."""
    what = f"task #{first}" if count == 1 else f"{count} tasks #{first}–#{last}"
    operations.record(c, by, "submit", what, after={"first": first, "last": last})


# --- what a crash left ----------------------------------------------------------------------


def map_published(c: Connection) -> dict[str, int]:
    """Return the published submissions, by the names of their files."""
    return counters.map_values(c, task_numbers.SUBMISSIONS)


def list_files(home: Path) -> list[str]:
    """Return the names of the files of submissions, published or not."""
    folder = home / "run" / SUBMISSIONS
    return os.listdir(folder) if folder.is_dir() else []


async def finish_interrupted(db: Database, home: Path) -> None:
    """Complete published submissions that no process works on, and remove other abandoned files.

    A damaged file must not keep the others waiting. Raise its error at the end, or Storage at once.
    """
    published = await db.read(map_published)
    folder, end = home / "run" / SUBMISSIONS, time.monotonic() + DUTY_SECONDS
    names = list_files(home)
    for name in published.keys() - set(names):  # a restored or copied database
        await db.write(counters.delete, task_numbers.SUBMISSIONS + name)
    failure: Exception | None = None
    for name in sorted(names):
        try:
            with _lock_abandoned(folder / name) as is_abandoned:
                if is_abandoned and await _store_until(db, folder / name, end):
                    (folder / name).unlink(missing_ok=True)
        except Storage:
            raise
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure


async def _store_until(db: Database, path: Path, end: float) -> bool:
    """Store a published submission until a time; return True if the file is not needed anymore."""
    if await db.read(counters.read_value, task_numbers.SUBMISSIONS + path.name) is None:
        return True
    while await db.write_quietly(_store_some, path):
        if time.monotonic() > end:
            return False
    await _finish(db, path)
    return True


@contextmanager
def _lock_abandoned(path: Path) -> Iterator[bool]:
    """Lock a file that nobody works on; yield False for any other."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_regular(str(path)))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            yield False
        except OSError as error:
            if error.errno in NOT_REGULAR_ERRORS:  # a job put a link, a FIFO or a socket here
                with suppress(OSError):
                    path.unlink()
            yield False
        else:
            yield True
