"""Warning banner below the header: why nothing starts, what continues, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message
from textual.screen import ModalScreen

from app.core.board import DRAINING, Board, DiskUsageEntry, RuntimeFacts
from app.core.text import units
from app.core.text.joining import join_sentences
from app.core.text.sanitize import measure_width
from app.translation import tr, tr_n
from app.tui.board_words import translate_halt
from app.tui.deck_app import StatusScreen
from app.tui.message_fit import MIN_PROBLEM_CELLS, fit_message, get_last_sentence, wrap_message
from app.tui.style import Look, Span
from app.tui.time_format import format_time_and_age, format_wall_time
from app.tui.widgets.strips import StripWidget

INDENT = 3
MIN_CELLS = 20
DATABASE_KEY, START_KEY = "B", "S"
"""Keys of the app that open the database page and start a stopped runtime."""
HOME_CELLS = 12
"""Minimum cells for the path of the home if other words can be shortened."""
SPARE_CELLS = 8
"""Cells by which the first line is shortened on each try to fit two lines."""
LITTLE_SPACE = 64 * 2**20
"""Free bytes up to which lack of space explains a full disk."""
LOST_STATES = ("DAMAGED", "GONE")
"""Database states that need a restore."""
STALE_AFTER = 30.0
"""Seconds after which the board is stale; `STALE_SOON` applies if the database is lost or the
runtime is silent."""
STALE_SOON = 5.0


def build_banner(
    board: Board,
    now: float,
    look: Look,
    cells: int,
    key: str = "↵",
    start: str = "S",
    most: int = 2,
    tries: bool = True,
) -> list[list[Span]]:
    """Return up to `most` banner lines if nothing starts, else none.

    `key` shows what cleanup would free, `start` starts a stopped runtime; "" where no key does, as
    in a form. `tries` is True if the deck starts a runtime by itself.
    """
    room = max(MIN_CELLS, cells - INDENT)
    if needs_room(board):
        lines = (
            _format_full_disk(board, look, room, key)
            if most > 1
            else [_format_full_disk_line(board, look, room, key)]
        )
    else:
        lines = wrap_warning(
            look.sanitize(describe_trouble(board, now, start, tries)), look, room - 1, most
        )
    if not lines:
        return []
    return [
        [(f" {look.adapt_text('✗')} {lines[0]}", "broken")],
        *([(f"   {line}", "broken")] for line in lines[1:]),
    ]


def wrap_warning(text: str, look: Look, room: int, most: int) -> list[str]:
    """Wrap sanitized text to `most` lines; the advice at its end always remains."""
    lines: list[str] = []
    # If the advice leaves little room, show only the advice: the header names the problem.
    if most == 1 and room - measure_width(last := get_last_sentence(text)) <= MIN_PROBLEM_CELLS:
        text = last
    for spare in range(0, room, SPARE_CELLS):
        lines = wrap_message(fit_message(text, most * room - spare, look), room)
        if len(lines) <= most:
            break
    return lines[:most]


def describe_trouble(board: Board, now: float, start: str, tries: bool) -> str:
    """Return what prevents starts, what continues and what to do; "" if nothing is wrong.

    A full disk is handled separately.
    """
    runtime = board.runtime
    if runtime.unheard_since is not None:
        return tr(
            "NO ANSWER from the runtime for {age}. {jobs} If it hangs: kill -9 {pid} &&"
            " taskdeck serve. If it is stopped: kill -CONT {pid}",
            age=units.format_age(max(0.0, now - runtime.unheard_since)),
            jobs=_describe_jobs(board),
            pid=runtime.pid,
        )
    if board.database in LOST_STATES:
        first = "" if runtime.state in ("none", "stopped") else "taskdeck stop && "
        advice = runtime.cure or tr("Run: {first}taskdeck db restore --dry-run", first=first)
        place = f": {board.home}" if board.home else ""
        return tr(
            "DATABASE {database}{place}. Nothing starts or is stored. {jobs} {advice}",
            database=tr(board.database),
            place=place,
            jobs=_describe_recorded_jobs(board),
            advice=advice,
        )
    if runtime.state == "stopped":
        who = runtime.stopped_by or tr("someone")
        advice = (
            tr("{start} restarts it, or: taskdeck serve", start=start)
            if start
            else tr("Start it again: taskdeck serve --detach")
        )
        if runtime.cure:  # of a cluster, which ends the jobs of a host that it leaves
            return tr(
                "NO RUNTIME{since}: {who} stopped it. Nothing starts. {cure}",
                since=_format_since(runtime, now),
                who=who,
                cure=runtime.cure,
            )
        return tr(
            "NO RUNTIME{since}: {who} stopped it (taskdeck stop). Nothing starts. {jobs} {advice}",
            since=_format_since(runtime, now),
            who=who,
            jobs=_describe_recorded_jobs(board),
            advice=advice,
        )
    if runtime.state == "none":
        starts = (
            tr("{start} starts one, or: taskdeck serve", start=start)
            if start
            else tr("Start one: taskdeck serve --detach")
        )
        advice = runtime.cure or (tr("Trying to start one.") if tries else starts)
        return tr(
            "NO RUNTIME{since}. Nothing starts. {jobs} {advice}",
            since=_format_since(runtime, now),
            jobs=_describe_recorded_jobs(board),
            advice=advice,
        )
    if board.database != "ok":
        return tr(
            "{database}: {home}. Nothing new starts. {jobs} Dispatch resumes by itself.",
            database=tr(board.database).upper(),
            home=board.home,
            jobs=_describe_safe_jobs(board),
        )
    if runtime.halted:
        by = f" ({board.lock.by})" if board.lock and board.lock.by else ""
        resumes = (
            runtime.cure or tr("To resume: taskdeck serve --detach")
            if runtime.halted == DRAINING
            else tr("Dispatch resumes by itself.")
        )
        return tr(
            "Nothing starts: {halted}{by}. {jobs} {resumes}",
            halted=translate_halt(runtime.halted),
            by=by,
            jobs=_describe_safe_jobs(board),
            resumes=resumes,
        )
    return ""


def _format_since(runtime: RuntimeFacts, now: float) -> str:
    return (
        ""
        if runtime.since is None
        else tr(" since {time}", time=format_wall_time(runtime.since, now))
    )


def _describe_jobs(board: Board) -> str:
    if not board.at:
        return tr("Jobs continue.")
    running = len(board.running)
    return (
        tr_n(running, "{n:,} job continues.", "{n:,} jobs continue.")
        if running
        else tr("No job runs.")
    )


def _describe_recorded_jobs(board: Board) -> str:
    """Return what happens to jobs while no runtime can store their ends."""
    if not board.at:
        return tr("Jobs continue; their ends are recorded.")
    running = len(board.running)
    return (
        tr_n(
            running,
            "1 job continues; its end is recorded.",
            "{n:,} jobs continue; their ends are recorded.",
        )
        if running
        else tr("No job runs.")
    )


def _describe_safe_jobs(board: Board) -> str:
    """Return what happens to jobs while nothing starts."""
    if not board.at:
        return tr("Jobs continue; nothing is lost.")
    running = len(board.running)
    return (
        tr_n(running, "1 job continues; nothing is lost.", "{n:,} jobs continue; nothing is lost.")
        if running
        else tr("No job runs; nothing is lost.")
    )


def format_staleness(board: Board, now: float) -> str:
    """Return `as of 10:31:02, 11m old` if the board is stale, else ""."""
    is_stale = now - board.at > (
        STALE_SOON
        if board.database in LOST_STATES or board.runtime.unheard_since is not None
        else STALE_AFTER
    )
    return (
        tr("as of {time_and_age}", time_and_age=format_time_and_age(board.at, now))
        if board.at and is_stale
        else ""
    )


# Full disk


def needs_room(board: Board) -> bool:
    """Return True if nothing starts because the home's disk is full or nearly full."""
    runtime = board.runtime
    return (
        runtime.state == "running"
        and runtime.unheard_since is None
        and (board.database == "disk full" or _is_disk_nearly_full(board))
    )


