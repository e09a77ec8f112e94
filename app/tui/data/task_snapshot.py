"""Asking the runtime all about one task, and reading the end of its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.tui.logviewer.layout import LineCells
from app.tui.logviewer.source import FileSource, LogLines, Source, TextSource
from db.states import ACTIVE

if TYPE_CHECKING:
    from app.client import Client

TAIL = 4
"""Lines of the log that are kept of a run that ended."""


@dataclass(frozen=True, slots=True)
class Known:
    """The task, the run whose log is shown, the last lines of that log when the run is over, and all that `about` answered."""

    task: Mapping[str, Any]
    run: Mapping[str, Any] | None = None
    tail: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def gather(client: Client, ident: str) -> Known:
    """Ask all about one task. Raises Problem when there is none."""
    about = client.call("about", {"id": ident})
    runs = (about["log"] or {}).get("runs")
    run = runs[-1] if runs else None
    ended = run is not None and run["status"] not in ACTIVE
    return Known(about["task"], run, last_lines(run) if run and ended else (), about)


def source_of(run: Mapping[str, Any]) -> Source:
    """The log's file, or what the database holds of it."""
    try:
        return FileSource(run["path"])
    except (OSError, TypeError, ValueError):
        return TextSource(run["logs"] or "")


def last_lines(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The end of a run's log: the last lines that are not blank, without colours."""
    source = source_of(run)
    try:
        lines, found = LogLines(source), list[str]()
        at: int | None = lines.last() if lines.size else None
        while at is not None and len(found) < TAIL:
            text = LineCells(lines.bytes_of(at)).window(0, 400).text.rstrip()
            found += [text] if text else []
            at = lines.before(at)
        return tuple(reversed(found))
    finally:
        source.close()
