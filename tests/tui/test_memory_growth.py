"""Memory of a deck left open while new rows pass through it."""

from __future__ import annotations

import gc
from typing import Any

import psutil

from app.core.board import Board
from tests.tui.recording_runtime import make_recorded_deck, wait_for

BOARD_COUNT = 240
"""Each board brings 17 new rows."""


def replace_rows(board: Board, turn: int) -> Board:
    """Return the board with the rows of other tasks."""

    def new(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            row._replace(uuid=f"{turn}-{n}", number=turn * 100 + n, name=f"{row.name} {turn}")
            for n, row in enumerate(rows)
        )

    return board._replace(running=new(board.running), next=new(board.next), ended=new(board.ended))


async def test_new_rows_do_not_grow_memory():
    app, recording = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        first = BOARD_COUNT // 4
        for turn in range(first):
            await _show_board(app, pilot, recording.board, turn)
        gc.collect()
        before = _measure_resident_mib()
        for turn in range(first, BOARD_COUNT):
            await _show_board(app, pilot, recording.board, turn)
        gc.collect()
        after = _measure_resident_mib()
    assert after < before * 1.2, (
        f"{before:.1f} MiB after {first} boards, {after:.1f} after {BOARD_COUNT}"
    )
    assert app.failure is None


def _measure_resident_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


async def _show_board(app: Any, pilot: Any, board: Board, turn: int) -> None:
    app.connection._apply_board(replace_rows(board, turn))
    if turn % 20:
        await pilot.pause()
    else:
        await pilot.press("j", "space", "escape")
