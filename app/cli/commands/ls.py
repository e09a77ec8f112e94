"""`taskdeck ls`: tasks, newest first. The count goes to stderr, so that a cut list is never silent."""

from __future__ import annotations

import gc
import json
import time
from argparse import SUPPRESS

from app.cli import output, styles, time_format
from app.cli.parser import (
    LIMIT,
    Args,
    Command,
    Parser,
    add_filters,
    add_row_options,
    collect_filters,
    explain_wildcards,
)
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Usage
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from app.cli.context import CommandContext

    TaskNote = Sequence[Any]
    """State and reason of its run, why it waits, and in how many seconds it is expected to start."""

DEFAULT_LIMIT = 100

COLUMNS = [
    Column("ID", ">"),
    Column("STATE"),
    Column("NAME", least=8, easy=18, first=True),
    Column("QUEUE", least=6, easy=12),
    Column("AGE", ">"),
    Column("TIME", ">"),
    Column("WHY / RESULT", least=12, easy=16),
]

FIELDS = (
    "number", "status", "name", "queue", "priority", "template", "cpu", "memory", "timeout", "attempts", "reason", "created_at",
    "started_at", "ended_at", "submitted_by", "tags", "uuid",
)  # fmt: skip


def list_tasks(session: CommandContext, args: Args) -> int:
    """List what the filters find; without any, what is active and what ended in the last 24 hours."""
    chosen = collect_filters(args)
    if args.words:
        raise Usage("ls takes filters, not names.", "One task: taskdeck show 42. By name: taskdeck ls --name NAME")
    if said := explain_wildcards(chosen):
        output.print_note(said)
    recent = not chosen and args.limit is None
    limit = (0 if args.rows == "name" else DEFAULT_LIMIT) if args.limit is None else args.limit
    gc.disable()  # a long list is no garbage, and this process ends with it
    if "filter" in chosen:
        return _list_filtered(session, args, limit)
    whole = args.json or args.jsonl or args.rows == "tsv"
    found = session.call("ls", **chosen, limit=limit, recent=recent, brief=not whole)
    tasks = found["tasks"] if whole else json.loads(found["lines"])
    _print_tasks(args, tasks, found)
    _print_count(args, len(tasks), found)
    _warn_stale(session, {task["status"] if whole else task[3] for task in tasks})
    return 0


def _warn_stale(session: CommandContext, states: set[str]) -> None:
    """Say that nobody keeps these states up to date, when that is so."""
    if not states.issubset(ENDED) and not session.client.is_runtime_up():
        output.print_note("no runtime is up, so what has not ended may stand here in an old state. Start it: taskdeck serve --detach")


PAGE_SIZE = 1000
"""Tasks that are asked for at a time; a search that takes long stops before, and goes on with the next page."""


def _list_filtered(session: CommandContext, args: Args, limit: int) -> int:
    """List what a filter line finds, as the deck's own list does."""
    tasks, found = _fetch_pages(session, args.filter, limit)
    if args.json or args.jsonl or args.rows == "tsv":
        _print_tasks(args, tasks, found)
    else:
        lines = [[task[field] for field in BRIEF_COLUMNS] for task in tasks]
        _print_tasks(args, lines, {"notes": {task["uuid"]: [task[name] for name in NOTE_COLUMNS] for task in tasks}})
    _print_count(args, len(tasks), found)
    _warn_stale(session, {task["status"] for task in tasks})
    return 0


