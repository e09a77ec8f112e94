"""All tasks: a window on thousands of them, over a runtime's answers; the cursor keeps its row, and verbs ask before many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from app.core import filter_query
from app.errors import NotFound
from app.service.tasks.pages import COLUMNS
from app.tui.app import TaskdeckApp
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks import MOST, TasksScreen
from app.tui.state.preferences import Memory
from tests.tui import boards
from tests.tui.recording_runtime import Clock, Recording, burst, until
from tests.tui.screen_text import screen_text

COUNT = 5000
COLUMNS_OF_ALL = ("state", "queue", "age", "time", "priority", "cpu", "memory", "by", "result")
STATES = ("queued", "succeeded", "failed")


@cache
def row(number: int) -> dict[str, Any]:
    """One of the tasks; nobody changes it."""
    status = STATES[number % 3]
    blank = dict.fromkeys(COLUMNS)
    return blank | {
        "uuid": f"u{number}", "number": number, "name": f"task {number}", "status": status, "queue": "media", "priority": 0, "cpu": 1.0,
        "created_at": "2026-11-25T09:00:00.000000Z", "tags": {"env": "prod"}, "why": "queue full 2/2" if status == "queued" else None,
        "ended_at": None if status == "queued" else "2026-11-25T10:00:00.000000Z", "reason": "exit 1" if status == "failed" else None,
        "submitted_by": "ann", "at": number, "attempts": 1, "retries": 0,
    }  # fmt: skip


class Many(Recording):
    """A runtime with thousands of tasks, newest first."""

    def __init__(self) -> None:
        super().__init__(boards.busy())
        self.newest = COUNT
        self.priorities: dict[int, int] = {}

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        return self.browse(**args) if verb == "browse" else super().answer(verb, args)

    def kept(self, meant: filter_query.Query, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As the runtime finds them, where "media" is the only queue, and every word is found everywhere."""
        if any(term.kind == "queue" and not all(one.fits("media") for one in term.patterns) for term in meant.terms):
            raise NotFound("no queue of that name.")
        meant = filter_query.Query(tuple(term for term in meant.terms if term.kind != "word"))
        return [one for one in rows if _meets(meant, one["number"])] if meant else rows

    def browse(self, filter: str, order: str, down: bool, limit: int, at: Any = None, way: str = "after") -> dict[str, Any]:
        found = [row(n) for n in range(self.newest, 0, -1)]
        if filter:
            found = self.kept(filter_query.parse(filter, boards_now()), found)
        numbers = [one["number"] for one in found]
        if way == "before":
            end = len(found) if at is None else numbers.index(at[1])
            begin = max(0, end - limit)
        else:
            begin = 0 if at is None else numbers.index(at[1]) + (way == "after")
            end = min(len(found), begin + limit)
        page = [one | {"priority": self.priorities.get(one["number"], 0)} for one in found[begin:end]]
        return {
            "columns": list(COLUMNS), "rows": [[one[name] for name in COLUMNS] for one in page], "more_before": begin > 0,
            "more_after": end < len(found), "total": len(found), "of": self.newest, "lag": 0, "complete": True, "stopped": None,
        }  # fmt: skip


@cache
def _meets(meant: filter_query.Query, number: int) -> bool:
    one = row(number)
    return filter_query.matches(meant, filter_query.Facts(number, one["name"], one["status"], queue="media"))


def boards_now() -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(boards.NOW, UTC)


@dataclass
class Tasks:
    app: TaskdeckApp
    many: Many
    pilot: Pilot[Any]

    @property
    def screen(self) -> TasksScreen:
        screen = next(screen for screen in self.app.screen_stack if isinstance(screen, TasksScreen))
        return screen

    def text(self) -> str:
        return "\n".join(screen_text(self.app))

    async def until(self, *texts: str) -> None:
        await until(self.pilot, lambda: all(text in self.text() for text in texts))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def type(self, *keys: str) -> None:
        """Keys in one burst, where what each of them does is not looked at."""
        burst(self.app, *keys)

    def under_cursor(self) -> int:
        return self.screen.table.item.number


