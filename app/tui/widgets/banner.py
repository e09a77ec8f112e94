"""The banner below the header: what keeps everything from starting, what goes on meanwhile, what to do. In good times there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from textual import events
from textual.message import Message
from textual.screen import ModalScreen

from app.core.board import DRAINING, Board, RuntimeFacts, Taken
from app.core.text import units
from app.core.text.sanitize import width
from app.tui.message_fit import BEGINNING, in_room, last_sentence
from app.tui.style import Look, Span
from app.tui.time_format import old, wall
from app.tui.widgets.strips import Lines

INDENT = 3
LEAST = 20
DATABASE, START = "B", "S"
"""The keys of the app for the page of the database, which shows what cleanup would free, and for a runtime that was stopped."""
HOME = 12
"""Cells that the path of the home keeps at least, where the text is made shorter otherwise."""
SPARE = 8
"""Cells that words leave empty at the end of the first line, at least, each time that two lines were too few."""
LITTLE = 64 * 2**20
"""Bytes free up to which that is why a disk takes nothing."""
LOST = ("DAMAGED", "GONE")
"""How a database is that does not come back by itself."""
OLD = 30.0
"""Seconds from which on what is shown is called old; over a database that is lost, or of a runtime that does not answer, it is old when
the next board does not come."""
AT_ONCE = 5.0


def banner_lines(
    board: Board, now: float, look: Look, cells: int, key: str = "↵", start: str = "S", most: int = 2, tries: bool = True
) -> list[list[Span]]:
    """Up to `most` lines, one or two, when nothing starts; none in good times. `key` shows what cleanup would free, `start` brings back
    a runtime that was stopped; "" where no key does, as in a form. `tries`: whether the deck brings up a runtime by itself."""
    room = max(LEAST, cells - INDENT)
    if needs_room(board):
        lines = _full(board, look, room, key) if most > 1 else [_full_in_one(board, look, room, key)]
    else:
        lines = wrapped(look.theirs(trouble(board, now, start, tries)), look, room - 1, most)
    if not lines:
        return []
    return [[(f" {look.own('✗')} {lines[0]}", "broken")], *([(f"   {line}", "broken")] for line in lines[1:])]


def wrapped(text: str, look: Look, room: int, most: int) -> list[str]:
    """What is wrong in one line or two, however little room: what to do about it stands at the end, and stays. `text` is safe."""
    lines: list[str] = []
    # Where what to do leaves room for little else it is all that is said: what is wrong stands in the header.
    if most == 1 and room - width(last := last_sentence(text)) <= BEGINNING:
        text = last
    for spare in range(0, room, SPARE):
        lines = wrap(in_room(text, most * room - spare, look), room)
        if len(lines) <= most:
            break
    return lines[:most]


def trouble(board: Board, now: float, start: str, tries: bool) -> str:
    """What keeps everything from starting, what goes on, what to do; "" in good times. A disk that is full has words of its own."""
    runtime = board.runtime
    jobs = _jobs(board, "No job runs", "The job runs on", "The {} jobs run on") if board.at else "Jobs run on"
    if runtime.unheard_since is not None:
        return (
            f"NO ANSWER from the runtime for {units.age(max(0.0, now - runtime.unheard_since))}. {jobs}. "
            f"If it hangs: kill -9 {runtime.pid} && taskdeck serve. If it is stopped: kill -CONT {runtime.pid}"
        )
    if board.database in LOST:
        first = "" if runtime.state in ("none", "stopped") else "taskdeck stop && "
        cure = runtime.cure or f"Type: {first}taskdeck db restore --dry-run"
        place = f": {board.home}" if board.home else ""
        return f"DATABASE {board.database}{place}. Nothing starts or is stored. {jobs}; what ends is kept. {cure}"
    if runtime.state == "stopped":
        who = runtime.stopped_by or "someone"
        cure = f"{start} starts it again, or: taskdeck serve" if start else "Start it again: taskdeck serve --detach"
        return f"NO RUNTIME{_since(runtime, now)}: {who} stopped it (taskdeck stop). Nothing starts. {jobs}; what ends is kept. {cure}"
    if runtime.state == "none":
        starts = f"{start} starts one, or: taskdeck serve" if start else "Start one: taskdeck serve --detach"
        cure = "Trying to start one." if tries else starts
        return f"NO RUNTIME{_since(runtime, now)}. Nothing starts. {jobs}; what ends is kept. {cure}"
    if board.database != "ok":
        return f"{board.database.upper()}: {board.home}. Nothing new starts. {jobs}; nothing is lost. Dispatch resumes by itself."
    if runtime.halted:
        by = f" ({board.lock.by})" if board.lock and board.lock.by else ""
        resumes = "It starts things again by: taskdeck serve --detach" if runtime.halted == DRAINING else "Dispatch resumes by itself."
        return f"Nothing starts: {runtime.halted}{by}. {jobs}; nothing is lost. {resumes}"
    return ""


def _since(runtime: RuntimeFacts, now: float) -> str:
    return "" if runtime.since is None else f" since {wall(runtime.since, now)}"


def _jobs(board: Board, none: str, one: str, more: str) -> str:
    running = len(board.running)
    return {0: none, 1: one}.get(running, more.format(f"{running:,}"))


def age_said(board: Board, now: float) -> str:
    """`as of 10:31:02, 11m old` when no board has come for long, else nothing."""
    late = now - board.at > (AT_ONCE if board.database in LOST or board.runtime.unheard_since is not None else OLD)
    return f"as of {old(board.at, now)}" if board.at and late else ""


# A full disk


def needs_room(board: Board) -> bool:
    """Whether nothing starts because the disk under the home is full, or nearly."""
    runtime = board.runtime
    return runtime.state == "running" and runtime.unheard_since is None and (board.database == "disk full" or _nearly(board))


def _nearly(board: Board) -> bool:
    return (board.runtime.halted or "").startswith("disk nearly full")


def _what(board: Board) -> str:
    return "DISK NEARLY FULL" if _nearly(board) and board.database == "ok" else "DISK FULL"


def _has(board: Board) -> str:
    """`3.0M free`; "" where that is not why: a disk may take nothing though it has bytes free, as they are kept, or it lacks inodes."""
    free = board.host.disk_free
    return "" if free is None or (free > LITTLE and not _nearly(board)) else f"{units.size(free) if free else '0 bytes'} free"


def _full_in_one(board: Board, look: Look, room: int, key: str) -> str:
    what, has = _what(board), _has(board)
    do = f"{key} shows what cleanup would free" if key else "Free space there."
    bare = f"{what}{f': {has}' if has else ''}."
    return _fit(room, look, (f"{bare} Nothing starts. {do}", f"{bare} {do}", f"{what}. {do}", do))


def _full(board: Board, look: Look, room: int, key: str) -> list[str]:
    home, what, has = look.theirs(board.home), _what(board), _has(board)
    on = _jobs(board, "No job runs", "The running job goes on", "The {} running jobs go on")
    short = _jobs(board, "no job runs", "the job goes on", "the {} jobs go on")
    first = _with_home(
        home, look, room,
        f"{what}: {{}}{f' has {has}' if has else ''}. Nothing new starts. {on}; nothing is lost.",
        f"{what}: {{}}{f' has {has}' if has else ''}. Nothing starts; {short}.",
        f"{what}: {{}}{f', {has}' if has else ''}. Nothing starts; {short}.",
    )  # fmt: skip
    bare = f"{what}{f': {has}' if has else ''}. Nothing starts"
    first = first or _fit(room, look, (f"{bare}; {short}.", f"{bare}; jobs go on."))
    return [first, _fit(room, look, _ways_out(board.host.largest, look, key))]


def _with_home(home: str, look: Look, room: int, *texts: str) -> str:
    """The first of these with the home in it that fits, rather in short words than with the home cut; "" when none does."""
    for least in (width(home), min(width(home), HOME)):
        for text in texts:
            if (left := room - width(text.format(""))) >= least:
                return text.format(look.cut(home, left, "middle"))
    return ""


def _ways_out(largest: Sequence[Taken], look: Look, key: str) -> Iterable[str]:
    """What to do, the longest wording first."""
    shows = f"{key} shows what cleanup would free" if key else ""
    named = [f"{look.theirs(one.name)} {'' if one.whole else 'over '}{units.size(one.bytes)}" for one in largest]
    if named:
        yield f"Free space there: dispatch resumes by itself. Largest: {', '.join(named)}.  {shows}"
        yield f"Free space there. Largest: {', '.join(named)}.  {shows}"
        yield f"Largest: {', '.join(named)}.  {shows}"
        yield f"Largest: {named[0]}.  {shows}"
    yield f"Free space there: dispatch resumes by itself.  {shows}"
    yield f"Free space there.  {shows}"
    yield shows or "Free space there."


def _fit(room: int, look: Look, texts: Iterable[str]) -> str:
    """The first that fits, else the last one, cut."""
    text = ""
    for text in (look.own(text).rstrip() for text in texts):
        if width(text) <= room:
            return text
    return look.cut(text, room)


class Banner(Lines):
    """Trouble, in up to two lines below the header."""

    class Clicked(Message):
        """It was clicked."""

    def __init__(self, id: str = "banner") -> None:
        super().__init__(id=id)

    def lines(self, board: Board, enter: bool = False, most: int = 2) -> list[list[Span]]:
        """What there is to say of a board, in one line or two. `enter`: whether that shows what cleanup would free, rather than its own
        key."""
        app: Any = self.app
        start = "" if getattr(app, "read_only", False) else self._key(START)
        return banner_lines(
            board, self.now, self.look, app.size.width, "↵" if enter else self._key(DATABASE), start, most, getattr(app, "may_start", True)
        )  # fmt: skip

    def _key(self, key: str) -> str:
        """The key that does now what this one does by default; "" where the app's keys do nothing, or one is where it leads."""
        if isinstance(self.screen, ModalScreen) or getattr(self.screen, "KEY", "") == key:
            return ""
        keys: Mapping[str, str] = getattr(getattr(self.app, "settings", None), "keys", {})
        if not keys:
            return key
        from app.tui.keymap import shown_key
        from app.tui.widgets.footer import key_name

        return key_name(shown_key([self.app], key, keys))

    def show(self, lines: Sequence[Sequence[Span]]) -> None:
        """Show these lines; none hides the banner."""
        height = len(lines)
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
        self.draw([self.look.strip(spans, self.app.size.width) for spans in lines])

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked())


