"""Database page: backups, next cleanup, slow statements with query plans, table sizes.

A failed section shows the error in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.tui.style import Look
from app.tui.time_format import format_age_ago
from app.tui.widgets.document import DocRow, Section, wrap_text

SLOW_SECONDS = 1.0
"""Seconds from which a statement is highlighted as slow."""
MAX_TABLES = 20
"""Maximum tables and indexes shown, largest first."""
MAX_BACKUPS = 5
"""Maximum backups shown, newest first."""
FIGURE_CELLS = 34
"""Cells of a slow statement's line used by figures, gaps and margins."""
CALLER_CELLS = 20
"""Maximum cells of a statement's caller."""
SHELL_COMMANDS = (
    ("backup", "taskdeck db backup; here: back up now, in the palette (:)"),
    ("restore", "taskdeck db restore --dry-run; taskdeck stop && taskdeck db restore"),
    ("check", "taskdeck db check, taskdeck db verify"),
    ("cleanup", "taskdeck db cleanup --dry-run"),
    ("replica", "taskdeck db replica set FOLDER"),
)
"""Commands available only in a shell."""

Reply = Mapping[str, Any]


class DatabaseReplies(NamedTuple):
    """Replies of the database verbs.

    Verbs: `db.slow`, `db.backups`, `db.replica.status`, `db.stats`, and the preview of
    `db.cleanup`. A reply not read yet is None. `failed` maps verbs to errors. `measured` is True if
    the verbs that read the whole file were called.
    """

    slow: Sequence[Reply] | None = None
    backups: Sequence[Reply] | None = None
    replica: Reply | None = None
    stats: Reply | None = None
    going: Reply | None = None
    failed: Mapping[str, str] = {}
    measured: bool = False


def build_database_sections(
    found: DatabaseReplies,
    opened: Collection[str],
    now: float,
    room: int,
    look: Look,
    config: str = "",
    gone: bool = False,
) -> Iterator[Section]:
    """Yield the sections of the page.

    `opened` are ids of statements shown in full, `config` is the settings file. `gone` is True if
    backups existed but the newest is missing.
    """
    wrong = dict.fromkeys(found.failed.values())
    trouble = [
        DocRow(((line, "warn"),))
        for text in wrong
        for line in wrap_text(look.sanitize(f"Cannot be read: {text}"), max(20, room - 4))
    ]
    yield Section(
        "Database",
        (
            *trouble,
            *_build_figures(found, look),
            *_build_replica(found.replica, room, look),
            *_build_cleanup(found.going, look),
        ),
    )
    backups = found.backups
    shown = tuple(_build_backups((backups or ())[::-1][:MAX_BACKUPS], now, room, look))
    none = f"{'No backup is left' if gone else 'No backups yet'}: taskdeck db backup takes one."
    yield Section(
        _format_title("Backups", backups),
        shown or _format_empty(none, backups, "db.backups" in found.failed, look),
    )
    slow = found.slow or ()
    cells = min(
        CALLER_CELLS, max((measure_width(look.sanitize(one["caller"])) for one in slow), default=0)
    )
    rows = tuple(
        line
        for one in slow
        for line in _build_statement(one, str(one["id"]) in opened, now, room, cells, look)
    )
    none = "No slow statements."
    yield Section(
        _format_title("Slow statements", found.slow),
        rows or _format_empty(none, found.slow, "db.slow" in found.failed, look),
    )
    ways = (*SHELL_COMMANDS, *([("config", look.sanitize(config))] if config else []))
    yield Section(
        "From a shell",
        tuple(DocRow(((pad(word, 8), "dim"), (look.adapt_text(text), ""))) for word, text in ways),
    )
    if found.stats is not None:
        yield Section("Tables", tuple(_build_tables(found.stats["tables"][:MAX_TABLES], look)))
        if unused := [index for index in found.stats["indexes"] if index["unused"]]:
            yield Section(
                f"Unused indexes {len(unused)}", tuple(_build_indexes(unused[:MAX_TABLES], look))
            )


def _format_title(title: str, rows: Sequence[Reply] | None) -> str:
    return title if rows is None else f"{title} {len(rows)}"


def _format_empty(
    none: str, rows: Sequence[Reply] | None, failed: bool, look: Look
) -> tuple[DocRow, ...]:
    """Return the single line of an empty section: `none`, or a note that rows are unknown."""
    text = none if rows is not None else "not known" if failed else look.adapt_text("reading…")
    return (DocRow(((text, "dim"),)),)


