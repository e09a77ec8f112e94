"""`taskdeck db stats`: sizes of tables and indexes, and index usage."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, add_json_options
from app.cli.table_layout import Column, Line, Span
from app.core.text import units
from app.core.text.sanitize import pad, sanitize
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

TABLE_COLUMNS = [
    Column("TABLE", least=10),
    Column("ROWS", ">"),
    Column("SIZE", ">"),
    Column("INDEXES", ">"),
    Column("UNUSED", ">"),
]
INDEX_COLUMNS = [
    Column("INDEX", least=12),
    Column("SIZE", ">"),
    Column("USED BY", ">"),
    Column("FOR", least=10, first=True),
]


def show_stats(context: CommandContext, args: Args) -> int:
    """Measure the database and print the result."""
    found = context.call("db.stats")
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
        return 0
    output.print_lines([*_format_facts(found), []])
    output.print_table(
        TABLE_COLUMNS,
        [_format_table_row(one) for one in found["tables"] if one["rows"] or args.all],
        args.wide,
    )
    output.print_line()
    indexes = [one for one in found["indexes"] if args.all or not one["name"].startswith("sqlite_")]
    output.print_table(INDEX_COLUMNS, [_format_index_row(one) for one in indexes], args.wide)
    output.print_lines(_format_missing_indexes(found["missing"]))
    return 0


def _format_facts(found: dict[str, Any]) -> list[Line]:
    waits = found["lock_waits"]
    facts = [
        (
            tr("size"),
            units.format_bytes(found["bytes"])
            + ("" if found["exact"] else tr(", parts unknown: this SQLite lacks dbstat")),
        ),
        (tr("log"), units.format_bytes(found["wal_bytes"])),
        (
            tr("unused"),
            tr(
                "{share}, {free} free pages of {all}",
                share=units.format_percent(found["fragmentation"], 1),
                free=found["free_pages"],
                all=found["pages"],
            ),
        ),
        (tr("lock"), _format_lock_waits(waits) if waits else tr("unknown, no runtime is running")),
        (tr("cache"), _format_cache(found["cache"])),
        (
            tr("index use"),
            (
                tr("recorded since {time}", time=time_format.format_clock(found["used_since"]))
                if found["used_since"]
                else tr("unknown, no runtime is running")
            ),
        ),
    ]
    return [[(f"  {pad(label, 11)}", "dim"), (text, "")] for label, text in facts]


def _format_lock_waits(waits: dict[str, Any]) -> str:
    if not waits["count"]:
        return tr("no write had to wait")
    return tr(
        "{n} writes waited, {worst} at worst, {total} in all",
        n=waits["count"],
        worst=units.format_latency(waits["worst"]),
        total=units.format_latency(waits["total"]),
    )


def _format_table_row(found: dict[str, Any]) -> list[Span]:
    sizes = [(units.format_bytes(found[name]), "") for name in ("bytes", "index_bytes", "unused")]
    return [(sanitize(found["name"]), ""), (f"{found['rows']:,}", ""), *sizes]


def _format_cache(read: dict[str, Any] | None) -> str:
    if not read or read["hits"] is None:
        return tr("unknown, no runtime is running")
    return tr(
        "{share} of the {size} read by the runtime came from memory",
        share=units.format_percent(read["hits"], 1),
        size=units.format_bytes(read["bytes"]),
    )


def _format_index_row(found: dict[str, Any]) -> list[Span]:
    used = (
        tr_n(found["used"], "{n} statement", "{n} statements") if found["used"] else found["serves"]
    )
    return [
        (sanitize(found["name"]), ""),
        (units.format_bytes(found["bytes"]), ""),
        (
            used or (tr("nothing") if found["unused"] else tr("nothing yet")),
            "warn" if found["unused"] else "",
        ),
        (sanitize(f"{found['table']} ({', '.join(found['columns'])})"), "dim"),
    ]


def _format_missing_indexes(found: list[dict[str, Any]]) -> list[Line]:
    lines: list[Line] = [[]] if found else []
    for one in found:
        what = sanitize(f"{one['table']} ({', '.join(one['columns'])})")
        text = tr_n(
            one["statements"],
            "an index may be missing on {what}: {n} slow statement would use it:"
            " taskdeck db slow --plan",
            "an index may be missing on {what}: {n} slow statements would use it:"
            " taskdeck db slow --plan",
            what=what,
        )
        lines.append([(text, "warn")])
    return lines


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--all", action="store_true", help="include empty tables and the indexes of keys"
    )
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_json_options(parser)


COMMANDS = {
    "stats": Command(
        "show sizes of tables and indexes, and index usage", show_stats, _add_arguments
    )
}
