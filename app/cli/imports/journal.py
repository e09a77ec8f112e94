"""Journal of an import: tasks to take over, and tasks that have left the peer.

A file of the home, so that the next import finishes an import that was killed. Each line is on
disk before the next step. The file is removed at the end of the import.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage

TAKEN = "taken"
"""Mark of a task that is gone from the peer and never ran there."""
BEGAN = "began"
"""Mark of a task that has begun or ended there."""
LEFT = "left"
"""Mark of a task that still waits there, untouched."""
UNCLEAR = "unclear"
"""Mark of a task that is gone from the peer, without a record that the peer gave the task up."""


@dataclass(slots=True)
class JournalEntry:
    """A task of an unfinished import."""

    id: int
    key: str
    uuid: str
    is_held: bool
    mark: str | None = None


@dataclass(slots=True)
class ImportJournal:
    """The open journal of one peer, locked until it is closed."""

    path: str
    fd: int
    source: str = ""
    entries: dict[int, JournalEntry] = field(default_factory=dict[int, JournalEntry])
    proof: str | None = None

    def load(self) -> None:
        """Read the file. A torn last line is left out: its step was never begun."""
        with open(self.fd, "rb", closefd=False) as file:
            lines = file.read().split(b"\n")[:-1]
        try:
            for line in lines:
                self._apply(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Usage(
                "{file} is damaged. Nothing was changed.",
                "The file names tasks of an unfinished import, which are held here. Look:"
                " taskdeck ls --status held. Then move the file away.",
                file=sanitize(self.path),
            ) from None

    def begin(self, source: str, entries: list[JournalEntry]) -> None:
        """Record the tasks that the import takes over from now on."""
        plan = [[entry.id, entry.key, entry.uuid, entry.is_held] for entry in entries]
        self._append({"source": source, "plan": plan})

    def mark(self, number: int, mark: str) -> None:
        """Record the mark of a task."""
        self._append({"id": number, "mark": mark})

    def set_proof(self, proof: str) -> None:
        """Record the proof, for a later import, that the peer has given the tasks up."""
        self._append({"proof": proof})

    def finish(self) -> None:
        """Remove the file."""
        os.unlink(self.path)
        self.entries = {}

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        try:
            with open(self.fd, "ab", closefd=False) as file:
                file.write(data)
            os.fsync(self.fd)
            sync_folder(os.path.dirname(self.path))
        except OSError as error:
            raise _make_problem(self.path, error) from None
        self._apply(line)

    def _apply(self, line: dict[str, Any]) -> None:
        if "plan" in line:
            self.source, self.proof = line["source"], None
            self.entries = {found[0]: JournalEntry(*found) for found in line["plan"]}
        elif "mark" in line:
            self.entries[line["id"]].mark = line["mark"]
        else:
            self.proof = line["proof"]


@contextmanager
def open_journal(home: str, peer: str) -> Iterator[ImportJournal]:
    """Yield the journal of a peer. Raise Conflict while another import has it."""
    path = os.path.join(home, f"import-{peer}.journal")
    fd = _open_locked(path)
    try:
        journal = ImportJournal(path, fd)
        journal.load()
        yield journal
        if os.fstat(fd).st_size == 0 and os.fstat(fd).st_nlink:
            os.unlink(path)
    finally:
        os.close(fd)


def has_journal(home: str, peer: str) -> bool:
    """Return True if an import of a peer is unfinished."""
    return os.path.exists(os.path.join(home, f"import-{peer}.journal"))


def _open_locked(path: str) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _make_problem(path, error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise Conflict("another import from there is running. Nothing was changed.") from None
        if os.fstat(fd).st_nlink:  # else another import has just finished and removed the file
            return fd
        os.close(fd)


def sync_folder(folder: str) -> None:
    """Flush the names in a folder to disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_problem(path: str, error: OSError) -> Problem:
    why = (error.strerror or "unknown").lower()
    return Problem(
        "{file} cannot be written: {why}. No more tasks were taken over.",
        "Tasks that are held here already are found by the next import.",
        file=sanitize(path),
        why=why,
    )
