"""Key help: columns, search, and its place on the screen."""

from __future__ import annotations

import pytest
from textual.binding import Binding

from app.core.text.sanitize import measure_width
from app.tui.screens.dialogs.keys import HelpScreen, find_groups, lay_out_groups, list_key_groups
from tests.tui.recording_runtime import is_fed, make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines
from tests.tui.widgets.test_modal import read_terminal_lines

BINDINGS = [
    Binding(letter, "act", f"{group} {letter}", id=f"{group}.{letter}")
    for group, letters in (("task", "abcdef"), ("place", "ghij"), ("deck", "klmn"), ("app", "op"))
    for letter in letters
]


@pytest.mark.unit
@pytest.mark.parametrize(("width", "columns"), [(78, 1), (118, 2), (184, 3)])
def test_keys_use_the_width_in_columns(width: int, columns: int):
    lines = lay_out_groups(list_key_groups(BINDINGS), width)

    assert max(len(line.spans) for line in lines) == columns
    assert all(measure_width("".join(text for text, _ in line.spans)) <= width for line in lines)
    assert sum(key != "" for line in lines for _, key in line.keys) == len(BINDINGS)


@pytest.mark.unit
def test_the_search_looks_at_keys_descriptions_and_headings():
    groups = list_key_groups(BINDINGS)

    assert [row.key for group in find_groups(groups, "DECK m") for row in group.rows] == ["m"]
    assert [group.title for group in find_groups(groups, "places")] == ["Places"]
    assert find_groups(groups, "nothing") == []


@pytest.mark.unit
def test_keys_of_the_row_come_before_those_of_places():
    found = [Binding("x", "act", "x", id=f"{group}.x") for group in ("app", "place", "schedule")]

    titles = [group.title for group in list_key_groups(found)]

    assert titles[:2] == ["On a schedule", "Places"]


async def test_slash_searches_the_keys_and_esc_shows_all_again():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("question_mark", "slash", *"priority")
        await wait_for(pilot, lambda: "Priority up" in "\n".join(read_screen_lines(app)))
        assert "Log" not in "\n".join(read_screen_lines(app))
        await pilot.press("enter")
        await wait_for(pilot, lambda: "Keys /priority" in "\n".join(read_screen_lines(app)))
        await pilot.press("slash", "escape")
        await wait_for(pilot, lambda: "more below" in "\n".join(read_screen_lines(app)))
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("q")
        await wait_for(pilot, lambda: not isinstance(app.screen, HelpScreen))


@pytest.mark.parametrize("key", ["question_mark", "colon", "w", "X"])
async def test_a_box_is_as_wide_as_a_narrow_screen(key: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press(key)
        await wait_for(
            pilot, lambda: any(line.startswith("┌─") for line in read_terminal_lines(app))
        )
        lines = read_terminal_lines(app)
        top = next(n for n, line in enumerate(lines) if line.startswith("┌─"))
        end = next(n for n, line in enumerate(lines) if line.startswith("└─"))
        assert {(line[0], line[-1]) for line in lines[top + 1 : end]} == {("│", "│")}