def _is_disk_nearly_full(board: Board) -> bool:
    return (board.runtime.halted or "").startswith("disk nearly full")


class _DiskTexts(NamedTuple):
    """Sentences about a full disk. The places of `{}` receive the path of the home."""

    sentence: str
    shorter: str
    without_home: str
    state: str


def _describe_disk(board: Board) -> _DiskTexts:
    free = _format_free_bytes(board)
    if _is_disk_nearly_full(board) and board.database == "ok":
        state = tr("DISK NEARLY FULL.")
        if not free:
            bare = tr("DISK NEARLY FULL: {home}.", home="{}")
            return _DiskTexts(bare, bare, state, state)
        return _DiskTexts(
            tr("DISK NEARLY FULL: {home} has {free} free.", home="{}", free=free),
            tr("DISK NEARLY FULL: {home}, {free} free.", home="{}", free=free),
            tr("DISK NEARLY FULL: {free} free.", free=free),
            state,
        )
    state = tr("DISK FULL.")
    if not free:
        bare = tr("DISK FULL: {home}.", home="{}")
        return _DiskTexts(bare, bare, state, state)
    return _DiskTexts(
        tr("DISK FULL: {home} has {free} free.", home="{}", free=free),
        tr("DISK FULL: {home}, {free} free.", home="{}", free=free),
        tr("DISK FULL: {free} free.", free=free),
        state,
    )


