"""Alerts pane of the deck."""

from __future__ import annotations

from app.core.board import AlertEntry, Board
from app.tui.panes.alerts import AlertsPane
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown


def make_alerts(*resolved: int) -> Board:
    """Return a board with eight alerts about names; some of them are resolved, so they are last."""
    rows = [
        AlertEntry(
            n, "by-six", "critical", "resolved" if n in resolved else "firing", f"etl{n}",
            "no success by Mon 30 Nov 13:25", "no success by Mon 30 Nov 13:25", NOW - n,
            resolved_at=NOW if n in resolved else None,
        )
        for n in range(1, 9)
    ]  # fmt: skip
    return Board(at=NOW, alerts=tuple(sorted(rows, key=lambda row: row.status)))


async def test_the_object_stands_before_the_text_at_80_columns():
    app = make_deck(FakeRuntime(make_alerts()))
    async with app.run_test(size=(80, 24)) as pilot:
        line = "▲ CRIT  by-six         etl1 no success by Mon 30 Nov 13:25          1s  firing"
        await wait_until(pilot, lambda: is_shown(app, line))


async def test_the_cursor_keeps_its_place_when_its_alert_is_resolved():
    app = make_deck(FakeRuntime(make_alerts()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "j")
        pane = app.screen.query_one(AlertsPane)
        assert pane.cursor == "alert:2"
        app.connection._receive_board(make_alerts(2))
        await wait_until(pilot, lambda: pane.cursor == "alert:3")
        assert is_shown(app, "+5 more")


async def test_the_frame_tells_how_many_alerts_fire_above():
    app = make_deck(FakeRuntime(make_alerts(8)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "G")
        await wait_until(pilot, lambda: is_shown(app, "4 SLA alerts 7  ↑ 5 firing"))
