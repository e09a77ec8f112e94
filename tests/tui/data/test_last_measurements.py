"""Last known measurements, shown with their time while no runtime is running."""

from __future__ import annotations

import pytest

from app.core.board import Board, HostFacts, RuntimeFacts
from app.tui.data.board_feed import keep_last_measurements
from tests.tui import boards
from tests.tui.boards import MINUTE, NOW
from tests.tui.recording_runtime import is_fed, make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines

pytestmark = pytest.mark.usefixtures("utc")


def make_unmeasured_board(**more: object) -> Board:
    """Return the busy board as read from the database later, without a runtime."""
    busy = boards.busy()
    board = busy._replace(
        at=NOW + 11 * MINUTE, runtime=RuntimeFacts("stopped", since=NOW, stopped_by="ann"),
        host=HostFacts("render01"),
        running=tuple(run._replace(measured_cpu=None,
        measured_memory=None) for run in busy.running),
        pools=tuple(pool._replace(measured_cpu=None, measured_memory=None) for pool in busy.pools),
    )  # fmt: skip
    return board._replace(**more)  # type: ignore[arg-type]


def test_the_last_measurements_fill_the_gaps():
    found = keep_last_measurements(make_unmeasured_board(), boards.busy())

    assert (found.running, found.pools, found.host) == (
        boards.RUNNING,
        boards.POOLS,
        boards.busy().host,
    )
    assert (found.measured_at, found.at) == (NOW, NOW + 11 * MINUTE)
    assert keep_last_measurements(make_unmeasured_board(), found) == found, (
        "and on, from one board to the next"
    )


def test_an_unmeasured_run_stays_unchanged():
    new = make_unmeasured_board(
        running=(make_unmeasured_board().running[0]._replace(runid="another"),)
    )

    assert keep_last_measurements(new, boards.busy()).running == new.running


@pytest.mark.parametrize(
    ("board", "before"),
    [
        (boards.busy(), boards.busy()._replace(at=NOW - 60)),
        (make_unmeasured_board(), None),
        (make_unmeasured_board(), Board()),
        (make_unmeasured_board(measured_at=NOW + 60), boards.busy()),
    ],
    ids=[
        "a runtime is running",
        "nothing before",
        "nothing known",
        "the database has later figures",
    ],
)
def test_other_boards_stay_unchanged(board: Board, before: Board | None):
    assert keep_last_measurements(board, before) == board


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_deck_keeps_the_last_figures_with_their_time(size: tuple[int, int]):
    app, _ = make_recorded_deck(boards.busy())
    moment = [NOW]
    app.now = lambda: moment[0]
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        app.feed.stop()
        await wait_for(pilot, lambda: app.board is not None and app.board.runtime.state == "none")
        moment[0] += 11 * MINUTE
        app.connection._apply_board(make_unmeasured_board())
        await wait_for(
            pilot,
            lambda: any("measured 10:42:07, 11m old ─" in line for line in read_screen_lines(app)),
        )
        text = "\n".join(read_screen_lines(app))

    assert "2.9/4" in text and "11.8/12G!" in text and "24.8G" in text
    assert "load 11.2" not in text, "that of eleven minutes ago is none of now"
