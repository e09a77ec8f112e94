"""`taskdeck ls`: list what runs, then what waits, then what ended. A group is one line.

JSON and TSV list the newest task first: a script relies on numbers, not on states. The count goes
to stderr, so that a truncated list is never silent.
"""

from __future__ import annotations

import gc
import json
import time
from argparse import SUPPRESS

from app.cli import group_format, output, styles, time_format
from app.cli.parser import (
    LIMIT,
    Args,
    Command,
    Parser,
    add_filters,
    add_row_options,
    collect_selection,
    explain_wildcards,
)
from app.cli.table_layout import Column, Span
from app.cluster import advise_start
from app.core.task_groups import format_group, format_member, parse_group
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.core.text.status_glyphs import IN_SLURM
from app.errors import Usage
from app.paths import is_replica
from app.translation import tr, tr_n
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from app.cli.context import CommandContext

    TaskNote = Sequence[Any]
    """State and reason of the run, the reason to wait, begin and range of the expected start, and
    the limit of the run."""

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
    "number", "status", "name", "queue", "priority", "template", "cpu", "memory", "timeout",
    "attempts", "reason", "created_at",
    "started_at", "ended_at", "submitted_by", "tags", "uuid",
)  # fmt: skip


def list_tasks(context: CommandContext, args: Args) -> int:
    """List matching tasks; without filters, active ones and those ended in 24 hours."""
    chosen = _collect_chosen(args)
    if args.groups:
        return _list_groups(context, args, chosen)
    if explanation := explain_wildcards(chosen):
        output.print_note(explanation)
    recent = not chosen and args.limit is None
    limit = (0 if args.rows == "name" else DEFAULT_LIMIT) if args.limit is None else args.limit
    gc.disable()  # a long list creates no garbage, and the process ends afterwards
    if "filter" in chosen:
        return _list_filtered(context, args, chosen, limit)
    whole = _has_whole_tasks(args)
    fold = {} if whole or args.rows or args.tasks or chosen else {"fold": True}
    reply = context.call("ls", **chosen, limit=limit, recent=recent, brief=not whole, **fold)
    tasks = reply["tasks"] if whole else json.loads(reply["lines"])
    _print_tasks(args, tasks, reply)
    _print_count(args, chosen, len(tasks), reply)
    _warn_stale(context, {task["status"] if whole else task[3] for task in tasks})
    return 0


def _collect_chosen(args: Args) -> dict[str, Any]:
    """Return filters and groups as arguments of a verb. Raise Usage for other words."""
    if any(parse_group(word) is None for word in args.words):
        raise Usage(
            "ls takes filters and groups such as g12, not names.",
            "For one task: taskdeck show 42. By name: taskdeck ls --name NAME",
        )
    words, chosen = collect_selection(args, "ls", args.words)
    return {"filter": f"group:{','.join(words)}"} if words else chosen


def _list_groups(context: CommandContext, args: Args, chosen: dict[str, Any]) -> int:
    """List groups instead of tasks."""
    if chosen or args.tasks or args.rows:
        raise Usage("--groups goes with --limit, --json and --jsonl only.")
    limit = DEFAULT_LIMIT if args.limit is None else args.limit
    found = context.call("group.ls", limit=limit)
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    elif found:
        now = time.time()
        rows = [group_format.format_row(group, now) for group in found]
        output.print_table(group_format.COLUMNS, rows, args.wide)
    else:
        output.print_message(
            tr("there are no groups. To submit a group: taskdeck submit --array 1-10 -- COMMAND")
        )
    return 0


def _has_whole_tasks(args: Args) -> bool:
    """Return True for a machine format, which has all fields of each task."""
    return args.json or args.jsonl or args.rows == "tsv"


def _warn_stale(context: CommandContext, states: set[str]) -> None:
    """Warn that states may be stale if no runtime is running. A replica tells its age instead."""
    if states.issubset(ENDED) or is_replica(context.home):
        return
    if not context.client.is_runtime_up():
        output.print_note(
            tr(
                "no runtime is running; states of unfinished tasks may be stale. {advice}",
                advice=advise_start(context.home),
            )
        )


PAGE_SIZE = 1000
"""Tasks per request. A slow search stops early and continues with the next page."""
GROUPS = (("active", True), ("waiting", False), ("ended", True))
"""Groups of states in the order of the list, and whether their newest task comes first."""
WHOLE = (("", True),)
"""One group of all states, for machine formats."""


def _list_filtered(context: CommandContext, args: Args, chosen: dict[str, Any], limit: int) -> int:
    """List the tasks that match a filter, as the deck's task list does."""
    whole = _has_whole_tasks(args)
    tasks, reply = _fetch_pages(context, chosen["filter"], WHOLE if whole else GROUPS, limit)
    if whole:
        _print_tasks(args, tasks, reply)
    else:
        lines = [[task.get(field) for field in BRIEF_COLUMNS] for task in tasks]
        _print_tasks(
            args,
            lines,
            {"notes": {task["uuid"]: [task[name] for name in NOTE_COLUMNS] for task in tasks}},
        )
    _print_count(args, chosen, len(tasks), reply)
    _warn_stale(context, {task["status"] for task in tasks})
    return 0


