"""Database page: backups, next cleanup, slow statements with query plans, table sizes.

A failed section shows the error in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.translation import tr, tr_n, tr_noop
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
    (tr_noop("backup"), tr_noop("taskdeck db backup; here: back up now, in the palette (:)")),
    (tr_noop("restore"), "taskdeck db restore --dry-run; taskdeck stop && taskdeck db restore"),
    (tr_noop("check"), "taskdeck db check, taskdeck db verify"),
    (tr_noop("cleanup"), "taskdeck db cleanup --dry-run"),
    (tr_noop("replica"), "taskdeck db replica set FOLDER"),
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
    cleanup: Reply | None = None
    failed: Mapping[str, str] = {}
    measured: bool = False


def build_database_sections(
    found: DatabaseReplies,
    open_keys: Collection[str],
    now: float,
    room: int,
    look: Look,
    config: str = "",
    lost_backups: bool = False,
) -> Iterator[Section]:
    """Yield the sections of the page.

    `open_keys` are ids of statements shown in full, `config` is the settings file. `lost_backups`
    is True if backups existed but the newest is missing.
    """
    yield _build_database(found, room, look)
    yield _build_backup_section(found, now, room, look, lost_backups)
    yield _build_slow_statements(found, open_keys, now, room, look)
    yield _build_commands(look, config)
    if found.stats is not None:
        yield Section(tr("Tables"), tuple(_build_tables(found.stats["tables"][:MAX_TABLES], look)))
        if unused := [index for index in found.stats["indexes"] if index["unused"]]:
            yield Section(
                tr("Unused indexes {count}", count=len(unused)),
                tuple(_build_indexes(unused[:MAX_TABLES], look)),
            )


def _build_database(found: DatabaseReplies, room: int, look: Look) -> Section:
    trouble = [
        DocRow(((line, "warn"),))
        for text in dict.fromkeys(found.failed.values())
        for line in wrap_text(
            look.sanitize(tr("Cannot be read: {why}", why=text)), max(20, room - 4)
        )
    ]
    return Section(
        tr("Database"),
        (
            *trouble,
            *_build_figures(found, look),
            *_build_replica(found.replica, room, look),
            *_build_cleanup(found.cleanup, look),
        ),
    )


def _build_backup_section(
    found: DatabaseReplies, now: float, room: int, look: Look, lost_backups: bool
) -> Section:
    backups = found.backups
    shown = tuple(_build_backups((backups or ())[::-1][:MAX_BACKUPS], now, room, look))
    none_left = tr("No backup is left") if lost_backups else tr("No backups yet")
    empty_text = tr("{none_left}: taskdeck db backup takes one.", none_left=none_left)
    return Section(
        _format_title(tr("Backups"), backups),
        shown or _format_empty(empty_text, backups, "db.backups" in found.failed, look),
    )


def _build_slow_statements(
    found: DatabaseReplies, open_keys: Collection[str], now: float, room: int, look: Look
) -> Section:
    slow = found.slow or ()
    callers = (measure_width(look.sanitize(statement["caller"])) for statement in slow)
    cells = min(CALLER_CELLS, max(callers, default=0))
    rows = tuple(
        line
        for statement in slow
        for line in _build_statement(
            statement, str(statement["id"]) in open_keys, now, room, cells, look
        )
    )
    return Section(
        _format_title(tr("Slow statements"), found.slow),
        rows
        or _format_empty(tr("No slow statements."), found.slow, "db.slow" in found.failed, look),
    )


def _build_commands(look: Look, config: str) -> Section:
    commands = (*SHELL_COMMANDS, *([(tr_noop("config"), look.sanitize(config))] if config else []))
    return Section(
        tr("From a shell"),
        tuple(
            DocRow(((pad(tr(word), 8), "dim"), (look.adapt_text(tr(text)), "")))
            for word, text in commands
        ),
    )


def _format_title(title: str, rows: Sequence[Reply] | None) -> str:
    return title if rows is None else f"{title} {len(rows)}"


def _format_empty(
    empty_text: str, rows: Sequence[Reply] | None, failed: bool, look: Look
) -> tuple[DocRow, ...]:
    """Return the single line of an empty section: `empty_text`, or a note that rows are unknown."""
    text = (
        empty_text
        if rows is not None
        else tr("not known")
        if failed
        else look.adapt_text(tr("reading…"))
    )
    return (DocRow(((text, "dim"),)),)


def _build_figures(found: DatabaseReplies, look: Look) -> Iterable[DocRow]:
    stats = found.stats
    if stats is None:
        return (
            []
            if "db.stats" in found.failed
            else [DocRow(((look.adapt_text(tr("measuring…")), "dim"),))]
        )
    waits = stats["lock_waits"]
    lock = (
        tr(
            "{count} waits, {latency} at worst",
            count=waits["count"],
            latency=units.format_latency(waits["worst"]),
        )
        if waits
        else tr("unknown, no runtime is running")
    )
    facts = [
        (
            tr("size"),
            (
                tr(
                    "{bytes}, {percent} unused",
                    bytes=units.format_bytes(stats["bytes"]),
                    percent=units.format_percent(stats["fragmentation"], 1),
                )
            ),
        ),
        (tr("log"), units.format_bytes(stats["wal_bytes"])),
        (tr("lock"), lock),
        (tr("cache"), _format_cache(stats["cache"])),
    ]
    missing = [
        (
            tr(
                "an index may be missing on {table} ({columns})",
                table=index["table"],
                columns=", ".join(index["columns"]),
            ),
            "warn",
        )
        for index in stats["missing"]
    ]
    return [DocRow(((pad(label, 8), "dim"), (text, ""))) for label, text in facts] + [
        DocRow(((look.sanitize(text), style),)) for text, style in missing
    ]


def _format_cache(read: Reply | None) -> str:
    if not read or read["hits"] is None:
        return tr("unknown, no runtime is running")
    return tr(
        "{percent} of the {bytes} read was in memory",
        percent=units.format_percent(read["hits"], 1),
        bytes=units.format_bytes(read["bytes"]),
    )


def _build_replica(replica: Reply | None, room: int, look: Look) -> Iterable[DocRow]:
    """Return the replica's target and age, or its problem."""
    if replica is None or replica["target"] is None:
        return []
    age = (
        tr("{age} old", age=units.format_age(replica["lag"]))
        if replica["lag"] is not None
        else tr("never copied yet")
    )
    text = f"{replica['target']}, {age}" + (f": {replica['problem']}" if replica["problem"] else "")
    shown = look.cut(look.sanitize(text), max(20, room - 12), "middle")
    return [DocRow(((pad(tr("replica"), 8), "dim"), (shown, "late" if replica["late"] else "")))]


