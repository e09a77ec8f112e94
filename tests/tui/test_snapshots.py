"""Text snapshots of every screen, empty, busy and in trouble, at common sizes.

Run `python -m tests.tui.test_snapshots` to rewrite `snapshots/`, and review the changes.
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

from app.core.board import AlertEntry
from app.core.text.sanitize import measure_width
from app.translation import ENGLISH, SIMPLIFIED_CHINESE
from app.tui.app import TaskdeckApp
from app.tui.data.call_queue import CallQueue
from app.tui.data.list_rows import RuleRow
from app.tui.logviewer.widget import LogView
from app.tui.screens.alerts import AlertsScreen
from app.tui.screens.dialogs.while_away import WhileAwayScreen
from app.tui.style import Look
from tests.languages import speak
from tests.screenshots import fixed_environment
from tests.tui import boards, fake_groups, fake_home
from tests.tui.fake_runtime import UUID, FakeRuntime
from tests.tui.recording_runtime import Clock
from tests.tui.screen_text import read_screen_lines

FOLDER = Path(__file__).with_name("snapshots")
SIZES = ((80, 24), (120, 40), (200, 50))
COMMON_SIZES = SIZES[:2]
SMALL_SIZES, USUAL_SIZES = ((60, 16),), ((80, 24),)

Route = Callable[[TaskdeckApp, Pilot[Any]], Awaitable[None]]


# --- routes to the screens


def make_direct_route(do: Callable[[TaskdeckApp], object]) -> Route:
    """Return a route to a screen that one call opens."""

    async def way(app: TaskdeckApp, pilot: Pilot[Any]) -> None:
        do(app)
        await wait_until_idle(app, pilot)

    return way


def make_key_route(*keys: str) -> Route:
    """Return a route by keys from the deck; each key waits for the one before to take effect."""

    async def way(app: TaskdeckApp, pilot: Pilot[Any]) -> None:
        for key in keys:
            for one in [key] if key in NAMED_KEYS else key:
                type_key(app, one)
            await wait_until_idle(app, pilot)

    return way


NAMED_KEYS = frozenset({"enter", "escape", "tab", "down", "ctrl+j", "left"})


def type_key(app: TaskdeckApp, key: str) -> None:
    """Post a character or named key as the terminal sends it, without waiting."""
    name = key if len(key) > 1 else _character_to_key(key)
    app.post_message(Key(name, key if len(key) == 1 else None))


def make_task_route(number: int) -> Route:
    """Return the route to a task screen."""
    return make_direct_route(lambda app: app.open_task(UUID.format(number)))


ROUTES: dict[str, Route] = {
    "deck": make_key_route(),
    "deck-queues": make_key_route("1"),
    "deck-zoomed": make_key_route("z"),
    "deck-filter": make_key_route("/", "queue:gpu"),
    "deck-marks": make_key_route(" ", " ", " "),
    "deck-an-hour-ago": make_key_route(";"),
    "tasks": make_key_route("5"),
    "tasks-unfolded": make_key_route("5", "m"),
    "group": make_direct_route(lambda app: app.open_group(12)),
    "flow": make_direct_route(lambda app: app.open_flow("g14")),
    "tasks-filter": make_key_route("5", "/", "status:failed"),
    "tasks-none": make_key_route("5", "/", "zzz", "enter"),
    "task-running": make_task_route(1042),
    "task-waiting": make_task_route(1049),
    "task-blocked": make_task_route(1060),
    "task-failed": make_task_route(1048),
    "log": make_direct_route(lambda app: app.open_log(UUID.format(1042))),
    "log-failed": make_direct_route(lambda app: app.open_log(UUID.format(1048))),
    "log-search": make_key_route("l", "/", "acc=0.9", "enter"),
    "why": make_direct_route(lambda app: app.open_why(UUID.format(1049))),
    "new-task": make_key_route("n", "ffmpeg -i a.mkv b.mp4"),
    "template-form": make_key_route("6", "enter", "/srv/in/S02E09.mkv"),
    "run-again": make_key_route("R"),
    "templates": make_key_route("6"),
    "editor": make_key_route("6", "e"),
    "editor-fault": make_key_route("6", "e", "down", "timout=1", "enter"),
    "editor-review": make_key_route("6", "e", "down", "retries=1", "enter", "ctrl+j"),
    "alerts": make_key_route("7"),
    "rule": make_key_route("7", "j", "j"),
    "rule-deadline": make_key_route("7", *"jjjj"),
    "rule-forecast": make_key_route("7", *"jjjjjj"),
    "rule-several": make_key_route("7", *"jjjjjjj"),
    "alert-silence": make_key_route("7", "s"),
    "new-silence": make_key_route("7", "m"),
    "rule-form": make_key_route("7", "n"),
    "edit-task": make_direct_route(lambda app: _open_edit_form(app, 3)),
    "edit-queue": make_direct_route(lambda app: _open_edit_form(app, 1)),
    "schedules": make_key_route("8"),
    "schedules-day": make_key_route("8", "t"),
    "schedules-week": make_key_route("8", "t", "t"),
    "schedule": make_direct_route(lambda app: app.open_schedule("nightly-etl")),
    "schedule-form": make_key_route("8", "n"),
    "schedule-edit": make_key_route("8", "e"),
    "schedule-remove": make_key_route("8", "x"),
    "history": make_key_route("9"),
    "history-moment": make_key_route("9", "tab", "left"),
    "operations": make_key_route("O"),
    "operation": make_key_route("O", "enter"),
    "usage": make_key_route("U"),
    "what-if": make_key_route("I"),
    "what-if-changed": make_key_route(" ", "I", "j", "+", "+"),
    "help": make_key_route("?"),
    "topics": make_key_route("?", "h"),
    "topic": make_key_route("?", "h", "tmux", "enter"),
    "palette": make_key_route(":", "pau"),
    "away": make_direct_route(lambda app: app.push_screen(WhileAwayScreen(fake_home.AWAY_ANSWER))),
    "themes": make_key_route("T"),
    "views": make_key_route("5", "V"),
    "columns": make_key_route("5", "i"),
    "order": make_key_route("5", "o"),
    "copy": make_key_route("y"),
    "signals": make_key_route("X"),
    "cancel": make_key_route("x"),
    "review": make_key_route("5", "/", "status:failed", "enter", "*", "r"),
}  # fmt: skip
GROUP_SCREENS = ("tasks-unfolded", "deck", "group", "flow")
"""Screens of the home with groups only."""
RULE_SCREENS = ("rule", "rule-deadline", "rule-forecast", "rule-several")
"""Screens of the home with rules of the general form only."""
ONE_SIZE_ONLY = (
    "deck-queues", "deck-zoomed", "deck-filter", "deck-marks", "tasks-none", "log-search",
    "editor-fault", "alert-silence", "new-silence", "columns",
    "order", "copy", "signals", "themes", "views", "history-moment", "operation", "edit-queue",
    "run-again", "topics", "topic", "schedule-remove", "schedule-edit",
)  # fmt: skip
"""Screens drawn at one size only."""
EMPTY_SCREENS = (
    "deck", "tasks", "templates", "alerts", "schedules", "history", "operations", "new-task",
)  # fmt: skip
NO_RUNTIME_SCREENS = ("deck", "why", "task-waiting")
DISK_FULL_SCREENS = ("deck", "task-running", "tasks")
UNREADABLE_SCREENS = (
    "deck", "tasks", "task-running", "log", "why", "new-task", "templates", "editor", "alerts",
    "edit-task", "schedules", "schedule", "history", "operations",
)  # fmt: skip
CORE_SCREENS = (
    "deck",
    "tasks",
    "task-running",
    "task-waiting",
    "log",
    "why",
    "new-task",
    "history",
    "alerts",
    "schedules",
    "schedules-day",
    "operations",
    "what-if-changed",
    "help",
    "cancel",
)
"""Screens of each day, drawn at the large size, too."""
OTHER_SCREENS = tuple(
    screen
    for screen in ROUTES
    if screen
    not in (*ONE_SIZE_ONLY, *RULE_SCREENS, "tasks-unfolded", "group", "flow", *CORE_SCREENS)
)
SMALL_SCREENS = (
    *CORE_SCREENS,
    "deck-queues",
    "template-form",
    "schedule",
    "templates",
    "edit-task",
    "editor",
    "palette",
    "away",
    "views",
    "review",
    "task-failed",
)


def _open_edit_form(app: TaskdeckApp, pane: int) -> None:
    assert app.deck is not None
    app.deck.go_to(pane)
    app.deck.action_edit()


@dataclass(frozen=True)
class SnapshotTour:
    """Screens of one fake home, in one style at some sizes.

    `name` is the prefix of the snapshot files. In another language than English, the names of the
    files have the language, and only the usual size is drawn.
    """

    name: str
    house: Callable[[Path], FakeRuntime]
    screens: Sequence[str]
    sizes: Sequence[tuple[int, int]] = COMMON_SIZES
    look: Look = Look()
    language: str = ENGLISH

    def name_file(self, screen: str, size: tuple[int, int]) -> str:
        """Return the name of the file of a screen at a size, without its ending."""
        language = "" if self.language == ENGLISH else self.language.partition("_")[0]
        return "-".join(
            part for part in (self.name, screen, language, f"{size[0]}x{size[1]}") if part
        )


def _make_runtime_factory(board: Callable[[], Any]) -> Callable[[Path], FakeRuntime]:
    """Return a factory of the busy home with another board."""

    def house(folder: Path) -> FakeRuntime:
        answers = fake_home.make_busy_home(folder)
        answers.board = board()
        return answers

    return house


TOURS = (
    SnapshotTour("", fake_home.make_busy_home, CORE_SCREENS, SIZES),
    SnapshotTour("", fake_home.make_busy_home, OTHER_SCREENS),
    SnapshotTour("", fake_home.make_busy_home, ONE_SIZE_ONLY, USUAL_SIZES),
    SnapshotTour("rules", fake_home.make_rules_home, ("alerts", "rule")),
    SnapshotTour("rules", fake_home.make_rules_home, RULE_SCREENS[1:], USUAL_SIZES),
    SnapshotTour("groups", fake_groups.make_groups_home, GROUP_SCREENS, SIZES),
    SnapshotTour(
        "groups-ascii",
        fake_groups.make_groups_home,
        ("tasks-unfolded",),
        USUAL_SIZES,
        Look(plain=True, ascii=True, colour=False),
    ),
    SnapshotTour("scheduled", _make_runtime_factory(boards.scheduled), ("deck",)),
    SnapshotTour("empty", lambda _: fake_home.make_empty_home(), EMPTY_SCREENS),
    SnapshotTour("no-runtime", _make_runtime_factory(boards.trouble), NO_RUNTIME_SCREENS),
    SnapshotTour("disk-full", _make_runtime_factory(boards.halted), DISK_FULL_SCREENS),
    SnapshotTour("unreadable", lambda _: fake_home.make_broken_home(), UNREADABLE_SCREENS),
    SnapshotTour(
        "ascii", fake_home.make_busy_home, CORE_SCREENS, USUAL_SIZES, Look(ascii=True, utf8=False)
    ),
    SnapshotTour(
        "no-colour",
        fake_home.make_busy_home,
        ("deck", "history", "task-running"),
        USUAL_SIZES,
        Look(colour=False),
    ),
    SnapshotTour(
        "plain",
        fake_home.make_busy_home,
        CORE_SCREENS,
        USUAL_SIZES,
        Look(plain=True, ascii=True, colour=False),
    ),
    SnapshotTour("small", fake_home.make_busy_home, SMALL_SCREENS, SMALL_SIZES),
    *(
        SnapshotTour(name, house, screens, USUAL_SIZES, language=SIMPLIFIED_CHINESE)
        for name, house, screens in (
            ("", fake_home.make_busy_home, (*CORE_SCREENS, *OTHER_SCREENS, *ONE_SIZE_ONLY)),
            ("rules", fake_home.make_rules_home, RULE_SCREENS),
            ("groups", fake_groups.make_groups_home, GROUP_SCREENS),
            ("empty", lambda _: fake_home.make_empty_home(), EMPTY_SCREENS),
            ("no-runtime", _make_runtime_factory(boards.trouble), NO_RUNTIME_SCREENS),
            ("disk-full", _make_runtime_factory(boards.halted), ("deck",)),
        )
    ),
)


# --- drawing


async def wait_until_idle(app: TaskdeckApp, pilot: Pilot[Any]) -> None:
    """Wait until the new size is applied, nothing is loading and the screen stays the same."""
    before, carried = None, _list_pending_calls(app)
    for _ in range(1000):
        await pilot.pause(0.003)
        # Textual debounces the new size, so an unchanged screen may still have the old one.
        resizing = app.screen.size != app.size
        loading = _is_reading(app) or not all(done.is_set() for done in carried)
        if resizing or loading or _is_due(app) or _lacks_details(app):
            before = None
            continue
        now = (app.screen, read_screen_lines(app))
        if now == before:
            return
        before, carried = now, _list_pending_calls(app)
    raise AssertionError("it never came to rest:\n" + "\n".join(read_terminal_lines(app)))


def _list_pending_calls(app: TaskdeckApp) -> list[Event]:
    """Return events set once all queued calls and log requests are done."""
    return [
        *map(_mark_call_queue, (app.write_queue, app.read_queue)),
        *(_mark_log_view(view) for view in app.screen.query(LogView) if view.is_open),
    ]


def _mark_call_queue(errands: CallQueue) -> Event:
    done = Event()
    errands.submit_work(lambda client: None, lambda answer, error: done.set())
    return done


def _mark_log_view(view: LogView) -> Event:
    """Return an event set when the view has drawn the pages of its pending messages.

    A resize of the view is one of these messages, and leads to a command for the reader. The reader
    shows the page of a command after the commands that wait behind it, so only the end of a second
    command tells that the page is drawn.
    """
    done = Event()

    def send(then: Callable[[], object]) -> None:
        view.call_later(view.send_command, lambda pager: view.call_later(then))

    send(lambda: send(done.set))
    return done


def _is_reading(app: TaskdeckApp) -> bool:
    """Return whether a worker loads data for the screen.

    The worker of an open log always runs and does not count.
    """
    logs = [view for view in app.screen.query(LogView) if view.is_open]
    busy = any(view.page.lines is None or view.page.progress < 100 for view in logs)
    return busy or any(worker.is_running and worker.group != "log" for worker in app.workers)


def _is_due(app: TaskdeckApp) -> bool:
    """Return whether a one-shot timer is pending."""
    timers = [timer for node in app.screen.walk_children(with_self=True) for timer in node._timers]
    return any(
        timer._repeat == 0 and timer._task is not None and not timer._task.done()
        for timer in timers
    )


def _lacks_details(app: TaskdeckApp) -> bool:
    """Return whether the details of the alert or rule under the cursor are not known yet."""
    if not isinstance(screen := app.screen, AlertsScreen):
        return False
    row = screen.table.item
    return isinstance(row, (AlertEntry, RuleRow)) and screen._details_key != row.key


def read_terminal_lines(app: TaskdeckApp) -> list[str]:
    """Return the terminal's lines, with the screen below a dialog."""
    update: Any = app.screen._compositor.render_update(
        full=True, screen_stack=app._background_screens
    )
    lines = [[segment for strip in line for segment in strip] for line in update.strips]
    return [
        "".join(segment.text for segment in line if not segment.control).rstrip() for line in lines
    ]


