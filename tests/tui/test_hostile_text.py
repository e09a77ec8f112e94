"""Hostile text cannot control the terminal, in drawn strips and in the deck's real output."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from app.client import Client
from app.tui.app import TaskdeckApp
from tests.acceptance.terminal import Terminal
from tests.runtime_process import RuntimeProcess
from tests.tui import boards, hostile_home
from tests.tui.fake_runtime import wait_until as wait_until
from tests.tui.pty_process import PtyProcess
from tests.tui.recording_runtime import make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines, read_screen_segments

ROOT = Path(__file__).parents[2]
ALLOWED_SEQUENCES = re.compile(
    r"\x1b\[[0-9;]*m"  # colours
    r"|\x1b\[\d+;\d+H"  # cursor position
    # mouse clicks, focus, alternate screen, paste, sync, cursor, line wrap
    r"|\x1b\[\?(?:1000|1006|1004|1049|2004|2026|25|7)[hl]"
    # requests for sync support and the cursor position, and erasing the probe
    r"|\x1b\[\?2026\$p|\x1b\[6n|\x1b\[K"
    r"|\x1b\[[<>]\d*u"  # keyboard protocol on and off
)


def find_control_characters(text: str) -> list[str]:
    """Return the control, bidi and other characters that must never be drawn."""
    return re.findall(
        r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e0fff]",
        text,
    )


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
async def test_no_control_character_is_drawn_and_line_widths_hold(size: tuple[int, int]):
    app, _ = make_recorded_deck(boards.hostile())
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        for keys in (
            (),
            ("j",) * 9,
            ("x",),
            ("escape",),
            ("colon",),
            ("escape",),
            ("1", "j"),
            ("2",),
            ("4", "j"),
        ):
            await pilot.press(*keys)
            await pilot.pause()
            lines = read_screen_segments(app)
            assert not [
                found
                for line in lines
                for segment in line
                for found in find_control_characters(segment.text)
            ]
            assert {sum(cell_len(segment.text) for segment in line) for line in lines} == {size[0]}
    assert app.failure is None


async def test_markup_in_a_name_is_shown_verbatim():
    app, _ = make_recorded_deck(boards.hostile())
    async with app.run_test(size=(200, 50)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.pause()
        assert any(
            "[/red][bold]x[/]" in segment.text
            for line in read_screen_segments(app)
            for segment in line
        )


def test_the_real_deck_writes_no_escape_outside_the_allow_list():
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    opened = (
        ("x", "y  cancel it"),
        ("X", "continue it"),
        (":", "Commands"),
        ("?", "┌─ Keys"),
        ("/[/red]$(x)", "[/red]$(x)"),
    )
    with Terminal(
        [sys.executable, "-m", "tests.tui.run_deck", "hostile"], env, ROOT, columns=120, rows=40
    ) as deck:
        deck.wait("q quit")
        for keys, shown in opened:
            deck.type(keys).wait(shown)
            deck.press("\x1b", lambda t, shown=shown: shown not in t.text)
        deck.type("\x11")
        assert deck.end() == 0
    left = ALLOWED_SEQUENCES.sub("", deck.raw.decode("utf-8", "replace"))
    assert "\x1b" not in left
    assert not [c for c in find_control_characters(left) if c not in "\r\n"]
    assert "52;c;" not in left or "␛]52;c;" in left


SIZES = ((60, 16), (200, 50))
WALK: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("3", "g", "w"), "WhyScreen", "[|red]"),
    (("escape", "enter"), "TaskScreen", "[/red]"),
    (("q", "l"), "LogScreen", "[/red]"),
    (("w", "slash", *"100"), "LogScreen", " /100"),
    (("escape", "q", "5"), "TasksScreen", "[|red]"),
    (("6",), "TemplatesScreen", "[|red]"),
    (("enter",), "SubmitScreen", "[|red]"),
    (("tab", "tab", "tab", "x", "escape", "7"), "AlertsScreen", "[|red]"),
    (("9",), "HistoryScreen", "[|red]"),
    (("0", "O"), "OperationsScreen", "[|r"),
    (("enter",), "OperationScreen", "[/red]"),
    (("0", "3", "g", "j", "e"), "EditScreen", "[|red]"),
    (("escape", "g", "x"), "ChoiceScreen", "[|red]"),
    (("escape", "y"), "ChoiceScreen", "[|red]"),
    (("escape", "question_mark"), "HelpScreen", "Keys"),
    (("escape", "colon", *"queue"), "PaletteScreen", "[|red]"),
    (("escape", "n"), "SubmitScreen", "[|red]"),
    (("escape", "slash", "["), "DeckScreen", "[|red]"),
)  # fmt: skip
"""Keys from the deck on, the screen they lead to, and a hostile text shown there."""


async def test_every_screen_shows_hostile_text_harmlessly_at_every_size(runtime: RuntimeProcess):
    hostile_home.fill_home(runtime)
    app = TaskdeckApp(lambda: Client(runtime.home))
    async with app.run_test(size=SIZES[0]) as pilot:
        await wait_for_screen(pilot, "DeckScreen", "[|red]", SIZES[0])
        for keys, screen, words in WALK:
            await pilot.press(*keys)
            for size in SIZES:
                await pilot.resize_terminal(*size)
                await wait_for_screen(pilot, screen, words, size)
                lines = read_screen_segments(app)
                assert [
                    found
                    for line in lines
                    for segment in line
                    for found in find_control_characters(segment.text)
                ] == [], screen
                assert {sum(cell_len(segment.text) for segment in line) for line in lines} == {
                    size[0]
                }, screen
    assert app.failure is None


async def wait_for_screen(pilot: Any, screen: str, words: str, size: tuple[int, int]) -> None:
    """Wait until a screen has this size and, if not small, shows this text."""
    app = pilot.app
    await wait_until(
        pilot,
        lambda: (
            type(app.screen).__name__ == screen
            and len(read_screen_lines(app)) == size[1]
            and (size[1] < 24 or any(words in line for line in read_screen_lines(app)))
        ),
    )


def test_the_deck_requests_mouse_clicks_but_no_movements():
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    with PtyProcess(
        [sys.executable, "-m", "tests.tui.run_deck", "busy"], env=env, cwd=ROOT, size=(80, 24)
    ) as deck:
        deck.wait_for("q quit")
        deck.send(b"q")
        assert deck.finish() == 0
    assert b"\x1b[?1000h" in deck.output and b"\x1b[?1006h" in deck.output
    assert b"1003h" not in deck.output and b"1015h" not in deck.output
    assert deck.output.rstrip().endswith(
        b"7 jobs continue. 31 tasks wait. The runtime stays up (pid 4120). Back: taskdeck"
        b"   Stop the runtime: taskdeck stop"
    )
