"""Journal of the runs.

The journal consists of files of JSON lines in `run/journal2` with preallocated space. The guard
owns all files that exist when it forks a keeper, the keeper those that it creates. Only the owner
appends to a file or deletes it. The first key tells the type of a record: i intent, p pid, w early
signal, s stop, e exit, r refused, v void (nothing was started), f forgotten.

Each journal file begins with its own device and inode, which tell it from a copy. Runs in a copied
journal belong to another home: they are `lost` at once and never touched.
"""

from __future__ import annotations

import os
import time

from app.keeper.journal_segment import JournalSegment, preallocate
from app.keeper.run import COPIED_BOOT, Run
from app.keeper.wire import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

JOURNAL = f"journal{PROTOCOL}"
MAX_MOVED_RUNS = (
    32  # a closed journal file with at most this many runs is emptied into the current one
)
MAX_FILES = 4  # with more files than this, `merge_files` merges them
SYNC_DELAY = 0.1


class Journal:
    """The known runs, and the journal that stores them."""

    def __init__(self, folder: int, boot: str) -> None:
        self.folder, self.boot = folder, boot
        self.runs: dict[str, Run] = {}
        self.segments: dict[str, JournalSegment] = {}
        self.current: JournalSegment | None = None
        self.sync_at: float | None = None

    # -- reading

    def inherit(self) -> None:
        """Read the records of the other process and own all files from now on."""
        self.current = None
        names = sorted(name for name in os.listdir(self.folder) if name.endswith(".log"))
        for gone in self.segments.keys() - set(names):
            os.close(self.segments.pop(gone).fd)
        for name in names:
            segment = self.segments.get(name) or self.open(name, os.O_RDWR)
            if not segment.is_owned:
                self.read_and_own(segment)
        for segment in list(self.segments.values()):
            self.compact(segment)

    def merge_files(self) -> None:
        """Merge many small files of predecessors into one."""
        if len(self.segments) > MAX_FILES:
            try:
                self.rotate()
            except OSError:
                pass  # no space: the files stay

    def read_and_own(self, segment: JournalSegment) -> None:
        """Read a segment and own it."""
        for record in segment.read_new():
            try:
                self.apply_record(record, segment)
            except (KeyError, TypeError, StopIteration):
                continue  # not a valid record
        segment.is_owned = True

    def apply_record(self, record: dict[str, Any], segment: JournalSegment) -> None:
        letter = next(iter(record))
        if letter == "boot":
            copied = (
                record["boot"] == self.boot
                and record.get("file", segment.identity) != segment.identity
            )
            segment.boot = COPIED_BOOT if copied else record["boot"]
        elif letter == "f":
            for runid in record["f"]:
                self.drop_run(runid)
        elif letter == "v":
            self.drop_run(record["v"])
        elif run := self.find_run(letter, record[letter]):
            run.add_record(letter, record)
            self.link_segment(run, segment)

    def find_run(self, letter: str, runid: str) -> Run | None:
        """Return the run of a record. Only an intent or a refusal creates one."""
        if letter in "ir":
            return self.runs.setdefault(runid, Run(runid))
        return self.runs.get(runid)

    def find_living(self, runid: str) -> Run | None:
        """Return the run of that id if it is alive."""
        run = self.runs.get(runid)
        return run if run and run.is_alive else None

    def disown_all(self) -> None:
        """Give all existing files to the guard; called in a new keeper."""
        for segment in self.segments.values():
            segment.is_owned = False
            segment.unsynced.clear()
        for run in self.runs.values():
            run.is_known_to_guard = True
        self.current = self.sync_at = None

    # -- writing

    def open(self, name: str, flags: int) -> JournalSegment:
        """Open a journal file and list it."""
        fd = os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.folder)
        if other := self.segments.get(name):
            os.close(other.fd)  # the guard's file, deleted since
        self.segments[name] = JournalSegment(name, fd)
        return self.segments[name]

    def record_intent(self, intent: dict[str, Any]) -> Run:
        """Record the intent to start a run.

        Raise OSError if the intent and the later exit do not fit.
        """
        segment = self.current if self.current and self.current.has_room() else self.rotate()
        segment.append(intent)
        segment.pending_exits += 1
        run = self.runs[intent["i"]] = Run(intent["i"])
        run.add_record("i", intent)
        self.link_segment(run, segment)
        return run

    def record_fact(self, run: Run, letter: str, record: dict[str, Any]) -> None:
        """Record a further fact of a run. Raise OSError."""
        segment = (
            next((s for s in run.segments if s.is_owned), None) or self.current or self.rotate()
        )
        segment.append(record)
        run.add_record(letter, record)
        self.link_segment(run, segment)
        if letter == "e":
            segment.pending_exits -= run.segments[0] is segment
            segment.unsynced[run.id] = time.monotonic()
            self.sync_at = self.sync_at or time.monotonic() + SYNC_DELAY

    def record_fact_if_possible(self, run: Run, letter: str, record: dict[str, Any]) -> None:
        """Record a fact that takes effect even if it cannot be written."""
        try:
            self.record_fact(run, letter, record)
        except OSError:
            run.add_record(letter, record)

    def record_refusal(self, runid: str) -> Run:
        """Record that a run must never start. Raise OSError."""
        segment = self.current or self.rotate()
        segment.append({"r": runid})
        run = self.runs.setdefault(runid, Run(runid))
        run.add_record("r", {"r": runid})
        self.link_segment(run, segment)
        return run

    def revoke_intent(self, run: Run) -> None:
        """Revoke an intent: nothing was started."""
        segment = run.segments[0]
        segment.append({"v": run.id})
        segment.pending_exits -= 1
        self.drop_run(run.id)

    def forget_runs(self, runids: list[str]) -> list[Run]:
        """Drop runs whose end the runtime has stored, and return them.

        Journal files without other runs are deleted.
        """
        known = [runid for runid in runids if runid in self.runs and not self.runs[runid].is_alive]
        segment = self.current
        if known and segment:
            try:
                segment.append({"f": known})
            except OSError:
                pass  # after a restart the runtime repeats the request
        dropped = [run for runid in known if (run := self.drop_run(runid))]
        for segment in {s for run in dropped for s in run.segments}:
            self.compact(segment)
        return dropped

    def drop_run(self, runid: str) -> Run | None:
        """Remove a run from memory."""
        run = self.runs.pop(runid, None)
        for segment in run.segments if run else ():
            segment.runs.discard(runid)
            segment.unsynced.pop(runid, None)
        return run

    def link_segment(self, run: Run, segment: JournalSegment) -> None:
        """Keep a segment as long as it has records of the run."""
        if segment not in run.segments:
            run.segments.append(segment)
            segment.runs.add(run.id)

    # -- files

    def rotate(self) -> JournalSegment:
        """Start a new file. Raise OSError if there is no space."""
        last = max(
            (int(name[:-4]) for name in os.listdir(self.folder) if name[:-4].isdigit()), default=0
        )
        segment = self.open(f"{last + 1:08}.log", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        segment.is_owned, segment.boot = True, self.boot
        try:
            preallocate(segment.fd)
            segment.append({"boot": self.boot, "protocol": PROTOCOL, "file": segment.identity})
        except OSError:
            self.delete_segment(segment)
            raise
        self.current = segment
        for other in list(self.segments.values()):
            self.compact(other)
        return segment

    def compact(self, segment: JournalSegment) -> None:
        """Delete our file if it is closed and has no runs. Move a few remaining runs first."""
        if not segment.is_owned or segment is self.current or len(segment.runs) > MAX_MOVED_RUNS:
            return
        if self.current:
            try:
                self.move_runs(segment, self.current)
            except OSError:
                return  # no space: the file stays as it is
        if not segment.runs:
            self.delete_segment(segment)

    def move_runs(self, segment: JournalSegment, to: JournalSegment) -> None:
        """Copy the records of a segment's runs to another segment."""
        for run in [self.runs[runid] for runid in segment.runs]:
            if run.is_alive and segment.boot != to.boot:
                continue  # the run's own file shows that the machine was restarted
            if not to.has_room():
                break
            for record in run.records.values():
                to.append(record)
            self.link_segment(run, to)
            to.pending_exits += run.is_alive
            run.segments.remove(segment)
            segment.runs.discard(run.id)
        if not segment.runs:
            self.sync_segment(to)

    def delete_segment(self, segment: JournalSegment) -> None:
        """Close a file, and unlink it if we own it."""
        if segment.is_owned:
            try:
                os.unlink(segment.name, dir_fd=self.folder)
            except OSError:
                return
        os.close(segment.fd)
        self.segments.pop(segment.name, None)
        if segment is self.current:
            self.current = None

    def sync_exits(self) -> None:
        """Flush exits that the runtime has not stored in time. Raise OSError."""
        waiting = [segment for segment in self.segments.values() if segment.unsynced]
        oldest = min((next(iter(segment.unsynced.values())) for segment in waiting), default=None)
        self.sync_at = None if oldest is None else oldest + SYNC_DELAY
        if self.sync_at and time.monotonic() >= self.sync_at:
            self.sync_at = None
            for segment in waiting:
                self.sync_segment(segment)

    def sync_segment(self, segment: JournalSegment) -> None:
        """Flush a file and its directory entry to the disk. Raise OSError."""
        segment.unsynced.clear()
        os.fdatasync(segment.fd)
        if not segment.is_in_folder:
            os.fsync(self.folder)
        segment.is_in_folder = True

    def close(self) -> None:
        """Close the journal and delete files without runs."""
        for segment in list(self.segments.values()):
            if not segment.runs:
                self.delete_segment(segment)
