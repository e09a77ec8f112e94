"""What every screen shows, empty, busy and in trouble, at the sizes people have: texts in `snapshots/`, one file each.

`python -m tests.tui.test_snapshots` writes them anew; then look at what changed, since that is what people will see.
"""

from __future__ import annotations

import asyncio
import difflib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

from app.core.text.sanitize import width
from app.tui.app import TaskdeckApp
from app.tui.data.call_queue import Errands
from app.tui.logviewer.widget import LogView
from app.tui.screens.dialogs.while_away import AwayScreen
from app.tui.style import Look
from tests.screenshots import still
from tests.tui import boards, fake_home
from tests.tui.fake_runtime import UUID, Answers
from tests.tui.recording_runtime import Clock
from tests.tui.screen_text import screen_text

FOLDER = Path(__file__).with_name("snapshots")
SIZES = ((80, 24), (120, 40), (200, 50))
SMALL, USUAL = ((60, 16),), ((80, 24),)

Way = Callable[[TaskdeckApp, Pilot[Any]], Awaitable[None]]


# --- the ways to the screens ----------------------------------------------------------------------------------------


def at_once(do: Callable[[TaskdeckApp], object]) -> Way:
    """To a screen that is opened by one call."""

    async def way(app: TaskdeckApp, pilot: Pilot[Any]) -> None:
        do(app)
        await settled(app, pilot)

    return way


def by_keys(*keys: str) -> Way:
    """To a screen as a person goes there from the deck, each key when the one before has done its work."""

    async def way(app: TaskdeckApp, pilot: Pilot[Any]) -> None:
        for key in keys:
            for one in [key] if key in NAMED else key:
                type_key(app, one)
            await settled(app, pilot)

    return way


NAMED = frozenset({"enter", "escape", "tab", "down", "ctrl+j", "left"})


def type_key(app: TaskdeckApp, key: str) -> None:
    """A key as the terminal sends it, without waiting for what it does: a character, or one of the named ones."""
    name = key if len(key) > 1 else _character_to_key(key)
    app.post_message(Key(name, key if len(key) == 1 else None))


def task(number: int) -> Way:
    """To the screen of a task."""
    return at_once(lambda app: app.open_task(UUID.format(number)))


BUSY: dict[str, Way] = {
    "deck": by_keys(),
    "deck-queues": by_keys("1"),
    "deck-zoomed": by_keys("z"),
    "deck-filter": by_keys("/", "queue:gpu"),
    "deck-marks": by_keys(" ", " ", " "),
    "deck-an-hour-ago": by_keys(";"),
    "tasks": by_keys("5"),
    "tasks-filter": by_keys("5", "/", "status:failed"),
    "tasks-none": by_keys("5", "/", "zzz", "enter"),
    "task-running": task(1042),
    "task-waiting": task(1049),
    "task-blocked": task(1060),
    "task-failed": task(1048),
    "log": at_once(lambda app: app.open_log(UUID.format(1042))),
    "log-failed": at_once(lambda app: app.open_log(UUID.format(1048))),
    "log-search": by_keys("l", "/", "acc=0.9", "enter"),
    "why": at_once(lambda app: app.open_why(UUID.format(1049))),
    "new-task": by_keys("n", "ffmpeg -i a.mkv b.mp4"),
    "template-form": by_keys("6", "enter", "/srv/in/S02E09.mkv"),
    "run-again": by_keys("R"),
    "templates": by_keys("6"),
    "editor": by_keys("6", "e"),
    "editor-fault": by_keys("6", "e", "timout=1", "enter"),
    "editor-review": by_keys("6", "e", "x", "ctrl+j"),
    "alerts": by_keys("7"),
    "alert-silence": by_keys("7", "s"),
    "rule-form": by_keys("7", "n"),
    "edit-task": at_once(lambda app: _edit(app, 3)),
    "edit-queue": at_once(lambda app: _edit(app, 1)),
    "history": by_keys("9"),
    "history-moment": by_keys("9", "tab", "left"),
    "operations": by_keys("O"),
    "operation": by_keys("O", "enter"),
    "help": by_keys("?"),
    "palette": by_keys(":", "pau"),
    "away": at_once(lambda app: app.push_screen(AwayScreen(fake_home.AWAY))),
    "themes": by_keys("T"),
    "views": by_keys("5", "V"),
    "columns": by_keys("5", "i"),
    "order": by_keys("5", "o"),
    "copy": by_keys("y"),
    "signals": by_keys("X"),
    "cancel": by_keys("x"),
    "review": by_keys("5", "/", "status:failed", "enter", "*", "r"),
}  # fmt: skip
OTHERS = (
    "deck-queues", "deck-zoomed", "deck-filter", "deck-marks", "tasks-none", "log-search", "editor-fault", "alert-silence", "columns",
    "order", "copy", "signals", "themes", "views", "history-moment", "operation", "edit-queue", "run-again",
)  # fmt: skip
"""Seen at one size only."""
EMPTY = ("deck", "tasks", "templates", "alerts", "history", "operations", "new-task")
NO_RUNTIME = ("deck", "why", "task-waiting")
DISK_FULL = ("deck", "task-running", "tasks")
UNREADABLE = (
    "deck", "tasks", "task-running", "log", "why", "new-task", "templates", "editor", "alerts", "edit-task", "history", "operations",
)  # fmt: skip
FEW = ("deck", "tasks", "task-running", "task-waiting", "log", "why", "new-task", "history", "alerts", "operations", "help", "cancel")
AT_60 = (*FEW, "deck-queues", "template-form", "templates", "edit-task", "editor", "palette", "away", "views", "review", "task-failed")


