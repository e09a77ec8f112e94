"""Keys on the deck: the calls they make, the messages they show, the actions they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from rich.cells import cell_len
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from app.core.board import Board, RuntimeFacts
from app.errors import Conflict, NotFound
from app.tui.actions.tasks import Request
from app.tui.app import TaskdeckApp
from app.tui.error_boundary import SafeScreen
from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.quit import QuitScreen
from app.tui.screens.tasks import task_actions
from app.tui.screens.tasks.task import TaskScreen
from app.tui.state.pending_changes import RETRY_GRACE
from app.tui.widgets.filter_input import FilterInput
from app.tui.widgets.footer import MessageLine
from app.tui.widgets.modal import DismissOnClickOutside
from app.tui.widgets.table import Table
from tests.tui import boards
from tests.tui.fake_runtime import make_task_row as a_task
from tests.tui.recording_runtime import (
    Clock,
    RecordingRuntime,
    is_fed,
    make_recorded_deck,
    post_keys,
    wait_for,
)
from tests.tui.screen_text import read_screen_lines

UUID = "0193f0c2-0000-7000-8000-{:012d}"


class DeckDriver:
    """An open deck with helpers to press keys and read calls and messages."""

    def __init__(self, app: TaskdeckApp, recording: RecordingRuntime, pilot: Pilot[Any]) -> None:
        self.app, self.recording, self.pilot = app, recording, pilot

    @property
    def screen(self) -> DeckScreen:
        found = self.app.deck
        assert found is not None
        return found

    async def move_to(self, number: int) -> DeckDriver:
        """Move the cursor to a task."""
        for pane in self.screen.panes:
            if pane.go_to_row(UUID.format(number)):
                self.screen.set_focus(pane)
                await self.pilot.pause()
                return self
        raise AssertionError(f"#{number} is not shown")

    async def press(self, *keys: str) -> DeckDriver:
        await self.pilot.press(*keys)
        return self

    async def asked(self, verb: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait for a number of calls of a verb and return their arguments."""

        def found() -> list[dict[str, Any]]:
            return [args for name, args in self.recording.calls if name == verb]

        await wait_for(self.pilot, lambda: len(found()) >= times)
        return found()

    async def says(self, part: str) -> str:
        """Wait for a text in the message line and return the line."""
        await wait_for(self.pilot, lambda: part in self.message())
        return self.message()

    def message(self) -> str:
        lines = read_screen_lines(self.app)
        return lines[-2] if len(lines) > 1 else ""

    async def answer(self, key: str) -> None:
        """Answer the dialog once it is open and accepts keys."""
        await wait_for(self.pilot, lambda: isinstance(self.app.screen, ChoiceScreen))
        ticks = self.app.ticks
        assert isinstance(ticks, Clock)
        ticks.at += 0.3
        await self.pilot.press(key)
        await self.pilot.pause()

    async def show(self, board: Board) -> None:
        """Show this board as if the feed had sent it."""
        self.recording.board = board
        self.app.board = board
        await self.pilot.pause()


@asynccontextmanager
async def open_deck(
    board: Board | None = None, *, read_only: bool = False
) -> AsyncIterator[DeckDriver]:
    app, recording = make_recorded_deck(board, read_only=read_only)
    async with app.run_test(size=(120, 40)) as pilot:
        # The feed reads one board when it starts; later boards come from the test.
        await wait_for(pilot, lambda: is_fed(app))
        yield DeckDriver(app, recording, pilot)
    assert app.failure is None


@pytest.mark.parametrize(
    ("number", "verb"),
    [(1042, "pause"), (1052, "resume"), (1053, "hold")],
    ids=["running", "paused", "waiting"],
)
async def test_p_pauses_resumes_or_holds_a_task(number: int, verb: str):
    async with open_deck() as deck:
        await (await deck.move_to(number)).press("p")
        assert await deck.asked(verb) == [{"ids": [UUID.format(number)]}]


async def test_a_message_reports_the_action_and_u_undoes_it():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("p")
        assert "Paused #1042 a task.  u undo" in await deck.says("Paused")
        await deck.press("u")
        assert await deck.asked("resume") == [{"ids": [UUID.format(1042)]}]
        assert "Resumed #1042" in await deck.says("Resumed")


async def test_a_verb_waiting_for_the_database_says_so_and_blocks_nothing():
    async with open_deck() as deck:
        freed = Event()
        deck.recording.held_answer = (
            freed,
            "waiting for the database, which another program holds (sqlite3\x1b[2J, pid 4711)",
        )
        await (await deck.move_to(1042)).press("p")
        said = await deck.says("Waiting for the database")
        assert said.strip().endswith("holds (sqlite3␛[2J, pid 4711)."), said

        await (await deck.move_to(1039)).press("x")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))
        await deck.press("escape", "5", "q")
        freed.set()
        assert "Paused #1042 a task.  u undo" in await deck.says("Paused")


async def test_p_pauses_or_resumes_a_queue():
    async with open_deck() as deck:
        await deck.press("1", "p")
        assert await deck.asked("queue.pause") == [{"name": "media"}]
        assert "Paused queue media.  u undo" in await deck.says("queue media")
        await deck.press("G", "p")
        assert await deck.asked("queue.resume") == [{"name": "backup"}]


async def test_p_on_a_pool_pauses_it():
    async with open_deck() as deck:
        await deck.press("2", "p")
        assert await deck.asked("pool.pause") == [{"name": "gpu"}]


async def test_cancelling_a_running_task_asks_and_enter_keeps_it():
    async with open_deck() as deck:
        deck.recording.table["cancel.preview"] = {
            "tasks": [{"status": "running", "grace": 5.0}],
            "dependents": [{"number": 1064, "name": "upload S02E04"}],
        }
        await (await deck.move_to(1039)).press("x")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))
        shown = "\n".join(read_screen_lines(deck.app))
        assert "│ Cancel #" in shown
        assert "│ ● 1039 encode S02E04.mkv  running 57m, 95% of limit: work lost" in shown
        assert "│ 1 task depends on it and is cancelled too: 1064 upload S02E04" in shown
        assert "│ It gets TERM, then KILL after 5.0s." in shown or "KILL after 5s." in shown
        await deck.answer("enter")
        assert "cancel" not in deck.recording.verbs()


async def test_y_cancels_only_after_the_dialog_s_first_quarter_second():
    async with open_deck() as deck:
        await (await deck.move_to(1039)).press("x")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))
        await deck.press("y")
        assert isinstance(deck.app.screen, ChoiceScreen)
        await deck.answer("y")
        assert await deck.asked("cancel") == [
            {"ids": [UUID.format(1039)], "attempts": {UUID.format(1039): 1}}
        ]