def _build_cleanup(going: Reply | None, look: Look) -> Iterable[DocRow]:
    """Return the preview of the next cleanup."""
    if going is None:
        return []
    text = tr("nothing is old enough to delete") if going["words"] == "nothing" else going["words"]
    return [DocRow(((pad(tr("cleanup"), 8), "dim"), (look.adapt_text(text), "")))]


def _build_backups(backups: Iterable[Reply], now: float, room: int, look: Look) -> Iterator[DocRow]:
    """Yield one line per backup: age, kind, size, and its problem or foreign home."""
    for backup in backups:
        when = format_age_ago(datetime.fromisoformat(backup["at"]).timestamp(), now)
        state, style = _describe_backup(backup)
        figures = f"{when:<10} {backup['kind']:<10} {units.format_bytes(backup['bytes']):>8}  "
        yield DocRow(
            (
                (figures, ""),
                (look.cut(look.sanitize(state), max(10, room - len(figures) - 4)), style),
            )
        )


def _describe_backup(backup: Reply) -> tuple[str, str]:
    if backup.get("stranger"):
        return tr("of another home: {stranger}", stranger=backup["stranger"]), "warn"
    return (
        (tr("bad: {problem}", problem=backup["problem"]), "late")
        if backup["problem"]
        else (tr("restored and checked"), "dim")
    )


def _build_statement(
    row: Reply, whole: bool, now: float, room: int, caller_cells: int, look: Look
) -> Iterator[DocRow]:
    """Yield the line of a statement with its caller in `caller_cells` cells.

    If `whole`, the full statement and its query plan follow.
    """
    worst, ident = row["worst"], str(row["id"])
    when = format_age_ago(datetime.fromisoformat(row["updated_at"]).timestamp(), now)
    figures = f"{units.format_latency(worst):>7} {row['count']:>5}×  {when:<10} "
    caller = pad(look.cut(look.sanitize(row["caller"]), caller_cells), caller_cells)
    cells = max(10, room - FIGURE_CELLS - caller_cells)
    statement = look.sanitize(row["statement"])
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
        for line in (row["plan"] or tr("query plan unknown")).split("\n"):
            yield DocRow(((look.cut(f"      {look.sanitize(line)}", room - 4), "dim"),))


def _build_tables(tables: Iterable[Reply], look: Look) -> Iterator[DocRow]:
    for table in tables:
        if table["rows"]:
            sizes = tr(
                "{size:>8} {indexes:>8} of indexes",
                size=units.format_bytes(table["bytes"]),
                indexes=units.format_bytes(table["index_bytes"]),
            )
            rows = tr_n(table["rows"], "{n:>12,} row ", "{n:>12,} rows")
            yield DocRow(((pad(look.sanitize(table["name"]), 16), ""), (f"{rows} {sizes}", "dim")))


def _build_indexes(indexes: Iterable[Reply], look: Look) -> Iterator[DocRow]:
    for index in indexes:
        yield DocRow(
            (
                (pad(look.sanitize(index["name"]), 26), ""),
                (
                    f"{units.format_bytes(index['bytes']):>8}  {look.sanitize(index['table'])}",
                    "dim",
                ),
            )
        )
