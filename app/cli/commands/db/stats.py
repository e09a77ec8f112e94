"""`taskdeck db stats`: how large the database is, and what its indexes are worth."""

from __future__ import annotations

from app.cli import output, time_format
from app.cli.parser import Args, Command, Parser, as_json
from app.cli.table import Column, Line, Span
from app.core.text import units
from app.core.text.sanitize import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

TABLES = [Column("TABLE", least=10), Column("ROWS", ">"), Column("SIZE", ">"), Column("INDEXES", ">"), Column("UNUSED", ">")]
DAY = 86400.0
"""Seconds that index use must have been noted for until an index is called unused."""
INDEXES = [Column("INDEX", least=12), Column("SIZE", ">"), Column("USED BY", ">"), Column("FOR", least=10, first=True)]


def stats(session: Session, args: Args) -> int:
    """Measure, and say so."""
    found = session.call("db.stats")
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
        return 0
    output.lines([*_facts(found), []])
    output.table(TABLES, [_table(one) for one in found["tables"] if one["rows"] or args.all], args.wide)
    output.line()
    long = (time_format.since(found["used_since"]) or 0.0) > DAY
    indexes = [one for one in found["indexes"] if args.all or not one["name"].startswith("sqlite_")]
    output.table(INDEXES, [_index(one, long) for one in indexes], args.wide)
    output.lines(_missing(found["missing"]))
    return 0


def _facts(found: dict[str, Any]) -> list[Line]:
    """What is true of all of it."""
    waits = found["lock_waits"]
    facts = [
        ("size", f"{units.size(found['bytes'])}{'' if found['exact'] else ', its parts estimated'}"),
        ("log", units.size(found["wal_bytes"])),
        ("unused", f"{units.percent(found['fragmentation'], 1)}, {found['free_pages']} free pages of {found['pages']}"),
        ("lock", _waited(waits) if waits else "no runtime is up to say"),
        ("cache", _cached(found["cache"])),
        ("index use", f"noted since {time_format.clock(found['used_since'])}" if found["used_since"] else "not noted yet"),
    ]
    return [[(f"  {label:<11}", "dim"), (text, "")] for label, text in facts]


def _waited(waits: dict[str, Any]) -> str:
    if not waits["count"]:
        return "no change had to wait"
    return f"{waits['count']} changes waited, {units.moment(waits['worst'])} at worst, {units.moment(waits['total'])} in all"


def _table(found: dict[str, Any]) -> list[Span]:
    sizes = [(units.size(found[name]), "") for name in ("bytes", "index_bytes", "unused")]
    return [(clean(found["name"]), ""), (f"{found['rows']:,}", ""), *sizes]


def _cached(read: dict[str, Any] | None) -> str:
    if not read or read["hits"] is None:
        return "no runtime is up to say"
    return f"{units.percent(read['hits'], 1)} of the {units.size(read['bytes'])} that the runtime has read was in memory"


def _index(found: dict[str, Any], long: bool) -> list[Span]:
    """One index; that nothing used it means something only after a `long` time."""
    used = f"{found['used']} statement{'' if found['used'] == 1 else 's'}" if found["used"] else found["serves"]
    return [
        (clean(found["name"]), ""),
        (units.size(found["bytes"]), ""),
        (used or ("nothing" if long else "nothing yet"), "warn" if long and not used else ""),
        (clean(f"{found['table']} ({', '.join(found['columns'])})"), "dim"),
    ]


def _missing(found: list[dict[str, Any]]) -> list[Line]:
    """Indexes that slow statements lack."""
    lines: list[Line] = [[]] if found else []
    for one in found:
        what = clean(f"{one['table']} ({', '.join(one['columns'])})")
        many = f"{one['statements']} slow statement{'' if one['statements'] == 1 else 's'} would use it: taskdeck db slow --plan"
        lines.append([(f"an index may be missing on {what}: {many}", "warn")])
    return lines


def _arguments(parser: Parser) -> None:
    parser.option("--all", action="store_true", help="empty tables, and the indexes of keys, too")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_json(parser)


COMMANDS = {
    "stats": Command("sizes of tables and indexes, and what is used", stats, _arguments),
}