async def click_on(deck: DeckDriver, text: str) -> None:
    """Click in the middle of this text."""
    ticks = deck.app.ticks
    assert isinstance(ticks, Clock)
    ticks.at += 0.3
    await wait_for(deck.pilot, lambda: any(text in line for line in read_screen_lines(deck.app)))
    y, found = next((n, line) for n, line in enumerate(read_screen_lines(deck.app)) if text in line)
    await deck.pilot.click(offset=(cell_len(found[: found.index(text)]) + len(text) // 2, y))
    await deck.pilot.pause()


@pytest.mark.parametrize("size", [(120, 40), (60, 16)])
@pytest.mark.parametrize(
    ("answer", "cancelled"), [("y  cancel it", 1), ("n  no", 0), ("Cancel #1039", None)]
)
async def test_a_click_on_an_answer_gives_it(
    answer: str, cancelled: int | None, size: tuple[int, int]
):
    async with open_deck() as deck:
        await (await deck.move_to(1039)).press("x")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))
        await deck.pilot.resize_terminal(*size)
        await click_on(deck, answer)
        assert isinstance(deck.app.screen, ChoiceScreen) == (cancelled is None)
        if cancelled:
            await deck.asked("cancel")
        assert deck.recording.verbs().count("cancel") == (cancelled or 0)


async def test_a_click_on_a_line_of_a_list_picks_it():
    async with open_deck() as deck:
        deck.recording.table["show"] = {"number": 1039, "uuid": UUID.format(1039)}
        await (await deck.move_to(1039)).press("y")
        await click_on(deck, "its number")
        await wait_for(deck.pilot, lambda: deck.app.clipboard == "#1039")


async def test_a_click_on_a_key_in_the_help_presses_it():
    async with open_deck() as deck:
        await click_on(deck, "? help")
        await wait_for(deck.pilot, lambda: "On a task" in "\n".join(read_screen_lines(deck.app)))
        await click_on(deck, "i ids")
        await wait_for(deck.pilot, lambda: "task.cancel" in "\n".join(read_screen_lines(deck.app)))
        await click_on(deck, "esc close")
        await wait_for(deck.pilot, lambda: deck.app.screen is deck.screen)
        await click_on(deck, "? help")
        await wait_for(deck.pilot, lambda: "On a task" in "\n".join(read_screen_lines(deck.app)))
        await click_on(deck, "Pause, resume, hold")
        assert await deck.asked("pause") == [{"ids": [UUID.format(1042)]}]
        assert deck.app.screen is deck.screen


@pytest.mark.parametrize("key", ["question_mark", "colon", "w", "x", "y", "T"])
async def test_a_click_beside_a_dialog_closes_it(key: str):
    async with open_deck() as deck:
        await deck.press(key)
        await wait_for(deck.pilot, lambda: deck.app.screen is not deck.screen)
        box = deck.app.screen
        assert isinstance(box, DismissOnClickOutside)
        inside = deck.app.screen.query_one(box.BOX).region
        await deck.pilot.click(offset=(inside.x, inside.y))
        assert deck.app.screen is box, "a click on its frame does not leave it"
        # right of the last key
        await deck.pilot.click(offset=(deck.app.size.width - 1, deck.app.size.height - 1))
        await wait_for(deck.pilot, lambda: deck.app.screen is deck.screen)
        assert deck.recording.verbs().count("cancel") == 0


async def test_clicks_on_the_why_dialog_close_it_or_open_the_task():
    async with open_deck() as deck:
        for words, there in (("esc close", DeckScreen), ("open the task", TaskScreen)):
            await deck.press("w")
            await wait_for(
                deck.pilot,
                lambda: any("open the task" in line for line in read_screen_lines(deck.app)),
            )
            await click_on(deck, words)
            await wait_for(deck.pilot, lambda there=there: isinstance(deck.app.screen, there))


async def test_a_click_answers_the_quit_dialog_on_wrapped_lines_too():
    answers: list[str | None] = []
    async with open_deck() as deck:
        for size in ((120, 40), (40, 16)):
            await deck.pilot.resize_terminal(*size)
            deck.app.push_screen(QuitScreen(boards.busy()), answers.append)
            await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, QuitScreen))
            await click_on(deck, "waiting tasks do not")
    assert answers == ["o", "o"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [("all ta", "all tasks"), ("new ta", "new task")],
    ids=["of the app", "of the screen"],
)
async def test_a_click_in_the_palette_runs_its_line(typed: str, line: str):
    async with open_deck() as deck:
        await deck.press("colon", *typed)
        await click_on(deck, line)
        screen = {"all tasks": "TasksScreen", "new task": "SubmitScreen"}[line]
        await wait_for(deck.pilot, lambda: type(deck.app.screen).__name__ == screen)
        deck.app.pop_screen()


async def post_clicks(deck: DeckDriver, text: str, times: int) -> None:
    """Post the mouse events of several quick clicks on this text."""
    y, found = next((n, line) for n, line in enumerate(read_screen_lines(deck.app)) if text in line)
    at = (cell_len(found[: found.index(text)]), y)
    for _ in range(times):
        for kind in (events.MouseDown, events.MouseUp):
            deck.app.post_message(kind(None, *at, 0, 0, 1, False, False, False, *at))
            await deck.pilot.pause()


async def test_a_double_click_opens_a_row_and_nothing_on_its_screen():
    async with open_deck() as deck:
        await deck.move_to(1042)
        before = len(deck.app.screen_stack)
        await post_clicks(deck, "resnet50-sweep-06", 2)
        await wait_for(deck.pilot, lambda: type(deck.app.screen).__name__ == "TaskScreen")
        assert len(deck.app.screen_stack) == before + 1


@pytest.mark.parametrize("key", ["escape", "q", "n"])
async def test_closing_the_dialog_cancels_nothing(key: str):
    async with open_deck() as deck:
        await (await deck.move_to(1039)).press("x")
        await deck.answer(key)
        assert not isinstance(deck.app.screen, ChoiceScreen)
        assert "cancel" not in deck.recording.verbs()


async def test_cancelling_a_waiting_task_needs_no_dialog_and_can_be_undone():
    async with open_deck() as deck:
        await (await deck.move_to(1053)).press("x")
        assert await deck.asked("cancel") == [{"ids": [UUID.format(1053)], "waiting": True}]
        await deck.says("u undo")
        await deck.press("u")
        assert await deck.asked("retry") == [{"ids": [UUID.format(1053)]}]


async def test_cancelling_a_task_with_dependents_names_them_and_asks():
    async with open_deck() as deck:
        deck.recording.table["cancel.preview"] = {
            "tasks": [],
            "dependents": [{"number": 1064, "name": "upload"}],
        }
        await (await deck.move_to(1053)).press("x")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))
        assert "cancel" not in deck.recording.verbs()
        shown = "\n".join(read_screen_lines(deck.app))
        assert "1 task depends on it and is cancelled too: 1064 upload" in shown
        assert "u restores the cancelled tasks and their dependents." in shown
        await deck.answer("y")
        assert await deck.asked("cancel") == [{"ids": [UUID.format(1053)], "waiting": True}]


async def test_cancelling_marks_spares_waiting_tasks_that_started_meanwhile():
    async with open_deck() as deck:
        await (await deck.move_to(1052)).press("space", "space", "x")
        await deck.answer("y")
        await deck.asked("cancel")
        await wait_for(deck.pilot, lambda: deck.recording.verbs().count("cancel") == 2)
        asked = [args for verb, args in deck.recording.calls if verb == "cancel"]
        assert asked == [
            {"ids": [UUID.format(1049)], "waiting": True},
            {"ids": [UUID.format(1052)], "attempts": {UUID.format(1052): 1}},
        ]