def _edit(app: TaskdeckApp, pane: int) -> None:
    assert app.deck is not None
    app.deck.go_to(pane)
    app.deck.action_edit()


@dataclass(frozen=True)
class Tour:
    """Screens of one house, seen with one look at some sizes. `name` begins the names of its files."""

    name: str
    house: Callable[[Path], Answers]
    screens: Sequence[str]
    sizes: Sequence[tuple[int, int]] = SIZES
    look: Look = Look()


def _with(board: Callable[[], Any]) -> Callable[[Path], Answers]:
    """The full house with another board."""

    def house(folder: Path) -> Answers:
        answers = fake_home.busy(folder)
        answers.board = board()
        return answers

    return house


TOURS = (
    Tour("", fake_home.busy, tuple(screen for screen in BUSY if screen not in OTHERS)),
    Tour("", fake_home.busy, OTHERS, USUAL),
    Tour("empty", lambda _: fake_home.bare(), EMPTY),
    Tour("no-runtime", _with(boards.trouble), NO_RUNTIME),
    Tour("disk-full", _with(boards.halted), DISK_FULL),
    Tour("unreadable", lambda _: fake_home.broken(), UNREADABLE),
    Tour("ascii", fake_home.busy, FEW, USUAL, Look(ascii=True, utf8=False)),
    Tour("no-colour", fake_home.busy, ("deck", "history", "task-running"), USUAL, Look(colour=False)),
    Tour("plain", fake_home.busy, FEW, USUAL, Look(plain=True, ascii=True, colour=False)),
    Tour("small", fake_home.busy, AT_60, SMALL),
)


# --- seeing them ----------------------------------------------------------------------------------------------------


async def settled(app: TaskdeckApp, pilot: Pilot[Any]) -> None:
    """Return when nothing is being read any more, nothing is due soon, and nothing changes on the screen."""
    before, carried = None, _errands(app)
    for _ in range(1000):
        await pilot.pause(0.003)
        if not all(done.is_set() for done in carried) or _is_reading(app) or _is_due(app):
            before = None
            continue
        now = (app.screen, screen_text(app))
        if now == before:
            return
        before, carried = now, _errands(app)
    raise AssertionError("it never came to rest:\n" + "\n".join(seen(app)))


def _errands(app: TaskdeckApp) -> list[Event]:
    """Each is set when the errands that were sent before it, or what a log was asked before it, are done."""
    return [*map(_carried, (app.errands, app.questions)), *(_asked(view) for view in app.screen.query(LogView) if view.is_open)]


def _carried(errands: Errands) -> Event:
    done = Event()
    errands.run_with(lambda client: None, lambda answer, error: done.set())
    return done


def _asked(view: LogView) -> Event:
    done = Event()
    view.ask(lambda pager: done.set())
    return done


def _is_reading(app: TaskdeckApp) -> bool:
    """Whether a thread works for the screen; that which reads a log does so as long as it is open."""
    logs = [view for view in app.screen.query(LogView) if view.is_open]
    busy = any(view.page.lines is None or view.page.progress < 100 for view in logs)
    return busy or any(worker.is_running and worker.group != "log" for worker in app.workers)


def _is_due(app: TaskdeckApp) -> bool:
    """Whether something is to be done once in a moment."""
    timers = [timer for node in app.screen.walk_children(with_self=True) for timer in node._timers]
    return any(timer._repeat == 0 and timer._task is not None and not timer._task.done() for timer in timers)


def seen(app: TaskdeckApp) -> list[str]:
    """Each line as the terminal shows it, with what stands behind a dialog."""
    update: Any = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    lines = [[segment for strip in line for segment in strip] for line in update.strips]
    return ["".join(segment.text for segment in line if not segment.control).rstrip() for line in lines]