UNREAD = Board(runtime=RuntimeFacts("starting"), database="unread", ever=True)
"""Stands for the board; nothing is claimed of what could not be read."""
LONG = 20.0
"""Seconds without a board and without a reason after which it is said that none comes; a runtime that hangs is told of before."""
NO_ANSWER = (
    f"nothing was answered for {LONG:.0f}s. It is waited for. What it is at, stands in run/runtime.log of the home; "
    "end it: taskdeck stop"
)
_INDENT, _MARGIN, _LEAST = 3, 1, 20


def banner_of(app: Any, banner: Banner, board: Board, enter: bool = False, most: int = 2) -> list[list[Span]]:
    """The lines below the head; `enter` and `most` as for `Banner.lines`."""
    text = getattr(app, "unread", "")
    return unread_lines(text, banner.look, app.size.width, most) if text else banner.lines(board, enter, most)


def unread_lines(text: str, look: Look, cells: int, most: int = 2) -> list[list[Span]]:
    """In so many lines at most; what to do, which stands at the end, stays. `text` is safe."""
    first, *more = wrapped(look.own(f"NOTHING CAN BE SHOWN: {text}"), look, max(_LEAST, cells - _INDENT - _MARGIN), most)
    return [[(f" {look.own('✗')} {first}", "broken")], *([(f"   {line}", "broken")] for line in more)]