async def test_e_cancels_only_the_waiting_marked_tasks():
    async with open_deck() as deck:
        await (await deck.move_to(1052)).press("space", "space", "x")
        await deck.answer("e")
        assert await deck.asked("cancel") == [{"ids": [UUID.format(1049)], "waiting": True}]


async def test_a_signal_is_chosen_from_a_list():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("X")
        await deck.answer("h")
        assert await deck.asked("cancel") == [
            {"ids": [UUID.format(1042)], "attempts": {UUID.format(1042): 1}, "signal": 1}
        ]


async def test_r_retries_an_ended_task_and_otherwise_says_why_not():
    async with open_deck() as deck:
        await (await deck.move_to(1048)).press("r")
        assert await deck.asked("retry") == [
            {
                "ids": [UUID.format(1048)],
                "ends": {UUID.format(1048): boards.NOW - 120},
                "again": True,
            }
        ]
        await (await deck.move_to(1042)).press("r")
        assert "It has not ended" in await deck.says("has not ended")


async def test_retrying_a_succeeded_task_asks_first():
    async with open_deck() as deck:
        await (await deck.move_to(1046)).press("r")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))
        shown = "\n".join(read_screen_lines(deck.app))
        assert (
            "1046 encode S02E03.mkv" in shown
            and "The task succeeded; a retry runs it again." in shown
        )
        await deck.answer("n")
        assert "retry" not in deck.recording.verbs()
        await deck.press("r")
        await deck.answer("y")
        assert await deck.asked("retry") == [
            {
                "ids": [UUID.format(1046)],
                "ends": {UUID.format(1046): boards.NOW - 720},
                "again": True,
            }
        ]


async def test_a_repeated_r_retries_a_task_once_until_its_row_changes():
    async with open_deck() as deck:
        await deck.move_to(1048)
        post_keys(deck.app, "r", "r")
        await deck.says("Retrying #1048")
        await deck.press("r")
        assert "#1048 is being retried already" in await deck.says("already")
        assert len(await deck.asked("retry")) == 1
        board = boards.busy()
        failed_anew = tuple(
            row._replace(ended_at=boards.NOW - 1) if row.number == 1048 else row
            for row in board.ended
        )
        await deck.show(board._replace(ended=failed_anew))
        await deck.press("r")
        assert len(await deck.asked("retry", times=2)) == 2


async def test_a_task_that_failed_again_can_be_retried_after_a_while():
    async with open_deck() as deck:
        clock = cast(Clock, deck.app.ticks)
        await (await deck.move_to(1048)).press("r")
        await deck.says("Retrying #1048")
        clock.at += RETRY_GRACE - 0.1
        await deck.press("r")
        assert "#1048 is being retried already; its row does not show it yet." in await deck.says(
            "already"
        )
        clock.at += 0.1
        await deck.press("r")
        assert len(await deck.asked("retry", times=2)) == 2


async def test_a_refused_retry_can_be_repeated():
    async with open_deck() as deck:
        deck.recording.table["retry"] = Conflict("the disk is full.")
        await (await deck.move_to(1048)).press("r")
        await deck.says("the disk is full")
        await deck.press("r")
        assert len(await deck.asked("retry", times=2)) == 2


async def test_deleting_asks_first():
    async with open_deck() as deck:
        await (await deck.move_to(1048)).press("D")
        await deck.answer("y")
        assert await deck.asked("rm") == [
            {"ids": [UUID.format(1048)], "ends": {UUID.format(1048): boards.NOW - 120}}
        ]


async def test_t_moves_to_the_front_and_u_moves_back():
    async with open_deck() as deck:
        await (await deck.move_to(1055)).press("t")
        assert await deck.asked("front") == [{"ids": [UUID.format(1055)], "value": None}]
        await deck.says("u undo")
        await deck.press("u")
        assert (await deck.asked("front", 2))[1] == {"ids": [UUID.format(1055)], "value": 0}


async def test_each_plus_raises_the_priority_and_undo_restores_it():
    async with open_deck() as deck:
        await (await deck.move_to(1055)).press("+", "+", "-")
        fields = [args["fields"]["priority"] for args in await deck.asked("set", 3)]
        assert fields == [1, 2, 1]
        await deck.says("Priority 2 → 1")
        await deck.press("u")
        assert (await deck.asked("set", 4))[3]["fields"] == {"priority": 2}


async def test_a_stale_board_does_not_reset_a_requested_priority():
    async with open_deck() as deck:
        await (await deck.move_to(1055)).press("+")
        await deck.asked("set")
        deck.app.connection._apply_board(boards.busy())
        await deck.press("+")
        assert [args["fields"]["priority"] for args in await deck.asked("set", 2)] == [1, 2]
        deck.recording.table["set"] = Conflict("it has ended.")
        await deck.press("+")
        await deck.says("it has ended")
        assert deck.app.pending.priorities == {}


async def test_a_acknowledges_a_firing_alert_only():
    async with open_deck() as deck:
        await deck.press("4", "a")
        assert await deck.asked("alert.ack") == [{"ids": [1]}]
        await deck.press("j", "a")
        assert "firing alert" in await deck.says("firing alert")


async def test_s_silences_an_alert_without_a_rule_by_its_name():
    own = boards.make_alert(9, "late-search", "critical", "firing", "taskdeck", "late", 60)
    async with open_deck(boards.busy()._replace(alerts=(own,))) as deck:
        deck.recording.table["sla.show"] = NotFound("no rule.")
        await deck.press("4", "s")
        await deck.answer("h")
        assert await deck.asked("alert.silence") == [{"ids": ["late-search"], "until": "1h"}]


async def test_a_refusal_is_shown_verbatim():
    async with open_deck() as deck:
        deck.recording.table["pause"] = {
            "done": [],
            "refused": [{"message": "#1042 has ended."}],
            "notes": [],
        }
        await (await deck.move_to(1042)).press("p")
        assert "Refused: #1042 has ended." in await deck.says("Refused")
        assert not deck.app.undo_stack.can_undo


async def test_a_runtime_error_is_shown_and_offers_no_undo():
    async with open_deck() as deck:
        deck.recording.table["hold"] = Conflict("the disk is full.", "Free space, then again.")
        await (await deck.move_to(1053)).press("p")
        assert "Not done: the disk is full. Free space, then again." in await deck.says(
            "disk is full"
        )
        assert not deck.app.undo_stack.can_undo


async def test_a_verb_is_refused_right_after_its_row_changed():
    async with open_deck() as deck:
        await deck.move_to(1042)
        board = boards.busy()
        stopping = board.running[0]._replace(status="stopping")
        await deck.show(board._replace(at=boards.NOW + 1, running=(stopping, *board.running[1:])))
        await deck.press("x")
        assert "#1042 has changed just now (stopping). Look, and press again." in await deck.says(
            "changed just now"
        )
        assert deck.recording.verbs() == []
        ticks = deck.app.ticks
        assert isinstance(ticks, Clock)
        ticks.at += 0.31
        await deck.press("x")
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, ChoiceScreen))


