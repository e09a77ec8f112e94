"""Confirmations: what is affected and left out, and the full list of names."""

from __future__ import annotations

import pytest

from app.tui.actions.bulk import MAX_REVIEWED, confirm_all
from app.tui.actions.confirmations import MAX_NAMED, confirm_cancel, confirm_delete, confirm_retry
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import TaskRow
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.item_list import ItemListScreen
from app.tui.style import Look
from tests.tui import boards
from tests.tui.recording_runtime import make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines

MIXED: tuple[TaskRow, ...] = (*boards.RUNNING[:2], *boards.NEXT[:1], *boards.ENDED[:2])
MANY = tuple(
    boards.make_ended(number, f"thumbs {number}", "media", "failed", 60.0, "exit 1 after 3s")
    for number in range(1, 31)
)


def read_body(question: Question | None) -> list[str]:
    assert question is not None
    return ["".join(text for text, _ in line) for line in question.body]


@pytest.mark.parametrize(
    ("ask", "begins"), [(confirm_delete, "Delete 2 tasks with"), (confirm_retry, "Retry 2 tasks?")]
)
def test_a_question_counts_applicable_rows_and_names_the_rest(ask, begins: str):
    question = ask(MIXED, Look())
    said = read_body(question)
    assert said[0].startswith(begins)
    assert [line[2:6] for line in said if line[2:6].isdigit()] == ["1048", "1046"]
    assert "3 more are marked and excluded: not ended." in said
    assert "work lost" not in " ".join(said) and "2" in question.answers[0].label


def test_a_single_applicable_row_is_asked_about_alone():
    said = read_body(confirm_retry(MIXED[:4], Look()))
    assert (
        said[0] == "Retry #1048 thumbs S02?"
        and said[-1] == "3 more are marked and excluded: not ended."
    )


def test_nothing_is_reported_as_left_out_without_need():
    assert not [
        line for line in read_body(confirm_delete(boards.ENDED, Look())) if "left out" in line
    ]


def test_a_question_on_a_filter_counts_unnamed_tasks():
    first = [
        {"number": n, "name": f"task {n}", "status": "failed", "queue": "media"}
        for n in range(MAX_REVIEWED)
    ]
    found = {"total": 1000, "statuses": {"failed": 1000}, "first": first, "dependents": 0}
    question = confirm_all("rm", "status:failed", found, Look())
    assert read_body(question)[-1] == f"… and {1000 - MAX_NAMED} more (l lists them)"
    assert question is not None
    assert (len(question.names), question.names[-1][0][0]) == (
        MAX_REVIEWED + 1,
        f"… and {1000 - MAX_REVIEWED} more",
    )


def test_plain_style_shows_each_state_once():
    found = {"total": 2, "statuses": {"running": 2}, "first": [], "dependents": 0}
    said = read_body(confirm_all("cancel", "queue:media", found, Look(ascii=True, plain=True)))
    assert "2 running: work lost" in [line.strip() for line in said]


@pytest.mark.parametrize(
    ("count", "told"), [(1, "1 that depends on them is"), (3, "3 that depend on them are")]
)
def test_dependents_are_counted_with_a_singular(count: int, told: str):
    found = {"total": 2, "statuses": {"running": 2}, "first": [], "dependents": count}
    assert f"{told} cancelled too." in read_body(
        confirm_all("cancel", "queue:media", found, Look())
    )


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 16)])
async def test_l_lists_all_rows_and_returns_to_the_question(size: tuple[int, int]):
    app, recording = make_recorded_deck()
    async with app.run_test(size=size) as pilot:
        answers: list[str | None] = []
        app.push_screen(ChoiceScreen(confirm_delete(MANY, app.look)), answers.append)
        await wait_for(
            pilot,
            lambda: (
                any("… and 22 more (l lists them)" in line for line in read_screen_lines(app))
                or size[1] < 20
            ),
        )

        await pilot.press("l")
        await wait_for(pilot, lambda: isinstance(app.screen, ItemListScreen))
        await pilot.press("end")
        await wait_for(
            pilot, lambda: any("30 thumbs 30" in line for line in read_screen_lines(app))
        )
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert answers == []
        await pilot.press("escape")
        await wait_for(pilot, lambda: answers == [None])
    assert "rm" not in recording.verbs()


async def test_enter_gives_the_selected_answer():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        app.push_screen(ChoiceScreen(confirm_delete(MANY, app.look)), answers.append)
        await pilot.press("left")
        app.ticks.at += 1  # type: ignore[attr-defined]
        await pilot.press("enter")
        await wait_for(pilot, lambda: answers == ["y"])


async def test_enter_takes_the_marked_answer_of_a_question_about_many():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        app.push_screen(ChoiceScreen(confirm_delete(MANY, app.look)), answers.append)
        await pilot.press("enter")
        await wait_for(pilot, lambda: answers == [None])


def test_a_question_about_one_task_names_it():
    found = {"tasks": [], "dependents": []}
    one = boards.RUNNING[0]._replace(name="a very long name of a task that says " * 2)
    said = read_body(confirm_cancel([one], found, boards.NOW, Look()))
    assert said[0].startswith("Cancel #1042 a very long na") and said[0].endswith("?")
    said = read_body(confirm_retry([boards.ENDED[1]], Look()))
    assert said[0] == "Retry #1046 encode S02E03.mkv?"


@pytest.mark.parametrize(
    ("look", "below"), [(Look(), "more below ─┐"), (Look(plain=True, ascii=True), "more above)")]
)
async def test_a_list_longer_than_the_screen_says_what_is_hidden(look: Look, below: str):
    app, _ = make_recorded_deck(look=look)
    answers = [Answer(letter, f"column {letter}") for letter in "abcdefghijklmopqrstu"]
    question = Question(
        "Columns", [], [*answers, Answer("n", "as they are")], safe="n", column=True
    )
    async with app.run_test(size=(60, 16)) as pilot:
        app.push_screen(ChoiceScreen(question))
        await wait_for(pilot, lambda: any("more above" in line for line in read_screen_lines(app)))
        await pilot.press("down")
        await wait_for(
            pilot, lambda: any(below.replace("┐", "┘") in line for line in read_screen_lines(app))
        )
        assert any(
            line.strip().startswith(("┌─ Columns ─", "Columns")) for line in read_screen_lines(app)
        )
