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

from app.core.board import BackupFacts, Board, ReplicaFacts, RuntimeFacts
from app.core.text import units
from app.tui.style import Look, Span, measure_spans
from app.tui.time_format import format_wall_time
from app.tui.widgets.strips import StripWidget

WIDE_CELLS = 100
BACKUP_CELLS = 110
"""Minimum terminal width at which the age of the newest backup is always shown."""
SLOW_AFTER = 0.15
"""Seconds after which the header shows that the first board is loading."""
LATE_TICK = 2.0
"""Tick lag in seconds from which it is highlighted."""
TITLE_CELLS = 20
"""Cells reserved for a title, or the host, before the right side is shortened."""
QUIET_LAG, SINCE, CLOCK, AGES = range(1, 5)
"""Parts of the right side dropped for host or title, in order: normal tick lag, time since nothing
starts, clock, backup and replica ages. The banner shows problems anyway."""

HOST_GAP = 2
"""Cells after the host."""

Destination = tuple[str, str]
"""Digit and name of a screen."""
PLACES: tuple[Destination, ...] = (
    ("0", "Deck"),
    ("5", "Tasks"),
    ("6", "Templates"),
    ("7", "Alerts"),
    ("9", "History"),
)


COUNTER_FILTERS = {
    "running": "status:active", "waiting": "status:queued,retrying", "blocked": "status:blocked",
    "held": "status:held",
    "scheduled": "status:scheduled", "later": "status:blocked,held,scheduled",
    "failed": "status:failed,timed-out,lost",
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
    tab: str = ""
    """Digit of the visible pane on a small terminal; `places` are then the panes' digits."""


def format_runtime(
    runtime: RuntimeFacts, now: float, look: Look, short: bool, dropped: int = 0
) -> list[Span]:
    """Return the runtime's state and tick lag.

    Examples: `● runtime 4120`, `‖ NOTHING STARTS since 10:31`, `✗ NO RUNTIME since 10:31`, `✗ NO
    ANSWER 12s`.
    """
    if runtime.state in ("none", "stopped"):
        since = (
            ""
            if runtime.since is None
            else (
                f" {units.format_age(now - runtime.since)}"
                if short
                else f" since {format_wall_time(runtime.since, now)}"
            )
        )
        return [(f"{look.adapt_text('✗')} NO RUNTIME{since}", "broken")]
    if runtime.unheard_since is not None:
        return [
            (
                (
                    f"{look.adapt_text('✗')} NO ANSWER"
                    f" {units.format_age(max(0.0, now - runtime.unheard_since))}"
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
                    f"{look.adapt_text('‖')} NOTHING"
                    f" STARTS{f' since {look.sanitize(since)}' if since else ''}"
                ),
                "warn",
            ),
            *_format_lag(runtime, look, short, dropped),
        ]
    if runtime.pid is None:
        return []  # a past board has no process id
    sign = look.adapt_text("●")
    return [
        (sign, "alive"),
        (f" {runtime.pid}" if short else f" runtime {runtime.pid}", ""),
        *_format_lag(runtime, look, short, dropped),
    ]


def _format_lag(runtime: RuntimeFacts, look: Look, short: bool, dropped: int) -> list[Span]:
    if runtime.tick_lag is None:
        return []
    lag = (
        f"{runtime.tick_lag * 1000:.0f}ms"
        if runtime.tick_lag < 1
        else units.format_duration(runtime.tick_lag)
    )
    if runtime.tick_lag > LATE_TICK:
        return [(f"  TICK {lag}!", "broken")]
    return [(f" {lag}" if short else f"  tick {lag}", "dim")] if dropped < QUIET_LAG else []


def format_database(board: Board, now: float, look: Look) -> list[Span]:
    """Return the database's state.

    The text is `db ok`, `db LOCKED 4s` while another program holds the lock, its problem in
    capitals, or `db ?` while the runtime does not answer.
    """
    if board.runtime.unheard_since is not None:
        return [("db ?", "warn")]
    if board.database != "ok":
        return [(f"db {look.sanitize(board.database).upper()}", "broken")]
    if board.lock:
        return [(f"db LOCKED {units.format_age(max(0.0, now - board.lock.since))}", "broken")]
    return [("db ok", "dim")]


def format_backup(backup: BackupFacts | None, now: float, width: int) -> list[Span]:
    """Return the age of the newest backup.

    Examples: `backup 41m`, `no backup yet`. `backup 3d!` (late) and `no backup!` (missing) are
    never dropped.
    """
    if backup is None or (width < BACKUP_CELLS and not backup.late):
        return []
    if backup.at is None:
        return [("  no backup!", "warn") if backup.late else ("  no backup yet", "dim")]
    age = units.format_age(max(0.0, now - backup.at))
    return [(f"  backup {age}!", "warn") if backup.late else (f"  backup {age}", "dim")]


def format_replica(replica: ReplicaFacts | None) -> list[Span]:
    """Return `replica 5m!` if the replica is late, else nothing."""
    if replica is None or not replica.late:
        return []
    return [
        (
            (
                f"  replica {units.format_age(replica.lag)}!"
                if replica.lag is not None
                else "  no replica!"
            ),
            "broken",
        )
    ]


def build_right_side(
    board: Board, now: float, look: Look, width: int, slow: bool = False, dropped: int = 0
) -> list[Span]:
    """Return the right side of the first line.

    `slow` is True if the first board takes long. `dropped` is the last part dropped, from
    `QUIET_LAG` to `AGES`.
    """
    short = width < WIDE_CELLS
    spans: list[Span] = [("loading", "dim")] if slow and board.database == "ok" else []
    if board.at:  # before the first board, runtime and database are unknown
        spans = [
            *format_runtime(board.runtime, now, look, short, dropped),
            ("  ", ""),
            *format_database(board, now, look),
        ]
    spans += (
        format_backup(board.backup, now, width) + format_replica(board.replica)
        if dropped < AGES
        else []
    )
    if board.host.load is not None and board.measured_at is None and width >= 115:
        spans.append((f"  load {board.host.load:.1f}/{board.host.cores}", "dim"))
    return [
        *spans,
        (f"  {format_wall_time(now, now, seconds=not short)} " if dropped < CLOCK else " ", ""),
    ]


def build_counters(board: Board, failures: int, short: bool, look: Look) -> list[Span]:
    """Return the counters: `7 running 22 waiting 3 blocked 2 held 4 scheduled 3 failed`.

    A short header combines blocked, held and scheduled. A past minute without records shows `–
    running – waiting`.
    """
    if not board.at:
        return []
    count = board.counts.get
    unknown = board.runtime.state == "past" and not board.counts
    running = len(board.running) if count("running") is None else count("running", 0)
    waiting = count("queued", 0) + count("retrying", 0)
    later = [(word, count(word, 0)) for word in ("blocked", "held", "scheduled")]
    if short:
        later = [("later", sum(n for _, n in later))]
    shown = [("running", running), ("waiting", waiting), *((word, n) for word, n in later if n)]
    spans: list[Span] = [
        (
            _make_counter_link(
                look.adapt_text(units.MISSING) if unknown else units.format_count(n), word
            ),
            "",
        )
        for word, n in shown
    ]
    return (
        [*spans, (_make_counter_link(units.format_count(failures), "failed"), "broken")]
        if failures
        else spans
    )


def _make_counter_link(count: str, word: str) -> HeaderLink:
    return HeaderLink(f"{count} {word} ", COUNTER_FILTERS[word])


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
        left[-1] = (look.cut(context.title, room, "middle"), "bold")
    elif short:
        counted = build_counters(board, context.failures, short=True, look=look)
        # the panes' digits may leave no space for all counters
        if context.tab and context.failures:
            counted = [counted[0], counted[-1], *counted[1:-1]]
        left += [("  ", ""), *counted] if context.tab else counted
    lines = [join_sides(left, right, width)]
    if not short:
        places: list[Span] = [
            (HeaderLink(f" {digit} {name}", digit), "bold" if digit == context.here else "dim")
            for digit, name in context.places
        ]
        lines.append(
            join_sides(
                places, build_counters(board, context.failures, short=False, look=look), width
            )
        )
    return lines


def _build_left_side(board: Board, context: HeaderContext, look: Look, short: bool) -> list[Span]:
    """Return the left side: host, or the title, or the visible pane on a small terminal."""
    host = look.cut(look.sanitize(board.host.name if board.at else os.uname().nodename), 16)
    spans: list[Span] = [(" ", "")]
    if context.read_only:
        spans.append(("READ ONLY  ", "warn"))
    if context.shown_time:
        spans.append((f"{look.adapt_text(context.shown_time)}  ", "warn"))
    if board.runtime.demo:
        spans.append(("DEMO  ", "warn"))
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


def join_sides(left: Sequence[Span], right: Sequence[Span], width: int) -> list[Span]:
    """Join both sides in one line, shortening the left one."""
    room = width - measure_spans(right)
    shown: list[Span] = []
    for text, style in left:
        if measure_spans([(text, style)]) > room:
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
        lines = build_header(self._board, self._bearings, self.now, self.look, width, self._slow)
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
