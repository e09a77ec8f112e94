"""The panes of queues and pools: what they say of rows that are not in sight, and where the cursor stands."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from app.core.board import Board
from app.core.text.sanitize import clean
from app.errors import Conflict
from app.tui.actions import queues_pools
from app.tui.app import TaskdeckApp
from app.tui.panes.queues import QueuesPane
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.why import WhyScreen
from app.tui.screens.tasks import TasksScreen
from app.tui.style import Look
from tests.tui import boards
from tests.tui.fake_runtime import until
from tests.tui.recording_runtime import Recording, an_app
from tests.tui.screen_text import screen_text

SEEN = re.compile(r"[\s│]+")
SIZES = [(80, 24), (120, 40)]


def many(running: int = 38, pools: int = 13) -> Board:
    """Forty-one queues with nothing waiting in any, and as many pools as wanted."""
    queue, pool = boards.QUEUES[2], boards.POOLS[1]
    queues = tuple(queue._replace(name=f"q{n:02}", load=int(n < running)) for n in range(41))
    return boards.busy()._replace(queues=queues, pools=tuple(pool._replace(name=f"p{n:02}") for n in range(pools)))


def rule(app: TaskdeckApp, title: str) -> str:
    """The line a pane begins with."""
    return next((line for line in screen_text(app) if title in line), "")


@pytest.mark.parametrize("size", SIZES)
async def test_queues_that_are_not_in_sight_are_counted_and_idle_only_when_nothing_runs_in_them(size: tuple[int, int]):
    app, _ = an_app(many())
    async with app.run_test(size=size) as pilot:
        await pilot.press("1")
        await until(pilot, lambda: re.search(r"1 Queues.* \+\d+ more ", rule(app, "1 Queues")))
        await pilot.press("G")
        await until(pilot, lambda: re.search(r"1 Queues.* these \d+ of 41 ", rule(app, "1 Queues")))


@pytest.mark.parametrize("size", SIZES)
async def test_queues_in_which_nothing_is_stand_last_and_are_idle(size: tuple[int, int]):
    app, _ = an_app(many(running=2))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: re.search(r"1 Queues.* \+\d+ idle ", rule(app, "1 Queues")))


@pytest.mark.parametrize("size", SIZES)
async def test_pools_that_are_not_in_sight_are_counted(size: tuple[int, int]):
    app, _ = an_app(many())
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: re.search(r"2 Pools.* \+\d+ ", rule(app, "2 Pools")))
        assert re.search("█ ?used", rule(app, "2 Pools").lower()), "the legend stays"
        await pilot.press("G")
        await until(pilot, lambda: re.search(r"2 Pools.* \d+ of 13 ", rule(app, "2 Pools")))
        lines = screen_text(app)
        at = next(n for n, line in enumerate(lines) if "› p12" in line)
        if size[0] >= 100:
            assert re.search(r" mem  [█▒·]", lines[at + 1]), "its memory is in sight too"


async def test_the_cursor_stands_on_the_line_with_the_name_of_a_pool():
    app, _ = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        for keys, name in (("j", "main"), ("j", "main"), ("k", "gpu"), ("G", "main"), ("g", "gpu")):
            await pilot.press(keys)
            await until(pilot, lambda name=name: any(re.search(rf"› +{name} +cpu", line) for line in screen_text(app)))


async def test_a_click_on_the_memory_of_a_pool_is_one_on_the_pool():
    app, _ = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: rule(app, "2 Pools"))
        pane: Any = app.screen.query_one("#pools")
        await pilot.click("#pools", offset=(12, 4))
        await until(pilot, lambda: pane.cursor == "pool:main")


# --- keys on their rows -------------------------------------------------------------------------------------------------


def text(app: TaskdeckApp) -> str:
    """The whole screen as one line."""
    return SEEN.sub(" ", " ".join(screen_text(app)))


@asynccontextmanager
async def at(pane: str, key: str, board: Board | None = None) -> AsyncIterator[tuple[Pilot[Any], TaskdeckApp, Recording]]:
    """A deck whose cursor stands on a queue or a pool."""
    app, recording = an_app(board)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(pane)
        table: Any = app.screen.query_one("#queues" if pane == "1" else "#pools")
        await until(pilot, lambda: table.has_focus and table.go(key))
        yield pilot, app, recording
    assert app.failure is None


async def asked(pilot: Pilot[Any], recording: Recording, verb: str) -> list[dict[str, Any]]:
    await until(pilot, lambda: verb in recording.verbs())
    return [args for name, args in recording.asked if name == verb]


async def answered(pilot: Pilot[Any], app: TaskdeckApp, key: str) -> None:
    """Answer the question that stands there, when it hears."""
    await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
    ticks: Any = app.ticks
    ticks.at += 1
    await pilot.press(key)


async def test_plus_and_minus_change_the_priority_of_a_queue_and_u_takes_it_back():
    async with at("1", "queue:gpu") as (pilot, app, recording):
        await pilot.press("plus", "plus")
        await until(pilot, lambda: "Priority 1 → 2: queue gpu. u undo" in text(app))
        await pilot.press("u")
        await until(pilot, lambda: recording.verbs().count("queue.set") == 3)
        assert await asked(pilot, recording, "queue.set") == [{"name": "gpu", "priority": n} for n in (1, 2, 1)]


async def test_a_pool_has_no_priority_and_it_is_said_what_has():
    async with at("2", "pool:gpu") as (pilot, app, recording):
        await pilot.press("minus")
        await until(pilot, lambda: "A pool has no priority: its queues have, and their tasks." in text(app))


@pytest.mark.parametrize(("pane", "kind"), [("1", "queue"), ("2", "pool")])
async def test_a_queue_or_a_pool_is_deleted_after_a_question_that_names_it(pane: str, kind: str):
    async with at(pane, f"{kind}:gpu") as (pilot, app, recording):
        await pilot.press("D")
        await until(pilot, lambda: f"Delete {kind} gpu?" in text(app))
        await answered(pilot, app, "enter")
        await until(pilot, lambda: app.screen is app.deck)
        assert f"{kind}.rm" not in recording.verbs()
        await pilot.press("D")
        await answered(pilot, app, "y")
        assert await asked(pilot, recording, f"{kind}.rm") == [{"name": "gpu"}]
        await until(pilot, lambda: f"Deleted {kind} gpu." in text(app))


async def test_one_that_is_in_use_is_refused_by_the_runtime_and_that_is_said():
    async with at("1", "queue:gpu") as (pilot, app, recording):
        recording.answers["queue.rm"] = Conflict("queue gpu is used by 5 tasks. Nothing was changed.")
        await pilot.press("D")
        await answered(pilot, app, "y")
        await until(pilot, lambda: "Not done: queue gpu is used by 5 tasks." in text(app))


@pytest.mark.parametrize(("pane", "key", "letter", "copied"), [
    ("1", "queue:gpu", "i", "gpu"), ("2", "pool:main", "i", "main"),
    ("1", "queue:gpu", "s", "taskdeck queue create gpu --capacity 4 --pool main --priority 0"),
    ("2", "pool:main", "s", "taskdeck pool create main --cpu 8 --memory 32768M"),
])  # fmt: skip
async def test_what_is_copied_of_a_queue_or_a_pool(pane: str, key: str, letter: str, copied: str):
    async with at(pane, key) as (pilot, app, _):
        await pilot.press("y")
        await answered(pilot, app, letter)
        await until(pilot, lambda: app.clipboard == copied)


@pytest.mark.parametrize(("pane", "key", "first"), [("1", "queue:gpu", 1049), ("1", "queue:backup", 1031), ("2", "pool:main", 1049)])
async def test_w_tells_why_the_first_in_line_there_waits(pane: str, key: str, first: int):
    async with at(pane, key) as (pilot, app, recording):
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))
        assert isinstance(app.screen, WhyScreen) and app.screen._ident.endswith(str(first))


async def test_w_asks_the_runtime_for_the_first_in_line_when_it_is_too_far_back_for_the_board():
    async with at("1", "queue:media", boards.busy()._replace(next=())) as (pilot, app, recording):
        recording.answers["queue.line"] = {"first": "0193f0c2-0000-7000-8000-000000001053", "waiting": {"queued": 14}}
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen) and app.screen._ident.endswith("1053"))
        assert await asked(pilot, recording, "queue.line") == [{"names": ["media"]}]


@pytest.mark.parametrize(("status", "says"), [
    ("active", "Nothing queued in queue etl: 1 held, 1 scheduled. ↵ shows its tasks."),
    ("paused", "Nothing queued in queue etl, which is paused: 1 held, 1 scheduled. p resumes it."),
])  # fmt: skip
async def test_what_waits_for_something_other_than_its_turn_is_counted_until_the_cursor_goes_on(status: str, says: str):
    queues = tuple(queue._replace(status=status) if queue.name == "etl" else queue for queue in boards.QUEUES)
    async with at("1", "queue:etl", boards.busy()._replace(queues=queues)) as (pilot, app, recording):
        recording.answers["queue.line"] = {"first": None, "waiting": {"held": 1, "scheduled": 1}}
        await pilot.press("w")
        await until(pilot, lambda: says in text(app))
        app.screen.query_one(QueuesPane).show_board(app.board or Board())
        await pilot.pause()
        assert says in text(app)
        await pilot.press("j")
        await until(pilot, lambda: "Nothing queued" not in text(app))


async def test_the_keys_for_marked_queues_and_pools_are_offered():
    async with at("1", "queue:gpu") as (pilot, app, _):
        await pilot.press("g", "space", "space")
        await until(pilot, lambda: "+ - priority of 2 marked" in text(app) and "D delete 2 marked" in text(app))
    async with at("2", "pool:gpu") as (pilot, app, _):
        await pilot.press("space")
        await until(pilot, lambda: "D delete 1 marked" in text(app))
        assert "priority of" not in text(app)


@pytest.mark.parametrize(("pane", "key", "says"), [
    ("1", "queue:etl", "Nothing waits in queue etl: 1 of 4 runs."),
    ("2", "pool:gpu", "Nothing waits for pool gpu: cpu 6.0/8 and memory 30.0/32G are reserved."),
])  # fmt: skip
async def test_where_nothing_waits_w_says_how_it_stands(pane: str, key: str, says: str):
    async with at(pane, key) as (pilot, app, _):
        await pilot.press("w")
        await until(pilot, lambda: says in text(app))


async def test_a_paused_queue_in_which_nothing_waits_says_who_paused_it():
    paused = boards.QUEUES[2]._replace(status="paused", word="paused", paused_by="ann")
    async with at("1", "queue:etl", boards.busy()._replace(queues=(paused,))) as (pilot, app, _):
        await pilot.press("w")
        await until(pilot, lambda: "Nothing waits in queue etl, which is paused by ann. p resumes it." in text(app))


async def test_enter_on_a_pool_shows_the_tasks_of_its_queues():
    async with at("2", "pool:main") as (pilot, app, _):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))
        assert isinstance(app.screen, TasksScreen) and app.screen.words == "queue:media,gpu,etl,default,backup"
        assert app.screen._fault() == ""


async def test_a_pool_that_no_queue_draws_from_says_so():
    async with at("2", "pool:gpu") as (pilot, app, _):
        await pilot.press("enter")
        await until(pilot, lambda: "No queue draws from pool gpu." in text(app))


@pytest.mark.parametrize(("status", "typed", "verb"), [
    ("active", "drain", "queue.drain"), ("draining", "resume, it drains", "queue.resume"),
])  # fmt: skip
async def test_the_palette_drains_and_takes_that_back(status: str, typed: str, verb: str):
    queue = boards.QUEUES[1]._replace(status=status)
    async with at("1", "queue:gpu", boards.busy()._replace(queues=(queue,), pools=())) as (pilot, app, recording):
        await pilot.press("colon")
        await pilot.press(*("space" if c == " " else "comma" if c == "," else c for c in f"queue gpu: {typed}".replace(":", "")), "enter")
        assert await asked(pilot, recording, verb) == [{"name": "gpu"}]


@pytest.mark.parametrize(("pane", "key", "shown"), [
    ("1", "queue:gpu", ("↵ its tasks w why p pause queue", "+ - priority", "y copy", "D delete")),
    ("2", "pool:gpu", ("↵ its tasks w why p pause pool", "y copy", "D delete")),
])  # fmt: skip
async def test_the_footer_offers_these_keys(pane: str, key: str, shown: tuple[str, ...]):
    async with at(pane, key) as (pilot, app, _):
        await until(pilot, lambda: all(keys in SEEN.sub(" ", screen_text(app)[-1]) for keys in shown))
        assert ("priority" in screen_text(app)[-1]) == (pane == "1")


@pytest.mark.parametrize("name", [name.strip() for name in boards.HOSTILE if name.strip()])
def test_a_copied_line_is_one_safe_line(name: str):
    line = queues_pools.copied(boards.QUEUES[0]._replace(name=name), "s")
    assert clean(line) == line and "\n" not in line


@pytest.mark.parametrize(("load", "told"), [(0, "0 of 4 run."), (1, "1 of 4 runs."), (2, "2 of 4 run.")])
def test_one_that_runs_is_one(load: int, told: str):
    assert queues_pools.standing(boards.QUEUES[2]._replace(load=load), {}, Look()) == f"Nothing waits in queue etl: {told}"