@asynccontextmanager
async def opened(words: str = "", size: tuple[int, int] = (100, 30), memory: Memory | None = None) -> AsyncIterator[Tasks]:
    many = Many()
    factory: Any = many.client
    app = TaskdeckApp(factory, now=lambda: boards.NOW, ticks=Clock(), first=many.board)
    if memory:
        app.memory = memory
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.board is not None)
        app.open_tasks(words)
        tasks = Tasks(app, many, pilot)
        await tasks.until("○ task" if "failed" not in words else "✗ task")
        yield tasks
    assert app.failure is None


async def test_all_tasks_newest_first_with_their_number():
    async with opened() as tasks:
        await tasks.until("Tasks 5,000", "5000 ✗ task 5000", "exit 1", "4998 ○ task 4998", "queue full 2/2")
        assert tasks.under_cursor() == 5000


async def test_the_window_follows_the_cursor_to_both_ends():
    async with opened() as tasks:
        while tasks.under_cursor() >= 4000:
            tasks.type(*["pagedown"] * 5)
            await tasks.pilot.pause()
        assert len(tasks.screen.paged.rows) <= MOST
        await tasks.press("G")
        await until(tasks.pilot, lambda: tasks.under_cursor() == 1)
        await tasks.press("g")
        await until(tasks.pilot, lambda: tasks.under_cursor() == 5000)


async def test_what_is_submitted_above_moves_neither_the_cursor_nor_its_line():
    async with opened() as tasks:
        await tasks.press("j", "j", "j", "j")
        line = next(n for n, text in enumerate(screen_text(tasks.app)) if text.startswith("›"))
        tasks.many.newest += 3
        tasks.screen.reread()
        await tasks.until("Tasks 5,003")
        assert tasks.under_cursor() == 4996
        assert screen_text(tasks.app)[line].startswith("›")


async def test_a_filter_is_asked_of_the_runtime_and_a_wrong_one_is_named():
    async with opened() as tasks:
        tasks.type("slash", *"status:failed", "enter")
        await tasks.until("Tasks 1,667 of 5,000 /status:failed")
        assert {one.status for one in tasks.screen.paged.rows} == {"failed"}
        tasks.type("slash", *" nix:1", "enter")
        await tasks.until('there is no "nix:"')
        assert {one.status for one in tasks.screen.paged.rows} == {"failed"}
        await tasks.press("escape")
        await tasks.until("The filter is cleared.", "Tasks 5,000")


async def test_a_queue_typed_a_letter_at_a_time_is_not_found_until_it_is_whole():
    async with opened() as tasks:
        await tasks.press("slash")
        for letter in "queue:media":
            await tasks.press(letter)
            await until(tasks.pilot, tasks.screen.settled.is_set)
        await tasks.press("enter")
        await tasks.until("Tasks 5,000 of 5,000 /queue:media")
        assert "no queue" not in tasks.text() and "old" not in tasks.text()


async def test_a_queue_that_is_none_is_told_and_the_next_filter_is_read():
    async with opened() as tasks:
        tasks.type("slash", *"queue:medai", "enter")
        await tasks.until("no queue of that name.")
        await tasks.press("f")
        await tasks.until("/status:active")
        await tasks.press("slash", *"queue:medai", "enter", "escape")
        await tasks.until("The filter is cleared.", "Tasks 5,000 ")
        cast(Clock, tasks.app.ticks).at += 5
        await tasks.press("j", "p")
        await until(tasks.pilot, lambda: "Nothing to pause: it has ended." in tasks.text())


