"""Panes of queues and pools: titles, hidden rows, and keys on their rows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from app.core.board import Board, BookingEntry, DeviceEntry, OuterUse, PoolEntry, ResourceUse
from app.core.text.sanitize import sanitize
from app.errors import Conflict
from app.tui.actions import queues_pools
from app.tui.app import TaskdeckApp
from app.tui.data.list_rows import PoolTableRow
from app.tui.panes.pools import PoolsPane, make_device_lines, make_narrow_cells, make_wide_cells
from app.tui.panes.queues import QueuesPane
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.why import WhyScreen
from app.tui.screens.tasks.tasks import TasksScreen
from app.tui.style import Look
from tests.tui import boards
from tests.tui.fake_runtime import wait_until
from tests.tui.recording_runtime import RecordingRuntime, make_recorded_deck
from tests.tui.screen_text import read_screen_lines

FRAME_CHARACTERS = re.compile(r"[\s│]+")
SIZES = [(80, 24), (120, 40)]


def make_many_queues(running: int = 38, pools: int = 13) -> Board:
    """Return a board with 41 queues, none with waiting tasks, and a number of pools."""
    queue, pool = boards.QUEUES[2], boards.POOLS[1]
    queues = tuple(queue._replace(name=f"q{n:02}", load=int(n < running)) for n in range(41))
    return boards.busy()._replace(
        queues=queues, pools=tuple(pool._replace(name=f"p{n:02}") for n in range(pools))
    )


def read_title_line(app: TaskdeckApp, title: str) -> str:
    """Return the title line of a pane."""
    return next((line for line in read_screen_lines(app) if title in line), "")


@pytest.mark.parametrize("size", SIZES)
async def test_hidden_queues_are_counted_and_idle_only_without_runs(size: tuple[int, int]):
    app, _ = make_recorded_deck(make_many_queues())
    async with app.run_test(size=size) as pilot:
        await pilot.press("1")
        await wait_until(
            pilot, lambda: re.search(r"1 Queues.* \+\d+ more ", read_title_line(app, "1 Queues"))
        )
        await pilot.press("G")
        await wait_until(
            pilot,
            lambda: re.search(r"1 Queues.* these \d+ of 41 ", read_title_line(app, "1 Queues")),
        )


@pytest.mark.parametrize("size", SIZES)
async def test_empty_queues_come_last_and_count_as_idle(size: tuple[int, int]):
    app, _ = make_recorded_deck(make_many_queues(running=2))
    async with app.run_test(size=size) as pilot:
        await wait_until(
            pilot, lambda: re.search(r"1 Queues.* \+\d+ idle ", read_title_line(app, "1 Queues"))
        )


@pytest.mark.parametrize("size", SIZES)
async def test_hidden_pools_are_counted(size: tuple[int, int]):
    app, _ = make_recorded_deck(make_many_queues())
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await wait_until(
            pilot, lambda: re.search(r"2 Pools.* \+\d+ ", read_title_line(app, "2 Pools"))
        )
        assert re.search("█ ?used", read_title_line(app, "2 Pools").lower()), "the legend stays"
        await pilot.press("G")
        await wait_until(
            pilot, lambda: re.search(r"2 Pools.* \d+ of 13 ", read_title_line(app, "2 Pools"))
        )
        lines = read_screen_lines(app)
        at = next(n for n, line in enumerate(lines) if "› p12" in line)
        if size[0] >= 100:
            assert re.search(r" mem  [█▒·]", lines[at + 1]), "its memory is in sight too"


async def test_the_cursor_stays_on_name_lines_of_pools():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        for keys, name in (("j", "main"), ("j", "main"), ("k", "gpu"), ("G", "main"), ("g", "gpu")):
            await pilot.press(keys)
            await wait_until(
                pilot,
                lambda name=name: any(
                    re.search(rf"› +{name} +cpu", line) for line in read_screen_lines(app)
                ),
            )


async def test_a_click_on_a_pool_s_memory_selects_the_pool():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: read_title_line(app, "2 Pools"))
        pane: Any = app.screen.query_one("#pools")
        await pilot.click("#pools", offset=(12, 4))
        await wait_until(pilot, lambda: pane.cursor == "pool:main")


# --- keys on rows


def read_screen_text(app: TaskdeckApp) -> str:
    """Return the whole screen as one line."""
    return FRAME_CHARACTERS.sub(" ", " ".join(read_screen_lines(app)))


@asynccontextmanager
async def open_deck_at(
    pane: str, key: str, board: Board | None = None
) -> AsyncIterator[tuple[Pilot[Any], TaskdeckApp, RecordingRuntime]]:
    """Open a deck with the cursor on a queue or a pool."""
    app, recording = make_recorded_deck(board)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(pane)
        table: Any = app.screen.query_one("#queues" if pane == "1" else "#pools")
        await wait_until(pilot, lambda: table.has_focus and table.go_to_row(key))
        yield pilot, app, recording
    assert app.failure is None


async def wait_for_calls(
    pilot: Pilot[Any], recording: RecordingRuntime, verb: str
) -> list[dict[str, Any]]:
    await wait_until(pilot, lambda: verb in recording.verbs())
    return [args for name, args in recording.calls if name == verb]


async def answer_dialog(pilot: Pilot[Any], app: TaskdeckApp, key: str) -> None:
    """Answer the dialog once it is open and accepts keys."""
    await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
    ticks: Any = app.ticks
    ticks.at += 1
    await pilot.press(key)


async def test_plus_and_minus_change_a_queue_s_priority_and_undo_works():
    async with open_deck_at("1", "queue:gpu") as (pilot, app, recording):
        await pilot.press("plus", "plus")
        await wait_until(
            pilot, lambda: "Priority 1 → 2: queue gpu. u undo" in read_screen_text(app)
        )
        await pilot.press("u")
        await wait_until(pilot, lambda: recording.verbs().count("queue.set") == 3)
        assert await wait_for_calls(pilot, recording, "queue.set") == [
            {"name": "gpu", "priority": n} for n in (1, 2, 1)
        ]


async def test_a_priority_key_on_a_pool_explains_priorities():
    async with open_deck_at("2", "pool:gpu") as (pilot, app, recording):
        await pilot.press("minus")
        await wait_until(pilot, lambda: "A pool has no priority" in read_screen_text(app))


@pytest.mark.parametrize(("pane", "kind"), [("1", "queue"), ("2", "pool")])
async def test_deleting_a_queue_or_pool_asks_first(pane: str, kind: str):
    async with open_deck_at(pane, f"{kind}:gpu") as (pilot, app, recording):
        await pilot.press("D")
        await wait_until(pilot, lambda: f"Delete {kind} gpu?" in read_screen_text(app))
        await answer_dialog(pilot, app, "enter")
        await wait_until(pilot, lambda: app.screen is app.deck)
        assert f"{kind}.rm" not in recording.verbs()
        await pilot.press("D")
        await answer_dialog(pilot, app, "y")
        assert await wait_for_calls(pilot, recording, f"{kind}.rm") == [{"name": "gpu"}]
        await wait_until(pilot, lambda: f"Deleted {kind} gpu." in read_screen_text(app))


async def test_a_refused_deletion_shows_the_reason():
    async with open_deck_at("1", "queue:gpu") as (pilot, app, recording):
        recording.table["queue.rm"] = Conflict("queue gpu is used by 5 tasks. Nothing was changed.")
        await pilot.press("D")
        await answer_dialog(pilot, app, "y")
        await wait_until(
            pilot, lambda: "Not done: queue gpu is used by 5 tasks." in read_screen_text(app)
        )


@pytest.mark.parametrize(("pane", "key", "letter", "copied"), [
    ("1", "queue:gpu", "i", "gpu"), ("2", "pool:main", "i", "main"),
    ("1", "queue:gpu", "s", "taskdeck queue create gpu --capacity 4 --pool main --priority 0"),
    ("2", "pool:main", "s", "taskdeck pool create main --cpu 8 --memory 32768M"),
])  # fmt: skip
async def test_y_copies_the_name_or_command_of_a_queue_or_pool(
    pane: str, key: str, letter: str, copied: str
):
    async with open_deck_at(pane, key) as (pilot, app, _):
        await pilot.press("y")
        await answer_dialog(pilot, app, letter)
        await wait_until(pilot, lambda: app.clipboard == copied)


@pytest.mark.parametrize(
    ("pane", "key", "first"),
    [("1", "queue:gpu", 1049), ("1", "queue:backup", 1031), ("2", "pool:main", 1049)],
)
async def test_w_explains_the_first_waiting_task(pane: str, key: str, first: int):
    async with open_deck_at(pane, key) as (pilot, app, recording):
        await pilot.press("w")
        await wait_until(pilot, lambda: isinstance(app.screen, WhyScreen))
        assert isinstance(app.screen, WhyScreen) and app.screen._ident.endswith(str(first))


async def test_w_asks_the_runtime_for_a_first_task_missing_on_the_board():
    async with open_deck_at("1", "queue:media", boards.busy()._replace(next=())) as (
        pilot,
        app,
        recording,
    ):
        recording.table["queue.line"] = {
            "first": "0193f0c2-0000-7000-8000-000000001053",
            "waiting": {"queued": 14},
        }
        await pilot.press("w")
        await wait_until(
            pilot, lambda: isinstance(app.screen, WhyScreen) and app.screen._ident.endswith("1053")
        )
        assert await wait_for_calls(pilot, recording, "queue.line") == [{"names": ["media"]}]


@pytest.mark.parametrize(("status", "says"), [
    ("active", "Nothing queued in queue etl: 1 held, 1 scheduled. ↵ shows its tasks."),
    ("paused", "Nothing queued in queue etl, which is paused: 1 held, 1 scheduled. p resumes it."),
])  # fmt: skip
async def test_w_counts_unqueued_tasks_until_the_cursor_moves(status: str, says: str):
    queues = tuple(
        queue._replace(status=status) if queue.name == "etl" else queue for queue in boards.QUEUES
    )
    async with open_deck_at("1", "queue:etl", boards.busy()._replace(queues=queues)) as (
        pilot,
        app,
        recording,
    ):
        recording.table["queue.line"] = {"first": None, "waiting": {"held": 1, "scheduled": 1}}
        await pilot.press("w")
        await wait_until(pilot, lambda: says in read_screen_text(app))
        app.screen.query_one(QueuesPane).show_board(app.board or Board())
        await pilot.pause()
        assert says in read_screen_text(app)
        await pilot.press("j")
        await wait_until(pilot, lambda: "Nothing queued" not in read_screen_text(app))


async def test_the_keys_for_marked_queues_and_pools_are_offered():
    async with open_deck_at("1", "queue:gpu") as (pilot, app, _):
        await pilot.press("g", "space", "space")
        await wait_until(
            pilot,
            lambda: (
                "+ - priority of 2 marked" in read_screen_text(app)
                and "D delete 2 marked" in read_screen_text(app)
            ),
        )
    async with open_deck_at("2", "pool:gpu") as (pilot, app, _):
        await pilot.press("space")
        await wait_until(pilot, lambda: "D delete 1 marked" in read_screen_text(app))
        assert "priority of" not in read_screen_text(app)


@pytest.mark.parametrize(("pane", "key", "says"), [
    ("1", "queue:etl", "Nothing waits in queue etl: 1 of 4 runs."),
    ("2", "pool:gpu", "Nothing waits for pool gpu: cpu 6.0/8 and memory 30.0/32G are reserved."),
])  # fmt: skip
async def test_w_on_an_empty_row_shows_its_usage(pane: str, key: str, says: str):
    async with open_deck_at(pane, key) as (pilot, app, _):
        await pilot.press("w")
        await wait_until(pilot, lambda: says in read_screen_text(app))


async def test_a_closed_queue_shows_when_it_opens():
    closed = boards.QUEUES[2]._replace(word="opens 22:00")
    async with open_deck_at("1", "queue:etl", boards.busy()._replace(queues=(closed,))) as (
        pilot,
        app,
        _,
    ):
        await wait_until(pilot, lambda: "◔ opens 22:00" in read_screen_text(app))


async def test_w_on_an_empty_paused_queue_says_who_paused_it():
    paused = boards.QUEUES[2]._replace(status="paused", word="paused", paused_by="ann")
    async with open_deck_at("1", "queue:etl", boards.busy()._replace(queues=(paused,))) as (
        pilot,
        app,
        _,
    ):
        await pilot.press("w")
        await wait_until(
            pilot,
            lambda: (
                "Nothing waits in queue etl, which is paused by ann. p resumes it."
                in read_screen_text(app)
            ),
        )


async def test_enter_on_a_pool_shows_the_tasks_of_its_queues():
    async with open_deck_at("2", "pool:main") as (pilot, app, _):
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TasksScreen))
        assert (
            isinstance(app.screen, TasksScreen)
            and app.screen.words == "queue:media,gpu,etl,default,backup"
        )
        assert app.screen._find_filter_fault() == ""


async def test_enter_on_a_pool_without_queues_says_so():
    async with open_deck_at("2", "pool:gpu") as (pilot, app, _):
        await pilot.press("enter")
        await wait_until(pilot, lambda: "No queue draws from pool gpu." in read_screen_text(app))


@pytest.mark.parametrize(("status", "typed", "verb"), [
    ("active", "drain", "queue.drain"), ("draining", "resume", "queue.resume"),
])  # fmt: skip
async def test_the_palette_drains_and_resumes_a_queue(status: str, typed: str, verb: str):
    queue = boards.QUEUES[1]._replace(status=status)
    async with open_deck_at(
        "1", "queue:gpu", boards.busy()._replace(queues=(queue,), pools=())
    ) as (pilot, app, recording):
        await pilot.press("colon")
        await pilot.press(
            *(
                "space" if c == " " else "comma" if c == "," else c
                for c in f"queue gpu: {typed}".replace(":", "")
            ),
            "enter",
        )
        assert await wait_for_calls(pilot, recording, verb) == [{"name": "gpu"}]


@pytest.mark.parametrize(("pane", "key", "shown"), [
    ("1", "queue:gpu", ("↵ its tasks w why p pause queue", "+ - priority", "y copy", "D delete")),
    ("2", "pool:gpu", ("↵ its tasks w why p pause pool", "y copy", "D delete")),
])  # fmt: skip
async def test_the_footer_offers_these_keys(pane: str, key: str, shown: tuple[str, ...]):
    async with open_deck_at(pane, key) as (pilot, app, _):
        await wait_until(
            pilot,
            lambda: all(
                keys in FRAME_CHARACTERS.sub(" ", read_screen_lines(app)[-1]) for keys in shown
            ),
        )
        assert ("priority" in read_screen_lines(app)[-1]) == (pane == "1")


@pytest.mark.parametrize("name", [name.strip() for name in boards.HOSTILE if name.strip()])
def test_a_copied_command_is_one_safe_line(name: str):
    line = queues_pools.read_place_text(boards.QUEUES[0]._replace(name=name), "s")
    assert sanitize(line) == line and "\n" not in line


@pytest.mark.parametrize(
    ("load", "told"), [(0, "0 of 4 run."), (1, "1 of 4 runs."), (2, "2 of 4 run.")]
)
def test_the_running_count_has_a_singular(load: int, told: str):
    assert (
        queues_pools.describe_idle(boards.QUEUES[2]._replace(load=load), {}, Look())
        == f"Nothing waits in queue etl: {told}"
    )


def make_board_with_resources() -> Board:
    """Return the busy board with GPUs in the first pool and a licence that pools share."""
    first, *others = boards.POOLS
    named = (ResourceUse("gpu", 4, 3), ResourceUse("tape", 1, 0))
    return boards.busy()._replace(
        pools=(first._replace(resources=named), *others),
        resources=(ResourceUse("license.matlab", 2, 1),),
    )


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((80, 24), ["gpu .*30.0/32G .*gpu 3/4, tape 0/1"]),
        ((120, 40), [r"gpu +█*▒+·+ +3/4", r"tape +·+ +0/1", r"shared +license\.matlab 1/2"]),
    ],
)
async def test_named_resources_of_pools_are_shown(size: tuple[int, int], shown: list[str]):
    app, _ = make_recorded_deck(make_board_with_resources())
    async with app.run_test(size=size) as pilot:
        await wait_until(
            pilot, lambda: all(re.search(one, "\n".join(read_screen_lines(app))) for one in shown)
        )
        await pilot.press("2", "j")
        await wait_until(pilot, lambda: app.screen.query_one(PoolsPane).cursor == "pool:main")
        await pilot.press("k")
        await wait_until(pilot, lambda: app.screen.query_one(PoolsPane).cursor == "pool:gpu")


@pytest.mark.parametrize("size", SIZES)
async def test_devices_are_shown_with_load_and_holder(size: tuple[int, int]):
    first = DeviceEntry(0, "H100", 1042, None, 0.62, 40 * 1024, 80 * 1024, 61)
    used = "used by sleep (pid 7), which is no task"
    second = DeviceEntry(1, "H100", trouble=f"GPU 1 is {used}")
    devices = (first, second, DeviceEntry(2, "H100"))
    app, _ = make_recorded_deck(make_board_with_resources()._replace(devices=devices))
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "z")
        await wait_until(pilot, lambda: read_title_line(app, "gpu 2"))
        assert re.search(r"62% +40.0/80G +61°C +#1042 resnet50", read_title_line(app, "gpu 0 "))
        assert used in read_title_line(app, "gpu 1 ") and "free" in read_title_line(app, "gpu 2 ")


@pytest.mark.parametrize("size", SIZES)
async def test_reservations_are_shown_below_the_pools(size: tuple[int, int]):
    board = make_board_with_resources()
    kept = BookingEntry("gpu", "team=a", "4 gpu", board.at - 60, board.at + 5 * 86400)
    later = kept._replace(tag="team=b", begins_at=board.at + 86400)
    app, _ = make_recorded_deck(board._replace(bookings=(kept, later)))
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "z")
        await wait_until(pilot, lambda: read_title_line(app, "team=b"))
        now = read_title_line(app, "team=a")
        assert "kept  4 gpu of pool gpu for team=a until " in now
        assert " for team=b from " in read_title_line(app, "team=b")


def test_devices_without_room_are_counted():
    devices = [DeviceEntry(n, "H100", 7 if n < 3 else None) for n in range(8)]
    ((spans,),) = [make_device_lines(devices, {}, Look(), 4)]
    assert "".join(text for text, _ in spans) == "  gpus  3 of 8 held"
    assert make_device_lines(devices, {}, Look(), 0) == []


@pytest.mark.parametrize("make", [make_wide_cells, make_narrow_cells])
def test_a_slurm_pool_counts_jobs_and_usable_nodes(make: Any):
    pool = PoolEntry("big", 0.0, 0.0, 0.0, 0.0, "active", outer=OuterUse(12, 29, 3, 4))

    cells = [(cell.text, cell.style) for cell in make(PoolTableRow(pool), Look(), 0.0)]

    text = " ".join(str(words) for words, _ in cells if words)
    assert " ".join(re.sub(r"slurm | ·", "", text).split()) == "big 12 run 29 wait 3/4 nodes"
    assert any("3/4 nodes" in str(words) and style == "warn" for words, style in cells)
    made = pool._replace(outer=OuterUse(0, 0, words=("--partition=long",)))
    command = "taskdeck pool create big --kind slurm --partition=long"
    assert queues_pools.read_place_text(made, "s") == command
    silent = pool._replace(outer=OuterUse(12, 29, 3, 4, "Slurm does not answer"))
    assert any("no Slurm" in str(cell.text) for cell in make(PoolTableRow(silent), Look(), 0.0))
