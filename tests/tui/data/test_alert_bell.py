"""Bell and title for new critical alerts."""

from __future__ import annotations

import pytest

from app.config import Config
from app.core.board import AlertEntry, Board
from app.tui.data.alert_bell import AlertBell
from app.tui.panes.alerts import AlertsPane
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown


def make_alert(number: int, status: str = "firing", severity: str = "critical") -> AlertEntry:
    return AlertEntry(number, "media-long", severity, status, "queue media", "143", "143", NOW)


def make_board(*alerts: AlertEntry) -> Board:
    return Board(at=NOW, alerts=alerts)


class Listener:
    """Records what the bell announces."""

    def __init__(self) -> None:
        self.log: list[int | str] = []
        self.bell = AlertBell(
            lambda alert, _: self.log.append(alert.id), lambda: self.log.append("restored")
        )

    def hear(self, *alerts: AlertEntry) -> list[int | str]:
        """Return what one board announces."""
        self.log.clear()
        self.bell.update(make_board(*alerts))
        return list(self.log)


def test_alerts_that_fire_at_the_start_ring_no_bell():
    listener = Listener()
    assert listener.hear(make_alert(1)) == []
    assert listener.hear(make_alert(1), make_alert(2)) == [2]


def test_the_same_alert_is_announced_once():
    listener = Listener()
    listener.hear()
    assert listener.hear(make_alert(1)) == [1]
    assert listener.hear(make_alert(1, "acknowledged")) == ["restored"]
    assert listener.hear(make_alert(1)) == []


def test_several_new_alerts_ring_once():
    listener = Listener()
    listener.hear()
    assert listener.hear(make_alert(1), make_alert(2)) == [1]
    assert listener.hear(make_alert(1), make_alert(2)) == []


@pytest.mark.parametrize(
    "alert",
    [make_alert(1, "silenced"), make_alert(1, severity="warning"), make_alert(1, "pending")],
)
def test_only_a_firing_critical_alert_is_announced(alert: AlertEntry):
    listener = Listener()
    listener.hear()
    assert listener.hear(alert) == []
    assert listener.hear(make_alert(1)) == [1]


def test_the_title_returns_when_nothing_critical_fires():
    listener = Listener()
    listener.hear()
    assert listener.hear(make_alert(1)) == [1]
    assert listener.hear() == ["restored"]
    assert listener.hear() == []


def test_a_board_of_a_deck_without_an_answer_is_ignored():
    listener = Listener()
    listener.bell.update(Board())
    assert listener.hear(make_alert(1)) == []


@pytest.mark.parametrize(("setting", "rings"), [("critical", 1), ("off", 0)])
async def test_the_deck_rings_although_another_window_has_the_focus(
    monkeypatch: pytest.MonkeyPatch, setting: str, rings: int
):
    app = make_deck(FakeRuntime(boards.busy()))
    app.settings = Config(bell=setting)
    bells: list[int] = []
    monkeypatch.setattr(app, "bell", lambda: bells.append(1))
    async with app.run_test() as pilot:
        app.connection._receive_board(make_board())
        await wait_until(pilot, lambda: app._bell._known is not None)
        app.app_focus = False
        before = app._bell._known or set()
        app.connection._receive_board(make_board(make_alert(77)))
        await wait_until(pilot, lambda: app._bell._known == before | {77})
        assert len(bells) == rings


async def test_the_alert_that_rings_is_named_and_4_opens_it():
    app = make_deck(FakeRuntime(boards.busy()))
    async with app.run_test(size=(80, 24)) as pilot:
        old = [make_alert(number, "acknowledged") for number in range(1, 9)]
        app.connection._receive_board(make_board(*old))
        await wait_until(pilot, lambda: app._bell._known is not None)
        await pilot.press("4", "G", "3")
        app.connection._receive_board(make_board(make_alert(77), make_alert(78), *old))
        said = "CRIT media-long: queue media 143, and 1 more. 4 shows them."
        await wait_until(pilot, lambda: is_shown(app, said) and is_shown(app, "+7 more"))
        await pilot.press("4")
        pane = app.screen.query_one(AlertsPane)
        assert pane.cursor == "alert:77" and pane.has_focus