@asynccontextmanager
async def open_deck(
    tour: SnapshotTour, folder: Path
) -> AsyncIterator[tuple[TaskdeckApp, Pilot[Any]]]:
    """Open the idle deck of a tour."""
    answers = tour.house(folder)
    ticks = Clock()
    # later than the monotonic clock, which tables use to detect rows that just went away
    ticks.at = 1e9
    app = TaskdeckApp(
        answers, look=tour.look, now=lambda: boards.NOW, ticks=ticks, first=answers.board
    )
    async with app.run_test(size=tour.sizes[0]) as pilot:
        await wait_until_idle(app, pilot)
        yield app, pilot


async def return_to_deck(app: TaskdeckApp, pilot: Pilot[Any], size: tuple[int, int]) -> None:
    """Return to the deck and reset its state."""
    if isinstance(app.focused, Input):
        type_key(app, "escape")
        await wait_until_idle(app, pilot)
    deck = app.deck
    assert isinstance(app.ticks, Clock) and deck is not None
    app.action_place(0)
    await pilot.resize_terminal(*size)
    app.feed.notification_count += 1  # as if the runtime had sent a notification
    app.ticks.at += 120.0  # messages have expired, and no row went away just now
    app.time_travel.return_to_live()
    deck.clear_filter()
    for pane in deck.panes:
        pane.clear_marks()
    deck.table.action_edge(-1)
    app.memory.put("opened_at", {})
    app.drafts.submissions = {}
    deck.action_welcome()
    await wait_until_idle(app, pilot)


