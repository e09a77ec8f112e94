"""The log of operations: filtered where it lies, read on by pages, taken back after a question that names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import Remote
from app.tui.app import TaskdeckApp
from app.tui.rows.operations import about, operation
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.operations import OperationScreen, OperationsScreen, asked
from app.tui.screens.task import TaskScreen
from app.tui.style import Look
from app.tui.widgets.table import Table
from tests.tui.boards import NOW
from tests.tui.fake_runtime import Answers, deck, task, until
from tests.tui.recording_runtime import burst
from tests.tui.screen_text import screen_text


def done(id: int, **values: Any) -> dict[str, Any]:
    """A row of an answer of `operations`."""
    return {
        "id": id, "at": f"2026-11-25T09:{id % 3600 // 60:02d}:{id % 60:02d}.000000Z", "by": "ann", "verb": "hold", "object": "task #1052",
        "name": "sha256 photos", "before": {"status": "queued", "hold": False}, "after": {"status": "held", "hold": True}, "source": "deck",
        "here": True, "batch": id, "undoes": None, "undone_by": None, "undoable": True, "reason": "",
    } | values  # fmt: skip


QUEUE = {"object": "queue media", "name": None, "before": {"status": "active"}, "after": {"status": "paused"}}
ROWS = [
    done(9), done(8, verb="queue pause", by="bob", source="cli", here=False, **QUEUE),
    done(7, verb="undo set priority", undoes=6, undoable=False, reason="it took something back itself", after={"priority": 5}),
    done(6, verb="set priority", undone_by=7, undoable=False, reason="it was taken back already"),
    done(5, verb="submit", before=None, after={"last": 1}, undoable=False, reason="cancel the task instead"),
]  # fmt: skip
WOULD = {"done": [{"id": 9, "number": 1052, "name": "sha256 photos", "text": "hold of #1052 sha256 photos: status queued → held"}],
         "refused": [], "notes": []}  # fmt: skip


class Log(Answers):
    """A log of so many holds, newest first, that answers pages and remembers the words it was asked for."""

    def __init__(self, count: int) -> None:
        super().__init__(operations=self.page)
        self.rows = [done(id) for id in range(count, 0, -1)]

    def page(self, args: Mapping[str, Any]) -> list[dict[str, Any]]:
        older = [row for row in self.rows if row["id"] < args.get("before", 10**9)]
        return older[: args["limit"]] if args["words"] != ["nothing"] else []


def shown(app: TaskdeckApp, text: str) -> bool:
    return any(text in line for line in screen_text(app))


async def opened(pilot: Any, app: TaskdeckApp, text: str = "1052 s") -> OperationsScreen:
    await pilot.press("O")
    await until(pilot, lambda: shown(app, text))
    assert isinstance(app.screen, OperationsScreen)
    return app.screen


async def test_who_did_what_to_what_is_listed_with_what_changed_in_any_size():
    """You should see the newest first, what was taken back dim, and below the list all about the row under the cursor."""
    app = deck(Answers(operations=ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        for width, height in ((80, 24), (120, 40), (200, 50), (60, 16)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda height=height: len(screen_text(app)) == height)
            lines = screen_text(app)

            assert any("ann" in line and "hold" in line and "1052 s" in line for line in lines)
            assert any("bob" in line and "queue pause" in line and "queue media" in line for line in lines)
            assert shown(app, "taken back")
            assert shown(app, "u takes it back") is (height > 16)


BACKUPS = [
    done(9 - at, verb="db backup", object=f"backup 20261126T0{at}4540Z-increment", name=None, before=None, after={"bytes": at * 2**20},
         undoable=False, reason="what was done to the database stays done")
    for at in range(3)
]  # fmt: skip


async def test_backups_are_told_apart_with_their_size():
    app = deck(Answers(operations=BACKUPS))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "db backup")
        for width, height in ((80, 24), (120, 40)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda height=height: len(screen_text(app)) == height)
            for at, size in enumerate(("0B", "1.0M", "2.0M")):
                assert any(f"…0{at}4540Z-increment" in line and line.rstrip().endswith(size) for line in screen_text(app))
            assert shown(app, "backup 20261126T004540Z-increment")  # in full, below the list


async def test_a_submission_says_which_tasks_it_made_and_what_was_made_has_no_before():
    made = done(4, verb="queue create", object="queue media", before=None, after={"pool": "default", "capacity": 3})
    some = done(3, verb="submit", object="3 tasks #1–#3", name=None, before=None, after={"first": 1, "last": 3})
    one = done(2, verb="submit", before=None, after={"first": 1052, "last": 1052})
    app = deck(Answers(operations=[made, some, one]))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app, "queue create")
        assert shown(app, "pool default, capacity 3") and not shown(app, "none →")
        assert shown(app, "  pool         default")
        await pilot.press("j")
        await until(pilot, lambda: shown(app, "  made         tasks #1–#3"))
        await pilot.press("j")
        await until(pilot, lambda: shown(app, "  made         task #1052"))


async def test_marks_are_taken_back_together_says_the_footer():
    app = deck(Answers(operations=ROWS, undo=WOULD))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("space", "space", "space")
        await until(pilot, lambda: screen_text(app)[-1].startswith(" u take back 2 marked  esc unmark"))


async def test_keys_typed_behind_the_one_that_opens_it_are_for_the_rows_that_come():
    app = deck(Answers(operations=ROWS, undo=WOULD))
    async with app.run_test(size=(80, 24)) as pilot:
        burst(app, "O", "space", "j")
        await until(pilot, lambda: shown(app, "take back 1 marked") and app.screen.table.item.key == "7")
        assert [row.key for row in app.screen.table.chosen()] == ["9"]


async def test_in_ascii_nothing_else_is_drawn():
    app = deck(Answers(operations=ROWS), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert all(line.isascii() for line in screen_text(app)[1:])


async def test_taking_back_asks_names_it_and_says_what_was_done():
    answers = Answers(operations=ROWS, undo=WOULD)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert shown(app, "hold of #1052 sha256 photos: status queued → held")
        assert answers.asked("undo") == [{"ids": [9], "dry_run": True}]

        await pilot.press("y")
        await until(pilot, lambda: shown(app, "Taken back: hold of #1052 sha256 photos"))
        assert answers.asked("undo")[1:] == [{"ids": [9]}]


async def test_what_somebody_did_elsewhere_says_so_in_the_question():
    would = {**WOULD, "done": [{**WOULD["done"][0], "id": 8, "text": "queue pause of queue media"}]}
    app = deck(Answers(operations=ROWS, undo=would))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("j", "u")
        await until(pilot, lambda: shown(app, "Done elsewhere, by bob."))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, OperationsScreen))


async def test_what_has_changed_since_is_refused_with_the_runtimes_words():
    refused = {"id": "9", "number": 1052, "message": "#1052 has changed since: priority 5 → 9 by bob, 2m ago. It was left as it is."}
    answers = Answers(operations=ROWS, undo={"done": [], "refused": [refused], "notes": []})
    app = deck(answers)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("u")
        await until(pilot, lambda: shown(app, "Not taken back: #1052 has changed since: priority 5 → 9 by bob"))
        assert len(answers.asked("undo")) == 1


async def test_what_can_never_be_undone_says_why_without_asking_the_runtime():
    answers = Answers(operations=ROWS)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("G", "u")
        await until(pilot, lambda: shown(app, "It cannot be undone: cancel the task instead."))
        assert answers.asked("undo") == []


async def test_marked_ones_are_taken_back_together():
    answers = Answers(operations=ROWS, undo=WOULD)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("space", "space", "u")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert answers.asked("undo") == [{"ids": [9, 8], "dry_run": True}]


async def test_read_only_says_why_nothing_is_taken_back():
    answers = Answers(operations=ROWS)
    app = deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("u")
        await until(pilot, lambda: shown(app, "Read only"))
        assert answers.asked("undo") == []


async def test_enter_shows_all_of_one_and_enter_there_its_task():
    schema = {"before": {"schema": {"script": "a\nb"}, "timeout": 60.0}, "after": {"schema": {"script": "a\nc"}, "timeout": None}}
    app = deck(Answers(operations=[done(9, verb="set x", **schema)], show=task()))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, OperationScreen) and shown(app, "timeout"))
        assert shown(app, "1m → no limit") and shown(app, " ↵ its task  u take back  j k move")
        assert shown(app, '-   "script": "a\\nb"') and shown(app, '+   "script": "a\\nc"')
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_one_is_taken_back_from_its_own_screen_too():
    answers = Answers(operations=ROWS, undo=WOULD)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, OperationScreen))
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert answers.asked("undo") == [{"ids": [9], "dry_run": True}]


@pytest.mark.parametrize(
    ("text", "args", "fault"),
    [
        ("hold !bob", {"words": ["hold", "!bob"]}, ""),
        ('by:ann verb:"queue pause"', {"words": [], "by": "ann", "verb": "queue pause"}, ""),
        ("on:#12", {"words": [], "object": "task #12"}, ""),
        ('on:"queue media" since:2h', {"words": [], "object": "queue media", "since": 7200.0}, ""),
        ("by: since: ! on:", {"words": []}, ""),
        ("since:soon x", {"words": ["x"]}, "since must be"),
        ("", {"words": []}, ""),
    ],
)
def test_the_filter_line_is_asked_of_the_runtime(text: str, args: dict[str, Any], fault: str):
    found, said = asked(text)

    assert (found, said[: len(fault) or None]) == (args, fault)


async def test_words_are_looked_for_where_the_log_lies():
    answers = Log(30)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("slash", *"nothing")
        await until(pilot, lambda: shown(app, "Nothing that was done is so."))
        assert answers.asked("operations")[-1]["words"] == ["nothing"]
        await pilot.press("escape")
        await until(pilot, lambda: shown(app, "1052 sha256"))


async def test_a_long_log_is_read_on_as_the_cursor_comes_near_its_end():
    answers = Log(450)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, "Operations 200+")
        for count in ("400+", "450 "):
            await pilot.press("G")
            await until(pilot, lambda count=count: shown(app, f"Operations {count}"))
        await pilot.press("G")
        assert screen.table.cursor == "1"

        answers.rows.insert(0, done(451))
        screen.reread()
        await until(pilot, lambda: shown(app, "Operations 451 "))
        assert screen.table.cursor == "1"


async def test_when_it_cannot_be_read_what_is_shown_stays():
    answers = Answers(operations=ROWS)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        answers.table["operations"] = Remote("the database is damaged.")
        screen.reread()
        await until(pilot, lambda: shown(app, "the database is damaged."))
        assert shown(app, "1052 sha256")


def test_hostile_values_are_shown_as_text():
    row = operation(done(1, by="\x1b[2J", verb="set \x07", object="queue \x1b]0;x\x07", name=None,
                         before={"na\x1bme": "a\r\nb"}, after={"na\x1bme": "[red]\u202e"}))  # fmt: skip

    text = "\n".join(span for line in about(row, 80, NOW, Look()) for span, _ in line)

    assert not {c for c in text if ord(c) < 32 and c != "\n"} and "\u202e" not in text
    assert "[red]" in text


async def test_a_filter_that_is_kept_before_its_answer_is_there_reads_no_further():
    app = deck(Log(450))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, "Operations 200+")
        screen.words = "x"
        screen.filtered()
        screen.post_message(Table.Moved(screen.table))
        await until(pilot, lambda: shown(app, "Operations 200+ /x"))
    assert app.failure is None
