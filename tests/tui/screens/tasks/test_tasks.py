"""Task list: paged rows of thousands of tasks, filters, marks, columns and verbs on many tasks."""

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
from app.service.tasks.inspection.pages import COLUMNS
from app.tui.app import TaskdeckApp
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks.tasks import MAX_ROWS, TasksScreen
from app.tui.state.preferences import Preferences
from tests.tui import boards
from tests.tui.recording_runtime import Clock, RecordingRuntime, post_keys, wait_for
from tests.tui.screen_text import read_screen_lines

TASK_COUNT = 5000
COLUMNS_OF_ALL = ("state", "queue", "age", "time", "priority", "cpu", "memory", "by", "result")
STATES = ("queued", "succeeded", "failed")


@cache
def make_row(number: int) -> dict[str, Any]:
    """Return one task row; callers must not modify it."""
    status = STATES[number % 3]
    blank = dict.fromkeys(COLUMNS)
    return blank | {
        "uuid": f"u{number}", "number": number, "name": f"task {number}", "status": status,
        "queue": "media", "priority": 0, "cpu": 1.0,
        "created_at": "2026-11-25T09:00:00.000000Z", "tags": {"env": "prod"},
        "why": "queue full 2/2" if status == "queued" else None,
        "ended_at": None if status == "queued" else "2026-11-25T10:00:00.000000Z",
        "reason": "exit 1" if status == "failed" else None,
        "submitted_by": "ann", "at": number, "attempts": 1, "retries": 0,
    }  # fmt: skip