@asynccontextmanager
async def open_deck(tour: Tour, folder: Path) -> AsyncIterator[tuple[TaskdeckApp, Pilot[Any]]]:
    """The deck of a tour, at rest."""
    answers = tour.house(folder)
    ticks = Clock()
    ticks.at = 1e9  # later than the machine's own, by which a table knows that its row went away just now
    app = TaskdeckApp(answers, look=tour.look, now=lambda: boards.NOW, ticks=ticks, first=answers.board)
    async with app.run_test(size=tour.sizes[0]) as pilot:
        await settled(app, pilot)
        yield app, pilot


async def home_again(app: TaskdeckApp, pilot: Pilot[Any], size: tuple[int, int]) -> None:
    """Back on the deck, as if nothing had been done there."""
    if isinstance(app.focused, Input):
        type_key(app, "escape")
        await settled(app, pilot)
    deck = app.deck
    assert isinstance(app.ticks, Clock) and deck is not None
    app.action_place(0)
    await pilot.resize_terminal(*size)
    app.feed.heard += 1  # of a runtime something is heard all the while
    app.ticks.at += 120.0  # what was said is gone, and no row went away just now
    app.past.live()
    deck.clear_filter()
    for pane in deck.panes:
        pane.clear_marks()
    deck.table.action_edge(-1)
    app.memory.put("opened_at", {})
    app.kept_drafts = {}  # pyright: ignore[reportAttributeAccessIssue]
    deck.action_welcome()
    await settled(app, pilot)


async def visit(tour: Tour) -> AsyncIterator[tuple[str, list[str]]]:
    """Each screen at each size: the name of its file and its lines."""
    # The word for a reading that takes long hangs on a clock that stands still here; nobody need wait for it.
    with still(), tempfile.TemporaryDirectory() as folder, patch("app.tui.screens.base_polling.SLOW", 0.001):
        async with open_deck(tour, Path(folder)) as (app, pilot):
            for screen in tour.screens:
                for size in tour.sizes:
                    await show(app, pilot, screen, size, first=size == tour.sizes[0])
                    parts = [part for part in (tour.name, screen, f"{size[0]}x{size[1]}") if part]
                    yield "-".join(parts), seen(app)


async def show(app: TaskdeckApp, pilot: Pilot[Any], screen: str, size: tuple[int, int], first: bool) -> None:
    """A screen at a size: opened, or the open one in a window that has become another. What stands below a dialog is opened with it."""
    if first or isinstance(app.screen, ModalScreen):
        await home_again(app, pilot, size)
        await BUSY[screen](app, pilot)
    else:
        await pilot.resize_terminal(*size)
        await settled(app, pilot)


# --- comparing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.name or f"busy at {len(tour.sizes)} sizes")
async def test_every_screen_shows_what_it_showed_when_somebody_looked_at_it(tour: Tour):
    """You should see nothing; a failure shows each screen that is another, as a diff."""
    wrong = [found async for name, lines in visit(tour) if (found := difference(name, lines))]

    assert not wrong, "\n\n".join(wrong) + "\n\nIf that is as wanted: python -m tests.tui.test_snapshots"


def difference(name: str, lines: Sequence[str]) -> str:
    """How the lines differ from those that are kept; "" when they do not."""
    kept = FOLDER / f"{name}.txt"
    before = kept.read_text("utf-8").splitlines() if kept.exists() else []
    return "\n".join(difflib.unified_diff(before, lines, f"{name} as it was", f"{name} as it is", n=1, lineterm=""))


def test_there_is_no_snapshot_that_nothing_draws():
    assert {path.name for path in FOLDER.iterdir()} == set(names())


def names() -> Iterator[str]:
    """The names of all files."""
    for tour in TOURS:
        for screen in tour.screens:
            for columns, rows in tour.sizes:
                yield "-".join(part for part in (tour.name, screen, f"{columns}x{rows}.txt") if part)


def test_no_kept_screen_is_wider_or_higher_than_it_says_and_header_and_footer_stand_in_their_places():
    for path in sorted(FOLDER.glob("*.txt")):
        columns, rows = map(int, path.stem.rpartition("-")[2].split("x"))
        lines = path.read_text("utf-8").splitlines()

        assert len(lines) == rows, path.stem
        assert all(width(line) <= columns for line in lines), path.stem
        assert lines[0].strip() and lines[-1].strip(), path.stem
        assert not path.name.startswith("ascii") or all(map(str.isascii, lines)), path.stem


async def main() -> None:
    """Write all of them anew."""
    FOLDER.mkdir(exist_ok=True)
    for kept in FOLDER.iterdir():
        if kept.name not in set(names()):
            kept.unlink()
    for tour in TOURS:
        async for name, lines in visit(tour):
            if difference(name, lines):
                (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
                print(name)


if __name__ == "__main__":
    asyncio.run(main())
