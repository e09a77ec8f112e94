"""`taskdeck ls`: tasks, newest first. The count goes to stderr, so that a cut list is never silent."""

from __future__ import annotations

import gc
import json
import time
from argparse import SUPPRESS

from app.cli import output, styles, time_format
from app.cli.parser import LIMIT, Args, Command, Parser, as_rows, filters, select, wildcards
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Usage
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from app.cli.context import Session

    Note = Sequence[Any]
    """State and reason of its run, why it waits, and in how many seconds it is expected to start."""

USUAL = 100

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


def ls(session: Session, args: Args) -> int:
    """List what the filters find; without any, what is active and what ended in the last 24 hours."""
    chosen = select(args)
    if args.words:
        raise Usage("ls takes filters, not names.", "One task: taskdeck show 42. By name: taskdeck ls --name NAME")
    if said := wildcards(chosen):
        output.note(said)
    recent = not chosen and args.limit is None
    limit = (0 if args.rows == "name" else USUAL) if args.limit is None else args.limit
    gc.disable()  # a long list is no garbage, and this process ends with it
    if "filter" in chosen:
        return _filtered(session, args, limit)
    whole = args.json or args.jsonl or args.rows == "tsv"
    found = session.call("ls", **chosen, limit=limit, recent=recent, brief=not whole)
    tasks = found["tasks"] if whole else json.loads(found["lines"])
    _print(args, tasks, found)
    _count(args, len(tasks), found)
    _tell_old(session, {task["status"] if whole else task[3] for task in tasks})
    return 0


def _tell_old(session: Session, states: set[str]) -> None:
    """Say that nobody keeps these states up to date, when that is so."""
    if not states.issubset(ENDED) and not session.client.runtime_up():
        output.note("no runtime is up, so what has not ended may stand here in an old state. Start it: taskdeck serve --detach")


PAGE = 1000
"""Tasks that are asked for at a time; a search that takes long stops before, and goes on with the next page."""


def _filtered(session: Session, args: Args, limit: int) -> int:
    """List what a filter line finds, as the deck's own list does."""
    tasks, found = _pages(session, args.filter, limit)
    if args.json or args.jsonl or args.rows == "tsv":
        _print(args, tasks, found)
    else:
        lines = [[task[field] for field in BRIEF] for task in tasks]
        _print(args, lines, {"notes": {task["uuid"]: [task[name] for name in NOTES] for task in tasks}})
    _count(args, len(tasks), found)
    _tell_old(session, {task["status"] for task in tasks})
    return 0


def _pages(session: Session, filter: str, limit: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The tasks, and what the last answer says besides."""
    tasks: list[dict[str, Any]] = []
    at = None
    while True:
        found = session.call("browse", filter=filter, at=at, limit=min(PAGE, limit - len(tasks)) if limit else PAGE)
        tasks += [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
        if not found["more_after"] or len(tasks) == limit:
            return tasks, found
        at = found["stopped"] or [tasks[-1]["at"], tasks[-1]["number"]]


def _print(args: Args, tasks: list[Any], found: dict[str, Any]) -> None:
    """The tasks in the form that was asked for."""
    if args.json or args.jsonl:
        output.document(tasks, args.jsonl)
    elif args.rows == "tsv":
        output.rows(FIELDS, [[task[field] for field in FIELDS] for task in tasks], "tsv")
    elif args.rows:
        output.rows(FIELDS, [task[1:2] for task in tasks], "name")
    elif tasks:
        output.table(COLUMNS, Rows(found["notes"], time.time()).of(tasks), args.wide)


def _count(args: Args, shown: int, found: dict[str, Any]) -> None:
    """Say how many tasks are listed, unless that is all that the filters find."""
    chosen, total = select(args), found["total"]
    more = bool(found.get("more_after")) if total is None else shown < total
    if not chosen or more or not shown:
        output.say(output.for_home(counted(shown, total, found["of"], chosen)))


def counted(shown: int, total: int | None, all_: int, chosen: Collection[str] = ()) -> str:
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


BRIEF = ("uuid", "number", "name", "status", "queue", "timeout", "reason", "started_at", "ended_at", "created_at")
NOTES = ("run", "run_reason", "why", "expected")
"""What a line shows, by the names of `browse`."""

NOTHING = (None, None, None, None)


class Once(dict):  # type: ignore[type-arg]
    """Made once for each key: ten thousand tasks have few states, names and ages."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def __missing__(self, key: str) -> Any:
        value = self[key] = self._make(key)
        return value


class Rows:
    """The lines of the table; `now` in UNIX seconds."""

    def __init__(self, notes: dict[str, Note], now: float) -> None:
        self._notes, self._now = notes, now
        plain = output.ascii_only()
        self._states = Once(lambda status: styles.state(status, plain))
        self._texts = Once(lambda text: (clean(text), ""))
        self._ages = Once(lambda second: (units.age(time_format.since(second, now)), "dim"))

    def of(self, tasks: list[list[Any]]) -> list[list[Span]]:
        """One line for each task."""
        states, texts, ages, notes = self._states, self._texts, self._ages, self._notes
        found = []
        for uuid, number, name, status, queue, timeout, reason, started, ended, created in tasks:
            note = notes.get(uuid, NOTHING)
            result = self._result(status, reason, note) or self._progress(started, timeout, note)
            took = (self._time(status, started, ended), "") if started else _MISSING
            line = [(f"{number}", ""), states[note[0] or status], texts[name], texts[queue], ages[created[:19]], took, texts[result]]
            found.append(line)
        return found

    def _time(self, status: str, started: str, ended: str | None) -> str:
        """How long its last attempt took, or has been running."""
        if status not in (*ENDED, "running"):
            return units.MISSING
        return units.duration(time_format.between(started, ended, self._now))

    def _result(self, status: str, reason: str | None, note: Note) -> str | None:
        """Why it waits or how it ended; None for what runs."""
        run, run_reason, short, _ = note
        if status in ENDED:
            return reason or units.MISSING
        if run == "paused" and run_reason:
            return run_reason.removeprefix("paused ")
        return None if status == "running" else short or reason or units.MISSING

    def _progress(self, started: str | None, limit: float | None, note: Note) -> str:
        """`84% of 3h ~12m`: how much of its limit is over, and how long it may still take."""
        elapsed, expected = time_format.since(started, self._now), note[3]
        if elapsed is None:
            return units.MISSING
        part = f"{units.percent(elapsed, limit)} of {units.setting(limit)}" if limit else ""
        left = units.estimate(expected - elapsed) if expected and expected > elapsed else ""
        return f"{part} {left}".strip() or "no limit"


_MISSING = (units.MISSING, "")


def _arguments(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="", help=SUPPRESS)
    filters(parser)
    parser.option("--limit", type=LIMIT, metavar="N", help=f"at most N; 0 is all (usually {USUAL})")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser, "numbers only, one a line, and all of them")


EXAMPLES = """\
  taskdeck ls --status failed --since 2h
  taskdeck ls --queue gpu --limit 0 --json
  taskdeck ls --status failed -o name | xargs -r taskdeck retry"""

COMMANDS = {"ls": Command("list tasks", ls, _arguments, EXAMPLES)}