async def test_words_that_came_while_wrong_ones_were_read_are_read_too():
    async with opened() as tasks:
        began, typed, browse = Event(), Event(), tasks.many.browse

        def slow(**args: Any) -> Any:
            if args["filter"] == "queue:medi":
                began.set()
                assert typed.wait(20)
            return browse(**args)

        tasks.many.browse = slow  # type: ignore[method-assign]
        await tasks.press("slash", *"queue:medi")
        await until(tasks.pilot, began.is_set)
        await tasks.press(*["backspace"] * len("queue:medi"), *"status:queued", "enter")
        typed.set()
        await tasks.until("Tasks 1,666 of 5,000 /status:queued")
        assert "no queue" not in tasks.text()


async def test_rows_near_their_end_do_not_ask_again_and_again_for_what_cannot_be_read():
    async with opened() as tasks:
        tasks.many.browse = lambda **_: (_ for _ in ()).throw(OSError("no such home"))  # type: ignore[method-assign]
        await tasks.press(*["pagedown"] * 6)
        await tasks.until("no such home")
        asked = len(tasks.many.verbs())
        for _ in range(20):
            await tasks.press("j")
        assert len(tasks.many.verbs()) - asked < 5


async def test_the_cursor_stays_on_its_task_when_the_filter_goes():
    async with opened() as tasks:
        tasks.type("slash", *"status:failed", "enter")
        await tasks.until("Tasks 1,667 of 5,000 /status:failed")
        tasks.type(*"j" * 100)
        await until(tasks.pilot, lambda: tasks.under_cursor() <= 4700)
        held = tasks.under_cursor()
        cast(Clock, tasks.app.ticks).at += 5
        await tasks.press("escape")
        await tasks.until("Tasks 5,000 ")
        assert tasks.under_cursor() == held <= 4700
        await until(tasks.pilot, lambda: tasks.screen.paged.rows[0].number > held)
        await tasks.press("k")
        assert tasks.under_cursor() == held + 1
        burst(tasks.app, "r")
        await until(tasks.pilot, lambda: screen_text(tasks.app)[-2].strip() != "The filter is cleared.")
        assert "went away" not in screen_text(tasks.app)[-2]


async def test_what_succeeded_runs_again_only_after_a_question_and_what_failed_once():
    async with opened() as tasks:
        assert tasks.under_cursor() == 5000  # failed
        burst(tasks.app, "r", "r")
        await tasks.until("Runs again:")
        await tasks.press("r")
        await tasks.until("#5000 was asked to run again already")
        await tasks.press("j", "r")
        await tasks.until("Run 1 task again?", "It has succeeded")
        await tasks.press("n")
        assert [args["ids"] for verb, args in tasks.many.asked if verb == "retry"] == [["u5000"]]


async def test_the_order_that_came_with_what_failed_goes_with_it():
    async with opened() as tasks:
        await tasks.press("o", "a")
        await tasks.until("by name ↓")
        await tasks.press("F")
        await tasks.until("by ended ↓", "/status:failed")
        await tasks.press("escape")
        await tasks.until("by name ↓", "Tasks 5,000 ")


async def test_a_verb_in_one_burst_with_a_filter_never_meets_a_row_of_before():
    async with opened() as tasks:
        burst(tasks.app, "j", "/", *"status:queued", "enter", "p")
        await tasks.until("Tasks 1,666 of 5,000", "Look, and press again.")
        assert "hold" not in tasks.many.verbs()
        cast(Clock, tasks.app.ticks).at += 5
        await tasks.press("p")
        await until(tasks.pilot, lambda: "hold" in tasks.many.verbs())
    assert [args["ids"] for verb, args in tasks.many.asked if verb == "hold"] == [["u4998"]]


async def test_rows_that_do_not_come_hold_up_one_key_and_not_each():
    async with opened() as tasks:
        came, browse = Event(), tasks.many.browse
        tasks.many.browse = lambda **args: came.wait(30) and browse(**args)  # type: ignore[method-assign]
        try:
            burst(tasks.app, "F", "j")
            await until(tasks.pilot, tasks.screen.settled.is_set)
            burst(tasks.app, "q")
            await until(tasks.pilot, lambda: tasks.app.screen is tasks.app.deck)
            assert not came.is_set()
        finally:
            came.set()


