"""Header: current screen, runtime, database and machine. The banner is below it.

Host, runtime and database are never dropped; other parts are dropped on narrow terminals.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from textual import events
from textual.message import Message

from app.core.board import COPY_STATE, BackupFacts, Board, ReplicaFacts, RuntimeFacts
from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.style import Look, Span, get_load_style, measure_spans
from app.tui.time_format import format_wall_time
from app.tui.widgets.strips import StripWidget

WIDE_CELLS = 100
BACKUP_CELLS = 110
"""Minimum terminal width at which the age of the newest backup is always shown."""
SLOW_AFTER = 0.15
"""Seconds after which the header shows that the first board is loading."""
LATE_TICK = 2.0
"""Tick lag in seconds from which the header shows it."""
TITLE_CELLS = 20
"""Cells reserved for a title, or the host, before the right side is shortened."""
SINCE, CLOCK, AGES = range(1, 4)
"""Parts of the right side dropped for host or title, in order: time since nothing starts, clock,
backup and replica ages. The banner shows problems anyway."""

BETWEEN_COUNTERS = ", "
HOST_GAP = 2
"""Cells after the host."""

Destination = tuple[str, str]
"""Key and name of a screen."""
PLACES: tuple[Destination, ...] = (
    ("0", tr_noop("Deck")),
    ("5", tr_noop("Tasks")),
    ("6", tr_noop("Templates")),
    ("7", tr_noop("Alerts")),
    ("8", tr_noop("Schedules")),
    ("9", tr_noop("History")),
    ("O", tr_noop("Operations")),
    ("B", tr_noop("Database")),
)


SHORT_NAMES = {
    "Templates": tr_noop("Templ"),
    "Schedules": tr_noop("Sched"),
    "History": tr_noop("Hist"),
    "Operations": tr_noop("Ops"),
    "Database": tr_noop("DB"),
}
"""Names of places where the header is short of room."""
COUNTER_FILTERS = {
    tr_noop("running"): "status:active", tr_noop("waiting"): "status:queued,retrying",
    "blocked": "status:blocked", "held": "status:held", "scheduled": "status:scheduled",
    tr_noop("later"): "status:blocked,held,scheduled",
    tr_noop("failed"): "status:failed,timed-out,lost",
}  # fmt: skip
"""Filter that lists the tasks a counter counts."""


class HeaderLink(str):
    """Clickable text that leads to a screen (by digit) or to the tasks of a filter."""

    to: str

    def __new__(cls, text: str, to: str) -> HeaderLink:
        made = super().__new__(cls, text)
        made.to = to
        return made


class HeaderContext(NamedTuple):
    """Header contents beside the board.

    Title of the screen (none on the deck), destinations, unseen failures.
    """

    title: str = ""
    places: Sequence[Destination] = PLACES
    here: str = ""
    """Digit of the current screen."""
    failures: int = 0
    shown_time: str = ""
    """Time shown by the deck in history mode."""
    read_only: bool = False
    cut: str = "middle"
    """Part of a long title that is left out: "middle" or "end"."""
    tab: str = ""
    """Digit of the visible pane on a small terminal; `places` are then the panes' digits."""
    demo_left: float | None = None
    """Seconds until a demo closes the deck."""


