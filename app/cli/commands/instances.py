"""`taskdeck instances`: runs, newest first."""

from __future__ import annotations

import time

from app.cli import output, styles, time_format
from app.cli.parser import LIMIT, Args, Command, Parser, as_rows
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

USUAL = 100

COLUMNS = [
    Column("ID", ">"),
    Column("TRY", ">"),
    Column("STATE"),
    Column("NAME", least=8, easy=14, first=True),
    Column("QUEUE", least=6, easy=10),
    Column("STARTED", ">"),
    Column("TOOK", ">"),
    Column("CPU", ">"),
    Column("PEAK", ">"),
    Column("RESULT", least=8),
]

FIELDS = (
    "runid", "number", "name", "queue", "attempt", "status", "start_time", "end_time", "exit_code", "signal", "reason", "run_seconds",
    "cpu_seconds", "max_rss", "log_bytes",
)  # fmt: skip


def instances(session: Session, args: Args) -> int:
    """List the runs of a task, or of all."""
    if len(args.ids) > 1:
        raise Usage("instances takes one task, or none for all.")
    found = session.call("instances", id=args.ids[0] if args.ids else None, limit=args.limit)
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    elif args.rows:
        output.rows(FIELDS, [[run[field] for field in FIELDS] for run in found], args.rows)
    elif found:
        now = time.time()
        output.table(COLUMNS, [_row(run, now) for run in found], args.wide)
    else:
        output.say("no run yet")
    if args.limit and len(found) == args.limit:
        output.say(f"{args.limit:,} runs (newest first). More: --limit 0")
    return 0


def _row(run: dict[str, Any], now: float) -> list[Span]:
    return [
        (str(run["number"]), ""),
        (str(run["attempt"]), ""),
        styles.state(run["status"], output.ascii_only()),
        (clean(run["name"]), ""),
        (clean(run["queue"]), ""),
        *facts(run, now),
        (clean(result(run)), ""),
    ]


def facts(run: dict[str, Any], now: float) -> list[Span]:
    """When it started, what it took in time, CPU and memory."""
    took = run.get("run_seconds")
    if took is None:
        took = time_format.between(run.get("start_time"), run.get("end_time"), now)
    return [
        (time_format.clock(run.get("start_time"), seconds=True), ""),
        (units.duration(took), ""),
        (units.duration(run.get("cpu_seconds")), ""),
        (units.memory(run.get("max_rss")), ""),
    ]


def result(run: dict[str, Any]) -> str:
    """`exit 1`, `signal 9 (KILL)`, a reason, or nothing when all went well or nothing is known."""
    if run.get("reason"):
        return run["reason"]
    if run.get("signal") is not None:
        return f"signal {run['signal']}"
    return f"exit {run['exit_code']}" if run.get("exit_code") else units.MISSING


def _arguments(parser: Parser) -> None:
    parser.option("ids", nargs="*", metavar="ID", help="only of this task")
    parser.option("--limit", type=LIMIT, default=USUAL, metavar="N", help=f"at most N; 0 is all (usually {USUAL})")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser, "ids of runs only, one a line")


COMMANDS = {"instances": Command("list runs", instances, _arguments, "  taskdeck instances 42")}