async def visit_screens(tour: SnapshotTour) -> AsyncIterator[tuple[str, list[str]]]:
    """Yield the file name and the lines of each screen at each size."""
    # The notice of a slow read depends on the stopped clock, so shorten its delay.
    with (
        fixed_environment(),
        speak(tour.language),
        tempfile.TemporaryDirectory() as folder,
        patch("app.tui.screens.base_polling.LOADING_DELAY", 0.001),
    ):
        async with open_deck(tour, Path(folder)) as (app, pilot):
            for screen in tour.screens:
                for size in tour.sizes:
                    await show_screen(app, pilot, screen, size, first=size == tour.sizes[0])
                    yield tour.name_file(screen, size), read_terminal_lines(app)


async def show_screen(
    app: TaskdeckApp, pilot: Pilot[Any], screen: str, size: tuple[int, int], first: bool
) -> None:
    """Open a screen at a size, or resize the open one.

    A dialog is reopened together with the screen below it.
    """
    if first or isinstance(app.screen, ModalScreen):
        await return_to_deck(app, pilot, size)
        await ROUTES[screen](app, pilot)
    else:
        await pilot.resize_terminal(*size)
        await wait_until_idle(app, pilot)


# --- comparison


@pytest.mark.parametrize(
    "tour",
    TOURS,
    ids=lambda tour: f"{tour.language} {tour.name or f'busy at {len(tour.sizes)} sizes'}",
)
async def test_every_screen_matches_its_snapshot(tour: SnapshotTour):
    """Fail with a diff of each changed screen."""
    wrong = [
        found async for name, lines in visit_screens(tour) if (found := diff_snapshot(name, lines))
    ]

    assert not wrong, (
        "\n\n".join(wrong) + "\n\nIf that is as wanted: python -m tests.tui.test_snapshots"
    )