async def test_read_only_mode_refuses_changes():
    async with open_deck(read_only=True) as deck:
        await (await deck.move_to(1042)).press("p")
        assert "Read only" in await deck.says("Read only")
        assert deck.recording.verbs() == []


async def test_read_only_mode_writes_nothing_to_the_home(tmp_path: Path):
    recording = RecordingRuntime(boards.busy())
    factory: Any = recording
    app = TaskdeckApp(
        factory, read_only=True, home=tmp_path, now=lambda: boards.NOW, first=recording.board
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("F", "z", "greater_than_sign", "escape")
        assert app.read_marks.count_unseen(boards.busy()) == 0
    assert list(tmp_path.iterdir()) == []


async def test_the_filter_takes_words_and_qualifiers_and_escape_clears_it():
    async with open_deck() as deck:
        await deck.press("slash", *"queue:media", "space", *"!s02e05")
        work = deck.screen.panes[2]
        names = [row.name for view in work.views for row in view.rows]
        assert names == [
            "encode S02E04.mkv", "encode S02E06.mkv", "encode S02E07.mkv", "encode S02E08.mkv",
            "thumbs S02", "encode S02E03.mkv"
        ]  # fmt: skip
        await deck.press("enter")
        assert "/queue:media !s02e05" in read_screen_lines(deck.app)[9]
        assert deck.screen.focused is work
        await deck.press("escape")
        assert len(work.views[0].rows) == 7
        assert "The filter is cleared: all work is shown." in deck.message()


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
@pytest.mark.parametrize(
    ("pane", "words", "named"), [(0, "gp", "gpu"), (1, "gp", "gpu"), (3, "gpu-w", "gpu-wait")]
)
async def test_the_filter_in_another_pane_applies_to_its_own_rows(
    pane: int, words: str, named: str, size: tuple[int, int]
):
    async with open_deck() as deck:
        await deck.pilot.resize_terminal(*size)
        found = deck.screen.panes[pane]
        await deck.press(str(pane + 1))
        every = set(found.views[0].rows)
        await deck.press("slash", *words)
        assert found.display
        await deck.press("enter")
        assert deck.screen.focused is found
        assert named in "\n".join(read_screen_lines(deck.app))
        assert 0 < len(found.views[0].rows) < len(every)
        assert len(deck.screen.panes[2].views[0].rows) == 7
        await deck.press("escape")
        assert set(found.views[0].rows) == every


async def test_a_key_acts_on_the_filtered_rows_of_a_pane():
    async with open_deck() as deck:
        await deck.press("1", "slash", *"media", "enter", "p")
        assert "Paused queue media." in await deck.says("Paused")


async def test_escape_in_the_filter_line_clears_only_its_pane():
    async with open_deck() as deck:
        await deck.press("slash", *"encode", "enter", "1", "slash", *"nothing")
        queues = deck.screen.panes[0]
        assert (
            queues.item,
            "No rows match the filter." in "\n".join(read_screen_lines(deck.app)),
        ) == (None, True)
        await deck.press("escape")
        assert (
            len(queues.views[0].rows) == len(boards.busy().queues) and deck.screen.focused is queues
        )
        assert deck.screen.panes[2].keep_text == "encode"


async def test_f_cycles_the_states_and_marks_failures_as_seen():
    async with open_deck() as deck:
        work = deck.screen.panes[2]
        assert "3 failed" in read_screen_lines(deck.app)[1]
        await deck.press("f", "f", "f")
        assert [row.number for view in work.views for row in view.rows] == [1048, 1045]
        assert "failed" not in read_screen_lines(deck.app)[1]
        assert deck.message().startswith(
            " 3 failures marked as seen, 1 of them not listed here. To list all failures: 5,"
        )
        await deck.press("f")
        assert sum(len(view.rows) for view in work.views) == 17


async def test_f_says_that_failures_not_listed_are_marked_too():
    async with open_deck(boards.busy()._replace(failed=23)) as deck:
        await deck.press("F")
        assert deck.message().startswith(
            " 23 failures marked as seen, 21 of them not listed here. To list all failures: 5,"
        )


@pytest.mark.parametrize("before", ["1", "3", "W", "E", "4"])
@pytest.mark.parametrize(("key", "number"), [("3", 1042), ("W", 1049), ("E", 1048)])
async def test_a_section_has_one_key_that_never_cycles(before: str, key: str, number: int):
    async with open_deck() as deck:
        await deck.press(before, key)
        assert (deck.screen.table.id, deck.screen.table.item.number) == ("work", number)
        await deck.press("j", key)
        assert deck.screen.table.item.number != number, "the cursor stays in its section"
        await deck.press("O", key)
        assert deck.screen.table.id == "work"


@pytest.mark.parametrize(
    ("key", "said"), [("3", "Nothing runs."), ("W", "Nothing waits."), ("E", "5 lists all tasks.")]
)
async def test_the_key_of_an_empty_section_says_so(key: str, said: str):
    async with open_deck(boards.busy()._replace(running=(), next=(), ended=())) as deck:
        await deck.press(key)
        await deck.says(said)


async def test_a_filter_of_tasks_leaves_alerts_and_says_so():
    async with open_deck() as deck:
        alerts = deck.screen.panes[3]
        await deck.press("slash", *"encode", "enter")
        assert len(alerts.views[0].rows) == len(boards.busy().alerts)
        assert any("not filtered" in line for line in read_screen_lines(deck.app))
        await deck.press("escape")
        assert not any("not filtered" in line for line in read_screen_lines(deck.app))


async def test_a_submitted_task_gets_the_cursor():
    async with open_deck() as deck:
        new = boards.busy().next[0]._replace(number=1063, uuid=UUID.format(1063))
        deck.app.open_form()
        deck.app.screen.dismiss({"number": 1063, "uuid": new.uuid, "name": new.name})
        await deck.says("Submitted #1063.")
        await deck.show(boards.busy()._replace(next=(*boards.busy().next, new)))
        assert deck.screen.panes[2].item.number == 1063


async def test_a_submitted_task_behind_the_shown_ones_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_actions, "SUBMITTED_DELAY", 0.0)
    async with open_deck() as deck:
        deck.app.open_form()
        deck.app.screen.dismiss({"number": 1063, "uuid": UUID.format(1063), "name": "new"})
        await deck.says("#1063. It is not among the rows shown: 5 lists all tasks.")


async def test_enter_on_a_queue_shows_its_tasks_and_q_returns():
    async with open_deck() as deck:
        await deck.press("1", "j", "enter")
        await wait_for(deck.pilot, lambda: type(deck.app.screen).__name__ == "TasksScreen")
        await wait_for(deck.pilot, lambda: "browse" in deck.recording.verbs())
        assert (
            next(args["filter"] for verb, args in deck.recording.calls if verb == "browse")
            == "queue:gpu"
        )
        await deck.press("q")
        assert isinstance(deck.app.screen, DeckScreen)


