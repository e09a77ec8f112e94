"""SilenceMeter: a runtime that does not answer is reported after seconds, with a remedy."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.client import Client
from app.config import Config
from app.tui.app import TaskdeckApp
from app.tui.data import heartbeat
from app.tui.data.heartbeat import CHECK_INTERVAL, SILENCE_LIMIT, SilenceMeter
from app.tui.style import Look
from app.tui.widgets.banner import build_banner
from tests.runtime_process import RuntimeProcess
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.fake_runtime import wait_until
from tests.tui.recording_runtime import Clock, make_recorded_deck
from tests.tui.screen_text import read_screen_lines


@pytest.fixture
def idle_runtime() -> Iterator[RuntimeProcess]:
    """Start an idle runtime in a home of its own."""
    home = Path(tempfile.mkdtemp(prefix="td-"))
    paths.make_home(home)
    found = RuntimeProcess(home)
    found.start()
    yield found
    found.kill_all()
    shutil.rmtree(home)


async def test_a_stopped_process_is_reported_and_an_idle_runtime_is_not(
    idle_runtime: RuntimeProcess, monkeypatch: pytest.MonkeyPatch
):
    """Show `NO ANSWER` with seconds, `db ?` and the remedy, and recover afterwards."""
    monkeypatch.setattr(heartbeat, "SILENCE_LIMIT", 3.0)
    pid = idle_runtime.pid
    app = TaskdeckApp(partial(Client, idle_runtime.home), home=idle_runtime.home)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: "runtime ok" in read_screen_lines(app)[0])
        heard = app.feed.notification_count
        # Two heartbeats take longer than the silence limit.
        await wait_until(pilot, lambda: app.feed.notification_count >= heard + 4)
        assert "runtime ok" in read_screen_lines(app)[0] and "db ok" in read_screen_lines(app)[0]

        os.kill(pid, signal.SIGSTOP)
        try:
            await wait_until(pilot, lambda: "✗ NO ANSWER" in read_screen_lines(app)[0])
            assert "db ?" in read_screen_lines(app)[0] and str(pid) not in read_screen_lines(app)[0]
            await pilot.press("5")
            await wait_until(
                pilot,
                lambda: len(app.screen_stack) == 2 and "✗ NO ANSWER" in read_screen_lines(app)[0],
            )
            banner = " ".join(" ".join(read_screen_lines(app)[2:4]).split())
            assert banner.startswith("✗ NO ANSWER from the runtime for ")
            assert banner.endswith(
                f"If it hangs: kill -9 {pid} && taskdeck serve. If it is stopped: kill -CONT {pid}"
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        await wait_until(
            pilot,
            lambda: (
                "runtime ok" in read_screen_lines(app)[0] and "db ok" in read_screen_lines(app)[0]
            ),
        )
        assert "NO ANSWER" not in " ".join(read_screen_lines(app))


def make_silent_board(pid: int = 4120) -> Any:
    busy = boards.busy()
    return busy._replace(runtime=busy.runtime._replace(pid=pid, unheard_since=NOW - 12))


@pytest.mark.parametrize("cells", [60, 80, 120])
@pytest.mark.parametrize("most", [1, 2])
def test_the_remedy_is_shown_at_any_width(cells: int, most: int):
    lines = [
        "".join(text for text, _ in line)
        for line in build_banner(make_silent_board(4194303), NOW, Look(), cells, most=most)
    ]
    assert len(lines) <= most and lines[0].startswith(" ✗ NO ANSWER")
    assert lines[-1].endswith("kill -CONT 4194303")


def test_the_whole_message_fits_into_80_cells():
    lines = [
        "".join(text for text, _ in line)
        for line in build_banner(make_silent_board(), NOW, Look(), 80)
    ]
    assert lines == [
        " ✗ NO ANSWER from the runtime for 12s. 7 jobs continue. If it hangs: kill -9",
        "   4120 && taskdeck serve. If it is stopped: kill -CONT 4120",
    ]


async def test_an_unfocused_deck_does_not_count_as_silence():
    """Count notifications even while nothing is drawn."""
    app, recording = make_recorded_deck()
    app.settings = Config(unfocused="still")
    ticks = Clock()
    app.ticks = ticks
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: app.feed.notification_count >= 2)
        app.app_focus = False
        for _ in range(2 * int(SILENCE_LIMIT)):
            ticks.at += CHECK_INTERVAL
            app.feed.notification_count += 1
            app.connection.check_heartbeat()
        app.app_focus = True
        app.connection.check_heartbeat()
        assert app.board == recording.board
        for _ in range(int(SILENCE_LIMIT)):
            ticks.at += CHECK_INTERVAL
            app.connection.check_heartbeat()
        await wait_until(pilot, lambda: "✗ NO ANSWER" in read_screen_lines(app)[0])
        app.feed.notification_count += 1
        app.connection.check_heartbeat()
        assert app.board == recording.board


def test_time_while_the_deck_was_stopped_does_not_count_as_silence():
    heard = SilenceMeter()
    assert [heard.update(3, ticks) for ticks in (10.0, 11.0, 12.0, 500.0)] == [0.0, 1.0, 2.0, 3.0]
    assert heard.update(4, 501.0) == 0.0
