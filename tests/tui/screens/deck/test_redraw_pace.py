"""Pace of redrawing the panes of an idle deck."""

from __future__ import annotations

import pytest

from app.core.board import Board, RuntimeFacts
from app.tui.screens.deck.redraw_pace import (
    LIVELY_SECONDS,
    QUIET_INTERVAL,
    RedrawPace,
    counts_seconds,
    drop_measurements,
)
from tests.tui import boards
from tests.tui.boards import NOW

pytestmark = pytest.mark.unit


def make_quiet_board() -> Board:
    """Return a board on which nothing runs and all ages are hours."""
    busy = boards.busy()
    return busy._replace(
        running=(),
        alerts=(),
        next=tuple(
            row._replace(since=NOW - 7200, starts_in=None, starts_at=None) for row in busy.next
        ),
        ended=tuple(row._replace(ended_at=NOW - 7200) for row in busy.ended),
        queues=tuple(queue._replace(oldest_at=NOW - 7200) for queue in busy.queues),
    )


def test_a_quiet_deck_is_redrawn_each_ten_seconds_and_after_changes():
    pace, board = RedrawPace(), make_quiet_board()
    assert pace.is_due(board, NOW, 100.0)
    pace.record_change(100.0)

    drawn = [at for at in range(101, 141) if pace.is_due(board, NOW, float(at))]

    lively = list(range(101, 100 + int(LIVELY_SECONDS)))
    assert drawn == [*lively, *range(lively[-1] + int(QUIET_INTERVAL), 141, int(QUIET_INTERVAL))]


def test_only_figures_in_seconds_keep_the_pace():
    quiet = make_quiet_board()
    first, *rest = quiet.next
    lively = [
        boards.busy(),
        quiet._replace(running=boards.busy().running),
        quiet._replace(alerts=boards.busy().alerts),
        quiet._replace(next=(first._replace(since=NOW - 30), *rest)),
        quiet._replace(next=(first._replace(starts_in=300.0), *rest)),
        quiet._replace(next=(first._replace(starts_at=NOW + 300), *rest)),
        quiet._replace(ended=(quiet.ended[0]._replace(ended_at=NOW - 5),)),
        quiet._replace(runtime=RuntimeFacts("none", since=NOW - 9)),
        quiet._replace(at=NOW - 60),
    ]

    assert not counts_seconds(quiet, NOW)
    assert all(counts_seconds(board, NOW) for board in lively)


def test_measurements_alone_make_no_new_board():
    board = make_quiet_board()
    measured = board._replace(
        at=NOW + 2,
        host=board.host._replace(load=9.0, cpu_used=1.5, disk_free=1),
        runtime=board.runtime._replace(tick_lag=0.5),
    )

    assert drop_measurements(measured) == drop_measurements(board)
    assert drop_measurements(board._replace(today_ok=9999)) != drop_measurements(board)
    full = board._replace(database="disk full")
    assert drop_measurements(full) == full