def format_runtime(
    runtime: RuntimeFacts, now: float, look: Look, short: bool, dropped: int = 0
) -> list[Span]:
    """Return the runtime's state; its process id and tick lag only if it is slow.

    Examples: `● runtime ok`, `● runtime 4120  TICK 3.2s!`, `‖ NOTHING STARTS since 10:31`, `✗ NO
    RUNTIME since 10:31`, `✗ NO ANSWER 12s`, `COPY 2m old`.
    """
    if runtime.state in ("none", "stopped"):
        since = (
            ""
            if runtime.since is None
            else (
                f" {units.format_age(now - runtime.since)}"
                if short
                else tr(" since {time}", time=format_wall_time(runtime.since, now))
            )
        )
        return [(tr("{sign} NO RUNTIME{since}", sign=look.adapt_text("✗"), since=since), "broken")]
    if runtime.state == COPY_STATE:
        age = (
            ""
            if runtime.since is None
            else tr(" {age} old", age=units.format_age(now - runtime.since))
        )
        return [(tr("COPY{age}", age=age), "warn")]
    if runtime.unheard_since is not None:
        return [
            (
                (
                    tr(
                        "{sign} NO ANSWER {age}",
                        sign=look.adapt_text("✗"),
                        age=units.format_age(max(0.0, now - runtime.unheard_since)),
                    )
                ),
                "broken",
            )
        ]
    if runtime.halted:
        since = (
            runtime.halted.rpartition(" since ")[2]
            if " since " in runtime.halted and dropped < SINCE
            else ""
        )
        return [
            (
                (
                    tr(
                        "{sign} NOTHING STARTS{since}",
                        sign=look.adapt_text("‖"),
                        since=tr(" since {time}", time=look.sanitize(since)) if since else "",
                    )
                ),
                "warn",
            ),
            *_format_lag(runtime),
        ]
    if runtime.pid is None:
        return []  # a past board has no process id
    lag = _format_lag(runtime)
    state = f"{runtime.pid}" if lag else tr("ok")
    return [
        (look.adapt_text("●"), "alive"),
        (f" {state}" if short else tr(" runtime {state}", state=state), "" if lag else "dim"),
        *lag,
    ]


def _format_lag(runtime: RuntimeFacts) -> list[Span]:
    if runtime.tick_lag is None or runtime.tick_lag <= LATE_TICK:
        return []
    return [(tr("  TICK {tick_lag}!", tick_lag=units.format_duration(runtime.tick_lag)), "broken")]


DATABASE_OK = tr_noop("db ok")


def format_database(board: Board, now: float, look: Look) -> list[Span]:
    """Return the database's state.

    The text is `db ok`, `db LOCKED 4s` while another program holds the lock, its problem in
    capitals, or `db ?` while the runtime does not answer.
    """
    if board.runtime.unheard_since is not None:
        return [(tr("db ?"), "warn")]
    if board.database != "ok":
        return [(tr("db {database}", database=look.sanitize(tr(board.database)).upper()), "broken")]
    if board.lock:
        return [
            (
                tr("db LOCKED {age}", age=units.format_age(max(0.0, now - board.lock.since))),
                "broken",
            )
        ]
    return [(tr(DATABASE_OK), "dim")]


def format_backup(backup: BackupFacts | None, now: float, width: int) -> list[Span]:
    """Return the age of the newest backup.

    Examples: `backup 41m`, `no backup yet`. `backup 3d!` (late) and `no backup!` (missing) are
    never dropped.
    """
    if backup is None or (width < BACKUP_CELLS and not backup.late):
        return []
    if backup.at is None:
        return [(tr("  no backup!"), "warn") if backup.late else (tr("  no backup yet"), "dim")]
    age = units.format_age(max(0.0, now - backup.at))
    return [
        (tr("  backup {age}!", age=age), "warn")
        if backup.late
        else (tr("  backup {age}", age=age), "dim")
    ]


def format_replica(replica: ReplicaFacts | None) -> list[Span]:
    """Return `replica 5m!` if the replica is late, else nothing."""
    if replica is None or not replica.late:
        return []
    return [
        (
            (
                tr("  replica {age}!", age=units.format_age(replica.lag))
                if replica.lag is not None
                else tr("  no replica!")
            ),
            "broken",
        )
    ]


def build_right_side(
    board: Board, now: float, look: Look, width: int, slow: bool = False, dropped: int = 0
) -> list[Span]:
    """Return the right side of the first line.

    `slow` is True if the first board takes long. `dropped` is the last part dropped, from
    `SINCE` to `AGES`.
    """
    short = width < WIDE_CELLS
    spans: list[Span] = [(tr("loading"), "dim")] if slow and board.database == "ok" else []
    if board.at:  # before the first board, runtime and database are unknown
        runtime = format_runtime(board.runtime, now, look, short, dropped)
        database = format_database(board, now, look)
        if short and database == [(tr(DATABASE_OK), "dim")] and runtime:
            database = []  # a short header names what is wrong
        spans = [*runtime, *([("  ", "")] if runtime and database else []), *database]
    spans += (
        format_backup(board.backup, now, width) + format_replica(board.replica)
        if dropped < AGES
        else []
    )
    if board.host.load is not None and board.measured_at is None and width >= 115:
        load = get_load_style(board.host.load, board.host.cores)
        mark = "!" if load == "over" else ""
        text = tr(
            "  load {load:.1f}/{cores}{mark}",
            load=board.host.load,
            cores=board.host.cores,
            mark=mark,
        )
        spans.append((text, "dim" if load == "calm" else load))
    return [
        *spans,
        (f"  {format_wall_time(now, now, seconds=not short)} " if dropped < CLOCK else " ", ""),
    ]


