"""A deck that is left open: ever new rows pass through it, and its memory stays what it was."""

from __future__ import annotations

import gc
from typing import Any

import psutil

from app.core.board import Board
from tests.tui.recording_runtime import an_app, until

BOARDS = 240
"""Each brings 17 rows that were never seen before."""


def another(board: Board, turn: int) -> Board:
    """The board with rows of other tasks."""

    def new(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(row._replace(uuid=f"{turn}-{n}", number=turn * 100 + n, name=f"{row.name} {turn}") for n, row in enumerate(rows))

    return board._replace(running=new(board.running), next=new(board.next), ended=new(board.ended))


async def test_ever_new_rows_leave_nothing_behind():
    app, recording = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        first = BOARDS // 4
        for turn in range(first):
            await _show(app, pilot, recording.board, turn)
        gc.collect()
        before = _resident()
        for turn in range(first, BOARDS):
            await _show(app, pilot, recording.board, turn)
        gc.collect()
        after = _resident()
    assert after < before * 1.2, f"{before:.1f} MiB after {first} boards, {after:.1f} after {BOARDS}"
    assert app.failure is None


def _resident() -> float:
    """MiB of this process in memory."""
    return psutil.Process().memory_info().rss / 2**20


async def _show(app: Any, pilot: Any, board: Board, turn: int) -> None:
    app._take(another(board, turn))
    if turn % 20:
        await pilot.pause()
    else:
        await pilot.press("j", "space", "escape")
