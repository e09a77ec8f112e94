"""Task snapshot: all details of one task and the end of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core.text.log_rows import split_rows
from app.tui.logviewer.layout import LineCells
from app.tui.logviewer.source import FileSource, LogLines, LogSource, TextSource
from db.states import ACTIVE

if TYPE_CHECKING:
    from app.client import Client

TAIL_LINES = 4
"""Number of log lines kept of an ended run."""


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """A task, its run with the shown log, and the reply of `about`.

    `tail` holds the last log lines of an ended run.
    """

    task: Mapping[str, Any]
    run: Mapping[str, Any] | None = None
    tail: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def fetch_snapshot(client: Client, ident: str) -> TaskSnapshot:
    """Fetch all details of a task. Raise Problem if it does not exist."""
    about = client.call("about", {"id": ident})
    runs = (about["log"] or {}).get("runs")
    run = runs[-1] if runs else None
    ended = run is not None and run["status"] not in ACTIVE
    return TaskSnapshot(about["task"], run, read_last_lines(run) if run and ended else (), about)


def open_source(run: Mapping[str, Any]) -> LogSource:
    """Return the log file as a source, else the stored log."""
    try:
        return FileSource(run["path"])
    except (OSError, TypeError, ValueError):
        return TextSource(run["logs"] or "")


def read_last_lines(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the last lines of a run's log that are not blank, without colours."""
    source = open_source(run)
    try:
        lines, found = LogLines(source), list[str]()
        at: int | None = lines.find_last() if lines.size else None
        while at is not None and len(found) < TAIL_LINES:
            for row in reversed(split_rows(lines.read_line(at))):
                text = LineCells(row).crop(0, 400).text.rstrip()
                found += [text] if text else []
            at = lines.find_previous(at)
        return tuple(reversed(found[:TAIL_LINES]))
    finally:
        source.close()