def _fetch_pages(session: CommandContext, filter: str, limit: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The tasks, and what the last answer says besides."""
    tasks: list[dict[str, Any]] = []
    at = None
    while True:
        found = session.call("browse", filter=filter, at=at, limit=min(PAGE_SIZE, limit - len(tasks)) if limit else PAGE_SIZE)
        tasks += [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
        if not found["more_after"] or len(tasks) == limit:
            return tasks, found
        at = found["stopped"] or [tasks[-1]["at"], tasks[-1]["number"]]


def _print_tasks(args: Args, tasks: list[Any], found: dict[str, Any]) -> None:
    """The tasks in the form that was asked for."""
    if args.json or args.jsonl:
        output.print_json(tasks, args.jsonl)
    elif args.rows == "tsv":
        output.print_rows(FIELDS, [[task[field] for field in FIELDS] for task in tasks], "tsv")
    elif args.rows:
        output.print_rows(FIELDS, [task[1:2] for task in tasks], "name")
    elif tasks:
        output.print_table(COLUMNS, TaskRowFormatter(found["notes"], time.time()).format_rows(tasks), args.wide)


def _print_count(args: Args, shown: int, found: dict[str, Any]) -> None:
    """Say how many tasks are listed, unless that is all that the filters find."""
    chosen, total = collect_filters(args), found["total"]
    more = bool(found.get("more_after")) if total is None else shown < total
    if not chosen or more or not shown:
        output.print_message(output.add_home_option(format_count(shown, total, found["of"], chosen)))


def format_count(shown: int, total: int | None, all_: int, chosen: Collection[str] = ()) -> str:
    """`11 of 1,204 tasks (newest first). More: …`; `total`: how many match (None: not known), `chosen`: the filters that were given."""
    if not all_:
        return "no task yet. The first: taskdeck submit -- COMMAND"
    if not shown:
        return f"none of {all_:,} tasks. All: taskdeck ls --limit 0"
    if shown == all_:
        return f"{all_:,} task{'' if all_ == 1 else 's'}"
    matching = f", {total:,} match" if total and total > shown else ""
    others = {} if "filter" in chosen else {"status": "--status failed", "since": "--since 2h"}
    ways = ["--limit 0", *(way for name, way in others.items() if name not in chosen)]
    return f"{shown:,} of {all_:,} tasks (newest first{matching}). More: {', '.join(ways)}"


BRIEF_COLUMNS = ("uuid", "number", "name", "status", "queue", "timeout", "reason", "started_at", "ended_at", "created_at")
NOTE_COLUMNS = ("run", "run_reason", "why", "expected")
"""What a line shows, by the names of `browse`."""

EMPTY_NOTE = (None, None, None, None)


class LazyCache(dict):  # type: ignore[type-arg]
    """Made once for each key: ten thousand tasks have few states, names and ages."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def __missing__(self, key: str) -> Any:
        value = self[key] = self._make(key)
        return value


class TaskRowFormatter:
    """The lines of the table; `now` in UNIX seconds."""

    def __init__(self, notes: dict[str, TaskNote], now: float) -> None:
        self._notes, self._now = notes, now
        plain = output.is_ascii_only()
        self._states = LazyCache(lambda status: styles.format_state(status, plain))
        self._texts = LazyCache(lambda text: (sanitize(text), ""))
        self._ages = LazyCache(lambda second: (units.format_age(time_format.seconds_since(second, now)), "dim"))

    def format_rows(self, tasks: list[list[Any]]) -> list[list[Span]]:
        """One line for each task."""
        states, texts, ages, notes = self._states, self._texts, self._ages, self._notes
        found = []
        for uuid, number, name, status, queue, timeout, reason, started, ended, created in tasks:
            note = notes.get(uuid, EMPTY_NOTE)
            result = self._format_result(status, reason, note) or self._format_progress(started, timeout, note)
            took = (self._format_time(status, started, ended), "") if started else _MISSING
            line = [(f"{number}", ""), states[note[0] or status], texts[name], texts[queue], ages[created[:19]], took, texts[result]]
            found.append(line)
        return found

    def _format_time(self, status: str, started: str, ended: str | None) -> str:
        """How long its last attempt took, or has been running."""
        if status not in (*ENDED, "running"):
            return units.MISSING
        return units.format_duration(time_format.seconds_between(started, ended, self._now))

    def _format_result(self, status: str, reason: str | None, note: TaskNote) -> str | None:
        """Why it waits or how it ended; None for what runs."""
        run, run_reason, short, _ = note
        if status in ENDED:
            return reason or units.MISSING
        if run == "paused" and run_reason:
            return run_reason.removeprefix("paused ")
        return None if status == "running" else short or reason or units.MISSING

    def _format_progress(self, started: str | None, limit: float | None, note: TaskNote) -> str:
        """`84% of 3h ~12m`: how much of its limit is over, and how long it may still take."""
        elapsed, expected = time_format.seconds_since(started, self._now), note[3]
        if elapsed is None:
            return units.MISSING
        part = f"{units.format_percent(elapsed, limit)} of {units.format_duration_setting(limit)}" if limit else ""
        left = units.format_estimate(expected - elapsed) if expected and expected > elapsed else ""
        return f"{part} {left}".strip() or "no limit"


_MISSING = (units.MISSING, "")


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="", help=SUPPRESS)
    add_filters(parser)
    parser.add_option("--limit", type=LIMIT, metavar="N", help=f"at most N; 0 is all (usually {DEFAULT_LIMIT})")
    parser.add_option("--wide", action="store_true", help="cut nothing")
    add_row_options(parser, "numbers only, one a line, and all of them")


EXAMPLES = """\
  taskdeck ls --status failed --since 2h
  taskdeck ls --queue gpu --limit 0 --json
  taskdeck ls --status failed -o name | xargs -r taskdeck retry"""

COMMANDS = {"ls": Command("list tasks", list_tasks, _add_arguments, EXAMPLES)}