class ManyTasksRuntime(RecordingRuntime):
    """A runtime with thousands of tasks, newest first."""

    def __init__(self) -> None:
        super().__init__(boards.busy())
        self.newest = TASK_COUNT
        self.priorities: dict[int, int] = {}

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        return self.browse(**args) if verb == "browse" else super().answer(verb, args)

    def kept(self, meant: filter_query.Query, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the matching rows; "media" is the only queue, and every word matches."""
        if any(
            term.kind == "queue" and not all(one.is_match("media") for one in term.patterns)
            for term in meant.terms
        ):
            raise NotFound("no queue of that name.")
        meant = filter_query.Query(tuple(term for term in meant.terms if term.kind != "word"))
        return [one for one in rows if _matches(meant, one["number"])] if meant else rows

    def browse(
        self,
        filter: str,
        order: str,
        down: bool,
        limit: int,
        at: Any = None,
        way: str = "after",
        **fold: Any,
    ) -> dict[str, Any]:
        found = [make_row(n) for n in range(self.newest, 0, -1)]
        if filter:
            found = self.kept(filter_query.parse_query(filter, get_board_time()), found)
        numbers = [one["number"] for one in found]
        if way == "before":
            end = len(found) if at is None else numbers.index(at[1])
            begin = max(0, end - limit)
        else:
            begin = 0 if at is None else numbers.index(at[1]) + (way == "after")
            end = min(len(found), begin + limit)
        page = [
            one | {"priority": self.priorities.get(one["number"], 0)} for one in found[begin:end]
        ]
        return {
            "columns": list(COLUMNS), "rows": [[one[name] for name in COLUMNS] for one in page],
            "more_before": begin > 0,
            "more_after": end < len(found), "total": len(found), "of": self.newest, "lag": 0,
            "complete": True, "stopped": None,
        }  # fmt: skip


@cache
def _matches(meant: filter_query.Query, number: int) -> bool:
    one = make_row(number)
    return filter_query.is_match(
        meant, filter_query.RowFacts(number, one["name"], one["status"], queue="media")
    )


def get_board_time() -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(boards.NOW, UTC)


@dataclass
class TaskListDriver:
    app: TaskdeckApp
    many: ManyTasksRuntime
    pilot: Pilot[Any]

    @property
    def screen(self) -> TasksScreen:
        screen = next(screen for screen in self.app.screen_stack if isinstance(screen, TasksScreen))
        return screen

    def text(self) -> str:
        return "\n".join(read_screen_lines(self.app))

    async def until(self, *texts: str) -> None:
        await wait_for(self.pilot, lambda: all(text in self.text() for text in texts))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def type(self, *keys: str) -> None:
        """Post keys in one burst, without waiting for their effects."""
        post_keys(self.app, *keys)

    def under_cursor(self) -> int:
        return self.screen.table.item.number


@asynccontextmanager
async def open_task_list(
    words: str = "", size: tuple[int, int] = (100, 30), memory: Preferences | None = None
) -> AsyncIterator[TaskListDriver]:
    many = ManyTasksRuntime()
    factory: Any = many
    app = TaskdeckApp(factory, now=lambda: boards.NOW, ticks=Clock(), first=many.board)
    if memory:
        app.memory = memory
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        app.open_tasks(words)
        tasks = TaskListDriver(app, many, pilot)
        await tasks.until("○ task" if "failed" not in words else "✗ task")
        yield tasks
    assert app.failure is None


async def test_escape_returns_at_once_to_the_alert_that_opened_the_list():
    async with open_task_list() as tasks:
        below = tasks.app.screen
        tasks.app.open_tasks("status:failed", returns=True)
        await tasks.until("✗ task")
        tasks.type("escape")
        await wait_for(tasks.pilot, lambda: tasks.app.screen is below)


async def test_the_list_shows_all_tasks_newest_first():
    async with open_task_list() as tasks:
        await tasks.until(
            "Tasks 5,000", "5000 ✗ task 5000", "exit 1", "4998 ○ task 4998", "queue full 2/2"
        )
        assert tasks.under_cursor() == 5000


async def test_the_window_follows_the_cursor_to_both_ends():
    async with open_task_list() as tasks:
        while tasks.under_cursor() >= 4000:
            tasks.type(*["pagedown"] * 5)
            await tasks.pilot.pause()
        assert len(tasks.screen.paged.rows) <= MAX_ROWS
        await tasks.press("G")
        await wait_for(tasks.pilot, lambda: tasks.under_cursor() == 1)
        await tasks.press("g")
        await wait_for(tasks.pilot, lambda: tasks.under_cursor() == 5000)


async def test_new_tasks_above_move_neither_cursor_nor_view():
    async with open_task_list() as tasks:
        await tasks.press("j", "j", "j", "j")
        line = next(
            n for n, text in enumerate(read_screen_lines(tasks.app)) if text.startswith("›")
        )
        tasks.many.newest += 3
        tasks.screen.reread()
        await tasks.until("Tasks 5,003")
        assert tasks.under_cursor() == 4996
        assert read_screen_lines(tasks.app)[line].startswith("›")


async def test_the_runtime_applies_the_filter_and_reports_faults():
    async with open_task_list() as tasks:
        tasks.type("slash", *"status:failed", "enter")
        await tasks.until("Tasks 1,667 of 5,000 /status:failed")
        assert {one.status for one in tasks.screen.paged.rows} == {"failed"}
        tasks.type("slash", *" nix:1", "enter")
        await tasks.until('there is no "nix:"')
        assert {one.status for one in tasks.screen.paged.rows} == {"failed"}
        await tasks.press("escape")
        await tasks.until("The filter is cleared.", "Tasks 5,000")


async def test_a_partly_typed_queue_name_is_no_error():
    async with open_task_list() as tasks:
        await tasks.press("slash")
        for letter in "queue:media":
            await tasks.press(letter)
            await wait_for(tasks.pilot, tasks.screen.settled.is_set)
        await tasks.press("enter")
        await tasks.until("Tasks 5,000 of 5,000 /queue:media")
        assert "no queue" not in tasks.text() and "old" not in tasks.text()


async def test_an_unknown_queue_is_reported_and_the_next_filter_works():
    async with open_task_list() as tasks:
        tasks.type("slash", *"queue:medai", "enter")
        await tasks.until("no queue of that name.")
        await tasks.press("f")
        await tasks.until("/status:active")
        await tasks.press("slash", *"queue:medai", "enter", "escape")
        await tasks.until("The filter is cleared.", "Tasks 5,000 ")
        cast(Clock, tasks.app.ticks).at += 5
        await tasks.press("j", "p")
        await wait_for(tasks.pilot, lambda: "Nothing to pause: it has ended." in tasks.text())


async def test_a_filter_typed_during_a_failing_read_is_applied():
    async with open_task_list() as tasks:
        began, typed, browse = Event(), Event(), tasks.many.browse

        def slow(**args: Any) -> Any:
            if args["filter"] == "queue:medi":
                began.set()
                assert typed.wait(20)
            return browse(**args)

        tasks.many.browse = slow  # type: ignore[method-assign]
        await tasks.press("slash", *"queue:medi")
        await wait_for(tasks.pilot, began.is_set)
        await tasks.press(*["backspace"] * len("queue:medi"), *"status:queued", "enter")
        typed.set()
        await tasks.until("Tasks 1,666 of 5,000 /status:queued")
        assert "no queue" not in tasks.text()


async def test_a_failed_page_is_not_requested_repeatedly():
    async with open_task_list() as tasks:
        tasks.many.browse = lambda **_: (_ for _ in ()).throw(OSError("no such home"))  # type: ignore[method-assign]
        await tasks.press(*["pagedown"] * 6)
        await tasks.until("no such home")
        asked = len(tasks.many.verbs())
        for _ in range(20):
            await tasks.press("j")
        assert len(tasks.many.verbs()) - asked < 5


async def test_the_cursor_keeps_its_task_when_the_filter_is_cleared():
    async with open_task_list() as tasks:
        tasks.type("slash", *"status:failed", "enter")
        await tasks.until("Tasks 1,667 of 5,000 /status:failed")
        tasks.type(*"j" * 100)
        await wait_for(tasks.pilot, lambda: tasks.under_cursor() <= 4700)
        held = tasks.under_cursor()
        cast(Clock, tasks.app.ticks).at += 5
        await tasks.press("escape")
        await tasks.until("Tasks 5,000 ")
        assert tasks.under_cursor() == held <= 4700
        await wait_for(tasks.pilot, lambda: tasks.screen.paged.rows[0].number > held)
        await tasks.press("k")
        assert tasks.under_cursor() == held + 1
        post_keys(tasks.app, "r")
        await wait_for(
            tasks.pilot,
            lambda: read_screen_lines(tasks.app)[-2].strip() != "The filter is cleared.",
        )
        assert "went away" not in read_screen_lines(tasks.app)[-2]


async def test_retrying_a_success_asks_and_a_failure_is_retried_once():
    async with open_task_list() as tasks:
        assert tasks.under_cursor() == 5000  # failed
        post_keys(tasks.app, "r", "r")
        await tasks.until("Retrying")
        await tasks.press("r")
        await tasks.until("#5000 is being retried already")
        await tasks.press("j", "r")
        await tasks.until("Retry #4999 task 4999?", "The task succeeded")
        await tasks.press("n")
        assert [args["ids"] for verb, args in tasks.many.calls if verb == "retry"] == [["u5000"]]


async def test_leaving_the_failures_view_restores_the_order():
    async with open_task_list() as tasks:
        await tasks.press("o", "a")
        await tasks.until("by name ↓")
        await tasks.press("F")
        await tasks.until("by ended ↓", "/status:failed")
        await tasks.press("escape")
        await tasks.until("by name ↓", "Tasks 5,000 ")


async def test_a_verb_typed_with_a_filter_never_acts_on_old_rows():
    async with open_task_list() as tasks:
        post_keys(tasks.app, "j", "/", *"status:queued", "enter", "p")
        await tasks.until("Tasks 1,666 of 5,000", "Look, and press again.")
        assert "hold" not in tasks.many.verbs()
        cast(Clock, tasks.app.ticks).at += 5
        await tasks.press("p")
        await wait_for(tasks.pilot, lambda: "hold" in tasks.many.verbs())
    assert [args["ids"] for verb, args in tasks.many.calls if verb == "hold"] == [["u4998"]]


async def test_missing_rows_delay_one_key_and_not_each():
    async with open_task_list() as tasks:
        came, browse = Event(), tasks.many.browse
        tasks.many.browse = lambda **args: came.wait(30) and browse(**args)  # type: ignore[method-assign]
        try:
            post_keys(tasks.app, "F", "j")
            await wait_for(tasks.pilot, tasks.screen.settled.is_set)
            post_keys(tasks.app, "q")
            await wait_for(tasks.pilot, lambda: tasks.app.screen is tasks.app.deck)
            assert not came.is_set()
        finally:
            came.set()


async def test_keys_after_a_jump_to_the_end_act_on_the_last_rows():
    async with open_task_list() as tasks:
        tasks.screen.reread()  # A read in progress must not interfere.
        tasks.type("G", "k", "space", "k")
        await wait_for(tasks.pilot, lambda: tasks.screen.table.item.number == 2)
        assert [row.number for row in tasks.screen.paged.list_selected()] == [2]


async def test_choosing_columns_after_leaving_the_list_causes_no_failure():
    async with open_task_list() as tasks:
        screen = tasks.screen
        await tasks.press("q")
        await wait_for(
            tasks.pilot, lambda: tasks.app.screen is tasks.app.deck and not screen.is_attached
        )
        tasks.app.call_next(screen._apply_column_choice, "3")
        await wait_for(tasks.pilot, lambda: "ended" in screen.chosen_columns)
        assert tasks.app.screen is tasks.app.deck


async def test_keys_typed_after_an_answer_go_to_what_it_opens():
    async with open_task_list() as tasks:
        tasks.type("V", "s", "x", "p")
        await wait_for(
            tasks.pilot, lambda: [field.value for field in tasks.app.screen.query(Input)] == ["xp"]
        )
        tasks.type("escape", "i", "y", "p", "n", "j")
        await wait_for(tasks.pilot, lambda: tasks.under_cursor() == 4999)
        assert {"tries", "priority"} <= {*tasks.screen.chosen_columns}
        assert not {"cancel", "hold"} & {verb for verb, _ in tasks.many.calls}


async def test_f_cycles_the_states():
    async with open_task_list() as tasks:
        await tasks.press("f", "f")
        await tasks.until("/status:waiting")
        await tasks.press("f")
        await tasks.until("/status:failed", "✗ task")
        await tasks.press("f")
        await tasks.until("Tasks 5,000 ")


async def test_a_letter_chooses_the_order_and_again_reverses_it():
    async with open_task_list() as tasks:
        await tasks.press("o", "a")
        await tasks.until("by name ↓")
        await tasks.press("o", "a")
        await tasks.until("by name ↑")
        assert [
            (args["order"], args["down"]) for verb, args in tasks.many.calls if verb == "browse"
        ][-1] == ("name", False)


async def test_columns_are_chosen_by_letter_and_remembered():
    memory = Preferences()
    async with open_task_list(memory=memory) as tasks:
        await tasks.press("i", "b")
        await tasks.press("s")
        await tasks.press("escape")
        await tasks.until("BY", "ann")
        assert "STATE" not in tasks.text()
    async with open_task_list(memory=memory) as tasks:
        await tasks.until("BY", "ann")
        await tasks.press("i", "0")
        await tasks.until("STATE")


async def test_scrolling_columns_stops_at_the_last_and_counts_hidden_ones():
    memory = Preferences()
    memory.put("tasks.columns", list(COLUMNS_OF_ALL))
    async with open_task_list(size=(80, 24), memory=memory) as tasks:
        await tasks.until("3› ━")
        assert "STATE" not in tasks.text()
        await tasks.press("right")
        await tasks.until("STATE", "QUEUE")
        await tasks.press(*["right"] * 9)
        await tasks.until("WHY / RESULT", "‹")
        last = tasks.text()
        assert "‹3 ━" in last and "STATE" not in last
        await tasks.press("left", "left")
        await tasks.until("‹1 1› ━")
        await tasks.pilot.resize_terminal(160, 24)
        await tasks.until("STATE", "PRIO", "WHY / RESULT")
        assert "‹" not in tasks.text()
        await tasks.pilot.resize_terminal(80, 24)
        await tasks.until("3› ━")


async def test_marks_stay_on_rows_outside_the_loaded_window():
    async with open_task_list() as tasks:
        await tasks.press("space", "space", "G")
        await wait_for(tasks.pilot, lambda: tasks.under_cursor() == 1)
        assert [one.number for one in tasks.screen.paged.list_selected()] == [5000, 4999]
        await tasks.press("escape")
        assert tasks.screen.paged.list_selected() == [tasks.screen.table.item]


async def test_a_complete_filter_removes_the_marks_it_hides():
    async with open_task_list() as tasks:
        await tasks.press("space", "space", "space")
        tasks.type("slash", *"#49")
        await tasks.until("Tasks 1 of 5,000, 3 marked /#49")
        tasks.type("backspace", "backspace", "backspace", *"status:succeeded", "enter")
        await tasks.until(
            "Tasks 1,667 of 5,000, 1 marked /status:succeeded",
            "Unmarked 2 tasks hidden by the filter.",
        )
        assert [one.number for one in tasks.screen.paged.list_selected()] == [4999]
        tasks.type("escape", "slash", *"status:failed")
        await tasks.until("1 marked /status:failed")
        await tasks.press("escape")
        await tasks.until("Tasks 5,000, 1 marked")


async def test_a_mark_is_removed_when_its_task_no_longer_matches():
    async with open_task_list("status:waiting") as tasks:
        await tasks.press("j", "space", "j", "space")
        held, kept = [one.number for one in tasks.screen.paged.list_selected()]
        rows = tasks.many.kept
        tasks.many.kept = lambda meant, found: [
            one for one in rows(meant, found) if one["number"] != held
        ]  # type: ignore[method-assign]
        tasks.screen.reread()
        await tasks.until("1 marked", "Unmarked a task hidden by the filter.")
        assert [one.number for one in tasks.screen.paged.list_selected()] == [kept]


async def test_the_footer_offers_actions_for_some_or_all_marked():
    async with open_task_list() as tasks:
        await tasks.press("space", "space")
        await tasks.until(" 2 marked  ", "Tasks 5,000, 2 marked")
        assert (
            " 2 marked  " in read_screen_lines(tasks.app)[-1]
            and "open" not in read_screen_lines(tasks.app)[-1]
        )
        await tasks.press("escape", "f", "f", "asterisk")
        await tasks.until("x cancel all marked")
        await tasks.press("escape")
        await wait_for(tasks.pilot, lambda: "all marked" not in read_screen_lines(tasks.app)[-1])


async def test_a_range_is_marked_from_the_last_mark_to_the_cursor():
    async with open_task_list() as tasks:
        await tasks.press("space", "j", "j", "v")
        assert [one.number for one in tasks.screen.paged.list_selected()] == [
            5000,
            4999,
            4998,
            4997,
        ]
        await tasks.press("escape", "v")
        await tasks.until("Mark one end with space first")


REVIEW = {
    "total": 1667, "statuses": {"queued": 1667}, "dependents": 3, "as_of": 70,
    "first": [{"number": 4998, "name": "task 4998", "status": "queued", "queue": "media"}],
}  # fmt: skip


async def test_cancelling_all_matches_requires_a_review():
    async with open_task_list("status:waiting") as tasks:
        tasks.many.table["review"] = REVIEW
        tasks.many.table["cancel"] = {
            "done": [{"number": n, "name": "x"} for n in range(1665)],
            "refused": [],
            "notes": [],
        }
        await tasks.press("asterisk")
        await tasks.until("of 5,000, all marked /status:waiting")
        await tasks.press("x")
        await tasks.until(
            "Cancel: 1,667 of 1,667 that match.",
            "filter  status:waiting",
            "task 4998",
            "… and 1,666 more",
            "3 that depend",
        )
        await tasks.press("enter")
        assert "cancel" not in tasks.many.verbs()
        await tasks.press("x")
        await wait_for(tasks.pilot, lambda: isinstance(tasks.app.screen, ChoiceScreen))
        tasks.app.ticks.at += 1  # type: ignore[attr-defined]
        await tasks.press("y")
        await wait_for(tasks.pilot, lambda: "cancel" in tasks.many.verbs())
        asked = next(args for verb, args in tasks.many.calls if verb == "cancel")
        assert (
            asked["select"]["filter"].startswith("status:running,scheduled,")
            and asked["select"]["as_of"] == REVIEW["as_of"]
        )
        assert asked["select"]["filter"].endswith(" status:waiting")
        await tasks.until("Cancelled 1,665 tasks.", "2 of 1,667 changed since and were skipped.")


async def test_mark_all_is_offered_with_a_filter_and_names_no_number():
    async with open_task_list(size=(160, 30)) as tasks:
        assert "mark all" not in read_screen_lines(tasks.app)[-1]
        await tasks.press("f", "f")
        await tasks.until("* mark all")
        await tasks.press("asterisk")
        await tasks.until("All matches marked")


@pytest.mark.parametrize(("keys", "said"), [
    (("f", "escape"), "The filter is cleared."), (("space", "escape"), "The marks are cleared."),
    (("f", "asterisk"), "All matches marked"),
])  # fmt: skip
async def test_messages_about_the_list_do_not_reach_the_next_screen(
    keys: tuple[str, ...], said: str
):
    async with open_task_list() as tasks:
        await tasks.press(*keys)
        await tasks.until(said)
        tasks.many.table["template.ls"] = []
        tasks.app.open_templates()
        await tasks.until("6 Templates", "q back")
        assert said not in tasks.text()


async def test_the_footer_shows_the_keys_of_the_open_filter_line():
    async with open_task_list() as tasks:
        await tasks.press("slash")
        await wait_for(
            tasks.pilot,
            lambda: (
                read_screen_lines(tasks.app)[-1].strip()
                == "↵ keep  esc clear  tab complete  ↑ earlier"
            ),
        )
        await tasks.press("enter")
        await wait_for(
            tasks.pilot, lambda: read_screen_lines(tasks.app)[-1].endswith("? help  q back")
        )


async def test_a_task_opened_from_the_list_shows_it_in_its_title():
    async with open_task_list() as tasks:
        await tasks.press("enter")
        await wait_for(tasks.pilot, lambda: read_screen_lines(tasks.app)[0].startswith(" Tasks › "))
        await tasks.press("q", "n")
        await wait_for(
            tasks.pilot, lambda: read_screen_lines(tasks.app)[0].startswith(" Tasks › New task")
        )


async def test_star_without_a_filter_never_marks_every_task():
    async with open_task_list() as tasks:
        await tasks.press("asterisk")
        await tasks.until("never simply every task")
        assert not tasks.screen.all_marked


async def test_a_view_can_be_saved_applied_and_deleted():
    memory = Preferences()
    async with open_task_list("status:failed", memory=memory) as tasks:
        await tasks.press("V", "s")
        tasks.type(*["backspace"] * 20, *"bad ones", "enter")
        await tasks.until("Saved as bad ones")
    async with open_task_list(memory=memory) as tasks:
        await tasks.press("V")
        await tasks.until("bad ones", "failed, the latest first")
        await tasks.press("e")
        await tasks.until("/status:failed")
        await tasks.press("V", "D")
        tasks.type(*"bad ones", "enter")
        await tasks.until("Forgot bad ones.")


async def test_a_failed_read_keeps_the_rows_and_shows_their_age():
    async with open_task_list() as tasks:
        tasks.many.browse = lambda **_: (_ for _ in ()).throw(OSError("no such home"))  # type: ignore[method-assign]
        tasks.app.ticks.at += 12  # type: ignore[attr-defined]
        tasks.screen.reread()
        await tasks.until("12s old", "no such home", "5000 ✗ task 5000")


@pytest.mark.parametrize("size", [(80, 24), (60, 16), (200, 50)])
async def test_lines_fill_the_screen_width(size: tuple[int, int]):
    async with open_task_list(size=size) as tasks:
        assert {len(line.rstrip()) <= size[0] for line in read_screen_lines(tasks.app)} == {True}
        assert "task 5000" in tasks.text()


async def test_each_plus_raises_the_priority_even_on_a_stale_list():
    """Lose no press, even without a board row, and start from changes made elsewhere."""
    async with open_task_list() as tasks:
        app, line = tasks.app, tasks.many.board.next[0]._replace(uuid="u4998", number=4998)
        tasks.screen.table.go_to_row("u4998")

        def asked() -> list[int]:
            return [args["fields"]["priority"] for verb, args in tasks.many.calls if verb == "set"]

        for priority in (1, 2, 3):
            await tasks.press("+")
            app.connection._apply_board(
                tasks.many.board._replace(next=(line._replace(priority=priority),))
            )
        app.connection._apply_board(tasks.many.board)
        await tasks.press("+")
        await wait_for(tasks.pilot, lambda: asked() == [1, 2, 3, 4])

        for seen in (4, 9):
            tasks.many.priorities[4998] = seen
            tasks.screen.reread()
            await wait_for(
                tasks.pilot, lambda seen=seen: tasks.screen.table.item.line.priority == seen
            )
        await tasks.press("+")
        await wait_for(tasks.pilot, lambda: asked()[4:] == [10])


@pytest.mark.parametrize(("words", "offered", "never"), [
    ("status:ended", "r retry all marked  D delete all marked", "xpt"),
    ("status:held", "", "xptrD"),
    ("status:waiting", "x cancel all marked  p hold all marked", "rD"),
])  # fmt: skip
async def test_only_keys_applicable_to_marked_rows_are_offered(
    words: str, offered: str, never: str
):
    """Decide by the states in the filter, since not all rows are loaded."""
    async with open_task_list(size=(140, 30)) as tasks:
        tasks.screen.filter_by(words)
        await tasks.until(f"/{words}")
        await wait_for(tasks.pilot, lambda: tasks.screen.settled.is_set())
        await tasks.press("asterisk")
        await tasks.until("all marked")
        footer = read_screen_lines(tasks.app)[-1]
        assert offered in footer and "space mark" not in footer
        assert not any(
            f" {key} {word}" in footer
            for key in never
            for word in ("cancel", "hold", "to front", "retry", "delete")
        )


async def test_every_row_shows_the_mark_while_all_are_marked():
    async with open_task_list("status:waiting") as tasks:
        await tasks.press("asterisk")
        await wait_for(
            tasks.pilot,
            lambda: any(line.startswith("›*4998") for line in read_screen_lines(tasks.app)),
        )
        assert any(line.startswith(" *4995") for line in read_screen_lines(tasks.app))


async def test_mark_all_is_refused_for_an_invalid_filter():
    async with open_task_list() as tasks:
        tasks.type("slash", *"status:nosuch", "enter", "asterisk")
        await tasks.until("there is no state")
        assert not tasks.screen.all_marked


async def test_repeated_read_errors_do_not_replace_results():
    async with open_task_list() as tasks:
        tasks.many.browse = lambda **_: (_ for _ in ()).throw(OSError("no such home"))  # type: ignore[method-assign]
        tasks.screen.reread()
        await tasks.until("no such home")
        tasks.app.show_message("Cancelled #5000.  u undo")
        for _ in range(2):
            asked = len(tasks.many.verbs())
            tasks.screen.reread()
            await wait_for(
                tasks.pilot,
                lambda asked=asked: (
                    len(tasks.many.verbs()) > asked and tasks.screen._current_read is None
                ),
            )
            assert "Cancelled #5000." in read_screen_lines(tasks.app)[-2]
        tasks.app.clear_message()
        tasks.screen.reread()
        await tasks.until("no such home")


async def test_a_click_on_a_counter_closes_the_filter_line():
    async with open_task_list(size=(120, 30)) as tasks:
        await tasks.press("slash", *"abc")
        await tasks.pilot.click(offset=(read_screen_lines(tasks.app)[1].index("waiting") + 1, 1))
        await tasks.until("/status:queued,retrying", "x cancel")
        assert tasks.screen.words == "status:queued,retrying"


async def test_new_rows_above_the_view_are_announced():
    async with open_task_list() as tasks:
        await tasks.press("G", "g")
        await tasks.press(*["j"] * 3)
        tasks.many.newest += 12
        tasks.screen.reread()
        await tasks.until("↑ 12 newer (g)")
        await tasks.press("g")
        await tasks.until(f"task {TASK_COUNT + 12}")
        assert "newer" not in tasks.text()


async def test_a_submitted_task_gets_the_cursor():
    async with open_task_list() as tasks:
        await tasks.press(*["j"] * 3)
        tasks.app.open_form()
        await tasks.pilot.pause()
        tasks.many.newest += 1
        tasks.app.screen.dismiss({"number": TASK_COUNT + 1, "uuid": f"u{TASK_COUNT + 1}"})
        await wait_for(tasks.pilot, lambda: tasks.under_cursor() == TASK_COUNT + 1)
        await tasks.until(f"Submitted #{TASK_COUNT + 1}.")
