"""Without a runtime the deck shows what was measured last, and when."""

from __future__ import annotations

import pytest

from app.core.board import Board, HostFacts, RuntimeFacts
from app.tui.data.board_feed import with_last_known
from tests.tui import boards
from tests.tui.boards import MINUTE, NOW
from tests.tui.recording_runtime import an_app, fed, until
from tests.tui.screen_text import screen_text

pytestmark = pytest.mark.usefixtures("utc")


def unmeasured(**more: object) -> Board:
    """What the database knows of the busy board a while later, without a runtime."""
    busy = boards.busy()
    board = busy._replace(
        at=NOW + 11 * MINUTE, runtime=RuntimeFacts("stopped", since=NOW, stopped_by="ann"), host=HostFacts("render01"),
        running=tuple(run._replace(measured_cpu=None, measured_memory=None) for run in busy.running),
        pools=tuple(pool._replace(measured_cpu=None, measured_memory=None) for pool in busy.pools),
    )  # fmt: skip
    return board._replace(**more)  # type: ignore[arg-type]


def test_what_was_measured_last_stands_in_for_what_is_not():
    found = with_last_known(unmeasured(), boards.busy())

    assert (found.running, found.pools, found.host) == (boards.RUNNING, boards.POOLS, boards.busy().host)
    assert (found.measured_at, found.at) == (NOW, NOW + 11 * MINUTE)
    assert with_last_known(unmeasured(), found) == found, "and on, from one board to the next"


def test_a_run_that_nobody_measured_is_left_as_it_is():
    new = unmeasured(running=(unmeasured().running[0]._replace(runid="another"),))

    assert with_last_known(new, boards.busy()).running == new.running


@pytest.mark.parametrize(
    ("board", "before"),
    [
        (boards.busy(), boards.busy()._replace(at=NOW - 60)),
        (unmeasured(), None),
        (unmeasured(), Board()),
        (unmeasured(measured_at=NOW + 60), boards.busy()),
    ],
    ids=["a runtime is up", "nothing before", "nothing known", "the database has later figures"],
)
def test_else_a_board_is_shown_as_it_came(board: Board, before: Board | None):
    assert with_last_known(board, before) == board


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_deck_keeps_the_figures_when_the_runtime_goes_and_says_of_when_they_are(size: tuple[int, int]):
    app, _ = an_app(boards.busy())
    moment = [NOW]
    app.now = lambda: moment[0]
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: fed(app))
        app.feed.stop()
        await until(pilot, lambda: app.board is not None and app.board.runtime.state == "none")
        moment[0] += 11 * MINUTE
        app._take(unmeasured())
        await until(pilot, lambda: any("measured 10:42:07, 11m old ─" in line for line in screen_text(app)))
        text = "\n".join(screen_text(app))

    assert "2.9/4" in text and "11.8/12G!" in text and "24.8G" in text
    assert "load 11.2" not in text, "that of eleven minutes ago is none of now"
