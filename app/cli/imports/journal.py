"""Journal of an import: what it takes over, and what has left the peer.

A file of the home, so that an import that was killed is finished by the next one. Each line is on
the disk before the step that follows it. The file goes once everything is settled.
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

TAKEN, BEGAN, LEFT, UNCLEAR = "taken", "began", "left", "unclear"
"""Marks: gone from the peer and never run there; begun or ended there; still there, untouched; gone
from there without a record that the peer gave the task up."""


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
                self._replay(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Usage(
                "{file} is damaged. Nothing was changed.",
                "The file names tasks of an unfinished import, which are held here. Look:"
                " taskdeck ls --status held. Then move the file away.",
                file=sanitize(self.path),
            ) from None

    def begin(self, source: str, entries: list[JournalEntry]) -> None:
        """Record what is about to be taken over."""
        plan = [[entry.id, entry.key, entry.uuid, entry.is_held] for entry in entries]
        self._append({"source": source, "plan": plan})

    def mark(self, number: int, mark: str) -> None:
        """Record what became of a task of the peer."""
        self._append({"id": number, "mark": mark})

    def set_proof(self, proof: str) -> None:
        """Record by what a later import knows that the peer has given the tasks up."""
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
            _sync_folder(self.path)
        except OSError as error:
            raise _make_problem(self.path, error) from None
        self._replay(line)

    def _replay(self, line: dict[str, Any]) -> None:
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


def _sync_folder(path: str) -> None:
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _make_problem(path: str, error: OSError) -> Problem:
    why = (error.strerror or "unknown").lower()
    return Problem(
        "{file} cannot be written: {why}. No more tasks were taken over.",
        "Tasks that are held here already are found by the next import.",
        file=sanitize(path),
        why=why,
    )