@pytest.mark.parametrize("open_with", ["slash", "colon"])
async def test_pasted_lines_are_joined_in_a_one_line_field(open_with: str):
    async with open_deck() as deck:
        await deck.press(open_with)
        await wait_for(deck.pilot, lambda: isinstance(deck.app.focused, Input))
        deck.app.post_message(events.Paste("queue:gpu\n  sweep\x1b[2J\r\n\nx\n"))
        await wait_for(
            deck.pilot,
            lambda: (
                isinstance(deck.app.focused, Input)
                and deck.app.focused.value == "queue:gpu sweep␛[2J x"
            ),
        )


async def test_escape_clears_the_marks_and_says_so():
    async with open_deck() as deck:
        await deck.press("space", "space", "escape")
        assert not deck.screen.table.marks
        assert "The marks are cleared." in deck.message()


@pytest.mark.parametrize(
    ("key", "says"), [("l", "l shows the log"), ("w", "w explains"), ("y", "y copies")]
)
async def test_a_task_key_on_another_row_explains_itself(key: str, says: str):
    of_no_task = boards.make_alert(9, "full", "critical", "firing", "host /srv", "91% > 90%", 60)
    async with open_deck(boards.busy()._replace(alerts=(of_no_task,))) as deck:
        await deck.press("4", key)
        assert says in deck.message() and "is under the cursor" in deck.message()


async def test_a_name_of_any_length_leaves_room_for_the_undo():
    async with open_deck() as deck:
        answer = {"done": [{"number": 1042, "name": "n" * 200}], "refused": [], "notes": []}
        deck.recording.table["pause"] = answer
        await (await deck.move_to(1042)).press("p")
        assert (await deck.says("Paused")).endswith("nnn.  u undo")


async def test_a_digit_focuses_its_pane_at_once():
    async with open_deck() as deck:
        await deck.press("1")
        await deck.pilot.pause()
        lines = read_screen_lines(deck.app)
        assert lines[2].startswith("━▌1 Queues") and lines[3].startswith("› media")
        assert lines[9].startswith("─ 3 Running") and not any(
            line.startswith("›") for line in lines[10:]
        )


async def test_z_toggles_the_zoom_of_a_pane():
    async with open_deck() as deck:
        await deck.press("4", "z")
        assert [pane.display for pane in deck.screen.panes] == [False, False, False, True]
        await deck.press("z")
        assert all(pane.display for pane in deck.screen.panes)


async def test_help_lists_the_bindings_of_the_focused_pane():
    async with open_deck() as deck:
        await deck.press("question_mark")
        shown = "\n".join(read_screen_lines(deck.app))
        assert shown.index("On a task") < shown.index("Everywhere"), "actions here come first"
        await deck.press("G")
        assert "Digits, O, B and E go" in "\n".join(read_screen_lines(deck.app))
        await deck.press("q")
        assert deck.app.screen is deck.screen


async def test_u_undoes_step_by_step_and_names_the_next_step():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("p")
        await deck.says("Paused")
        await (await deck.move_to(1053)).press("p")
        await deck.says("Held")
        await deck.press("u")
        assert "u undo: Paused #1042" in await deck.says("Released")
        await deck.press("u")
        await deck.says("Resumed")
        assert [verb for verb in deck.recording.verbs() if verb in ("release", "resume")] == [
            "release",
            "resume",
        ]
        await deck.press("u")
        await deck.says("Nothing to undo here")


async def test_the_undone_action_is_shown_in_full_before_the_next_one():
    async with open_deck() as deck:
        await deck.pilot.resize_terminal(80, 24)
        long = "changed #1042 resnet50-sweep-06: memory 2.0G to 1.0G"
        deck.app.undo_stack.push("Priority 0 → 1: #1053 encode S02E06.mkv.", [Request("set", {})])
        deck.app.undo_stack.push("Memory 1.0G → 2.0G.", [Request("undo", {"ids": [7]}, "Undone:")])
        deck.recording.table["undo"] = {
            "done": [{"text": "x", "back": long}],
            "refused": [],
            "notes": [],
        }
        await deck.press("u")
        assert f"Undone: {long}.  u undo: Prio" in await deck.says("Undone")


async def test_u_asks_for_confirmation_after_an_irreversible_action():
    async with open_deck() as deck:
        await (await deck.move_to(1053)).press("p")
        await deck.says("Held")
        await (await deck.move_to(1048)).press("D")
        await deck.answer("y")
        await deck.says("Deleted #1048")
        await deck.press("u")
        assert await deck.says("Press u again to undo the one before: Held #1053 a task.")
        assert "release" not in deck.recording.verbs()
        await deck.press("u")
        await deck.says("Released #1053")


async def test_u_after_a_submission_does_not_undo_earlier_actions():
    async with open_deck() as deck:
        deck.recording.table["submit"] = [{"number": 1063, "name": "true", "uuid": ""}]
        await (await deck.move_to(1053)).press("p")
        await deck.says("Held")
        post_keys(deck.app, "n", *"true", "ctrl+j")
        await deck.says("Submitted #1063.")
        await deck.press("u")
        assert await deck.says("Press u again to undo the one before: Held #1053 a task.")


async def test_a_newer_reversible_action_is_undone_at_once():
    async with open_deck() as deck:
        await (await deck.move_to(1053)).press("p")
        await deck.says("Held")
        await (await deck.move_to(1048)).press("D")
        await deck.answer("y")
        await deck.says("Deleted #1048")
        await (await deck.move_to(1042)).press("p")
        await deck.says("Paused")
        await deck.press("u")
        await deck.says("Resumed #1042")


@pytest.mark.parametrize(("key", "answer", "says", "then"), [
    ("p", {}, "Released #1053", ["hold", "release"]),
    ("p", {"hold": Conflict("gone")}, "Not done", ["hold"]),
    ("x", {"cancel": {"done": [{"number": 1053, "name": "a"}], "refused": [], "operations": [7]}},
    "Undone", ["cancel", "undo"]),
])  # fmt: skip
async def test_u_right_after_a_verb_undoes_only_that_verb(
    key: str, answer: Any, says: str, then: list[str]
):
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("p")
        await deck.says("Paused")
        deck.recording.table |= answer
        post_keys((await deck.move_to(1053)).app, key, "u")
        await deck.says(says)
        assert [
            verb
            for verb in deck.recording.verbs()
            if verb in ("hold", "release", "resume", "cancel", "undo")
        ] == then


async def test_u_undoes_the_request_before_it_despite_later_requests():
    async with open_deck() as deck:
        deck.recording.table["cancel"] = {
            "done": [{"number": 1054, "name": "b"}],
            "refused": [],
            "operations": [7],
        }
        post_keys((await deck.move_to(1053)).app, "p", "u", "j", "x")
        assert await deck.asked("release") == [{"ids": [UUID.format(1053)]}]
        await deck.asked("cancel")
        assert "undo" not in deck.recording.verbs()


async def test_u_right_after_a_refused_verb_asks_for_confirmation():
    async with open_deck() as deck:
        await (await deck.move_to(1053)).press("p")
        await deck.says("Held")
        post_keys((await deck.move_to(1048)).app, "p", "u")
        assert await deck.says("Press u again to undo the one before: Held #1053 a task.")
        await deck.press("u")
        await deck.says("Released #1053")