def build_counters(
    board: Board, failures: int, room: int, look: Look, failed_early: bool = False
) -> list[Span]:
    """Return the counters: `7 running, 22 waiting, 3 blocked, 2 held, 4 scheduled, 3 failed`.

    Blocked, held and scheduled are one number, `later`, where they do not fit in `room` cells. A
    past minute without records shows `– running, – waiting`. With `failed_early` the failures come
    second, for a line that may not show all counters.
    """
    if not board.at:
        return []
    count = board.counts.get
    unknown = board.runtime.state == "past" and not board.counts
    running = len(board.running) if count("running") is None else count("running", 0)
    waiting = ("waiting", count("queued", 0) + count("retrying", 0))
    failed = [("failed", failures)] if failures else []
    later = [(word, count(word, 0)) for word in ("blocked", "held", "scheduled")]
    first, last = (failed, []) if failed_early else ([], failed)
    wordings = [
        _join_counters(
            [("running", running), *first, waiting, *((w, n) for w, n in more if n), *last],
            unknown,
            look,
        )
        for more in (later, [("later", sum(n for _, n in later))])
    ]
    return next((spans for spans in wordings if measure_spans(spans) <= room), wordings[-1])


def _join_counters(counted: Sequence[tuple[str, int]], unknown: bool, look: Look) -> list[Span]:
    spans: list[Span] = []
    for n, (word, number) in enumerate(counted):
        text = look.adapt_text(units.MISSING) if unknown else units.format_count(number)
        link = HeaderLink(f"{text} {tr(word)}", COUNTER_FILTERS[word])
        spans += [(BETWEEN_COUNTERS, "")] if n else []
        spans.append((link, "broken" if word == "failed" else ""))
    return [*spans, (" ", "")]


