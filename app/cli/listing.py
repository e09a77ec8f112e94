"""`taskdeck ls`: tasks, newest first. The count goes to stderr, so that a cut list is never silent."""

from __future__ import annotations

import time
from argparse import SUPPRESS

from app.cli import look, output, times
from app.cli.options import LIMIT, Args, Command, Parser, as_json, filters, select
from app.cli.table import Column, Span
from app.core import amounts
from app.core.clean import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

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


def ls(session: Session, args: Args) -> int:
    """List what the filters find; without any, what is active and what ended in the last 24 hours."""
    chosen = select(args)
    if args.words:
        raise Usage("ls takes filters, not names.", "One task: taskdeck show 42. By name: taskdeck ls --name NAME")
    recent = not chosen and args.limit is None
    limit = USUAL if args.limit is None else args.limit
    found = session.call("ls", **chosen, limit=limit, recent=recent)
    if args.json or args.jsonl:
        output.document(found["tasks"], args.jsonl)
    else:
        _show(found["tasks"], args.wide)
    output.say(counted(len(found["tasks"]), found["total"], found["of"]))
    return 0


def _show(tasks: list[dict[str, Any]], wide: bool) -> None:
    if tasks:
        now = time.time()
        output.table(COLUMNS, [row(task, now) for task in tasks], wide)


def counted(shown: int, total: int, all_: int) -> str:
    """`11 of 1,204 tasks (newest first). More: …`."""
    if not all_:
        return "no task yet. The first: taskdeck submit -- COMMAND"
    if not shown:
        return f"none of {all_:,} tasks. All: taskdeck ls --limit 0"
    if shown == all_:
        return f"{all_:,} task{'' if all_ == 1 else 's'}"
    matching = f", {total:,} match" if total > shown else ""
    return f"{shown:,} of {all_:,} tasks (newest first{matching}). More: --limit 0, --status failed, --since 2h"


def row(task: dict[str, Any], now: float) -> list[Span]:
    """One line of the table; `now` in UNIX seconds."""
    return [
        (str(task["number"]), ""),
        look.state(task.get("run") or task["status"], output.ascii_only()),
        (clean(task["name"]), ""),
        (clean(task["queue"]), ""),
        (amounts.age(times.since(task["created_at"], now)), "dim"),
        (_time(task, now), ""),
        (clean(_result(task, now)), ""),
    ]


def _time(task: dict[str, Any], now: float) -> str:
    started = task.get("started_at")
    if not started or task["status"] not in (*look.ENDED, "running"):
        return amounts.MISSING
    return amounts.duration(times.between(started, task.get("ended_at"), now))


def _result(task: dict[str, Any], now: float) -> str:
    if task["status"] in look.ENDED:
        return task.get("reason") or amounts.MISSING
    if task.get("run") == "paused" and task.get("run_reason"):
        return task["run_reason"].removeprefix("paused ")
    if task["status"] == "running":
        return _progress(task, now)
    return task.get("wait_short") or task.get("reason") or amounts.MISSING


def _progress(task: dict[str, Any], now: float) -> str:
    """`84% of 3h ~12m`: how much of its limit is over, and how long it may still take."""
    elapsed = times.since(task.get("started_at"), now)
    limit, expected = task.get("timeout"), task.get("expected")
    if elapsed is None:
        return amounts.MISSING
    part = f"{amounts.percent(elapsed, limit)} of {amounts.setting(limit)}" if limit else ""
    left = amounts.estimate(expected - elapsed) if expected and expected > elapsed else ""
    return f"{part} {left}".strip() or "no limit"


def _arguments(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="", help=SUPPRESS)
    filters(parser)
    parser.option("--limit", type=LIMIT, metavar="N", help=f"at most N; 0 is all (usually {USUAL})")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_json(parser)


EXAMPLES = """\
  taskdeck ls --status failed --since 2h
  taskdeck ls --queue gpu --limit 0 --json"""

COMMANDS = {"ls": Command("list tasks", ls, _arguments, EXAMPLES)}
