"""The form that changes things, filled in by keys."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from app.client import Client
from app.core.board import EndedLine
from app.errors import NotFound, Remote
from app.tui.actions.tasks import Unfit
from app.tui.app import TaskdeckApp
from app.tui.forms.fields import Pick
from app.tui.panes.pools import PoolRow
from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.edit_form import EditScreen, edit_screen, new_pool_screen, new_queue_screen, wanted
from app.tui.screens.rule_form import rule_screen
from app.tui.style import Look
from tests.runtime_process import Living
from tests.tui.fake_runtime import BOARD, UUID, Answers, deck, line, task, until
from tests.tui.screen_text import screen_text
from tests.tui.screens.test_task import EVIL, escapes

WAITING = next(line for line in BOARD.next if line.number == 1049)
QUEUES = [
    {"name": line.name, "pool": line.pool, "capacity": line.capacity, "priority": 0, "description": None, "status": line.status}
    for line in BOARD.queues
]
POOLS = [{"name": "gpu", "total_cpu": 8.0, "total_memory": 32768.0, "description": None, "status": "active"}]
RULE = {
    "name": "encode-on-time", "conditions": {"preset": "finishes-within", "value": "45m", "match": {"template": "encode"}},
    "limit": 2700.0, "severity": "critical", "enabled": True, "open": {},
}  # fmt: skip


def answers(**table: Any) -> Answers:
    done = {"done": [{"number": 1049, "name": "resnet50-sweep-08"}], "refused": [], "notes": []}
    usual: dict[str, Any] = {
        "show": task(), "queue_ls": QUEUES, "pool_ls": POOLS, "sla_ls": [RULE], "template_ls": [{"name": "encode"}], "set": done,
        "queue_set": {}, "queue_create": {}, "pool_create": {}, "sla_create": {}, "sla_set": {}, "queue_rm": {},
    }  # fmt: skip
    return Answers(**(usual | table))


class Alone(App[None]):
    """An app of nothing but a list to pick from."""

    look = Look()

    def __init__(self, pick: Pick) -> None:
        super().__init__()
        self._pick = pick

    def compose(self) -> ComposeResult:
        yield self._pick


async def opened(pilot: Pilot[Any], app: TaskdeckApp, screen: EditScreen) -> EditScreen:
    app.push_screen(screen)
    await until(pilot, lambda: app.screen is screen and screen._loaded and "The same from a shell" in text(app))
    return screen


def text(app: TaskdeckApp) -> str:
    return "\n".join(screen_text(app))


def asked(found: Answers, verb: str = "set") -> list[dict[str, Any]]:
    return found.asked(verb)


async def test_e_and_typing_lower_the_memory_of_a_task_that_waits_for_it():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        assert "Memory      [12G     ] 2.0G of 32.0G free in pool gpu" in text(app)
        await pilot.press("8", "G")
        await until(pilot, lambda: "was 12G" in text(app))
        assert "taskdeck set 1049 --memory 8G" in text(app)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen) and asked(found))
        assert asked(found) == [{"ids": [UUID.format(1049)], "fields": {"memory": 8192.0}}]
        await until(pilot, lambda: "Memory 12G → 8G: #1049 resnet50-sweep-08.  u undo" in text(app))
        await pilot.press("u")
        await until(pilot, lambda: len(asked(found)) == 2)
        assert asked(found)[1] == {"ids": [UUID.format(1049)], "fields": {"memory": 12288.0}}


async def test_all_that_is_typed_in_one_burst_counts_before_it_is_saved():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(edit_screen(found, [WAITING]))
        for key in ("1", "6", "G"):
            app.simulate_key(key)
        await until(pilot, lambda: "was 12G" in text(app))
        for key in ("tab", "2", "h", "ctrl+j"):
            app.simulate_key(key)
        await until(pilot, lambda: asked(found))
        assert asked(found)[0]["fields"] == {"memory": 16384.0, "timeout": 7200.0}


@pytest.mark.parametrize(
    ("why", "field"),
    [
        ("needs 12.0G memory of pool gpu, 2.0G free; needs 4 cpu of pool gpu, 2 free", "memory"),
        ("needs 4 cpu of pool gpu, 2 free", "cpu"), ("queue media is full (2 of 2); first of 14", "queue"),
        ("queue backup is paused by ann", "queue"), ("behind #1049, whose place in pool gpu is reserved", "priority"),
        ("held by ann", "memory"),
    ],
)  # fmt: skip
def test_the_cursor_begins_in_the_field_that_would_help(why: str, field: str):
    assert wanted([WAITING._replace(why=why)]) == field


def test_a_run_that_is_overdue_begins_with_its_limit():
    assert wanted([BOARD.running[0]._replace(left=-5.0)]) == "timeout"
    assert wanted([BOARD.running[0]]) == "memory"


async def test_faults_are_told_as_typed_and_keep_it_from_being_saved():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("l", "o", "t", "s", "tab", "x")
        await until(pilot, lambda: '✗ Timeout must be a duration such as 30s, 5m or 1h30m, not "x".' in text(app))
        assert '✗ Memory must be a size such as 512M or 1.5G, not "lots".' in text(app)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: "Not saved: Memory must be a size" in text(app))
        assert app.focused is app.screen.query_one("#memory")
        await pilot.press("f1")
        await until(pilot, lambda: "In this form" in text(app))
        await pilot.press("escape", "f1")
        await until(pilot, lambda: "In this form" in text(app))
        await pilot.press("q")
        assert not asked(found) and isinstance(app.screen, EditScreen)


async def test_a_touched_field_that_others_changed_is_told_before_it_is_overwritten():
    stored = [task()]
    found = answers(show=lambda args: stored[0])
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await until(pilot, lambda: "was 12G" in text(app))
        stored[0] = task(memory=10240.0, retries=7)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: "Not saved: somebody changed the same meanwhile." in text(app))
        assert "others made it 10G meanwhile" in text(app) and "Retries     [7       ]" in text(app)
        assert "Memory was 12G when you came: saving overwrites" in text(app) and not asked(found)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: asked(found))
        assert asked(found)[0]["fields"] == {"memory": 8192.0}
        await until(pilot, lambda: app.can_undo)
        await pilot.press("u")
        await until(pilot, lambda: len(asked(found)) == 2)
        assert asked(found)[1]["fields"] == {"memory": 10240.0}


async def test_what_others_change_shows_in_fields_that_were_not_touched():
    stored = [task()]
    found = answers(show=lambda args: stored[0])
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, edit_screen(found, [WAITING]))
        stored[0] = task(priority=42)
        screen.reread()
        await until(pilot, lambda: "Priority    [42" in text(app))
        assert "Nothing is changed yet." in text(app)


async def test_several_tasks_are_edited_as_one():
    rows = {UUID.format(1049): task(), UUID.format(1053): task(number=1053, memory=2048.0, queue="media")}
    found = answers(show=lambda args: rows[args["id"]])
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING, BOARD.next[1]]))
        assert "Edit 2 tasks" in line(app, 0) and "Name  " not in text(app)
        assert "Memory      [        ] they differ" in text(app)
        await pilot.press("4", "G", "ctrl+j")
        await until(pilot, lambda: asked(found))
        assert asked(found)[0] == {"ids": list(rows), "fields": {"memory": 4096.0}}
        await until(pilot, lambda: app.can_undo)
        assert sorted(deed.args["fields"]["memory"] for deed in app._undoing[-1][1]) == [2048.0, 12288.0]


async def test_leaving_changes_nothing_and_ctrl_r_brings_back_what_was_typed():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await until(pilot, lambda: "was 12G" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        await opened(pilot, app, edit_screen(found, [WAITING]))
        assert "[12G     ]" in text(app) and "ctrl+r as typed before" in line(app, 23)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "[8G      ]" in text(app))
        assert not asked(found)


async def test_what_was_typed_before_anything_was_read_is_kept_too():
    reading, found = Event(), answers()
    app, deaf = deck(found), answers(show=lambda args: reading.wait(10) and task())
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(edit_screen(deaf, [WAITING]))
        await pilot.press("8", "G", "escape")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        reading.set()
        await opened(pilot, app, edit_screen(found, [WAITING]))
        assert "ctrl+r brings back what you typed here before." in line(app, 22)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "[8G      ]" in text(app))


async def test_a_new_rule_that_was_left_stands_there_again_and_one_that_was_made_does_not():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, rule_screen(found))
        assert "esc leave, kept" in line(app, 23)
        await pilot.press(*"late", "tab", "tab", *"30m", "tab", "right", "escape")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        await opened(pilot, app, rule_screen(found))
        assert "[late " in text(app) and "[30m " in text(app) and "[encode " in text(app)
        assert "This was typed here before." in line(app, 22)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: asked(found, "sla.create"))
        await opened(pilot, app, rule_screen(found))
        assert "[late " not in text(app) and "ctrl+r as typed before" in line(app, 23)


async def test_what_was_typed_over_a_task_is_offered_only_where_it_is_as_it_was():
    stored = [task()]
    found = answers(show=lambda args: stored[0])
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("8", "G", "tab", *"2h", "escape")
        await until(pilot, lambda: isinstance(app.screen, DeckScreen))
        stored[0] = task(memory=16384.0)
        await opened(pilot, app, edit_screen(found, [WAITING]))
        assert "ctrl+r brings back what you typed here before." in line(app, 22)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "[2h      ]" in text(app))
        assert "[16G     ]" in text(app)


async def test_letters_pick_from_a_list_what_begins_so():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, edit_screen(found, [WAITING._replace(why="queue gpu is full (2 of 2)")]))
        pick = screen.query_one("#queue", Pick)
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
        ("gpu-big gpu-small", "gpu-small", "gpu-s", "gpu-small"), ("media metal", "metal", "me", "metal"), ("a b", "a", "zb", "b"),
    ],
)  # fmt: skip
async def test_a_name_that_is_typed_in_full_is_picked_and_the_present_one_stays(names: str, held: str, word: str, picked: str):
    pick = Pick([(name, name) for name in names.split()], held, id="queue")
    async with Alone(pick).run_test():
        for letter in word:
            await pick.typed(Key(letter, letter))
        assert pick.value == picked


@pytest.mark.parametrize(("none", "before", "picked"), [([("", "any")], 0, "gpu"), ([], 60, "")])
async def test_letters_typed_where_nothing_could_be_picked_yet_wait_for_a_moment(none: list[Any], before: float, picked: str):
    pick = Pick(none, id="queue")
    async with Alone(pick).run_test():
        for letter in "gp":
            key = Key(letter, letter)
            key.time -= before
            await pick.typed(key)
        pick.offer([("", "any"), ("default", "default"), ("gpu", "gpu")])
        assert pick.value == picked


async def test_letters_that_come_before_the_list_pick_from_it():
    read = Event()
    found = answers(show=lambda args: task() if read.wait(20) else None)
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        screen = edit_screen(found, [WAITING._replace(why="queue gpu is full (2 of 2)")])
        app.push_screen(screen)
        await until(pilot, lambda: isinstance(app.focused, Pick))
        await pilot.press("m", "e")
        read.set()
        await until(pilot, lambda: screen._loaded and screen.query_one("#queue", Pick).value == "media")


async def test_plain_letters_and_digits_do_nothing_but_stand_in_the_field():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press(*"q?x1/:")
        assert app.screen is screen and screen.query_one("#memory", Input).value == "q?x1/:"


async def test_a_task_that_is_gone_closes_the_form():
    found = answers(show=lambda args: NotFound("no task #1049."))
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(edit_screen(found, [WAITING]))
        await until(pilot, lambda: isinstance(app.screen, DeckScreen) and "no task #1049." in text(app))


async def test_a_runtime_that_cannot_be_asked_leaves_what_was_typed():
    broken = [False]
    found = answers(show=lambda args: Remote("the runtime is ending.") if broken[0] else task())
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await until(pilot, lambda: "was 12G" in text(app))
        broken[0] = True
        await pilot.press("ctrl+j")
        await until(pilot, lambda: "the runtime is ending." in text(app))
        assert not asked(found)
        broken[0] = False
        await pilot.press("ctrl+j")
        await until(pilot, lambda: asked(found))


async def test_nothing_is_saved_read_only():
    found = answers()
    app = deck(found, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("8", "G", "ctrl+j")
        await until(pilot, lambda: "Read only: nothing is changed from here." in text(app))
        assert not asked(found)


async def test_ctrl_y_copies_the_line(monkeypatch: pytest.MonkeyPatch):
    found = answers()
    app = deck(found)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "There is no line to copy" in text(app))
        await pilot.press("8", "G")
        await until(pilot, lambda: "was 12G" in text(app))
        await pilot.press("ctrl+y")
        await until(pilot, lambda: copied == ["taskdeck set 1049 --memory 8G"])


async def test_a_queue_is_edited_and_says_what_would_start():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [next(line for line in BOARD.queues if line.name == "media")]))
        await pilot.press("4")
        await until(pilot, lambda: "Capacity 2 → 4: 2 more may start now" in text(app))
        await pilot.press("tab", "tab", "tab", "tab", "right", "ctrl+j")
        await until(pilot, lambda: asked(found, "queue.set"))
        assert asked(found, "queue.set") == [{"name": "media", "capacity": 4}]
        await until(pilot, lambda: asked(found, "queue.pause") == [{"name": "media"}])


async def test_a_pool_is_edited_from_either_of_its_rows():
    found = answers(pool_set={})
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [PoolRow(BOARD.pools[0], "cpu")]))
        assert "Edit pool gpu" in line(app, 0)
        await pilot.press("6", "4", "G", "ctrl+j")
        await until(pilot, lambda: asked(found, "pool.set"))
        assert asked(found, "pool.set") == [{"name": "gpu", "memory": 65536.0}]


@pytest.mark.parametrize(
    ("why", "memory", "field"),
    [
        ("needs 4 cpu of pool gpu, 2 free", True, "cpu"), ("needs 4 cpu, but pool gpu has 2 in all: it can never start", True, "cpu"),
        ("needs 12.0G memory of pool gpu, 2.0G free", False, "memory"),
        ("queue gpu is full (2 of 2)", False, "cpu"), ("queue gpu is full (2 of 2)", True, "memory"),
    ],
)  # fmt: skip
async def test_the_form_of_a_pool_begins_where_a_task_there_is_stuck_else_in_the_figure_of_the_row(why: str, memory: bool, field: str):
    waits = BOARD._replace(next=(WAITING._replace(queue="gpu", why="behind #1"), WAITING._replace(queue="gpu", why=why)))
    app = deck(answers(board=waits))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, edit_screen(answers(), [PoolRow(waits.pools[0], memory)]))
        assert screen.focused is not None and screen.focused.id == field


async def test_a_new_queue_wants_a_name_that_is_not_taken():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, new_queue_screen(found))
        assert "✗" not in text(app)
        assert "at once; empty: the pool's cores" in text(app) and "empty: default" in text(app)
        await pilot.press(*"gpu")
        await until(pilot, lambda: "✗ There is a queue gpu already." in text(app))
        await pilot.press("2", "ctrl+j")
        await until(pilot, lambda: asked(found, "queue.create"))
        assert asked(found, "queue.create") == [{"name": "gpu2"}]
        await until(pilot, lambda: app.can_undo)
        await pilot.press("u")
        await until(pilot, lambda: asked(found, "queue.rm") == [{"name": "gpu2"}])


async def test_the_cursor_goes_to_a_new_queue_when_its_row_comes():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("1", "n")
        await until(pilot, lambda: isinstance(app.screen, EditScreen) and "New queue" in text(app))
        await pilot.press(*"new", "ctrl+j")
        await until(pilot, lambda: app.screen is app.deck and asked(found, "queue.create"))
        app.board = found.board._replace(queues=(*found.board.queues, found.board.queues[0]._replace(name="new")))
        await until(pilot, lambda: "› new" in text(app))


async def test_a_new_pool_wants_its_size():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, new_pool_screen(found))
        await pilot.press(*"big", "tab", "4")
        await until(pilot, lambda: "✗ Memory is needed." in text(app))
        await pilot.press("tab", *"8G", "ctrl+j")
        await until(pilot, lambda: asked(found, "pool.create"))
        assert asked(found, "pool.create") == [{"name": "big", "cpu": 4.0, "memory": 8192.0}]


async def test_a_rule_is_made_and_edited():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, rule_screen(found))
        await pilot.press(*"late", "tab", "right", "tab", *"30m", "ctrl+j")
        await until(pilot, lambda: asked(found, "sla.create"))
        made = {"name": "late", "preset": "starts-within", "value": "30m", "severity": "warning"}
        assert asked(found, "sla.create") == [made]
        await opened(pilot, app, rule_screen(found, "encode-on-time"))
        assert "Limit       [45m     ]" in text(app) and "Template    [encode" in text(app)
        await pilot.press("1", "h", "ctrl+j")
        await until(pilot, lambda: asked(found, "sla.set"))
        assert asked(found, "sla.set") == [{"name": "encode-on-time", "value": "1h"}]


async def test_a_rule_on_a_metric_is_picked_from_what_a_rule_may_ask():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, rule_screen(found))
        await pilot.press(*"fresh", "tab", "right", "right", "tab")
        await until(pilot, lambda: "[replica-lag stays below    ▾]" in text(app) and "a time: 5m, 250ms" in text(app))
        await pilot.press(*"5m", "tab", "right")
        await until(pilot, lambda: "Template must be empty: replica-lag is about no task." in text(app))
        await pilot.press("left")
        await until(pilot, lambda: "Its one alert fires while replica-lag is 5m or more." in text(app))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: asked(found, "sla.create"))
        made = {"name": "fresh", "preset": "stays-below", "metric": "replica-lag", "value": "5m", "severity": "warning"}
        assert asked(found, "sla.create") == [made]


async def test_an_alert_leads_to_its_rule_and_one_without_says_that_there_is_none():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [BOARD.alerts[0]]))
        assert "Edit rule encode-on-time" in line(app, 0)
        await pilot.press("escape")
        app.push_screen(edit_screen(found, [BOARD.alerts[0]._replace(sla="nothing-starts")]))
        await until(pilot, lambda: "There is no rule nothing-starts any more." in text(app))


async def test_a_form_over_what_somebody_takes_away_stays_as_what_is_typed_there_is_text():
    rows = list(QUEUES)
    found = answers(queue_ls=lambda args: list(rows))
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, edit_screen(found, [BOARD.queues[0]]))
        rows.clear()
        screen.reread()
        await until(pilot, lambda: f"There is no queue {BOARD.queues[0].name} any more." in text(app))
        await pilot.press("tab", "tab", "tab", *"pxD", "ctrl+j")
        await until(pilot, lambda: "[pxD " in text(app) and len(found.asked("queue.ls")) > 2)
        await pilot.pause()
        assert app.screen is screen and not asked(found, "queue.set")


def test_what_cannot_be_edited_says_why():
    ended = EndedLine("u", 1, "a", "media", "failed", 0.0, "exit 1")
    with pytest.raises(Unfit, match="It has ended"):
        edit_screen(answers(), [ended])
    with pytest.raises(Unfit, match="e edits tasks"):
        edit_screen(answers(), [])
    with pytest.raises(Unfit, match="At most 200"):
        edit_screen(answers(), [WAITING._replace(number=n) for n in range(201)])


async def test_hostile_values_are_shown_harmlessly_and_not_changed_by_that():
    queue = QUEUES[0] | {"description": EVIL, "pool": EVIL}
    found = answers(queue_ls=[queue], pool_ls=[POOLS[0] | {"name": EVIL}])
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, edit_screen(found, [BOARD.queues[0]]))
        assert not escapes(app) and "Nothing is changed yet." in text(app)
        await pilot.press("shift+tab", "shift+tab")
        app.focused.post_message(Paste("9\x1b[2J\n")) if app.focused else None
        await pilot.pause()
        assert not escapes(app)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 50)])
async def test_the_field_with_the_cursor_is_seen_at_every_size(size: tuple[int, int]):
    found = answers()
    app = deck(found, look=Look(ascii=True))
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app, edit_screen(found, [WAITING]))
        await pilot.press("8", "G")
        await until(pilot, lambda: "8G      ] was 12G" in text(app))
        await pilot.press("tab", "tab", "tab")
        await until(pilot, lambda: "Retry delay [1s      ]" in text(app))
        assert "ctrl+j save" in line(app, size[1] - 1) and text(app).isascii()


async def test_a_form_over_a_real_runtime_changes_a_task_and_takes_it_back(runtime: Living):
    number = runtime.submit("sleep", "600", hold=True, memory="64M")
    row = runtime.show(number)

    def client() -> Client:
        return Client(runtime.home)

    app = TaskdeckApp(client)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.board and app.board.next)
        screen = await opened(pilot, app, edit_screen(client, app.board.next[:1] if app.board else []))
        await pilot.press("3", "2", "M", "tab", "5", "m", "ctrl+j")
        await until(pilot, lambda: app.screen is not screen and app.can_undo)
        changed = runtime.show(number)
        assert (changed["memory"], changed["timeout"], changed["status"]) == (32.0, 300.0, "held")
        await pilot.press("u")
        await until(pilot, lambda: "Undone: set" in text(app))
        again = runtime.show(number)
        assert (again["memory"], again["timeout"]) == (row["memory"], None)