def diff_snapshot(name: str, lines: Sequence[str]) -> str:
    """Return the diff between the lines and the stored snapshot, or ""."""
    kept = FOLDER / f"{name}.txt"
    before = kept.read_text("utf-8").splitlines() if kept.exists() else []
    return "\n".join(
        difflib.unified_diff(
            before, lines, f"{name} as it was", f"{name} as it is", n=1, lineterm=""
        )
    )


def test_every_snapshot_is_drawn():
    assert {path.name for path in FOLDER.iterdir()} == set(list_file_names())


def list_file_names() -> Iterator[str]:
    """Yield the names of all snapshot files."""
    for tour in TOURS:
        for screen in tour.screens:
            for size in tour.sizes:
                yield f"{tour.name_file(screen, size)}.txt"


def test_snapshots_have_their_stated_size_with_header_and_footer():
    for path in sorted(FOLDER.glob("*.txt")):
        columns, rows = map(int, path.stem.rpartition("-")[2].split("x"))
        lines = path.read_text("utf-8").splitlines()

        assert len(lines) == rows, path.stem
        assert all(measure_width(line) <= columns for line in lines), path.stem
        assert lines[0].strip() and lines[-1].strip(), path.stem
        assert not path.name.startswith("ascii") or all(map(str.isascii, lines)), path.stem


async def main() -> None:
    """Rewrite all snapshots."""
    FOLDER.mkdir(exist_ok=True)
    for kept in FOLDER.iterdir():
        if kept.name not in set(list_file_names()):
            kept.unlink()
    for tour in TOURS:
        async for name, lines in visit_screens(tour):
            if diff_snapshot(name, lines):
                (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
                print(name)


if __name__ == "__main__":
    asyncio.run(main())
