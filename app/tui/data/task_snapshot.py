"""Asking the runtime all about one task, and reading the end of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.tui.logviewer.layout import LineCells
from app.tui.logviewer.source import FileSource, LogLines, LogSource, TextSource
from db.states import ACTIVE

if TYPE_CHECKING:
    from app.client import Client

TAIL_LINES = 4
"""Lines of the log that are kept of a run that ended."""


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """The task, the run whose log is shown, the last lines of that log when the run is over, and all that `about` answered."""

    task: Mapping[str, Any]
    run: Mapping[str, Any] | None = None
    tail: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def fetch_snapshot(client: Client, ident: str) -> TaskSnapshot:
    """Ask all about one task. Raises Problem when there is none."""
    about = client.call("about", {"id": ident})
    runs = (about["log"] or {}).get("runs")
    run = runs[-1] if runs else None
    ended = run is not None and run["status"] not in ACTIVE
    return TaskSnapshot(about["task"], run, read_last_lines(run) if run and ended else (), about)


def open_source(run: Mapping[str, Any]) -> LogSource:
    """The log's file, or what the database holds of it."""
    try:
        return FileSource(run["path"])
    except (OSError, TypeError, ValueError):
        return TextSource(run["logs"] or "")


def read_last_lines(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The end of a run's log: the last lines that are not blank, without colours."""
    source = open_source(run)
    try:
        lines, found = LogLines(source), list[str]()
        at: int | None = lines.find_last() if lines.size else None
        while at is not None and len(found) < TAIL_LINES:
            text = LineCells(lines.read_line(at)).crop(0, 400).text.rstrip()
            found += [text] if text else []
            at = lines.find_previous(at)
        return tuple(reversed(found))
    finally:
        source.close()