def _format_free_bytes(board: Board) -> str:
    """Return `3.0M`, or "" if free space is not the reason.

    A disk with free bytes may reject writes because of reserved blocks or missing inodes.
    """
    free = board.host.disk_free
    return (
        ""
        if free is None or (free > LITTLE_SPACE and not _is_disk_nearly_full(board))
        else (units.format_bytes(free) if free else tr("0 bytes"))
    )


def _format_full_disk_line(board: Board, look: Look, room: int, key: str) -> str:
    disk = _describe_disk(board)
    do = tr("{key} shows what cleanup would free", key=key) if key else tr("Free space there.")
    return _fit_text(
        room,
        look,
        (
            join_sentences(disk.without_home, tr("Nothing starts."), do),
            join_sentences(disk.without_home, do),
            join_sentences(disk.state, do),
            do,
        ),
    )


def _format_full_disk(board: Board, look: Look, room: int, key: str) -> list[str]:
    home, disk, running = look.sanitize(board.home), _describe_disk(board), len(board.running)
    if running:
        long = tr_n(
            running,
            "Nothing new starts. The running job continues; nothing is lost.",
            "Nothing new starts. The {n:,} running jobs continue; nothing is lost.",
        )
        short = tr_n(
            running, "Nothing starts; {n:,} job continues.", "Nothing starts; {n:,} jobs continue."
        )
    else:
        long = tr("Nothing new starts. No job runs; nothing is lost.")
        short = tr("Nothing starts; no job runs.")
    first = _fit_home(
        home, look, room,
        join_sentences(disk.sentence, long),
        join_sentences(disk.sentence, short),
        join_sentences(disk.shorter, short),
    )  # fmt: skip
    first = first or _fit_text(
        room,
        look,
        (
            join_sentences(disk.without_home, short),
            join_sentences(disk.without_home, tr("Nothing starts; jobs continue.")),
        ),
    )
    return [first, _fit_text(room, look, _list_advice(board.host.largest, look, key))]


def _fit_home(home: str, look: Look, room: int, *texts: str) -> str:
    """Return the first text that fits with the home; shorter texts are preferred to a cut path.

    Return "" if none fits.
    """
    for least in (measure_width(home), min(measure_width(home), HOME_CELLS)):
        for text in texts:
            if (left := room - measure_width(text.format(""))) >= least:
                return text.format(look.cut(home, left, "middle"))
    return ""