async def test_keys_typed_after_shift_r_go_to_the_form():
    async with open_deck() as deck:
        deck.recording.table["show"] = a_task(number=1053, launch={"argv": ["true"]})
        post_keys((await deck.move_to(1053)).app, "R", "x", "p")
        await wait_for(
            deck.pilot,
            lambda: any(field.value == "truexp" for field in deck.app.screen.query(Input)),
        )
        assert not {"hold", "cancel"} & {*deck.recording.verbs()}


async def test_type_ahead_for_a_form_that_fails_to_open_is_discarded():
    async with open_deck() as deck:
        deck.recording.table["show"] = Conflict("gone")
        post_keys((await deck.move_to(1053)).app, "R", "p", "t")
        await deck.says("gone")
        await deck.press("plus")
        await deck.asked("set")
        assert not {"hold", "front"} & {*deck.recording.verbs()}


async def test_a_key_right_after_a_click_acts_on_the_clicked_row():
    async with open_deck() as deck:
        await deck.move_to(1042)
        at = next(y for y, text in enumerate(read_screen_lines(deck.app)) if " 1054 " in text)
        for kind in (events.MouseDown, events.MouseUp):
            deck.app.post_message(kind(None, 9, at, 0, 0, 1, False, False, False, 9, at))
        post_keys(deck.app, "p")
        await deck.says("Held #1054")
        assert "pause" not in deck.recording.verbs()


async def test_u_typed_before_a_dialog_shows_no_undo_message():
    async with open_deck() as deck:
        post_keys((await deck.move_to(1042)).app, "x", "u")
        await wait_for(
            deck.pilot,
            lambda: isinstance(deck.app.screen, ChoiceScreen) and "undo" not in deck.message(),
        )


async def test_a_refused_action_does_not_block_undo():
    async with open_deck() as deck:
        await (await deck.move_to(1053)).press("p")
        await deck.says("Held")
        deck.recording.table["rm"] = {
            "done": [],
            "refused": [{"message": "#1048 is pinned.", "exit_code": 4}],
            "notes": [],
        }
        await (await deck.move_to(1048)).press("D")
        await deck.answer("y")
        await deck.says("pinned")
        await deck.press("u")
        await deck.says("Released #1053")


async def test_the_palette_pauses_the_named_queue_and_not_the_cursor_row():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("colon", *"pause queue", "enter")
        await deck.says("Paused queue")
        await deck.press("colon", *"queue pause", "enter")
        assert (await deck.asked("queue.pause", 2))[1] == {"name": "media"}
        await deck.press("colon", *"queue resume", "enter")
        assert await deck.asked("queue.resume") == [{"name": "backup"}]
        assert "pause" not in deck.recording.verbs()


async def test_the_palette_keeps_capitals_and_counts_hidden_commands():
    async with open_deck() as deck:
        await deck.press("colon")
        await wait_for(
            deck.pilot,
            lambda: any("found" in line and "more" in line for line in read_screen_lines(deck.app)),
        )
        await deck.press(*"alerts")
        await wait_for(
            deck.pilot, lambda: any("SLA alerts" in line for line in read_screen_lines(deck.app))
        )


async def test_the_palette_finds_a_verb_by_its_words():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("colon", *"pause", "enter")
        assert await deck.asked("pause") == [{"ids": [UUID.format(1042)]}]


async def test_the_footer_shows_the_keys_of_the_open_filter_line():
    async with open_deck() as deck:
        await deck.press("slash")
        assert read_footer(deck).strip() == "↵ keep  esc clear  tab complete  ↑ earlier"
        await deck.press("escape")
        assert "? help  q quit" in read_footer(deck)


@pytest.mark.parametrize(("typed", "said"), [
    ("welcome", "a deck without tasks"),
    ("mouse off", "For clicks in the deck: :mouse on"),
    ("mouse on", "The deck handles clicks and the wheel again."),
])  # fmt: skip
async def test_a_command_without_visible_effect_reports_its_result(typed: str, said: str):
    async with open_deck() as deck:
        await deck.press("colon", *typed, "enter")
        await deck.says(said)


async def test_the_palette_goes_to_a_queue():
    async with open_deck() as deck:
        await deck.press("colon", *"queue etl", "enter")
        await wait_for(deck.pilot, lambda: "browse" in deck.recording.verbs())
        assert (
            next(args["filter"] for verb, args in deck.recording.calls if verb == "browse")
            == "queue:etl"
        )


@pytest.mark.parametrize("keys", [["q"], ["ctrl+q"], ["ctrl+c", "ctrl+c"], ["colon", "q", "enter"]])
async def test_quitting_closes_the_deck_without_calls_to_the_runtime(keys: list[str]):
    app, recording = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press(*keys)
        await wait_for(pilot, lambda: not app.is_running or app._exit)
    assert app.return_code == 0
    assert recording.verbs() == []


async def test_one_ctrl_c_only_explains_how_to_quit():
    async with open_deck() as deck:
        await deck.press("ctrl+c")
        assert "q or ctrl+c again leaves" in await deck.says("ctrl+c stops nothing here")


async def test_shift_s_starts_a_stopped_runtime():
    async with open_deck(boards.trouble()) as deck:
        await deck.press("S")
        await deck.says("The runtime is running.")
        assert deck.recording.resumed == 1


async def test_a_key_known_from_other_programs_is_explained_once():
    async with open_deck() as deck:
        await deck.press("f9")
        assert "F9 is x here." in await deck.says("F9")


@pytest.mark.parametrize("place", ["3", "O"])
async def test_an_unbound_key_points_to_the_help_until_the_next_action(place: str):
    async with open_deck() as deck:
        await deck.press(place)
        for key in "Z%&":
            post_keys(deck.app, key)
            await deck.says(f" {key} does nothing here; ? shows the keys.")
            await deck.press("g")
            await wait_for(deck.pilot, lambda: "does nothing" not in deck.message())


async def test_an_unbound_key_keeps_the_message_and_is_text_in_fields():
    async with open_deck() as deck:
        deck.app.show_message("Submitted #7.")
        await deck.press("Z")
        await deck.says("Submitted #7.")
        await deck.press("slash", "Y", "Z", "escape")
        assert "does nothing" not in deck.message()
        await deck.press("question_mark", "Z")
        assert "does nothing" not in deck.message()


async def test_an_unbound_key_replaces_a_refusal_but_not_a_result():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("a")
        await deck.says("Only a firing alert can be acknowledged (a).")
        await deck.press("b")
        await deck.says("b does nothing here")
        await deck.press("p")
        await deck.says("Paused #1042")
        await deck.press("b")
        assert "Paused #1042" in deck.message()


async def test_a_refusal_disappears_with_its_screen():
    async with open_deck() as deck:
        await deck.press("5", "a")
        await deck.says("Only a firing alert can be acknowledged (a).")
        await deck.press("q")
        assert deck.app.screen is deck.screen and "acknowledged" not in deck.message()
        await deck.press("a")
        await deck.says("Only a firing alert can be acknowledged (a).")
        await deck.press("5")
        await wait_for(deck.pilot, lambda: deck.app.screen is not deck.screen)
        assert "acknowledged" not in deck.message()