def build_header(
    board: Board, context: HeaderContext, now: float, look: Look, width: int, slow: bool = False
) -> list[list[Span]]:
    """Return one line, or two from 100 cells on. `slow` as in `build_right_side`."""
    short = width < WIDE_CELLS
    left = _build_left_side(board, context, look, short)
    least = (
        min(measure_spans(left), measure_spans(left[:-1]) + TITLE_CELLS) + 2
        if context.title
        else measure_spans(left)
    )
    sides = [
        build_right_side(board, now, look, width, slow, dropped) for dropped in range(AGES + 1)
    ]
    right = next((side for side in sides if measure_spans(side) + least <= width), sides[-1])
    if context.title:
        room = width - measure_spans(right) - measure_spans(left[:-1]) - 2
        left[-1] = (look.cut(context.title, room, context.cut), "bold")
    elif short:
        room = width - measure_spans(right) - measure_spans(left)
        # the panes' digits may leave no space for all counters
        counted = build_counters(board, context.failures, room, look, bool(context.tab))
        left += [("  ", ""), *counted] if context.tab else counted
    lines = [join_sides(left, right, width)]
    if not short:
        counters = build_counters(board, context.failures, width * 6 // 10, look)
        room = width - measure_spans(counters)
        lines.append(join_sides(_build_places(context, room), counters, width))
    return lines


def _build_places(context: HeaderContext, room: int) -> list[Span]:
    """Return the places, as many as needed with short names, else the last keys without names."""
    long = [(key, f" {tr(name)}") for key, name in context.places]
    short = [(key, f" {tr(SHORT_NAMES.get(name, name))}") for key, name in context.places]
    wordings = [
        *([*long[:n], *short[n:]] for n in range(len(long), 0, -1)),
        *(
            [*short[:named], *((key, "") for key, _ in short[named:])]
            for named in range(len(short), -1, -1)
        ),
    ]
    for wording in wordings:
        spans: list[Span] = [
            (HeaderLink(f" {key}{name}", key), "bold" if key == context.here else "dim")
            for key, name in wording
        ]
        if measure_spans(spans) < room:
            return spans
    return []


def _build_left_side(board: Board, context: HeaderContext, look: Look, short: bool) -> list[Span]:
    """Return the left side: host, or the title, or the visible pane on a small terminal."""
    host = look.cut(look.sanitize(board.host.name if board.at else os.uname().nodename), 16)
    spans: list[Span] = [(" ", "")]
    if context.read_only:
        spans.append((tr("READ ONLY  "), "warn"))
    if context.shown_time:
        spans.append((f"{look.adapt_text(context.shown_time)}  ", "warn"))
    if board.runtime.demo:
        spans.append((f"{format_demo(context.demo_left)}  ", "warn"))
    if context.title:
        return [*spans, (context.title, "bold")]
    if not short:
        spans.append(("Taskdeck  ", "bold"))
    spans.append((f"{host}{' ' * HOST_GAP}", ""))
    for digit, _ in context.places if context.tab else ():
        here = digit == context.tab
        # screen readers gain nothing from them, and the counters need the space
        if look.plain and not here:
            continue
        spans.append(
            (HeaderLink(f"[{digit}]" if here else f" {digit} ", digit), "bold" if here else "dim")
        )
    return spans


def format_demo(left: float | None) -> str:
    """Return `DEMO 9m` with the time until the demo closes, or `DEMO`."""
    if left is None:
        return "DEMO"
    return (
        tr("DEMO {age}", age=units.format_age(left))
        if left >= 60
        else tr("DEMO CLOSES IN {left:.0f}s", left=max(0, left))
    )


def join_sides(left: Sequence[Span], right: Sequence[Span], width: int) -> list[Span]:
    """Join both sides in one line, shortening the left one."""
    room = width - measure_spans(right)
    shown: list[Span] = []
    for text, style in left:
        if measure_spans([(text, style)]) > room:
            if shown and shown[-1][0] == BETWEEN_COUNTERS:
                shown.pop()
                room += len(BETWEEN_COUNTERS)
            break
        shown.append((text, style))
        room -= measure_spans([(text, style)])
    return [*shown, (" " * max(0, room), ""), *right]


class Header(StripWidget):
    """The first one or two lines of every screen."""

    @dataclass
    class Clicked(Message):
        """A link was clicked; `to` is its destination."""

        to: str

    def __init__(self, id: str = "header") -> None:
        super().__init__(id=id)
        self._board = Board()
        self._bearings = HeaderContext()
        self._slow = False
        self._drawn: Sequence[Sequence[Span]] = ()

    def on_mount(self) -> None:
        self.set_timer(SLOW_AFTER, self._mark_slow)

    def _mark_slow(self) -> None:
        self._slow = True
        self.redraw()

    def show(self, board: Board, context: HeaderContext) -> None:
        self._board, self._bearings = board, context
        self.redraw()

    def redraw(self) -> None:
        """Redraw with the current time."""
        width = self.size.width
        ends = self.deck.demo_ends
        context = self._bearings._replace(
            demo_left=None if ends is None else ends - self.deck.ticks()
        )
        lines = build_header(self._board, context, self.now, self.look, width, self._slow)
        self._drawn = lines[: self.size.height]
        self.draw([self.look.strip(spans, width) for spans in self._drawn])

    def fit(self) -> None:
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        spans = self._drawn[event.y] if event.y < len(self._drawn) else ()
        if (text := find_text_at(spans, event.x)) and isinstance(text, HeaderLink):
            self.post_message(self.Clicked(text.to))


def find_text_at(spans: Sequence[Span], cell: int) -> str | None:
    """Return the text at a cell of a line."""
    for text, _ in spans:
        cell -= measure_spans([(text, "")])
        if cell < 0:
            return text
    return None