async def test_keys_behind_one_that_goes_to_the_last_row_of_all_are_for_the_rows_there():
    async with opened() as tasks:
        tasks.screen.reread()  # what is being read meanwhile takes nothing away
        tasks.type("G", "k", "space", "k")
        await until(tasks.pilot, lambda: tasks.screen.table.item.number == 2)
        assert [row.number for row in tasks.screen.paged.chosen()] == [2]


async def test_columns_chosen_for_a_list_that_was_left_meanwhile_break_nothing():
    async with opened() as tasks:
        screen = tasks.screen
        await tasks.press("q")
        await until(tasks.pilot, lambda: tasks.app.screen is tasks.app.deck and not screen.is_attached)
        tasks.app.call_next(screen._column_chosen, "3")
        await until(tasks.pilot, lambda: "ended" in screen.chosen_columns)
        assert tasks.app.screen is tasks.app.deck


async def test_what_is_typed_behind_an_answer_is_for_what_comes_of_it():
    async with opened() as tasks:
        tasks.type("V", "s", "x", "p")
        await until(tasks.pilot, lambda: [field.value for field in tasks.app.screen.query(Input)] == ["xp"])
        tasks.type("escape", "i", "y", "p", "n", "j")
        await until(tasks.pilot, lambda: tasks.under_cursor() == 4999)
        assert {"tries", "priority"} <= {*tasks.screen.chosen_columns}
        assert not {"cancel", "hold"} & {verb for verb, _ in tasks.many.asked}


async def test_f_goes_round_the_states():
    async with opened() as tasks:
        await tasks.press("f", "f")
        await tasks.until("/status:waiting")
        await tasks.press("f")
        await tasks.until("/status:failed", "✗ task")
        await tasks.press("f")
        await tasks.until("Tasks 5,000 ")


async def test_the_order_is_chosen_by_a_letter_and_the_same_again_turns_it_round():
    async with opened() as tasks:
        await tasks.press("o", "a")
        await tasks.until("by name ↓")
        await tasks.press("o", "a")
        await tasks.until("by name ↑")
        assert [(args["order"], args["down"]) for verb, args in tasks.many.asked if verb == "browse"][-1] == ("name", False)


async def test_columns_are_chosen_by_letters_and_remembered():
    memory = Memory()
    async with opened(memory=memory) as tasks:
        await tasks.press("i", "b")
        await tasks.press("s")
        await tasks.press("escape")
        await tasks.until("BY", "ann")
        assert "STATE" not in tasks.text()
    async with opened(memory=memory) as tasks:
        await tasks.until("BY", "ann")
        await tasks.press("i", "0")
        await tasks.until("STATE")


async def test_going_along_the_columns_ends_with_the_last_one_says_what_is_out_of_sight_and_ends_where_there_is_room():
    memory = Memory()
    memory.put("tasks.columns", list(COLUMNS_OF_ALL))
    async with opened(size=(80, 24), memory=memory) as tasks:
        await tasks.until(" 5› ━")
        assert "STATE" not in tasks.text()
        await tasks.press("right")
        await tasks.until("STATE", "QUEUE")
        await tasks.press(*["right"] * 9)
        await tasks.until("WHY / RESULT", "‹")
        last = tasks.text()
        assert "‹4 ━" in last and "STATE" not in last
        await tasks.press("left", "left")
        await tasks.until("‹2 1› ━")
        await tasks.pilot.resize_terminal(160, 24)
        await tasks.until("STATE", "PRIO", "WHY / RESULT")
        assert "‹" not in tasks.text()
        await tasks.pilot.resize_terminal(80, 24)
        await tasks.until(" 5› ━")


