"""Edit form, driven by keys."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from app.client import Client
from app.core.board import EndedEntry, OuterUse, ResourceUse
from app.errors import NotFound, Remote
from app.tui.actions.tasks import NotApplicableError
from app.tui.app import TaskdeckApp
from app.tui.data.list_rows import PoolTableRow
from app.tui.forms import edit_model
from app.tui.forms.fields import DropDown
from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.definitions.edit_form import (
    EditScreen,
    guess_field,
    make_edit_screen,
    make_new_pool_screen,
    make_new_queue_screen,
)
from app.tui.screens.definitions.rule_form import make_rule_screen
from app.tui.style import Look
from tests.runtime_process import RuntimeProcess
from tests.tui.fake_runtime import (
    BOARD,
    UUID,
    FakeRuntime,
    make_deck,
    make_task_row,
    read_screen_line,
    wait_until,
)
from tests.tui.screen_text import read_screen_text
from tests.tui.screens.tasks.test_task import HOSTILE_TEXT, find_control_characters

WAITING = next(line for line in BOARD.next if line.number == 1049)
QUEUES = [
    {
        "name": line.name,
        "pool": line.pool,
        "capacity": line.capacity,
        "priority": 0,
        "description": None,
        "status": line.status,
    }
    for line in BOARD.queues
]
POOLS = [
    {
        "name": "gpu",
        "total_cpu": 8.0,
        "total_memory": 32768.0,
        "description": None,
        "status": "active",
    }
]
RULE = {
    "name": "encode-on-time", "conditions": {"preset": "finishes-within", "value": "45m",
    "match": {"template": "encode"}},
    "limit": 2700.0, "severity": "critical", "enabled": True, "open": {},
}  # fmt: skip


def make_runtime(**table: Any) -> FakeRuntime:
    done = {"done": [{"number": 1049, "name": "resnet50-sweep-08"}], "refused": [], "notes": []}
    usual: dict[str, Any] = {
        "show": make_task_row(), "queue_ls": QUEUES, "pool_ls": POOLS, "sla_ls": [RULE],
        "template_ls": [{"name": "encode"}], "set": done,
        "queue_set": {}, "queue_create": {}, "pool_create": {}, "sla_create": {}, "sla_set": {},
        "queue_rm": {}, "schedule_ls": [],
    }  # fmt: skip
    return FakeRuntime(**(usual | table))


class PickApp(App[None]):
    """An app that contains only a list to pick from."""

    look = Look()

    def __init__(self, pick: DropDown) -> None:
        super().__init__()
        self._pick = pick

    def compose(self) -> ComposeResult:
        yield self._pick


async def open_edit_form(pilot: Pilot[Any], app: TaskdeckApp, screen: EditScreen) -> EditScreen:
    app.push_screen(screen)
    await wait_until(
        pilot,
        lambda: (
            app.screen is screen
            and screen._loaded
            and "The same from a shell" in read_screen_text(app)
        ),
    )
    return screen


def list_calls(found: FakeRuntime, verb: str = "set") -> list[dict[str, Any]]:
    return found.list_args(verb)


async def test_e_and_typing_lower_the_memory_of_a_waiting_task():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        assert "Memory      [12G     ] 2.0G of 32.0G free in pool gpu" in read_screen_text(app)
        await pilot.press("8", "G")
        await wait_until(pilot, lambda: "was 12G" in read_screen_text(app))
        assert "taskdeck set 1049 --memory 8G" in read_screen_text(app)
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: isinstance(app.screen, DeckScreen) and list_calls(found))
        assert list_calls(found) == [{"ids": [UUID.format(1049)], "fields": {"memory": 8192.0}}]
        await wait_until(
            pilot,
            lambda: "Memory 12G → 8G: #1049 resnet50-sweep-08.  u undo" in read_screen_text(app),
        )
        await pilot.press("u")
        await wait_until(pilot, lambda: len(list_calls(found)) == 2)
        assert list_calls(found)[1] == {"ids": [UUID.format(1049)], "fields": {"memory": 12288.0}}


async def test_a_burst_of_keys_is_applied_before_saving():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(make_edit_screen(found, [WAITING]))
        for key in ("1", "6", "G"):
            app.simulate_key(key)
        await wait_until(pilot, lambda: "was 12G" in read_screen_text(app))
        for key in ("tab", "2", "h", "ctrl+j"):
            app.simulate_key(key)
        await wait_until(pilot, lambda: list_calls(found))
        assert list_calls(found)[0]["fields"] == {"memory": 16384.0, "timeout": 7200.0}


@pytest.mark.parametrize(
    ("why", "field"),
    [
        ("needs 12.0G memory of pool gpu, 2.0G free; needs 4 cpu of pool gpu, 2 free", "memory"),
        ("needs 4 cpu of pool gpu, 2 free", "cpu"),
        ("queue media is full (2 of 2); first of 14", "queue"),
        ("queue backup is paused by ann", "queue"),
        ("behind #1049, which has reserved pool gpu", "priority"),
        ("held by ann", "memory"),
    ],
)  # fmt: skip
def test_the_cursor_starts_in_the_field_that_would_help(why: str, field: str):
    assert guess_field([WAITING._replace(why=why)]) == field


def test_an_overdue_run_starts_in_its_timeout_field():
    assert guess_field([BOARD.running[0]._replace(left=-5.0)]) == "timeout"
    assert guess_field([BOARD.running[0]]) == "memory"


async def test_faults_are_shown_while_typing_and_prevent_saving():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("l", "o", "t", "s", "tab", "x")
        await wait_until(
            pilot,
            lambda: (
                '✗ Timeout must be a duration such as 30s, 5m or 1h30m, not "x".'
                in read_screen_text(app)
            ),
        )
        assert '✗ Memory must be a size such as 512M or 1.5G, not "lots".' in read_screen_text(app)
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: "Not saved: Memory must be a size" in read_screen_text(app))
        assert app.focused is app.screen.query_one("#memory")
        await pilot.press("f1")
        await wait_until(pilot, lambda: "In this form" in read_screen_text(app))
        await pilot.press("escape", "f1")
        await wait_until(pilot, lambda: "In this form" in read_screen_text(app))
        await pilot.press("q")
        assert not list_calls(found) and isinstance(app.screen, EditScreen)


async def test_a_conflicting_change_is_shown_before_it_is_overwritten():
    stored = [make_task_row()]
    found = make_runtime(show=lambda args: stored[0])
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await wait_until(pilot, lambda: "was 12G" in read_screen_text(app))
        stored[0] = make_task_row(memory=10240.0, retries=7)
        await pilot.press("ctrl+j")
        await wait_until(
            pilot, lambda: "Not saved: somebody changed the same field." in read_screen_text(app)
        )
        assert "changed by others to 10G" in read_screen_text(
            app
        ) and "Retries     [7       ]" in read_screen_text(app)
        assert "Memory was 12G when the form opened: saving overwrites" in read_screen_text(
            app
        ) and not list_calls(found)
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_calls(found))
        assert list_calls(found)[0]["fields"] == {"memory": 8192.0}
        await wait_until(pilot, lambda: app.undo_stack.can_undo)
        await pilot.press("u")
        await wait_until(pilot, lambda: len(list_calls(found)) == 2)
        assert list_calls(found)[1]["fields"] == {"memory": 10240.0}


async def test_changes_by_others_appear_in_untouched_fields():
    stored = [make_task_row()]
    found = make_runtime(show=lambda args: stored[0])
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        stored[0] = make_task_row(priority=42)
        screen.reread()
        await wait_until(pilot, lambda: "Priority    [42" in read_screen_text(app))
        assert "Nothing is changed yet." in read_screen_text(app)


async def test_several_tasks_share_one_edit_form():
    rows = {
        UUID.format(1049): make_task_row(),
        UUID.format(1053): make_task_row(number=1053, memory=2048.0, queue="media"),
    }
    found = make_runtime(show=lambda args: rows[args["id"]])
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING, BOARD.next[1]]))
        assert "Edit 2 tasks" in read_screen_line(app, 0) and "Name  " not in read_screen_text(app)
        assert "Memory      [        ] they differ" in read_screen_text(app)
        await pilot.press("4", "G", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found))
        assert list_calls(found)[0] == {"ids": list(rows), "fields": {"memory": 4096.0}}
        await wait_until(pilot, lambda: app.undo_stack.can_undo)
        assert sorted(deed.args["fields"]["memory"] for deed in app.undo_stack.entries[-1][1]) == [
            2048.0,
            12288.0,
        ]


async def test_ctrl_r_restores_the_input_after_leaving_the_form():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await wait_until(pilot, lambda: "was 12G" in read_screen_text(app))
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(app.screen, DeckScreen))
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        assert "[12G     ]" in read_screen_text(
            app
        ) and "ctrl+r as typed before" in read_screen_line(app, 23)
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "[8G      ]" in read_screen_text(app))
        assert not list_calls(found)


async def test_input_typed_before_loading_is_kept():
    reading, found = Event(), make_runtime()
    app, deaf = (
        make_deck(found),
        make_runtime(show=lambda args: reading.wait(10) and make_task_row()),
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(make_edit_screen(deaf, [WAITING]))
        await pilot.press("8", "G", "escape")
        await wait_until(pilot, lambda: isinstance(app.screen, DeckScreen))
        reading.set()
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        assert "ctrl+r" in read_screen_line(app, 22)
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "[8G      ]" in read_screen_text(app))


async def test_a_new_rule_keeps_its_draft_until_it_is_created():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_rule_screen(found))
        assert "esc close, keep draft" in read_screen_line(app, 23)
        await pilot.press(*"late", "tab", "tab", *"30m", "tab", "tab", "right", "escape")
        await wait_until(pilot, lambda: isinstance(app.screen, DeckScreen))
        await open_edit_form(pilot, app, make_rule_screen(found))
        assert (
            "[late " in read_screen_text(app)
            and "[30m " in read_screen_text(app)
            and "[encode " in read_screen_text(app)
        )
        assert "This was typed here before." in read_screen_line(app, 22)
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "sla.create"))
        await open_edit_form(pilot, app, make_rule_screen(found))
        assert "[late " not in read_screen_text(
            app
        ) and "ctrl+r as typed before" in read_screen_line(app, 23)


async def test_a_draft_is_offered_only_for_unchanged_values():
    stored = [make_task_row()]
    found = make_runtime(show=lambda args: stored[0])
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("8", "G", "tab", *"2h", "escape")
        await wait_until(pilot, lambda: isinstance(app.screen, DeckScreen))
        stored[0] = make_task_row(memory=16384.0)
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        assert "ctrl+r" in read_screen_line(app, 22)
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "[2h      ]" in read_screen_text(app))
        assert "[16G     ]" in read_screen_text(app)


async def test_letters_select_a_list_item_by_prefix():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_edit_form(
            pilot,
            app,
            make_edit_screen(found, [WAITING._replace(why="queue gpu is full (2 of 2)")]),
        )
        pick = screen.query_one("#queue", DropDown)
        assert app.focused is pick
        seen = []
        for key in "medxe":
            await pilot.press(key)
            seen.append(pick.value)
        assert seen == ["media", "media", "media", "media", "etl"]


@pytest.mark.parametrize(
    ("names", "held", "word", "picked"),
    [
        ("gpu gpu2", "gpu", "gpu", "gpu"), ("default gpu-big gpu", "default", "gpu", "gpu"),
        ("default gpu-big GPU", "gpu-big", "gpu", "GPU"),
        ("gpu-big gpu-small", "gpu-small", "gpu-s", "gpu-small"),
        ("media metal", "metal", "me", "metal"), ("a b", "a", "zb", "b"),
    ],
)  # fmt: skip
async def test_typing_a_full_name_selects_it_and_keeps_the_current_match(
    names: str, held: str, word: str, picked: str
):
    pick = DropDown([(name, name) for name in names.split()], held, id="queue")
    async with PickApp(pick).run_test():
        for letter in word:
            await pick.handle_input(Key(letter, letter))
        assert pick.value == picked


@pytest.mark.parametrize(("none", "before", "picked"), [([("", "any")], 0, "gpu"), ([], 60, "")])
async def test_letters_typed_into_an_empty_list_wait_briefly(
    none: list[Any], before: float, picked: str
):
    pick = DropDown(none, id="queue")
    async with PickApp(pick).run_test():
        for letter in "gp":
            key = Key(letter, letter)
            key.time -= before
            await pick.handle_input(key)
        pick.set_options([("", "any"), ("default", "default"), ("gpu", "gpu")])
        assert pick.value == picked


async def test_letters_typed_before_the_list_loads_select_from_it():
    read = Event()
    found = make_runtime(show=lambda args: make_task_row() if read.wait(20) else None)
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        screen = make_edit_screen(found, [WAITING._replace(why="queue gpu is full (2 of 2)")])
        app.push_screen(screen)
        await wait_until(pilot, lambda: isinstance(app.focused, DropDown))
        await pilot.press("m", "e")
        read.set()
        await wait_until(
            pilot, lambda: screen._loaded and screen.query_one("#queue", DropDown).value == "media"
        )


async def test_plain_letters_and_digits_are_only_text():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press(*"q?x1/:")
        assert app.screen is screen and screen.query_one("#memory", Input).value == "q?x1/:"


async def test_a_deleted_task_closes_the_form():
    found = make_runtime(show=lambda args: NotFound("no task #1049."))
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(make_edit_screen(found, [WAITING]))
        await wait_until(
            pilot,
            lambda: (
                isinstance(app.screen, DeckScreen) and "no task #1049." in read_screen_text(app)
            ),
        )


async def test_a_runtime_error_keeps_the_input():
    broken = [False]
    found = make_runtime(
        show=lambda args: Remote("the runtime is ending.") if broken[0] else make_task_row()
    )
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await wait_until(pilot, lambda: "was 12G" in read_screen_text(app))
        broken[0] = True
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: "the runtime is ending." in read_screen_text(app))
        assert not list_calls(found)
        broken[0] = False
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_calls(found))


async def test_read_only_mode_saves_nothing():
    found = make_runtime()
    app = make_deck(found, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("8", "G", "ctrl+j")
        await wait_until(
            pilot, lambda: "Read only: this deck changes nothing." in read_screen_text(app)
        )
        assert not list_calls(found)


async def test_ctrl_y_copies_the_shell_command(monkeypatch: pytest.MonkeyPatch):
    found = make_runtime()
    app = make_deck(found)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("ctrl+y")
        await wait_until(pilot, lambda: "Nothing to copy" in read_screen_text(app))
        await pilot.press("8", "G")
        await wait_until(pilot, lambda: "was 12G" in read_screen_text(app))
        await pilot.press("ctrl+y")
        await wait_until(pilot, lambda: copied == ["taskdeck set 1049 --memory 8G"])


async def test_editing_a_queue_predicts_the_starting_tasks():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(
            pilot,
            app,
            make_edit_screen(found, [next(line for line in BOARD.queues if line.name == "media")]),
        )
        await pilot.press("4")
        await wait_until(
            pilot, lambda: "Capacity 2 → 4: 2 more tasks may start now" in read_screen_text(app)
        )
        await pilot.press("tab", "tab", "tab", "tab", "tab", "right", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "queue.set"))
        assert list_calls(found, "queue.set") == [{"name": "media", "capacity": 4}]
        await wait_until(pilot, lambda: list_calls(found, "queue.pause") == [{"name": "media"}])


async def test_a_pool_can_be_edited_from_either_row():
    found = make_runtime(pool_set={})
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(
            pilot, app, make_edit_screen(found, [PoolTableRow(BOARD.pools[0], memory=True)])
        )
        assert "Edit pool gpu" in read_screen_line(app, 0)
        await pilot.press("6", "4", "G", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "pool.set"))
        assert list_calls(found, "pool.set") == [{"name": "gpu", "memory": 65536.0}]


async def test_named_resources_of_a_pool_are_set_and_removed():
    found = make_runtime(pool_set={}, pool_ls=[POOLS[0] | {"resources": {"gpu": 4, "tape": 1}}])
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        one = ResourceUse("gpu", 4, 3)
        pool = BOARD.pools[0]._replace(resources=(one,))
        screen = make_edit_screen(found, [PoolTableRow(pool, resource=one)])
        await open_edit_form(pilot, app, screen)
        assert screen.focused is not None and screen.focused.id == "resources"
        await pilot.press(*"gpu=x")
        await wait_until(pilot, lambda: "Resources must be like gpu=2" in read_screen_text(app))
        await pilot.press("backspace", "8", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "pool.set"))
        assert list_calls(found, "pool.set") == [
            {"name": "gpu", "resources": {"gpu": 8, "tape": 0}}
        ]
        await pilot.press("u")
        await wait_until(pilot, lambda: len(list_calls(found, "pool.set")) == 2)
        assert list_calls(found, "pool.set")[1]["resources"] == {"gpu": 4, "tape": 1}


@pytest.mark.parametrize(
    ("why", "memory", "field"),
    [
        ("needs 4 cpu of pool gpu, 2 free", True, "cpu"),
        ("needs 4 cpu, but pool gpu has 2 in all: it can never start", True, "cpu"),
        ("needs 12.0G memory of pool gpu, 2.0G free", False, "memory"),
        ("first of 2; needs 2 gpu of pool gpu, 1 free", False, "resources"),
        ("needs 2 tape, but pool gpu has 1 in all: it can never start", False, "resources"),
        ("queue gpu is full (2 of 2)", False, "cpu"),
        ("queue gpu is full (2 of 2)", True, "memory"),
    ],
)  # fmt: skip
async def test_a_pool_form_starts_in_the_field_that_blocks_a_task(
    why: str, memory: bool, field: str
):
    waits = BOARD._replace(
        next=(
            WAITING._replace(queue="gpu", why="behind #1"),
            WAITING._replace(queue="gpu", why=why),
        )
    )
    app = make_deck(make_runtime(board=waits))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_edit_form(
            pilot, app, make_edit_screen(make_runtime(), [PoolTableRow(waits.pools[0], memory)])
        )
        assert screen.focused is not None and screen.focused.id == field


async def test_a_new_queue_needs_an_unused_name():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_new_queue_screen(found))
        assert "✗" not in read_screen_text(app)
        assert "at once; empty: the pool's cores" in read_screen_text(
            app
        ) and "empty: default" in read_screen_text(app)
        await pilot.press(*"gpu")
        await wait_until(pilot, lambda: "✗ There is a queue gpu already." in read_screen_text(app))
        await pilot.press("2", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "queue.create"))
        assert list_calls(found, "queue.create") == [{"name": "gpu2"}]
        await wait_until(pilot, lambda: app.undo_stack.can_undo)
        await pilot.press("u")
        await wait_until(pilot, lambda: list_calls(found, "queue.rm") == [{"name": "gpu2"}])


async def test_the_cursor_moves_to_a_new_queue():
    found = make_runtime()
    app = make_deck(found)
    app.ticks = lambda: 1000.0  # the row is listed in time
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("1", "n")
        await wait_until(
            pilot,
            lambda: isinstance(app.screen, EditScreen) and "New queue" in read_screen_text(app),
        )
        await pilot.press(*"new", "ctrl+j")
        await wait_until(
            pilot, lambda: app.screen is app.deck and list_calls(found, "queue.create")
        )
        app.board = found.board._replace(
            queues=(*found.board.queues, found.board.queues[0]._replace(name="new"))
        )
        await wait_until(pilot, lambda: "› new" in read_screen_text(app))


async def test_a_new_pool_needs_a_size():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_new_pool_screen(found))
        await pilot.press(*"big", "tab", "4")
        await wait_until(pilot, lambda: "✗ Memory is required." in read_screen_text(app))
        await pilot.press("tab", *"8G", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "pool.create"))
        made = {"name": "big", "cpu": 4.0, "memory": 8192.0, "policy": "priority"}
        assert list_calls(found, "pool.create") == [made]


async def test_a_rule_can_be_created_and_edited():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_rule_screen(found))
        await pilot.press(*"late", "tab", "right", "tab", *"30m", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "sla.create"))
        made = {"name": "late", "preset": "starts-within", "value": "30m", "severity": "warning"}
        assert list_calls(found, "sla.create") == [made]
        await open_edit_form(pilot, app, make_rule_screen(found, "encode-on-time"))
        assert "Limit       [45m     ]" in read_screen_text(
            app
        ) and "Template    [encode" in read_screen_text(app)
        await pilot.press("1", "h", "ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "sla.set"))
        assert list_calls(found, "sla.set") == [{"name": "encode-on-time", "value": "1h"}]


async def test_a_metric_rule_is_chosen_from_the_list_of_conditions():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_rule_screen(found))
        await pilot.press(*"fresh", "tab", "right", "right", "tab")
        await wait_until(
            pilot,
            lambda: (
                "[replica-lag stays below " in read_screen_text(app)
                and "a time: 5m, 250ms" in read_screen_text(app)
            ),
        )
        await pilot.press(*"5m", "tab", "tab", "right")
        await wait_until(
            pilot,
            lambda: (
                "Template must be empty: replica-lag does not apply to tasks."
                in read_screen_text(app)
            ),
        )
        await pilot.press("left")
        await wait_until(
            pilot,
            lambda: "Its one alert fires while replica-lag is 5m or more." in read_screen_text(app),
        )
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_calls(found, "sla.create"))
        made = {
            "name": "fresh",
            "preset": "stays-below",
            "metric": "replica-lag",
            "value": "5m",
            "severity": "warning",
        }
        assert list_calls(found, "sla.create") == [made]


async def test_an_alert_opens_its_rule_or_says_that_none_exists():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [BOARD.alerts[0]]))
        assert "Edit rule encode-on-time" in read_screen_line(app, 0)
        await pilot.press("escape")
        app.push_screen(make_edit_screen(found, [BOARD.alerts[0]._replace(sla="nothing-starts")]))
        await wait_until(
            pilot, lambda: "There is no rule nothing-starts any more." in read_screen_text(app)
        )


async def test_a_form_stays_open_when_its_queue_is_deleted():
    rows = list(QUEUES)
    found = make_runtime(queue_ls=lambda args: list(rows))
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_edit_form(pilot, app, make_edit_screen(found, [BOARD.queues[0]]))
        rows.clear()
        screen.reread()
        await wait_until(
            pilot,
            lambda: f"There is no queue {BOARD.queues[0].name} any more." in read_screen_text(app),
        )
        await pilot.press("tab", "tab", "tab", "tab", *"pxD", "ctrl+j")
        await wait_until(
            pilot, lambda: "[pxD " in read_screen_text(app) and len(found.list_args("queue.ls")) > 2
        )
        await pilot.pause()
        assert app.screen is screen and not list_calls(found, "queue.set")


def test_rows_that_cannot_be_edited_say_why():
    ended = EndedEntry("u", 1, "a", "media", "failed", 0.0, "exit 1")
    with pytest.raises(NotApplicableError, match="has ended"):
        make_edit_screen(make_runtime(), [ended])
    with pytest.raises(NotApplicableError, match="e edits tasks"):
        make_edit_screen(make_runtime(), [])
    with pytest.raises(NotApplicableError, match="At most 200"):
        make_edit_screen(make_runtime(), [WAITING._replace(number=n) for n in range(201)])


async def test_hostile_values_are_shown_harmlessly_and_stay_unchanged():
    queue = QUEUES[0] | {"description": HOSTILE_TEXT, "pool": HOSTILE_TEXT}
    found = make_runtime(queue_ls=[queue], pool_ls=[POOLS[0] | {"name": HOSTILE_TEXT}])
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [BOARD.queues[0]]))
        assert not find_control_characters(app) and "Nothing is changed yet." in read_screen_text(
            app
        )
        await pilot.press("shift+tab", "shift+tab")
        app.focused.post_message(Paste("9\x1b[2J\n")) if app.focused else None
        await pilot.pause()
        assert not find_control_characters(app)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 50)])
async def test_the_focused_field_is_visible_at_every_size(size: tuple[int, int]):
    found = make_runtime()
    app = make_deck(found, look=Look(ascii=True))
    async with app.run_test(size=size) as pilot:
        await open_edit_form(pilot, app, make_edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await wait_until(pilot, lambda: "8G      ] was 12G" in read_screen_text(app))
        await pilot.press("tab", "tab", "tab")
        await wait_until(pilot, lambda: "Retry delay [1s      ]" in read_screen_text(app))
        assert (
            "ctrl+j save" in read_screen_line(app, size[1] - 1) and read_screen_text(app).isascii()
        )


async def test_an_edit_on_a_real_runtime_can_be_undone(runtime: RuntimeProcess):
    number = runtime.submit("sleep", "600", hold=True, memory="64M")
    row = runtime.show(number)

    def client() -> Client:
        return Client(runtime.home)

    app = TaskdeckApp(client)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.board and app.board.next)
        screen = await open_edit_form(
            pilot, app, make_edit_screen(client, app.board.next[:1] if app.board else [])
        )
        await pilot.press("3", "2", "M", "tab", "5", "m", "ctrl+j")
        await wait_until(pilot, lambda: app.screen is not screen and app.undo_stack.can_undo)
        changed = runtime.show(number)
        assert (changed["memory"], changed["timeout"], changed["status"]) == (32.0, 300.0, "held")
        await pilot.press("u")
        await wait_until(pilot, lambda: "Undone: set" in read_screen_text(app))
        again = runtime.show(number)
        assert (again["memory"], again["timeout"]) == (row["memory"], None)


def test_a_slurm_pool_has_a_form_of_its_own():
    pool = BOARD.pools[0]._replace(outer=OuterUse(1, 2, 3, 3))
    for row in (pool, PoolTableRow(pool)):
        assert make_edit_screen(make_runtime(), [row]).kind is edit_model.SLURM_POOL
