"""What is asked before something is lost: the truth about what is meant, of what is left out, and all of it by name."""

from __future__ import annotations

import pytest

from app.tui.actions.bulk import FIRST, ask_all
from app.tui.actions.confirmations import NAMED, ask_again, ask_delete
from app.tui.actions.tasks import TaskRow
from app.tui.screens.dialogs.choice import Answer, ChoiceScreen, Question
from app.tui.screens.dialogs.item_list import NamesScreen
from app.tui.style import Look
from tests.tui import boards
from tests.tui.recording_runtime import an_app, until
from tests.tui.screen_text import screen_text

MIXED: tuple[TaskRow, ...] = (*boards.RUNNING[:2], *boards.NEXT[:1], *boards.ENDED[:2])
MANY = tuple(boards.ended(number, f"thumbs {number}", "media", "failed", 60.0, "exit 1 after 3s") for number in range(1, 31))


def words(question: Question | None) -> list[str]:
    assert question is not None
    return ["".join(text for text, _ in line) for line in question.body]


@pytest.mark.parametrize(("ask", "begins"), [(ask_delete, "Delete 2 tasks with"), (ask_again, "Run 2 tasks again?")])
def test_only_what_can_be_done_is_named_and_counted_and_the_rest_is_said_to_be_left_out(ask, begins: str):
    question = ask(MIXED, Look())
    said = words(question)
    assert said[0].startswith(begins)
    assert [line[2:6] for line in said if line[2:6].isdigit()] == ["1048", "1046"]
    assert "3 more are marked, and left out: not ended." in said
    assert "work lost" not in " ".join(said) and "2" in question.answers[0].label


def test_one_that_is_left_of_many_is_asked_about_alone():
    said = words(ask_again(MIXED[:4], Look()))
    assert said[0] == "Run 1 task again?" and said[-1] == "3 more are marked, and left out: not ended."


def test_no_word_of_what_is_left_out_where_nothing_is():
    assert not [line for line in words(ask_delete(boards.ENDED, Look())) if "left out" in line]


def test_a_filter_means_more_than_is_named_and_says_how_much_more_there_is():
    first = [{"number": n, "name": f"task {n}", "status": "failed", "queue": "media"} for n in range(FIRST)]
    found = {"total": 1000, "statuses": {"failed": 1000}, "first": first, "dependants": 0}
    question = ask_all("rm", "status:failed", found, Look())
    assert words(question)[-1] == f"… and {1000 - NAMED} more (↵ lists them)"
    assert question is not None
    assert (len(question.names), question.names[-1][0][0]) == (FIRST + 1, f"… and {1000 - FIRST} more")


def test_in_a_plain_look_a_state_is_said_once():
    found = {"total": 2, "statuses": {"running": 2}, "first": [], "dependants": 0}
    said = words(ask_all("cancel", "queue:media", found, Look(ascii=True, plain=True)))
    assert "2 running: work lost" in [line.strip() for line in said]


@pytest.mark.parametrize(("count", "told"), [(1, "1 that depends on them is"), (3, "3 that depend on them are")])
def test_what_depends_on_all_is_counted_one_as_one(count: int, told: str):
    found = {"total": 2, "statuses": {"running": 2}, "first": [], "dependants": count}
    assert f"{told} cancelled too." in words(ask_all("cancel", "queue:media", found, Look()))


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 16)])
async def test_enter_lists_all_that_is_meant_and_comes_back_to_the_question(size: tuple[int, int]):
    app, recording = an_app()
    async with app.run_test(size=size) as pilot:
        answers: list[str | None] = []
        app.push_screen(ChoiceScreen(ask_delete(MANY, app.look)), answers.append)
        await until(pilot, lambda: any("… and 22 more (↵ lists them)" in line for line in screen_text(app)) or size[1] < 20)

        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NamesScreen))
        await pilot.press("end")
        await until(pilot, lambda: any("30 thumbs 30" in line for line in screen_text(app)))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert answers == []
        await pilot.press("escape")
        await until(pilot, lambda: answers == [None])
    assert "rm" not in recording.verbs()


async def test_enter_gives_another_answer_when_the_mark_was_put_on_it():
    app, _ = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        app.push_screen(ChoiceScreen(ask_delete(MANY, app.look)), answers.append)
        await pilot.press("left")
        app.ticks.at += 1  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: answers == ["y"])


@pytest.mark.parametrize(("look", "below"), [(Look(), "more below ─┐"), (Look(plain=True, ascii=True), "more above)")])
async def test_a_list_that_is_longer_than_the_screen_says_what_is_out_of_sight(look: Look, below: str):
    app, _ = an_app(look=look)
    answers = [Answer(letter, f"column {letter}") for letter in "abcdefghijklmopqrstu"]
    question = Question("Columns", [], [*answers, Answer("n", "as they are")], safe="n", column=True)
    async with app.run_test(size=(60, 16)) as pilot:
        app.push_screen(ChoiceScreen(question))
        await until(pilot, lambda: any("more above" in line for line in screen_text(app)))
        await pilot.press("down")
        await until(pilot, lambda: any(below.replace("┐", "┘") in line for line in screen_text(app)))
        assert any(line.strip().startswith(("┌ Columns ─", "Columns")) for line in screen_text(app))