async def test_marks_stay_on_rows_that_left_the_window():
    async with opened() as tasks:
        await tasks.press("space", "space", "G")
        await until(tasks.pilot, lambda: tasks.under_cursor() == 1)
        assert [one.number for one in tasks.screen.paged.chosen()] == [5000, 4999]
        await tasks.press("escape")
        assert tasks.screen.paged.chosen() == [tasks.screen.table.item]


async def test_marks_that_the_filter_hides_are_taken_away_once_it_is_more_than_a_beginning():
    async with opened() as tasks:
        await tasks.press("space", "space", "space")
        tasks.type("slash", *"#49")
        await tasks.until("Tasks 1 of 5,000, 3 marked /#49")
        tasks.type("backspace", "backspace", "backspace", *"status:succeeded", "enter")
        await tasks.until("Tasks 1,667 of 5,000, 1 marked /status:succeeded", "Unmarked 2 tasks that are not among what the filter shows.")
        assert [one.number for one in tasks.screen.paged.chosen()] == [4999]
        tasks.type("escape", "slash", *"status:failed")
        await tasks.until("1 marked /status:failed")
        await tasks.press("escape")
        await tasks.until("Tasks 5,000, 1 marked")


async def test_a_mark_goes_when_its_task_is_not_what_the_filter_means_any_more():
    async with opened("status:waiting") as tasks:
        await tasks.press("j", "space", "j", "space")
        held, kept = [one.number for one in tasks.screen.paged.chosen()]
        rows = tasks.many.kept
        tasks.many.kept = lambda meant, found: [one for one in rows(meant, found) if one["number"] != held]  # type: ignore[method-assign]
        tasks.screen.reread()
        await tasks.until("1 marked", "Unmarked a task that is not among what the filter shows.")
        assert [one.number for one in tasks.screen.paged.chosen()] == [kept]


async def test_the_footer_is_for_the_marks_and_for_all_that_are_marked():
    async with opened() as tasks:
        await tasks.press("space", "space")
        await tasks.until(" 2 marked  ", "Tasks 5,000, 2 marked")
        assert " 2 marked  " in screen_text(tasks.app)[-1] and "open" not in screen_text(tasks.app)[-1]
        await tasks.press("escape", "f", "f", "asterisk")
        await tasks.until("x cancel all marked")
        await tasks.press("escape")
        await until(tasks.pilot, lambda: "all marked" not in screen_text(tasks.app)[-1])


async def test_a_range_is_marked_from_the_last_mark_to_the_cursor():
    async with opened() as tasks:
        await tasks.press("space", "j", "j", "v")
        assert [one.number for one in tasks.screen.paged.chosen()] == [5000, 4999, 4998, 4997]
        await tasks.press("escape", "v")
        await tasks.until("Mark one end with space first")


REVIEW = {
    "total": 1667, "statuses": {"queued": 1667}, "dependants": 3, "as_of": 70,
    "first": [{"number": 4998, "name": "task 4998", "status": "queued", "queue": "media"}],
}  # fmt: skip


async def test_all_that_a_filter_means_is_cancelled_after_a_review_that_names_it():
    async with opened("status:waiting") as tasks:
        tasks.many.answers["review"] = REVIEW
        tasks.many.answers["cancel"] = {"done": [{"number": n, "name": "x"} for n in range(1665)], "refused": [], "notes": []}
        await tasks.press("asterisk")
        await tasks.until("of 5,000, all marked /status:waiting")
        await tasks.press("x")
        await tasks.until("Cancel: 1,667 of 1,667 that match.", "filter  status:waiting", "task 4998", "… and 1,666 more", "3 that depend")
        await tasks.press("enter")
        assert "cancel" not in tasks.many.verbs()
        await tasks.press("x")
        await until(tasks.pilot, lambda: isinstance(tasks.app.screen, ChoiceScreen))
        tasks.app.ticks.at += 1  # type: ignore[attr-defined]
        await tasks.press("y")
        await until(tasks.pilot, lambda: "cancel" in tasks.many.verbs())
        asked = next(args for verb, args in tasks.many.asked if verb == "cancel")
        assert asked["select"]["filter"].startswith("status:running,scheduled,") and asked["select"]["as_of"] == REVIEW["as_of"]
        assert asked["select"]["filter"].endswith(" status:waiting")
        await tasks.until("Cancelled 1,665 tasks.", "2 of 1,667 changed since and are left alone.")