def _build_figures(found: DatabaseReplies, look: Look) -> Iterable[DocRow]:
    stats = found.stats
    if stats is None:
        return (
            []
            if "db.stats" in found.failed
            else [DocRow(((look.adapt_text("measuring…"), "dim"),))]
        )
    waits = stats["lock_waits"]
    lock = (
        f"{waits['count']} waits, {units.format_latency(waits['worst'])} at worst"
        if waits
        else "unknown, no runtime is running"
    )
    facts = [
        (
            "size",
            (
                f"{units.format_bytes(stats['bytes'])},"
                f" {units.format_percent(stats['fragmentation'], 1)} unused"
            ),
        ),
        ("log", units.format_bytes(stats["wal_bytes"])),
        ("lock", lock),
        ("cache", _format_cache(stats["cache"])),
    ]
    missing = [
        (f"an index may be missing on {one['table']} ({', '.join(one['columns'])})", "warn")
        for one in stats["missing"]
    ]
    return [DocRow(((pad(label, 8), "dim"), (text, ""))) for label, text in facts] + [
        DocRow(((look.sanitize(text), style),)) for text, style in missing
    ]


def _format_cache(read: Reply | None) -> str:
    if not read or read["hits"] is None:
        return "unknown, no runtime is running"
    return (
        f"{units.format_percent(read['hits'], 1)} of the {units.format_bytes(read['bytes'])} read"
        " was in memory"
    )


def _build_replica(replica: Reply | None, room: int, look: Look) -> Iterable[DocRow]:
    """Return the replica's target and age, or its problem."""
    if replica is None or replica["target"] is None:
        return []
    age = (
        f"{units.format_age(replica['lag'])} old"
        if replica["lag"] is not None
        else "never copied yet"
    )
    text = f"{replica['target']}, {age}" + (f": {replica['problem']}" if replica["problem"] else "")
    shown = look.cut(look.sanitize(text), max(20, room - 12), "middle")
    return [DocRow(((pad("replica", 8), "dim"), (shown, "late" if replica["late"] else "")))]


def _build_cleanup(going: Reply | None, look: Look) -> Iterable[DocRow]:
    """Return the preview of the next cleanup."""
    if going is None:
        return []
    text = "nothing is old enough to delete" if going["words"] == "nothing" else going["words"]
    return [DocRow(((pad("cleanup", 8), "dim"), (look.adapt_text(text), "")))]


def _build_backups(backups: Iterable[Reply], now: float, room: int, look: Look) -> Iterator[DocRow]:
    """Yield one line per backup: age, kind, size, and its problem or foreign home."""
    for one in backups:
        when = format_age_ago(datetime.fromisoformat(one["at"]).timestamp(), now)
        state, style = _describe_backup(one)
        figures = f"{when:<10} {one['kind']:<10} {units.format_bytes(one['bytes']):>8}  "
        yield DocRow(
            (
                (figures, ""),
                (look.cut(look.sanitize(state), max(10, room - len(figures) - 4)), style),
            )
        )


def _describe_backup(one: Reply) -> tuple[str, str]:
    if one.get("stranger"):
        return f"of another home: {one['stranger']}", "warn"
    if one.get("unreadable") and not one["problem"]:
        return f"good, but {'; '.join(one['unreadable'])}", "warn"
    return (f"bad: {one['problem']}", "late") if one["problem"] else ("restored and checked", "dim")


def _build_statement(
    one: Reply, whole: bool, now: float, room: int, asked: int, look: Look
) -> Iterator[DocRow]:
    """Yield the line of a statement with its caller in `asked` cells.

    If `whole`, the full statement and its query plan follow.
    """
    worst, ident = one["worst"], str(one["id"])
    when = format_age_ago(datetime.fromisoformat(one["updated_at"]).timestamp(), now)
    figures = f"{units.format_latency(worst):>7} {one['count']:>5}×  {when:<10} "
    caller = pad(look.cut(look.sanitize(one["caller"]), asked), asked)
    cells = max(10, room - FIGURE_CELLS - asked)
    statement = look.sanitize(one["statement"])
    shown = (
        (look.adapt_text(figures), "late" if worst >= SLOW_SECONDS else ""),
        (f"{caller}  ", "dim"),
        (look.cut(statement, cells), ""),
    )
    yield DocRow(shown, ident)
    if whole:
        yield from (
            DocRow(((f"    {line}", ""),)) for line in wrap_text(statement, max(20, room - 8))
        )
        for line in (one["plan"] or "query plan unknown").split("\n"):
            yield DocRow(((look.cut(f"      {look.sanitize(line)}", room - 4), "dim"),))


def _build_tables(tables: Iterable[Reply], look: Look) -> Iterator[DocRow]:
    for one in tables:
        if one["rows"]:
            sizes = (
                f"{units.format_bytes(one['bytes']):>8} {units.format_bytes(one['index_bytes']):>8}"
                " of indexes"
            )
            rows = f"{one['rows']:>12,} {'row ' if one['rows'] == 1 else 'rows'}"
            yield DocRow(((pad(look.sanitize(one["name"]), 16), ""), (f"{rows} {sizes}", "dim")))


def _build_indexes(indexes: Iterable[Reply], look: Look) -> Iterator[DocRow]:
    for one in indexes:
        yield DocRow(
            (
                (pad(look.sanitize(one["name"]), 26), ""),
                (f"{units.format_bytes(one['bytes']):>8}  {look.sanitize(one['table'])}", "dim"),
            )
        )