def _fetch_pages(
    context: CommandContext, filter: str, groups: Sequence[tuple[str, bool]], limit: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the tasks and the rest of the last answer, with the total of all groups."""
    tasks: list[dict[str, Any]] = []
    totals: list[int | None] = []
    more = False
    reply: dict[str, Any] = {}
    for group, down in groups:
        words = f"status:{group} {filter}" if group else filter
        found, reply = _fetch_group(context, words, down, limit - len(tasks) if limit else None)
        tasks += found
        totals.append(reply["total"])
        more = more or reply["more_after"]
    known = [total for total in totals if total is not None]
    total = sum(known) if len(known) == len(totals) else None
    return tasks, {**reply, "total": total, "more_after": more}


def _fetch_group(
    context: CommandContext, filter: str, down: bool, room: int | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return at most `room` tasks of one group, and the last answer, with the group's total.

    With `down`, the newest task comes first.
    """
    tasks: list[dict[str, Any]] = []
    at = None
    while True:
        left = PAGE_SIZE if room is None else max(1, min(PAGE_SIZE, room - len(tasks)))
        reply = context.call("browse", filter=filter, at=at, down=down, limit=left)
        tasks += [_name_group(dict(zip(reply["columns"], row, strict=True)))
                  for row in reply["rows"]]  # fmt: skip
        if not reply["more_after"] or (room is not None and len(tasks) >= room):
            cut = room is not None and len(tasks) > room
            return tasks[:room], {**reply, "more_after": reply["more_after"] or cut}
        at = reply["stopped"] or [tasks[-1]["at"], tasks[-1]["number"]]


def _name_group(task: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `browse` with its group as `g12`, as `show` names it."""
    number = task.pop("group_number", None)
    return task | {"group": None if number is None else format_group(number)}


def _print_tasks(args: Args, tasks: list[Any], reply: dict[str, Any]) -> None:
    if args.json or args.jsonl:
        output.print_json(tasks, args.jsonl)
    elif args.rows == "tsv":
        output.print_rows(FIELDS, [[task[field] for field in FIELDS] for task in tasks], "tsv")
    elif args.rows:
        output.print_rows(FIELDS, [task[1:2] for task in tasks], "name")
    elif tasks or reply.get("groups"):
        now = time.time()
        rows = TaskRowFormatter(reply["notes"], now).format_rows(tasks)
        statuses = [task[3] for task in tasks]
        output.print_table(
            COLUMNS, _insert_groups(rows, statuses, reply.get("groups", ()), now), args.wide
        )


_STATE_ORDER = ("running", "queued", "retrying", "scheduled", "blocked", "held")


def _rank_status(status: str) -> int:
    return _STATE_ORDER.index(status) if status in _STATE_ORDER else len(_STATE_ORDER)


def _insert_groups(
    rows: list[list[Span]], statuses: list[str], groups: Sequence[dict[str, Any]], now: float
) -> list[list[Span]]:
    """Return the lines with each group before the tasks of its state."""
    if not groups:
        return rows
    placed = [
        *((_rank_status(group["status"]), group_format.format_task_row(group, now))
          for group in groups),
        *((_rank_status(status), row) for status, row in zip(statuses, rows, strict=True)),
    ]  # fmt: skip
    return [row for _, row in sorted(placed, key=lambda one: one[0])]


def _print_count(args: Args, chosen: dict[str, Any], shown: int, reply: dict[str, Any]) -> None:
    """Print the number of tasks listed, unless all matching tasks are shown."""
    if reply.get("groups"):
        return output.print_message(_count_folded(shown, reply))
    total = reply["total"]
    more = bool(reply.get("more_after")) if total is None else shown < total
    if not chosen or more or not shown:
        order = tr("newest first") if _has_whole_tasks(args) else ""
        text = format_count(shown, total, reply["of"], chosen, order)
        output.print_message(output.add_home_option(text))


def _count_folded(shown: int, reply: dict[str, Any]) -> str:
    """Return `5 tasks and 2 groups of 1,300 tasks. Tasks of a group: taskdeck ls g12. …`."""
    groups = reply["groups"]
    tasks = tr_n(shown, "{n:,} task and ", "{n:,} tasks and ") if shown else ""
    many = tr_n(len(groups), "{n:,} group", "{n:,} groups")
    in_groups = sum(group["total"] for group in groups)
    left = reply["total"] - shown - in_groups
    more = tr(", and {n:,} more", n=left) if left > 0 else ""
    return tr_n(
        in_groups,
        "{tasks}{groups} of {n:,} task{more}. Tasks of a group: taskdeck ls {group}. All: --tasks",
        "{tasks}{groups} of {n:,} tasks{more}. Tasks of a group: taskdeck ls {group}. All: --tasks",
        tasks=tasks,
        groups=many,
        more=more,
        group=groups[0]["group"],
    )


def format_count(
    shown: int, total: int | None, all_: int, chosen: Collection[str] = (), order: str = ""
) -> str:
    """Return `11 of 1,204 tasks (running first). More: …`.

    `total` is the number of matches, None if unknown; `chosen` are the filters in use.
    """
    if not all_:
        return tr("there are no tasks yet. To submit a task: taskdeck submit -- COMMAND")
    if not shown:
        return tr("no match among {n:,} tasks. All: taskdeck ls --limit 0", n=all_)
    if shown == all_:
        return tr_n(all_, "{n:,} task", "{n:,} tasks")
    matching = tr(", {n:,} match", n=total) if total and shown < total < all_ else ""
    others = {} if "filter" in chosen else {"status": "--status failed", "since": "--since 2h"}
    hints = ["--limit 0", *(way for name, way in others.items() if name not in chosen)]
    return tr(
        "{n:,} of {all:,} tasks ({order}{matching}). More: {hints}",
        n=shown,
        all=all_,
        order=order or tr("running first"),
        matching=matching,
        hints=", ".join(hints),
    )


BRIEF_COLUMNS = (
    "uuid",
    "number",
    "name",
    "status",
    "queue",
    "timeout",
    "reason",
    "started_at",
    "ended_at",
    "created_at",
    "group_index",
    "sweep",
)
NOTE_COLUMNS = ("run", "run_reason", "why", "expected", "expected_in", "run_limit")
"""Columns of `browse` that a line shows."""

EMPTY_NOTE = (None,) * len(NOTE_COLUMNS)


class LazyCache(dict):  # type: ignore[type-arg]
    """Cache that makes each value once: many tasks share few states, names and ages."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def __missing__(self, key: str) -> Any:
        value = self[key] = self._make(key)
        return value


class TaskRowFormatter:
    """Formatter of the task table; `now` in UNIX seconds."""

    def __init__(self, notes: dict[str, TaskNote], now: float) -> None:
        self._notes, self._now = notes, now
        plain = output.is_ascii_only()
        self._states = LazyCache(lambda status: styles.format_state(status, plain))
        self._texts = LazyCache(lambda text: (sanitize(text), ""))
        self._ages = LazyCache(
            lambda second: (units.format_age(time_format.seconds_since(second, now)), "dim")
        )

    def format_rows(self, tasks: list[list[Any]]) -> list[list[Span]]:
        """Return one line per task."""
        states, texts, ages, notes = self._states, self._texts, self._ages, self._notes
        reply = []
        for (
            uuid, number, name, status, queue, _, reason, started, ended, created, index, sweep
        ) in tasks:  # fmt: skip
            member = format_member(index, sweep)
            note = notes.get(uuid, EMPTY_NOTE)
            result = self._format_result(status, reason, note)
            if result is None:
                result = self._format_progress(started, note[5])
            took = (self._format_time(status, started, ended), "") if started else _MISSING
            if note[0] == IN_SLURM:
                took = _MISSING
            if note[4]:
                took = (tr("in {wait}", wait=units.format_estimate_range(*note[4])), "")
            line = [
                (f"{number}", ""),
                states[note[0] or status],
                texts[f"{name} {member}" if member else name],
                texts[queue],
                ages[created[:19]],
                took,
                texts[result],
            ]
            reply.append(line)
        return reply

    def _format_time(self, status: str, started: str, ended: str | None) -> str:
        if status not in (*ENDED, "running"):
            return units.MISSING
        return units.format_duration(time_format.seconds_between(started, ended, self._now))

    def _format_result(self, status: str, reason: str | None, note: TaskNote) -> str | None:
        """Return why the task waits or how it ended; None while it runs."""
        run, run_reason, short, *_ = note
        if status in ENDED:
            return reason or units.MISSING
        if run in ("paused", IN_SLURM) and run_reason:
            return run_reason.removeprefix("paused ")
        if run == IN_SLURM:
            return tr("waits in Slurm")
        return None if status == "running" else short or reason or units.MISSING

    def _format_progress(self, started: str | None, limit: float | None) -> str:
        """Return `84% of 3h`, the used share of the timeout."""
        elapsed = time_format.seconds_since(started, self._now)
        if elapsed is None:
            return units.MISSING
        if not limit:
            return tr("no limit")
        return tr(
            "{share} of {limit}",
            share=units.format_percent(elapsed, limit),
            limit=units.format_duration_setting(limit),
        )


_MISSING = (units.MISSING, "")


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="", help=SUPPRESS)
    add_filters(parser)
    parser.add_option("--tasks", action="store_true", help="list the tasks of groups one by one")
    parser.add_option(
        "--groups", action="store_true", help="list all groups (g12) with their progress"
    )
    parser.add_option(
        "--limit",
        type=LIMIT,
        metavar="N",
        help=tr("show at most N; 0 shows all (default: {n})", n=DEFAULT_LIMIT),
    )
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "numbers only, one per line, without a limit")


EXAMPLES = """\
  taskdeck ls g12 --status failed
  taskdeck ls --status failed --since 2h
  taskdeck ls --queue gpu --limit 0 --json
  taskdeck ls --status failed -o name | xargs -r taskdeck retry"""

COMMANDS = {
    "ls": Command("list tasks", list_tasks, _add_arguments, EXAMPLES, usage="[GROUP …] [OPTION …]")
}