async def test_a_refusal_covers_all_marked_rows():
    async with open_deck() as deck:
        await (await deck.move_to(1048)).press("space", "space", "x")
        await deck.says("Nothing to cancel: they have ended.")
        await deck.press("escape", "x")
        await deck.says("Nothing to cancel: it has ended.")


async def test_marked_rows_are_shown_and_counted():
    async with open_deck() as deck:
        await (await deck.move_to(1042)).press("space", "space")
        shown = read_screen_lines(deck.app)
        assert any("3 Running 7, 2 marked" in line for line in shown)
        assert any(line.startswith(" *1042 ●") for line in shown)
        await deck.press("escape")
        assert any(line.startswith("  1042 ●") for line in read_screen_lines(deck.app))


def read_footer(deck: DeckDriver) -> str:
    return read_screen_lines(deck.app)[-1]


@pytest.mark.parametrize(("numbers", "offered"), [
    ((1042, 1043), "x cancel 2 marked  p pause 2 marked  e edit 2 marked  esc unmark"),
    ((1053,), "x cancel 1 marked  p hold 1 marked  t to front 1 marked  esc unmark"),
    ((1042, 1052, 1048), "x cancel 2 marked  p pause 1 marked  r retry 1 marked"),
    ((1048,), "r retry 1 marked"),
])  # fmt: skip
async def test_the_footer_offers_actions_for_the_marks(numbers: tuple[int, ...], offered: str):
    """Leave the cursor on an unmarked row: the footer must ignore it."""
    async with open_deck() as deck:
        for number in numbers:
            await (await deck.move_to(number)).press("space")
        await deck.move_to(1047 if numbers != (1042, 1043) else 1053)
        assert read_footer(deck).startswith(f" {offered}")
        for word in ("open", "log", "why", "copy"):
            assert word not in read_footer(deck)
        await deck.press("escape")
        assert "marked" not in read_footer(deck) and "open" in read_footer(deck)


async def test_a_mark_on_the_last_row_updates_the_footer_at_once():
    async with open_deck() as deck:
        await deck.press("1", "G", "space")
        await wait_for(deck.pilot, lambda: read_footer(deck).startswith(" p resume 1 marked"))
        await deck.press("k", "space")
        await wait_for(deck.pilot, lambda: read_footer(deck).startswith(" p pause 1 marked"))


async def test_p_on_marks_acts_in_the_direction_named_in_the_footer():
    board = boards.busy()
    first, second, *others = board.next
    async with open_deck(
        board._replace(next=(first, second._replace(status="held"), *others))
    ) as deck:
        for row in (first, second):
            await (await deck.move_to(row.number)).press("space")
        assert "p hold 1 marked" in read_footer(deck)
        await deck.press("p")
        assert await deck.asked("hold") == [{"ids": [first.uuid]}]
        assert "release" not in deck.recording.verbs()


async def test_p_on_marked_queues_pauses_unless_all_are_paused():
    async with open_deck() as deck:
        await deck.press("1", "G", "space", "k", "space", "p")
        assert await deck.asked("queue.pause") == [{"name": deck.screen.board.queues[-2].name}]  # type: ignore[union-attr]
        await deck.press("G", "space", "p")
        assert await deck.asked("queue.resume") == [{"name": "backup"}]


async def test_marked_alerts_are_acknowledged_together_and_undone():
    async with open_deck() as deck:
        await deck.press("4", "space", "space")
        assert read_footer(deck).startswith(" a ack 1 marked  esc unmark")
        await deck.press("a")
        assert await deck.asked("alert.ack") == [{"ids": [1]}]
        assert "Acknowledged encode-on-time.  u undo" in await deck.says("Acknowledged")
        await deck.press("u")
        assert await deck.asked("alert.unack") == [{"ids": [1]}]


async def test_a_held_unbound_key_is_reported_once(monkeypatch: pytest.MonkeyPatch):
    async with open_deck() as deck:
        drawn: list[object] = []
        monkeypatch.setattr(MessageLine, "show", lambda _line, spans: drawn.append(spans))
        post_keys(deck.app, *"Z" * 20)
        await deck.pilot.pause()
        assert len(drawn) == 1


async def test_a_too_small_terminal_ignores_keys_and_restores_the_screen():
    async with open_deck() as deck:
        await deck.press("slash", "g", "p")
        await deck.pilot.resize_terminal(40, 10)
        await deck.press("u", "enter", "escape", "5", "x", "q")
        assert deck.app.is_running and deck.recording.verbs() == []
        await deck.pilot.resize_terminal(80, 24)
        await deck.press("u")
        assert deck.app.focused is deck.app.screen.query_one(FilterInput)
        assert deck.app.screen.query_one(FilterInput).value == "gpu"


async def test_q_quits_from_any_screen_on_a_too_small_terminal():
    async with open_deck() as deck:
        await deck.press("7")
        await deck.pilot.resize_terminal(59, 15)
        await deck.press("q")
        assert deck.app.return_value == 0


async def test_the_quit_dialog_works_at_any_terminal_size():
    answers: list[str | None] = []
    async with open_deck() as deck:
        await deck.pilot.resize_terminal(40, 10)
        deck.app.push_screen(QuitScreen(boards.busy()), answers.append)
        await wait_for(deck.pilot, lambda: isinstance(deck.app.screen, QuitScreen))
        await deck.answer("o")
        assert answers == ["o"]


async def test_a_click_on_a_footer_key_presses_it():
    async with open_deck() as deck:
        await deck.move_to(1053)
        column = read_screen_lines(deck.app)[-1].index("p hold")
        await deck.pilot.click("#keys", offset=(column, 0))
        assert await deck.asked("hold") == [{"ids": [UUID.format(1053)]}]


async def test_y_copies_the_number():
    async with open_deck() as deck:
        deck.recording.table["show"] = {"number": 1042, "uuid": UUID.format(1042)}
        await (await deck.move_to(1042)).press("y")
        await deck.answer("i")
        await wait_for(deck.pilot, lambda: deck.app.clipboard == "#1042")


async def test_y_copies_the_submit_command_with_template_and_parameters():
    async with open_deck() as deck:
        deck.recording.table["show"] = a_task(
            number=1042,
            name="two words",
            template="encode",
            parameters={"input": "a b.mkv", "crf": 23},
        )
        await (await deck.move_to(1042)).press("y")
        await deck.answer("s")
        await wait_for(deck.pilot, lambda: bool(deck.app.clipboard))
        assert (
            deck.app.clipboard
            == "taskdeck submit encode -n 'two words' -q gpu -P 5 -t 4h --cpu 4 --memory 12G"
            " --retries 1 -C /home/ann/sweep -p 'input=a b.mkv' -p crf:=23"
        )


async def test_deck_bindings_have_distinct_keys_and_ids():
    async with open_deck() as deck:
        for table in deck.screen.panes:
            live = [*type(table).BINDINGS, *DeckScreen.BINDINGS, *TaskdeckApp.BINDINGS]
            keys = [key for binding in live for key in binding.key.split(",") if "colon" not in key]  # type: ignore[union-attr]
            assert sorted(keys) == sorted(set(keys))
            ids = [binding.id for binding in live]  # type: ignore[union-attr]
            assert all(ids) and len(ids) == len(set(ids))