async def test_mark_all_is_offered_under_a_filter_and_says_no_number_that_may_change():
    async with opened(size=(160, 30)) as tasks:
        assert "mark all" not in screen_text(tasks.app)[-1]
        await tasks.press("f", "f")
        await tasks.until("* mark all")
        await tasks.press("asterisk")
        await tasks.until("All that the filter means are marked: a verb asks first.")


@pytest.mark.parametrize(("keys", "said"), [
    (("f", "escape"), "The filter is cleared."), (("space", "escape"), "The marks are taken away."),
    (("f", "asterisk"), "All that the filter means"),
])  # fmt: skip
async def test_what_a_key_did_to_the_list_is_not_said_on_the_next_screen(keys: tuple[str, ...], said: str):
    async with opened() as tasks:
        await tasks.press(*keys)
        await tasks.until(said)
        tasks.many.answers["template.ls"] = []
        tasks.app.open_templates()
        await tasks.until("6 Templates", "q back")
        assert said not in tasks.text()


async def test_while_the_filter_line_is_open_the_footer_is_for_it():
    async with opened() as tasks:
        await tasks.press("slash")
        await until(tasks.pilot, lambda: screen_text(tasks.app)[-1].strip() == "↵ keep  esc clear  tab complete  ↑ earlier")
        await tasks.press("enter")
        await until(tasks.pilot, lambda: screen_text(tasks.app)[-1].endswith("? help  q back"))


async def test_a_task_opened_from_the_list_says_so_at_its_head():
    async with opened() as tasks:
        await tasks.press("enter")
        await until(tasks.pilot, lambda: screen_text(tasks.app)[0].startswith(" Tasks › "))
        await tasks.press("q", "n")
        await until(tasks.pilot, lambda: screen_text(tasks.app)[0].startswith(" Tasks › New task"))


async def test_star_without_a_filter_never_means_every_task():
    async with opened() as tasks:
        await tasks.press("asterisk")
        await tasks.until("never simply every task")
        assert not tasks.screen.everything


async def test_a_view_is_saved_taken_and_forgotten():
    memory = Memory()
    async with opened("status:failed", memory=memory) as tasks:
        await tasks.press("V", "s")
        tasks.type(*["backspace"] * 20, *"bad ones", "enter")
        await tasks.until("Saved as bad ones")
    async with opened(memory=memory) as tasks:
        await tasks.press("V")
        await tasks.until("bad ones", "failed, the latest first")
        await tasks.press("e")
        await tasks.until("/status:failed")
        await tasks.press("V", "D")
        tasks.type(*"bad ones", "enter")
        await tasks.until("Forgot bad ones.")


async def test_what_cannot_be_read_leaves_the_rows_and_says_how_old_they_are():
    async with opened() as tasks:
        tasks.many.browse = lambda **_: (_ for _ in ()).throw(OSError("no such home"))  # type: ignore[method-assign]
        tasks.app.ticks.at += 12  # type: ignore[attr-defined]
        tasks.screen.reread()
        await tasks.until("12s old", "no such home", "5000 ✗ task 5000")


@pytest.mark.parametrize("size", [(80, 24), (60, 16), (200, 50)])
async def test_lines_are_as_wide_as_the_screen(size: tuple[int, int]):
    async with opened(size=size) as tasks:
        assert {len(line.rstrip()) <= size[0] for line in screen_text(tasks.app)} == {True}
        assert "task 5000" in tasks.text()


