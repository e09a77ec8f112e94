"""`taskdeck db cleanup`: apply the retention rules of config.toml, or preview them."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Remote, Usage
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("RULE", least=8, first=True),
    Column("BECAUSE", least=10),
    Column("RUNS", ">"),
    Column("TASKS", ">"),
    Column("LOGS", ">"),
    Column("ROWS", ">"),
]
TABLE_LABELS = {"forgotten": tr_noop("records of deleted tasks")}
"""Descriptions of tables whose names do not explain their content."""


def clean_up(context: CommandContext, args: Args) -> int:
    """Remove what the rules no longer keep, or list it with --dry-run.

    Raise Usage while the rules are unknown. A dry run needs no runtime.
    """
    is_offline = args.dry_run and not context.client.is_runtime_up()
    given = {"dry_run": args.dry_run, "sure": args.yes}
    try:
        found = (
            _preview_offline(context.home, given)
            if is_offline
            else context.call("db.cleanup", **given)
        )
    except Remote as refused:
        raise Remote(
            _strip_repeated(refused.message), refused.hint, refused.code, refused.exit_code
        ) from None
    if found["paused"]:
        raise Usage(
            _strip_repeated(tr("{problem} Nothing is removed.", problem=found["paused"])),
            "Correct the file; nothing is removed until then.",
        )
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
        return 0
    if found["rules"]:
        output.print_table(COLUMNS, [_format_rule_row(rule) for rule in found["rules"]])
    for text in _summarize(found):
        output.print_line(text)
    return 0


def _preview_offline(home: str, args: dict[str, Any]) -> dict[str, Any]:
    from app.offline import read_only

    return read_only.read(home, "db.cleanup", args)


def _strip_repeated(text: str) -> str:
    """Strip the part of a refusal already shown in the notice about config.toml."""
    from app import config, paths

    return text.removeprefix(config.read(paths.get_config_path()).retention_fault).lstrip()


def _format_rule_row(rule: dict[str, Any]) -> list[Span]:
    figures = (
        f"{rule['runs']:,}",
        f"{rule['tasks']:,}",
        units.format_bytes(rule["logs"]),
        units.format_bytes(rule["rows"]),
    )
    return [
        (sanitize(rule["rule"]), ""),
        (sanitize(rule["because"]), "dim"),
        *((figure, "") for figure in figures),
    ]


def _summarize(found: dict[str, Any]) -> list[str]:
    others = ", ".join(
        f"{many:,} {tr(TABLE_LABELS[table]) if table in TABLE_LABELS else sanitize(table)}"
        for table, many in found["others"].items()
    )
    freed = units.format_bytes(found["logs"] + found["rows"])
    runs = tr_n(found["runs"], "{n:,} run", "{n:,} runs")
    tasks = tr_n(found["tasks"], "{n:,} task", "{n:,} tasks")
    if not found["rules"]:
        work = []
    elif found["dry_run"]:
        work = [
            tr("would remove {runs} and {tasks}, about {size}", runs=runs, tasks=tasks, size=freed)
        ]
    else:
        work = [tr("removed {runs} and {tasks}, about {size}", runs=runs, tasks=tasks, size=freed)]
    noted = [_describe_others(others, bool(work), found["dry_run"])] if others else []
    odd = (
        tr("in config.toml {problem}", problem=sanitize(description))
        for description in found["unknown"]
    )
    remarks = [
        *_describe_freed_logs(found["freed"]),
        *_describe_pending(found["waiting"]),
        *_describe_kept(found["kept"]),
        *odd,
    ]
    if not (work or noted):
        return [tr("nothing is old enough to remove"), *remarks]
    before, after = (units.format_bytes(found["size"][when]) for when in ("before", "after"))
    shrunk = (
        []
        if found["dry_run"]
        else [tr("database size: {before} before, {after} after", before=before, after=after)]
    )
    return [*work, *noted, *shrunk, *remarks]


def _describe_others(others: str, is_more: bool, dry: bool) -> str:
    if is_more:
        return tr("and other rows: {rows}", rows=others)
    if dry:
        return tr("would remove other rows: {rows}", rows=others)
    return tr("removed other rows: {rows}", rows=others)


def _describe_freed_logs(freed: dict[str, int]) -> list[str]:
    many, size = freed["logs"], units.format_bytes(freed["bytes"])
    return (
        [
            tr_n(
                many,
                "the disk was full, so {n:,} log of expired runs ({size}) had to be removed first",
                "the disk was full, so {n:,} logs of expired runs ({size}) had to be removed first",
                size=size,
            )
        ]
        if many
        else []
    )


def _describe_pending(found: dict[str, int]) -> list[str]:
    runs, size = found["runs"], units.format_bytes(found["logs"])
    if not runs:
        return []
    return [
        tr_n(
            runs,
            "{n:,} run more, {size} of logs, is removed once counted in the history: in a few"
            " minutes, unless the disk is full",
            "{n:,} runs more, {size} of logs, are removed once counted in the history: in a few"
            " minutes, unless the disk is full",
            size=size,
        )
    ]


def _describe_kept(many: int) -> list[str]:
    if not many:
        return []
    return [
        tr_n(
            many,
            "kept: {n:,} last success, the newest per task name and template",
            "kept: {n:,} last successes, the newest per task name and template",
        )
    ]


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--dry-run", action="store_true", help="show what each rule would remove; remove nothing"
    )
    parser.add_option(
        "--yes", action="store_true", help="trust the clock although it jumped far ahead"
    )
    add_json_options(parser)


COMMANDS = {
    "cleanup": Command(
        "remove what the retention rules no longer keep",
        clean_up,
        _add_arguments,
        '  taskdeck db cleanup --dry-run\n  in config.toml: [retention] keep = "30d", runs = 10000,'
        ' logs = "10G"\n                  [retention.queue.scratch] keep = "1d"\n  always kept:'
        " active and pinned tasks, and the last success per task name and template",
    )
}