async def test_type_ahead_goes_to_the_opening_field_and_not_to_verbs():
    async with open_deck() as deck:
        await deck.move_to(1053)
        for key in ("slash", "x", "p", "t"):
            deck.app.post_message(events.Key(key, key if len(key) == 1 else "/"))
        await wait_for(deck.pilot, lambda: deck.screen.words == "xpt")
        assert deck.recording.verbs() == []


async def test_the_filter_line_remembers_and_completes():
    async with open_deck() as deck:
        await deck.press("slash", *"status:pau", "tab")
        assert deck.screen.words == "status:paused "
        await deck.press("down", "slash", *(["backspace"] * 20), *"!qu", "tab", *"ba", "tab")
        assert deck.screen.words == "!queue:backup "
        await deck.press("up")
        assert deck.screen.words == "status:paused "


async def test_a_wide_character_warns_about_an_active_input_method():
    async with open_deck() as deck:
        await deck.pilot.resize_terminal(80, 24)
        await deck.press("好")
        assert "An input method is active" in deck.message() and deck.message().endswith(
            "Switch it off."
        )


async def test_a_lost_runtime_keeps_the_rows_and_is_reported():
    async with open_deck() as deck:
        deck.app.connection._receive_feed_error(OSError("no such home"), False)
        await wait_for(deck.pilot, lambda: "NO RUNTIME" in read_screen_lines(deck.app)[0])
        shown = read_screen_lines(deck.app)
        assert any("1042 ● resnet50-sweep-06" in line for line in shown)
        assert "no such home" in shown[-2]


async def test_the_banner_shows_the_time_at_which_the_runtime_died():
    async with open_deck() as deck:
        gone = boards.busy()._replace(runtime=RuntimeFacts("none"))
        deck.app.connection._apply_board(gone)
        await wait_for(
            deck.pilot, lambda: "NO RUNTIME since 10:42" in read_screen_lines(deck.app)[0]
        )
        deck.app.now = lambda: boards.NOW + 120
        deck.app.connection._apply_board(gone)
        await deck.pilot.pause()
        assert "NO RUNTIME since 10:42" in read_screen_lines(deck.app)[0]


class LateFailingScreen(SafeScreen[None]):
    """A screen that mounts while the app exits and fails to find its own widgets."""

    def on_mount(self) -> None:
        self.app.exit(143)
        self.query(Table).first()


async def test_an_error_in_a_screen_opened_during_exit_is_ignored():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)):
        await app.push_screen(LateFailingScreen())
    assert app.failure is None and not app.fatal and app.return_value == 143


async def test_a_failing_handler_is_reported_and_the_deck_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "run").mkdir()
    app, recording = make_recorded_deck()
    app.home = tmp_path
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        assert app.deck is not None

        def broken() -> None:
            raise ZeroDivisionError("a test")

        monkeypatch.setattr(app.deck, "action_zoom", broken)
        await pilot.press("z")
        await wait_for(pilot, lambda: app.failure is not None)
        await pilot.pause()
        assert (
            "Internal error (ZeroDivisionError: a test); the deck continues."
            in read_screen_lines(app)[-2]
        )
        await pilot.press("j", "p")
        await wait_for(pilot, lambda: "pause" in recording.verbs())
        app.report(ImportError("No module named 'old'"), app)
        await pilot.pause()
        assert "After an upgrade, start the deck again: No module" in read_screen_lines(app)[-2]
    assert "ZeroDivisionError: a test" in (tmp_path / "run" / "deck.log").read_text()


@pytest.mark.parametrize(
    ("keys", "screen"),
    [
        (["enter"], "TaskScreen"),
        (["d"], "TaskScreen"),
        (["l"], "LogScreen"),
        (["w"], "WhyScreen"),
        (["n"], "SubmitScreen"),
    ],
)
async def test_a_key_opens_its_screen_and_escape_returns(keys: list[str], screen: str):
    async with open_deck() as deck:
        for verb in ("show", "why", "log", "queue.ls", "template.ls", "submit"):
            deck.recording.table[verb] = Conflict("not here.")
        await (await deck.move_to(1042)).press(*keys)
        await wait_for(deck.pilot, lambda: type(deck.app.screen).__name__ == screen)
        await deck.press("escape")
        await wait_for(deck.pilot, lambda: deck.app.screen is deck.screen)


async def test_the_palette_goes_to_a_task_by_its_number():
    async with open_deck() as deck:
        deck.recording.table["about"] = Conflict("there is no task #77.")
        await deck.press("colon", *"#77", "enter")
        await wait_for(deck.pilot, lambda: type(deck.app.screen).__name__ == "TaskScreen")
        assert ("about", {"id": "77"}) in deck.recording.calls


async def test_digits_return_to_the_deck_from_anywhere():
    async with open_deck() as deck:
        deck.recording.table["about"] = Conflict("not here.")
        await (await deck.move_to(1042)).press("enter")
        await wait_for(deck.pilot, lambda: type(deck.app.screen).__name__ == "TaskScreen")
        await deck.press("2")
        await wait_for(deck.pilot, lambda: deck.app.screen is deck.screen)
        assert deck.screen.focused is deck.screen.panes[1]


async def test_each_plus_raises_the_priority_of_all_marked_tasks():
    """Keep the marks, or the next + would act on the unmarked cursor row."""
    async with open_deck() as deck:
        for number in (1053, 1054):
            await (await deck.move_to(number)).press("space")
        await deck.press("+", "+")
        asked = await deck.asked("set", 4)
        assert [(args["ids"], args["fields"]["priority"]) for args in asked] == [
            ([UUID.format(number)], priority) for priority in (1, 2) for number in (1053, 1054)
        ]
        await deck.press("t")
        await deck.asked("front")
        await wait_for(deck.pilot, lambda: not deck.screen.table.marks)


async def test_partial_refusals_are_shown_with_the_results():
    async with open_deck() as deck:
        for row in boards.NEXT[:4]:
            await (await deck.move_to(row.number)).press("space")

        def answer(verb: str, args: dict[str, Any]) -> Any:
            if verb == "set" and args["ids"] == [boards.NEXT[2].uuid]:
                return {
                    "done": [],
                    "refused": [{"number": 1054, "message": "#1054 has ended."}],
                    "notes": [],
                }
            return RecordingRuntime.answer(deck.recording, verb, args)

        deck.recording.answer = answer  # type: ignore[method-assign]
        await deck.press("+")
        assert (
            "Priority 0 → 1: #1049 a task.  And 2 more.  Refused: #1054 has ended.  u undo"
            in await deck.says("Refused")
        )


async def test_a_message_survives_a_loss_of_focus():
    async with open_deck() as deck:
        deck.app.settings = deck.app.settings._replace(unfocused="live")
        deck.app.show_message("Paused #1042.")
        deck.app.post_message(events.AppBlur())
        await wait_for(deck.pilot, lambda: not deck.app.app_focus)
        deck.app.post_message(events.AppFocus())
        await wait_for(deck.pilot, lambda: deck.app.app_focus)
        assert "Paused #1042." in await deck.says("Paused")
