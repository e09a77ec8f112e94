"""Cell updates: only changed cells are sent, and the terminal then shows the deck's lines."""

from __future__ import annotations

from typing import Any
from unicodedata import normalize

import pyte
import pytest
from textual._compositor import ChopsUpdate

from app.core.board import Board
from app.tui.terminal.cell_updates import CellUpdate
from tests.tui import boards
from tests.tui.recording_runtime import is_fed, make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines


async def record_update(
    monkeypatch: pytest.MonkeyPatch, board: Board, *keys: str
) -> tuple[str, list[str], list[str]]:
    """Return the output for a new board and keys, the terminal's lines, and the deck's lines."""
    app, _ = make_recorded_deck()
    terminal = pyte.Screen(120, 40)
    stream = pyte.Stream(terminal)
    written: list[str] = []

    def write(screen: Any, update: Any) -> None:
        if update is not None:
            narrow = CellUpdate.from_chops(update) if isinstance(update, ChopsUpdate) else update
            written.append(narrow.render_segments(app.console))

    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.pause()
        stream.feed("\r\n".join(read_screen_lines(app)))
        monkeypatch.setattr(app, "_display", write)
        app.board = board
        await pilot.press(*keys)
        await pilot.pause()
        stream.feed("".join(written))
        return (
            "".join(written),
            [line.rstrip() for line in terminal.display],
            read_screen_lines(app),
        )


def normalize_line(line: str) -> str:
    """Return a line composed and without blanks, as pyte adds one after each wide character."""
    return normalize("NFC", line).replace(" ", "")


async def test_one_changed_figure_takes_few_bytes(monkeypatch: pytest.MonkeyPatch):
    text, terminal, drawn = await record_update(monkeypatch, boards.busy()._replace(today_ok=142))
    assert terminal == drawn
    assert len(text) < 30


async def test_wide_characters_and_a_moved_cursor_leave_no_traces(monkeypatch: pytest.MonkeyPatch):
    busy = boards.busy()
    named = zip(
        busy.running,
        ("夜间备份 b", "x夜间备份", "e\u0301", "夜", "间夜", "verify 夜间备份", "[/red]"),
        strict=True,
    )
    other = busy._replace(
        running=tuple(row._replace(name=name, output=name) for row, name in named)
    )
    _, terminal, drawn = await record_update(monkeypatch, other, "j", "space", "1", "j", "3")
    assert [normalize_line(line) for line in terminal] == [normalize_line(line) for line in drawn]
