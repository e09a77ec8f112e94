"""Operation log screen: filtered by the runtime, loaded in pages, undone after a confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import Remote
from app.tui.app import TaskdeckApp
from app.tui.rows.operations import make_details, make_operation
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.operations import OperationScreen, OperationsScreen, parse_filter
from app.tui.screens.tasks.task import TaskScreen
from app.tui.style import Look
from app.tui.widgets.table import Table
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, make_task_row, wait_until
from tests.tui.recording_runtime import post_keys
from tests.tui.screen_text import is_shown, read_screen_lines


def make_operation_row(id: int, **values: Any) -> dict[str, Any]:
    """Return a row of `operations`."""
    return {
        "id": id, "at": f"2026-11-25T09:{id % 3600 // 60:02d}:{id % 60:02d}.000000Z", "by": "ann",
        "verb": "hold", "object": "task #1052",
        "name": "sha256 photos", "before": {"status": "queued", "hold": False},
        "after": {"status": "held", "hold": True}, "source": "deck",
        "here": True, "batch": id, "undoes": None, "undone_by": None, "undoable": True,
        "reason": "",
    } | values  # fmt: skip


QUEUE_PAUSE = {
    "object": "queue media",
    "name": None,
    "before": {"status": "active"},
    "after": {"status": "paused"},
}
ROWS = [
    make_operation_row(9), make_operation_row(8, verb="queue pause", by="bob", source="cli",
    here=False, **QUEUE_PAUSE),
    make_operation_row(7, verb="undo set priority", undoes=6, undoable=False,
    reason="it is an undo itself", after={"priority": 5}),
    make_operation_row(6, verb="set priority", undone_by=7, undoable=False,
    reason="it was undone already"),
    make_operation_row(5, verb="submit", before=None, after={"last": 1}, undoable=False,
    reason="cancel the task instead"),
]  # fmt: skip
UNDO_ANSWER = {"done": [{"id": 9, "number": 1052, "name": "sha256 photos",
"text": "hold of #1052 sha256 photos: status queued → held"}],
         "refused": [], "notes": []}  # fmt: skip


async def test_an_act_on_many_tasks_is_one_row_and_enter_opens_them() -> None:
    """List its operations in a screen of their own, and return by escape."""
    act = make_operation_row(31, verb="cancel", count=5000, tasks=5000)
    single = make_operation_row(32, batch=31, verb="cancel", object="task #1053", name="other")
    runtime = FakeRuntime(operations=lambda args: [single] if "batch" in args else [act])
    app = make_deck(runtime)
    async with app.run_test(size=(120, 30)) as pilot:
        await open_operations_screen(pilot, app, "5,000 tasks: #1052 sha256 photos, …")
        post_keys(app, "enter")
        await wait_until(pilot, lambda: is_shown(app, "1053 other"))
        assert runtime.list_args("operations")[-1]["batch"] == 31
        post_keys(app, "escape")
        await wait_until(pilot, lambda: is_shown(app, "5,000 tasks: #1052"))


class PagedOperations(FakeRuntime):
    """A fake runtime with a number of holds, newest first, returned in pages."""

    def __init__(self, count: int) -> None:
        super().__init__(operations=self.page)
        self.rows = [make_operation_row(id) for id in range(count, 0, -1)]

    def page(self, args: Mapping[str, Any]) -> list[dict[str, Any]]:
        older = [row for row in self.rows if row["id"] < args.get("before", 10**9)]
        return older[: args["limit"]] if args["words"] != ["nothing"] else []


async def open_operations_screen(
    pilot: Any, app: TaskdeckApp, text: str = "1052 s"
) -> OperationsScreen:
    await pilot.press("O")
    await wait_until(pilot, lambda: is_shown(app, text))
    assert isinstance(app.screen, OperationsScreen)
    return app.screen


async def test_operations_are_listed_with_their_changes_at_any_size():
    """Expect the newest first, undone ones dim, and details of the cursor row below."""
    app = make_deck(FakeRuntime(operations=ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        for width, height in ((80, 24), (120, 40), (200, 50), (60, 16)):
            await pilot.resize_terminal(width, height)
            await wait_until(pilot, lambda height=height: len(read_screen_lines(app)) == height)
            lines = read_screen_lines(app)

            assert any("ann" in line and "hold" in line and "1052 s" in line for line in lines)
            assert any(
                "bob" in line and "queue pause" in line and "queue media" in line for line in lines
            )
            assert is_shown(app, "undone")
            assert is_shown(app, "u undoes it") is (height > 16)


BACKUP_ROWS = [
    make_operation_row(9 - at, verb="db backup", object=f"backup 20261126T0{at}4540Z-increment",
    name=None, before=None, after={"bytes": at * 2**20},
         undoable=False, reason="changes to the database are final")
    for at in range(3)
]  # fmt: skip


async def test_backups_are_distinguished_and_show_their_size():
    app = make_deck(FakeRuntime(operations=BACKUP_ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app, "db backup")
        for width, height in ((80, 24), (120, 40)):
            await pilot.resize_terminal(width, height)
            await wait_until(pilot, lambda height=height: len(read_screen_lines(app)) == height)
            for at, size in enumerate(("0B", "1.0M", "2.0M")):
                assert any(
                    f"…0{at}4540Z-increment" in line and line.rstrip().endswith(size)
                    for line in read_screen_lines(app)
                )
            assert is_shown(app, "backup 20261126T004540Z-increment")  # in full, below the list


async def test_a_submission_lists_its_tasks_and_creations_have_no_old_value():
    made = make_operation_row(
        4,
        verb="queue create",
        object="queue media",
        before=None,
        after={"pool": "default", "capacity": 3},
    )
    some = make_operation_row(
        3,
        verb="submit",
        object="3 tasks #1–#3",
        name=None,
        before=None,
        after={"first": 1, "last": 3},
    )
    one = make_operation_row(2, verb="submit", before=None, after={"first": 1052, "last": 1052})
    app = make_deck(FakeRuntime(operations=[made, some, one]))
    async with app.run_test(size=(120, 40)) as pilot:
        await open_operations_screen(pilot, app, "queue create")
        assert is_shown(app, "pool default, capacity 3") and not is_shown(app, "none →")
        assert is_shown(app, "  pool         default")
        await pilot.press("j")
        await wait_until(pilot, lambda: is_shown(app, "  made         tasks #1–#3"))
        await pilot.press("j")
        await wait_until(pilot, lambda: is_shown(app, "  made         task #1052"))


async def test_the_footer_offers_to_undo_the_marks():
    app = make_deck(FakeRuntime(operations=ROWS, undo=UNDO_ANSWER))
    async with app.run_test(size=(120, 40)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("space", "space", "space")
        await wait_until(
            pilot, lambda: read_screen_lines(app)[-1].startswith(" u undo 2 marked  esc unmark")
        )


async def test_keys_typed_ahead_act_on_the_loaded_rows():
    app = make_deck(FakeRuntime(operations=ROWS, undo=UNDO_ANSWER))
    async with app.run_test(size=(80, 24)) as pilot:
        post_keys(app, "O", "space", "j")
        await wait_until(
            pilot, lambda: is_shown(app, "undo 1 marked") and app.screen.table.item.key == "7"
        )
        assert [row.key for row in app.screen.table.list_selected()] == ["9"]


async def test_ascii_mode_draws_only_ascii():
    app = make_deck(FakeRuntime(operations=ROWS), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        assert all(line.isascii() for line in read_screen_lines(app)[1:])


async def test_undo_asks_with_details_and_reports_the_result():
    answers = FakeRuntime(operations=ROWS, undo=UNDO_ANSWER)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("u")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert is_shown(app, "hold of #1052 sha256 photos: status queued → held")
        assert answers.list_args("undo") == [{"ids": [9], "dry_run": True}]

        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "Undone: hold of #1052 sha256 photos"))
        assert answers.list_args("undo")[1:] == [{"ids": [9]}]


async def test_the_question_names_operations_done_elsewhere():
    would = {
        **UNDO_ANSWER,
        "done": [{**UNDO_ANSWER["done"][0], "id": 8, "text": "queue pause of queue media"}],
    }
    app = make_deck(FakeRuntime(operations=ROWS, undo=would))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("j", "u")
        await wait_until(pilot, lambda: is_shown(app, "Done elsewhere, by bob."))
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, OperationsScreen))


async def test_a_refused_undo_shows_the_runtime_s_reason():
    refused = {
        "id": "9",
        "number": 1052,
        "message": "#1052 has changed since: priority 5 → 9 by bob, 2m ago. It was left as it is.",
    }
    answers = FakeRuntime(operations=ROWS, undo={"done": [], "refused": [refused], "notes": []})
    app = make_deck(answers)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("u")
        await wait_until(
            pilot,
            lambda: is_shown(app, "Not undone: #1052 has changed since: priority 5 → 9 by bob"),
        )
        assert len(answers.list_args("undo")) == 1


async def test_an_irreversible_operation_says_why_without_a_call():
    answers = FakeRuntime(operations=ROWS)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("G", "u")
        await wait_until(
            pilot, lambda: is_shown(app, "It cannot be undone: cancel the task instead.")
        )
        assert answers.list_args("undo") == []


async def test_marked_operations_are_undone_together():
    answers = FakeRuntime(operations=ROWS, undo=UNDO_ANSWER)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("space", "space", "u")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert answers.list_args("undo") == [{"ids": [9, 8], "dry_run": True}]


async def test_read_only_mode_says_why_nothing_is_undone():
    answers = FakeRuntime(operations=ROWS)
    app = make_deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("u")
        await wait_until(pilot, lambda: is_shown(app, "Read only"))
        assert answers.list_args("undo") == []


async def test_enter_opens_an_operation_and_then_its_task():
    schema = {
        "before": {"schema": {"script": "a\nb"}, "timeout": 60.0},
        "after": {"schema": {"script": "a\nc"}, "timeout": None},
    }
    app = make_deck(
        FakeRuntime(
            operations=[make_operation_row(9, verb="set x", **schema)], show=make_task_row()
        )
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: isinstance(app.screen, OperationScreen) and is_shown(app, "timeout")
        )
        assert is_shown(app, "1m → no limit") and is_shown(app, " ↵ its task  u undo  j k move")
        assert is_shown(app, '-   "script": "a\\nb"') and is_shown(app, '+   "script": "a\\nc"')
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_an_operation_can_be_undone_from_its_own_screen():
    answers = FakeRuntime(operations=ROWS, undo=UNDO_ANSWER)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, OperationScreen))
        await pilot.press("u")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert answers.list_args("undo") == [{"ids": [9], "dry_run": True}]


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
def test_the_filter_line_becomes_arguments_of_the_call(text: str, args: dict[str, Any], fault: str):
    found, said = parse_filter(text)

    assert (found, said[: len(fault) or None]) == (args, fault)


async def test_words_are_searched_by_the_runtime():
    answers = PagedOperations(30)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        await pilot.press("slash", *"nothing")
        await wait_until(pilot, lambda: is_shown(app, "No operation matches the filter."))
        assert answers.list_args("operations")[-1]["words"] == ["nothing"]
        await pilot.press("escape")
        await wait_until(pilot, lambda: is_shown(app, "1052 sha256"))


async def test_submits_are_left_out_until_f_or_the_filter_asks_for_them():
    answers = FakeRuntime(operations=ROWS)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_operations_screen(pilot, app)
        assert answers.list_args("operations")[-1]["without"] == "submit"
        await wait_until(pilot, lambda: is_shown(app, "f submits too"))
        await pilot.press("f")
        await wait_until(pilot, lambda: is_shown(app, "f without submits"))
        assert "without" not in answers.list_args("operations")[-1]
        await pilot.press("f", "slash", *"verb:submit")
        await wait_until(pilot, lambda: answers.list_args("operations")[-1].get("verb") == "submit")
        assert "without" not in answers.list_args("operations")[-1]


async def test_the_next_page_loads_as_the_cursor_nears_the_end():
    answers = PagedOperations(450)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_operations_screen(pilot, app, "Operations 200+")
        for count in ("400+", "450 "):
            await pilot.press("G")
            await wait_until(pilot, lambda count=count: is_shown(app, f"Operations {count}"))
        await pilot.press("G")
        assert screen.table.cursor == "1"

        answers.rows.insert(0, make_operation_row(451))
        screen.reread()
        await wait_until(pilot, lambda: is_shown(app, "Operations 451 "))
        assert screen.table.cursor == "1"


async def test_a_failed_read_keeps_the_rows():
    answers = FakeRuntime(operations=ROWS)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_operations_screen(pilot, app)
        answers.table["operations"] = Remote("the database is damaged.")
        screen.reread()
        await wait_until(pilot, lambda: is_shown(app, "the database is damaged."))
        assert is_shown(app, "1052 sha256")


def test_hostile_values_are_shown_as_plain_text():
    row = make_operation(make_operation_row(1, by="\x1b[2J", verb="set \x07",
    object="queue \x1b]0;x\x07", name=None,
                         before={"na\x1bme": "a\r\nb"},
                         after={"na\x1bme": "[red]\u202e"}))  # fmt: skip

    text = "\n".join(span for line in make_details(row, 80, NOW, Look()) for span, _ in line)

    assert not {c for c in text if ord(c) < 32 and c != "\n"} and "\u202e" not in text
    assert "[red]" in text


async def test_a_new_filter_stops_the_paging_of_the_old_one():
    app = make_deck(PagedOperations(450))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_operations_screen(pilot, app, "Operations 200+")
        screen.words = "x"
        screen.apply_filter()
        screen.post_message(Table.Moved(screen.table))
        await wait_until(pilot, lambda: is_shown(app, "Operations 200+ /x"))
    assert app.failure is None
