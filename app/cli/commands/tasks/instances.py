"""`taskdeck instances`: list runs, newest first."""

from __future__ import annotations

import time

from app.cli import output, styles, time_format
from app.cli.parser import LIMIT, Args, Command, Parser, add_row_options
from app.cli.table_layout import Column, Span
from app.core.scheduling.devices import format_devices
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

DEFAULT_LIMIT = 100

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
DEVICES = Column("GPU")
"""Column of the GPUs, for runs of which some have any."""

FIELDS = (
    "runid", "number", "name", "queue", "attempt", "status", "start_time", "end_time", "exit_code",
    "signal", "reason", "run_seconds",
    "cpu_seconds", "max_rss", "log_bytes", "devices",
)  # fmt: skip


def list_runs(context: CommandContext, args: Args) -> int:
    """List the runs of a task or a group, or of all tasks."""
    if len(args.ids) > 1:
        raise Usage("instances takes at most one task or group.")
    found = context.call("instances", id=args.ids[0] if args.ids else None, limit=args.limit)
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    elif args.rows:
        output.print_rows(FIELDS, [_list_fields(run) for run in found], args.rows)
    elif found:
        now, with_devices = time.time(), any(run.get("devices") for run in found)
        columns = [*COLUMNS, DEVICES] if with_devices else COLUMNS
        rows = [
            _format_row(run, now) + ([format_gpus(run)] if with_devices else []) for run in found
        ]
        output.print_table(columns, rows, args.wide)
    else:
        output.print_message(tr("no runs yet"))
    if args.limit and len(found) == args.limit:
        output.print_message(tr("{n:,} runs (newest first). More: --limit 0", n=args.limit))
    return 0


def _list_fields(run: dict[str, Any]) -> list[Any]:
    return [run[field] for field in FIELDS[:-1]] + [",".join(run.get("devices") or ())]


def format_gpus(run: dict[str, Any]) -> Span:
    """Return the cell of a run's GPUs."""
    return sanitize(format_devices(run.get("devices") or ())) or units.MISSING, ""


def _format_row(run: dict[str, Any], now: float) -> list[Span]:
    return [
        (str(run["number"]), ""),
        (str(run["attempt"]), ""),
        styles.format_state(run["status"], output.is_ascii_only()),
        (sanitize(run["name"]), ""),
        (sanitize(run["queue"]), ""),
        *format_usage(run, now),
        (sanitize(format_result(run)), ""),
    ]


def format_usage(run: dict[str, Any], now: float) -> list[Span]:
    """Return start time, duration, CPU time and peak memory."""
    took = run.get("run_seconds")
    if took is None:
        took = time_format.seconds_between(run.get("start_time"), run.get("end_time"), now)
    return [
        (time_format.format_clock(run.get("start_time"), seconds=True), ""),
        (units.format_duration(took), ""),
        (units.format_duration(run.get("cpu_seconds")), ""),
        (units.format_memory(run.get("max_rss")), ""),
    ]


def format_result(run: dict[str, Any]) -> str:
    """Return `exit 1`, `signal 9`, a reason, or a dash if nothing is wrong or known."""
    if run.get("reason"):
        return run["reason"]
    if run.get("signal") is not None:
        return tr("signal {signal}", signal=run["signal"])
    return tr("exit {code}", code=run["exit_code"]) if run.get("exit_code") else units.MISSING


def _add_arguments(parser: Parser) -> None:
    parser.add_option("ids", nargs="*", metavar="ID", help="show only runs of this task or group")
    parser.add_option(
        "--limit",
        type=LIMIT,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=tr("show at most N; 0 shows all (default: {n})", n=DEFAULT_LIMIT),
    )
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "ids of runs only, one per line")


COMMANDS = {
    "instances": Command(
        "list runs",
        list_runs,
        _add_arguments,
        "  taskdeck instances 42\n  taskdeck instances g12",
        usage="[OPTION …] [ID]",
    )
}
