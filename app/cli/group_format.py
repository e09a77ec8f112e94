"""Groups as rows of a list, and as a page of their own."""

from __future__ import annotations

from app.cli import output, styles, time_format
from app.cli.table_layout import Column, Line, Span
from app.core.text import units
from app.core.text.sanitize import pad, sanitize
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLUMNS = [
    Column("ID", ">"),
    Column("STATE"),
    Column("NAME", least=8, easy=18, first=True),
    Column("AGE", ">"),
    Column("DONE", ">"),
    Column("FAILED", ">"),
    Column("RUNNING", ">"),
    Column("RATE", ">"),
    Column("LEFT", ">"),
]


def format_progress(group: dict[str, Any]) -> str:
    """Return `37/100, 2 failed, 4 running, 12/min, 5m left`."""
    parts = [
        format_done(group),
        tr("{n:,} failed", n=group["failed"]) if group["failed"] else "",
        tr("{n:,} running", n=group["running"]) if group["running"] else "",
        format_rate(group),
        tr("{time} left", time=format_left(group)) if group["eta"] is not None else "",
    ]
    return ", ".join(filter(None, parts))


def format_done(group: dict[str, Any]) -> str:
    """Return the ended tasks of all: `37/100`."""
    return f"{group['ended']:,}/{group['total']:,}"


def format_rate(group: dict[str, Any]) -> str:
    """Return the ends per minute, or an empty text if none is known."""
    rate = group["rate"]
    return "" if rate is None else f"{rate:,.0f}/min" if rate >= 10 else f"{rate:.2g}/min"


def format_left(group: dict[str, Any]) -> str:
    """Return about how long the group still runs."""
    return "" if group["eta"] is None else f"~{units.format_age(group['eta'])}"


def format_row(group: dict[str, Any], now: float) -> list[Span]:
    """Return a line of the list of groups."""
    cells = (format_done(group), f"{group['failed'] or units.MISSING}", f"{group['running']:,}")
    return [
        *_format_head(group),
        (units.format_age(time_format.seconds_since(group["created_at"], now)), "dim"),
        *((cell, "") for cell in cells),
        (format_rate(group) or units.MISSING, ""),
        (format_left(group) or units.MISSING, ""),
    ]


def format_task_row(group: dict[str, Any], now: float) -> list[Span]:
    """Return a line among those of tasks, with their columns."""
    return [
        *_format_head(group),
        (units.MISSING, "dim"),
        (units.format_age(time_format.seconds_since(group["created_at"], now)), "dim"),
        (units.MISSING, ""),
        (format_progress(group), ""),
    ]


def _format_head(group: dict[str, Any]) -> list[Span]:
    state = styles.format_state(group["status"], output.is_ascii_only())
    return [(group["group"], "bold"), state, (sanitize(group["name"]), "")]


def format_page(group: dict[str, Any], now: float) -> list[Line]:
    """Return the page of one group."""
    word = group["group"]
    heading: Line = [(f"{word} {sanitize(group['name'])}", "bold"), ("  ", "")]
    heading.append(styles.format_state(group["status"], output.is_ascii_only()))
    facts = [
        (tr("done"), f"{format_done(group)} {_format_percent(group)}".rstrip()),
        (tr("tasks"), _format_counts(group["counts"])),
        (tr("rate"), ", ".join(filter(None, (format_rate(group), _format_end(group))))),
        (tr("at once"), f"{group['max_running']:,}" if group["max_running"] else ""),
        (tr("first failed"), _format_failure(group["failure"], now)),
        (
            tr("submitted"),
            tr(
                "{ago} by {person}",
                ago=_format_ago(group["created_at"], now),
                person=group["submitted_by"],
            ),
        ),
    ]
    lines: list[Line] = [
        [(f"  {pad(label, 13)}", "dim"), (sanitize(text), "")] for label, text in facts if text
    ]
    return [heading, [], *lines, [], *([(line, "dim")] for line in _list_next_commands(group))]


def _format_percent(group: dict[str, Any]) -> str:
    return f"({units.format_percent(group['ended'], group['total'])})" if group["total"] else ""


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {styles.format_status(status)}" for status, n in counts.items())


def _format_end(group: dict[str, Any]) -> str:
    return tr("{time} left", time=format_left(group)) if group["eta"] is not None else ""


def _format_failure(failure: dict[str, Any] | None, now: float) -> str:
    if failure is None:
        return ""
    reason = f": {failure['reason']}" if failure["reason"] else ""
    ago = _format_ago(failure["ended_at"], now)
    status = styles.format_status(failure["status"])
    name = f"{failure['name']} {failure.get('member', '')}".rstrip()
    return f"#{failure['number']} {name} {status} {ago}{reason}"


def _format_ago(at: str, now: float) -> str:
    return tr("{age} ago", age=units.format_age(time_format.seconds_since(at, now)))


def _list_next_commands(group: dict[str, Any]) -> list[str]:
    word, program = group["group"], output.get_program()
    words = [f"ls {word}"]
    if group["failed"]:
        words.append(f"retry --failed {word}")
    if group["ended"] < group["total"]:
        words += [f"logs -f {word}", f"wait {word}", f"cancel {word}"]
    return [f"  {program} {line}" for line in words]
