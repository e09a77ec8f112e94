"""Title of the terminal."""

from __future__ import annotations

import pytest

from app.tui.terminal.driver import MAX_TITLE, ClickDriver


class RecordingDriver(ClickDriver):
    """A driver that keeps what it would write."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, data: str) -> None:
        self.written.append(data)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> RecordingDriver:
    monkeypatch.setenv("TERM", "xterm-256color")
    return RecordingDriver()


def test_the_title_of_before_is_saved_once_and_restored(driver: RecordingDriver):
    driver.show_title("one")
    driver.show_title("two")
    driver.restore_title()
    driver.restore_title()
    assert driver.written == ["\x1b[22;2t\x1b]2;one\x07", "\x1b]2;two\x07", "\x1b[23;2t"]


def test_a_long_title_is_cut(driver: RecordingDriver):
    driver.show_title("x" * 1000)
    assert driver.written[0].count("x") == MAX_TITLE


@pytest.mark.parametrize("term", ["linux", "dumb"])
def test_a_terminal_without_a_title_gets_none(
    driver: RecordingDriver, monkeypatch: pytest.MonkeyPatch, term: str
):
    monkeypatch.setenv("TERM", term)
    driver.show_title("one")
    driver.restore_title()
    assert driver.written == []
