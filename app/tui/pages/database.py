"""The database as its page shows it: backups, what goes next, what was slow and how SQLite went about it, sizes table by table.

What could not be read says why in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.sanitize import pad, width
from app.tui.style import Look
from app.tui.time_format import ago
from app.tui.widgets.document import Row, Section, wrap

BAD = 1.0
"""Seconds from which on a statement is drawn as a trouble."""
NAMED = 20
"""Tables and indexes that are shown, the largest."""
BACKUPS = 5
"""Backups that are shown, the newest."""
FIGURES = 34
"""Cells that a slow statement and who asked leave to the figures, the gaps and the margins."""
CALLER = 20
"""Cells of who asked, at most."""
SHELL = (
    ("backup", "taskdeck db backup; here: back up now, in the palette (:)"),
    ("restore", "taskdeck db restore --dry-run; taskdeck stop && taskdeck db restore"),
    ("check", "taskdeck db check, taskdeck db verify"),
    ("cleanup", "taskdeck db cleanup --dry-run"),
    ("replica", "taskdeck db replica set FOLDER"),
)
"""What is done from a shell."""

Told = Mapping[str, Any]


class Read(NamedTuple):
    """What the verbs answer: `db.slow`, `db.backups`, `db.replica.status`, `db.stats`, and of `db.cleanup` what would go. None: not read
    yet; `failed` says by verb why it could not be. `measured`: whether those were asked that read the whole file."""

    slow: Sequence[Told] | None = None
    backups: Sequence[Told] | None = None
    replica: Told | None = None
    stats: Told | None = None
    going: Told | None = None
    failed: Mapping[str, str] = {}
    measured: bool = False


def sections(
    found: Read, opened: Collection[str], now: float, room: int, look: Look, config: str = "", gone: bool = False
) -> Iterator[Section]:
    """The page. `opened` are the ids of statements that are shown whole, `config` is where the settings are, `gone`: there were backups,
    of which the newest is not there any more."""
    wrong = dict.fromkeys(found.failed.values())
    trouble = [Row(((line, "warn"),)) for text in wrong for line in wrap(look.theirs(f"Cannot be read: {text}"), max(20, room - 4))]
    yield Section("Database", (*trouble, *_facts(found, look), *_replica(found.replica, room, look), *_going(found.going, look)))
    backups = found.backups
    shown = tuple(_backups((backups or ())[::-1][:BACKUPS], now, room, look))
    none = f"{'None is there any more' if gone else 'None was taken yet'}: taskdeck db backup takes one."
    yield Section(_counted("Backups", backups), shown or _nothing(none, backups, "db.backups" in found.failed, look))
    slow = found.slow or ()
    cells = min(CALLER, max((width(look.theirs(one["caller"])) for one in slow), default=0))
    rows = tuple(line for one in slow for line in _slow(one, str(one["id"]) in opened, now, room, cells, look))
    none = "None was slow."
    yield Section(_counted("Slow statements", found.slow), rows or _nothing(none, found.slow, "db.slow" in found.failed, look))
    ways = (*SHELL, *([("config", look.theirs(config))] if config else []))
    yield Section("From a shell", tuple(Row(((pad(word, 8), "dim"), (look.own(text), ""))) for word, text in ways))
    if found.stats is not None:
        yield Section("Tables", tuple(_tables(found.stats["tables"][:NAMED], look)))
        if unused := [index for index in found.stats["indexes"] if index["unused"]]:
            yield Section(f"Indexes that nothing used yet {len(unused)}", tuple(_indexes(unused[:NAMED], look)))


def _counted(title: str, rows: Sequence[Told] | None) -> str:
    return title if rows is None else f"{title} {len(rows)}"


def _nothing(none: str, rows: Sequence[Told] | None, failed: bool, look: Look) -> tuple[Row, ...]:
    """The one line of what has no rows: there are `none`, or they are not known."""
    text = none if rows is not None else "not known" if failed else look.own("reading…")
    return (Row(((text, "dim"),)),)


def _facts(found: Read, look: Look) -> Iterable[Row]:
    stats = found.stats
    if stats is None:
        return [] if "db.stats" in found.failed else [Row(((look.own("measuring…"), "dim"),))]
    waits = stats["lock_waits"]
    lock = f"{waits['count']} waits, {units.moment(waits['worst'])} at worst" if waits else "no runtime is up to say"
    facts = [
        ("size", f"{units.size(stats['bytes'])}, {units.percent(stats['fragmentation'], 1)} unused"),
        ("log", units.size(stats["wal_bytes"])),
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
    return f"{units.percent(read['hits'], 1)} of the {units.size(read['bytes'])} read was in memory"


def _replica(replica: Told | None, room: int, look: Look) -> Iterable[Row]:
    """Where the copy is and how old, or what keeps it from being younger."""
    if replica is None or replica["target"] is None:
        return []
    age = f"{units.age(replica['lag'])} old" if replica["lag"] is not None else "never copied yet"
    text = f"{replica['target']}, {age}" + (f": {replica['problem']}" if replica["problem"] else "")
    shown = look.cut(look.theirs(text), max(20, room - 12), "middle")
    return [Row(((pad("replica", 8), "dim"), (shown, "late" if replica["late"] else "")))]


def _going(going: Told | None, look: Look) -> Iterable[Row]:
    """What the next cleanup will remove."""
    if going is None:
        return []
    text = "nothing is old enough to go" if going["words"] == "nothing" else going["words"]
    return [Row(((pad("cleanup", 8), "dim"), (look.own(text), "")))]


def _backups(backups: Iterable[Told], now: float, room: int, look: Look) -> Iterator[Row]:
    """The newest ones, a line each: how old, what kind, how large, and what is wrong with a bad one, or whose it is."""
    for one in backups:
        when = ago(datetime.fromisoformat(one["at"]).timestamp(), now)
        state, style = _state(one)
        figures = f"{when:<10} {one['kind']:<10} {units.size(one['bytes']):>8}  "
        yield Row(((figures, ""), (look.cut(look.theirs(state), max(10, room - len(figures) - 4)), style)))


def _state(one: Told) -> tuple[str, str]:
    if one.get("stranger"):
        return f"of another home: {one['stranger']}", "warn"
    if one.get("unreadable") and not one["problem"]:
        return f"good, but {'; '.join(one['unreadable'])}", "warn"
    return (f"bad: {one['problem']}", "late") if one["problem"] else ("restored and checked", "dim")


def _slow(one: Told, whole: bool, now: float, room: int, asked: int, look: Look) -> Iterator[Row]:
    """A statement in a line, with who `asked` in so many cells; opened, all of it and its plan below."""
    worst, ident = one["worst"], str(one["id"])
    when = ago(datetime.fromisoformat(one["updated_at"]).timestamp(), now)
    figures = f"{units.moment(worst):>7} {one['count']:>5}×  {when:<10} "
    caller = pad(look.cut(look.theirs(one["caller"]), asked), asked)
    cells = max(10, room - FIGURES - asked)
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
            sizes = f"{units.size(one['bytes']):>8} {units.size(one['index_bytes']):>8} of indexes"
            rows = f"{one['rows']:>12,} {'row ' if one['rows'] == 1 else 'rows'}"
            yield Row(((pad(look.theirs(one["name"]), 16), ""), (f"{rows} {sizes}", "dim")))


def _indexes(indexes: Iterable[Told], look: Look) -> Iterator[Row]:
    for one in indexes:
        yield Row(((pad(look.theirs(one["name"]), 26), ""), (f"{units.size(one['bytes']):>8}  {look.theirs(one['table'])}", "dim")))