async def test_a_priority_goes_up_as_often_as_it_is_pressed_though_the_board_has_it_before_the_list():
    """No press is lost, also on a task that the board has no row of; what was changed elsewhere is counted from once it is seen."""
    async with opened() as tasks:
        app, line = tasks.app, tasks.many.board.next[0]._replace(uuid="u4998", number=4998)
        tasks.screen.table.go("u4998")

        def asked() -> list[int]:
            return [args["fields"]["priority"] for verb, args in tasks.many.asked if verb == "set"]

        for priority in (1, 2, 3):
            await tasks.press("+")
            app._take(tasks.many.board._replace(next=(line._replace(priority=priority),)))
        app._take(tasks.many.board)
        await tasks.press("+")
        await until(tasks.pilot, lambda: asked() == [1, 2, 3, 4])

        for seen in (4, 9):
            tasks.many.priorities[4998] = seen
            tasks.screen.reread()
            await until(tasks.pilot, lambda seen=seen: tasks.screen.table.item.line.priority == seen)
        await tasks.press("+")
        await until(tasks.pilot, lambda: asked()[4:] == [10])


@pytest.mark.parametrize(("words", "offered", "never"), [
    ("status:ended", "r run again all marked  D delete all marked", "xpt"), ("status:held", "", "xptrD"),
    ("status:waiting", "x cancel all marked  p hold all marked", "rD"),
])  # fmt: skip
async def test_for_all_that_are_marked_only_keys_are_offered_that_are_for_one_of_them(words: str, offered: str, never: str):
    """Of 3,334 rows not all are held: what the filter says of states decides. Of none that there are, nothing is for any."""
    async with opened(size=(140, 30)) as tasks:
        tasks.screen.filter_by(words)
        await tasks.until(f"/{words}")
        await until(tasks.pilot, lambda: tasks.screen.settled.is_set())
        await tasks.press("asterisk")
        await tasks.until("all marked")
        footer = screen_text(tasks.app)[-1]
        assert offered in footer and "space mark" not in footer
        assert not any(f" {key} {word}" in footer for key in never for word in ("cancel", "hold", "to front", "run again", "delete"))


async def test_all_rows_bear_the_mark_while_all_are_marked():
    async with opened("status:waiting") as tasks:
        await tasks.press("asterisk")
        await until(tasks.pilot, lambda: any(line.startswith("›*4998") for line in screen_text(tasks.app)))
        assert any(line.startswith(" *4995") for line in screen_text(tasks.app))


async def test_all_that_a_wrong_filter_means_is_not_marked():
    async with opened() as tasks:
        tasks.type("slash", *"status:nosuch", "enter", "asterisk")
        await tasks.until("there is no state")
        assert not tasks.screen.everything


async def test_why_it_cannot_be_read_is_said_again_and_again_but_not_over_what_was_done():
    async with opened() as tasks:
        tasks.many.browse = lambda **_: (_ for _ in ()).throw(OSError("no such home"))  # type: ignore[method-assign]
        tasks.screen.reread()
        await tasks.until("no such home")
        tasks.app.say("Cancelled #5000.  u undo")
        for _ in range(2):
            asked = len(tasks.many.verbs())
            tasks.screen.reread()
            await until(tasks.pilot, lambda asked=asked: len(tasks.many.verbs()) > asked and tasks.screen._asked is None)
            assert "Cancelled #5000." in screen_text(tasks.app)[-2]
        tasks.app.hush()
        tasks.screen.reread()
        await tasks.until("no such home")


async def test_a_counter_that_is_clicked_leaves_the_filter_line():
    async with opened(size=(120, 30)) as tasks:
        await tasks.press("slash", *"abc")
        await tasks.pilot.click(offset=(screen_text(tasks.app)[1].index("waiting") + 1, 1))
        await tasks.until("/status:queued,retrying", "x cancel")
        assert tasks.screen.words == "status:queued,retrying"