def _list_advice(largest: Sequence[DiskUsageEntry], look: Look, key: str) -> Iterable[str]:
    """Yield the advice, longest wording first."""
    shows = tr("{key} shows what cleanup would free", key=key) if key else ""
    named = [
        f"{look.sanitize(one.name)} {'' if one.whole else tr('over ')}"
        f"{units.format_bytes(one.bytes)}"
        for one in largest
    ]
    if named:
        yield tr(
            "Free space there: dispatch resumes by itself. Largest: {named}.  {shows}",
            named=", ".join(named),
            shows=shows,
        )
        yield tr(
            "Free space there. Largest: {named}.  {shows}", named=", ".join(named), shows=shows
        )
        yield tr("Largest: {named}.  {shows}", named=", ".join(named), shows=shows)
        yield tr("Largest: {named}.  {shows}", named=named[0], shows=shows)
    yield tr("Free space there: dispatch resumes by itself.  {shows}", shows=shows)
    yield tr("Free space there.  {shows}", shows=shows)
    yield shows or tr("Free space there.")


def _fit_text(room: int, look: Look, texts: Iterable[str]) -> str:
    """Return the first text that fits, else the last one, cut."""
    text = ""
    for text in (look.adapt_text(text).rstrip() for text in texts):
        if measure_width(text) <= room:
            return text
    return look.cut(text, room)


class Banner(StripWidget):
    """Warnings below the header, at most two lines."""

    class Clicked(Message):
        """The banner was clicked."""

    def __init__(self, id: str = "banner") -> None:
        super().__init__(id=id)

    def build_lines(self, board: Board, enter: bool = False, most: int = 2) -> list[list[Span]]:
        """Return the banner lines for a board.

        If `enter` is set, enter shows what cleanup would free, instead of the app's key.
        """
        start = "" if self.deck.read_only else self._find_key(START_KEY)
        return build_banner(
            board, self.now, self.look, self.app.size.width,
            "↵" if enter else self._find_key(DATABASE_KEY), start, most,
            self.deck.may_start
        )  # fmt: skip

    def _find_key(self, key: str) -> str:
        """Return the user's key for a default key.

        Return "" if the key does nothing here or leads to this screen.
        """
        screen = self.screen
        is_open = isinstance(screen, StatusScreen) and key == screen.KEY
        if is_open or isinstance(screen, ModalScreen):
            return ""
        keys = self.deck.settings.keys
        if not keys:
            return key
        from app.tui.keymap import find_shown_key
        from app.tui.widgets.footer import get_key_name

        return get_key_name(find_shown_key([self.app], key, keys))

    def show(self, lines: Sequence[Sequence[Span]]) -> None:
        """Show these lines; hide the banner if there are none."""
        height = len(lines)
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
        self.draw([self.look.strip(spans, self.app.size.width) for spans in lines])

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked())


_INDENT, _MARGIN, _MIN_CELLS = 3, 1, 20


def build_current_banner(
    banner: Banner, board: Board, enter: bool = False, most: int = 2
) -> list[list[Span]]:
    """Return the banner lines; `enter` and `most` as in `Banner.build_lines`."""
    text = banner.deck.unread
    return (
        build_error_banner(text, banner.look, banner.app.size.width, most)
        if text
        else banner.build_lines(board, enter, most)
    )


def build_error_banner(text: str, look: Look, cells: int, most: int = 2) -> list[list[Span]]:
    """Return the error in at most `most` lines, keeping the advice at its end.

    `text` is sanitized.
    """
    first, *more = wrap_warning(
        look.adapt_text(f"NOTHING CAN BE SHOWN: {text}"),
        look,
        max(_MIN_CELLS, cells - _INDENT - _MARGIN),
        most,
    )
    return [
        [(f" {look.adapt_text('✗')} {first}", "broken")],
        *([(f"   {line}", "broken")] for line in more),
    ]
