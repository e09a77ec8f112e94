"""The database as its page shows it: backups, what goes next, what was slow and how SQLite went about it, sizes table by table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.core import amounts
from app.core.clean import pad
from app.tui.doc import Row, Section, wrap
from app.tui.look import Look
from app.tui.times import ago

BAD = 1.0
"""Seconds from which on a statement is drawn as a trouble."""
NAMED = 20
"""Tables and indexes that are shown, the largest."""
BACKUPS = 5
"""Backups that are shown, the newest."""
FIGURES = 34
"""Cells of the figures before a statement."""

Told = Mapping[str, Any]


def sections(
    slow: Sequence[Told], backups: Sequence[Told], stats: Told | None, going: Told | None, opened: Collection[str], now: float, room: int,
    look: Look,
) -> Iterator[Section]:  # fmt: skip
    """The page. `stats` is None until it was measured, `going` what the next cleanup removes as far as that is known; `opened` are the
    ids of statements that are shown whole."""
    yield Section("Database", (*_facts(stats, look), *_going(going, look)))
    shown = tuple(_backups(backups[::-1][:BACKUPS], now, room, look))
    yield Section(f"Backups {len(backups)}", shown or (Row((("None was taken yet: taskdeck db backup takes one.", "dim"),)),))
    rows = [line for one in slow for line in _slow(one, str(one["id"]) in opened, now, room, look)]
    yield Section(f"Slow statements {len(slow)}", tuple(rows) or (Row((("None was slow.", "dim"),)),))
    if stats is not None:
        yield Section("Tables", tuple(_tables(stats["tables"][:NAMED], look)))
        if unused := [index for index in stats["indexes"] if index["unused"]]:
            yield Section(f"Indexes that nothing used yet {len(unused)}", tuple(_indexes(unused[:NAMED], look)))


def _facts(stats: Told | None, look: Look) -> Iterable[Row]:
    if stats is None:
        return [Row(((look.own("measuring…"), "dim"),))]
    waits = stats["lock_waits"]
    lock = f"{waits['count']} waits, {amounts.moment(waits['worst'])} at worst" if waits else "no runtime is up to say"
    facts = [
        ("size", f"{amounts.size(stats['bytes'])}, {amounts.percent(stats['fragmentation'], 1)} unused"),
        ("log", amounts.size(stats["wal_bytes"])),
        ("lock", lock),
        ("cache", _cached(stats["cache"])),
    ]
    missing = [(f"an index may be missing on {one['table']} ({', '.join(one['columns'])})", "warn") for one in stats["missing"]]
    return [Row(((pad(label, 8), "dim"), (text, ""))) for label, text in facts] + [
        Row(((look.theirs(text), style),)) for text, style in missing
    ]


def _cached(read: Told | None) -> str:
    if not read or read["hits"] is None:
        return "no runtime is up to say"
    return f"{amounts.percent(read['hits'], 1)} of the {amounts.size(read['bytes'])} read was in memory"


def _going(going: Told | None, look: Look) -> Iterable[Row]:
    """What the next cleanup will remove."""
    if going is None:
        return []
    return [Row(((pad("goes", 8), "dim"), (look.own(going["words"]), "")))]


def _backups(backups: Iterable[Told], now: float, room: int, look: Look) -> Iterator[Row]:
    """The newest ones, a line each: how old, what kind, how large, and what is wrong with a bad one."""
    for one in backups:
        when = ago(datetime.fromisoformat(one["at"]).timestamp(), now)
        state, style = (f"bad: {one['problem']}", "late") if one["problem"] else ("restored and checked", "dim")
        figures = f"{when:<10} {one['kind']:<10} {amounts.size(one['bytes']):>8}  "
        yield Row(((figures, ""), (look.cut(look.theirs(state), max(10, room - len(figures) - 4)), style)))


def _slow(one: Told, whole: bool, now: float, room: int, look: Look) -> Iterator[Row]:
    """A statement in a line; opened, all of it and its plan below."""
    worst, ident = one["worst"], str(one["id"])
    when = ago(datetime.fromisoformat(one["updated_at"]).timestamp(), now)
    figures = f"{amounts.moment(worst):>7} {one['count']:>5}×  {when:<10} "
    caller = look.theirs(one["caller"])
    cells = max(10, room - FIGURES - len(caller))
    statement = look.theirs(one["statement"])
    shown = ((look.own(figures), "late" if worst >= BAD else ""), (f"{caller}  ", "dim"), (look.cut(statement, cells), ""))
    yield Row(shown, ident)
    if whole:
        yield from (Row(((f"    {line}", ""),)) for line in wrap(statement, max(20, room - 8)))
        for line in (one["plan"] or "its plan is not known").split("\n"):
            yield Row(((look.cut(f"      {look.theirs(line)}", room - 4), "dim"),))


def _tables(tables: Iterable[Told], look: Look) -> Iterator[Row]:
    for one in tables:
        if one["rows"]:
            sizes = f"{amounts.size(one['bytes']):>8} {amounts.size(one['index_bytes']):>8} of indexes"
            rows = f"{one['rows']:>12,} {'row ' if one['rows'] == 1 else 'rows'}"
            yield Row(((pad(look.theirs(one["name"]), 16), ""), (f"{rows} {sizes}", "dim")))


def _indexes(indexes: Iterable[Told], look: Look) -> Iterator[Row]:
    for one in indexes:
        yield Row(((pad(look.theirs(one["name"]), 26), ""), (f"{amounts.size(one['bytes']):>8}  {look.theirs(one['table'])}", "dim")))
