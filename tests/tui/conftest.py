"""Apps under test are looked at more often: Textual's own pace, fifty times a second, is most of what these tests take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual import _wait
from textual.css.stylesheet import Stylesheet
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from app.tui.data import heartbeat

POLL_INTERVAL = 1 / 125
"""Seconds between two looks at whether an app has come to rest."""


PARSED_STYLES: dict[str, Any] = {}
"""What styles came to, by the variables of the theme and by the styles: the same for each app of a process."""


@pytest.fixture(autouse=True)
def cached_stylesheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Styles are parsed for the first app that has them."""
    parse = Stylesheet._parse_rules

    def parse_rules(self: Stylesheet, *args: Any, **kwargs: Any) -> Any:
        key = repr((sorted(self._variables.items()), args, kwargs))
        if key not in PARSED_STYLES:
            PARSED_STYLES[key] = parse(self, *args, **kwargs)
        return PARSED_STYLES[key]

    monkeypatch.setattr(Stylesheet, "_parse_rules", parse_rules)


@pytest.fixture(autouse=True)
def fast_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait for rest looks this often."""
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", POLL_INTERVAL)
    monkeypatch.setattr(_wait, "SLEEP_IDLE", POLL_INTERVAL / 20)


@pytest.fixture(autouse=True)
def skip_idle_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every widget is at rest none is sent a message only to see that it has done all it was sent: a third of all messages."""
    wait = Pilot._wait_for_screen

    async def wait_for_screen(self: Pilot[Any], timeout: float = 30.0) -> bool:
        await asyncio.sleep(0)
        nodes = [node for screen in self.app.screen_stack[-1:] for node in (self.app, *screen.walk_children(with_self=True))]
        return bool(nodes) and all(map(_is_idle, nodes)) or await wait(self, timeout)

    monkeypatch.setattr(Pilot, "_wait_for_screen", wait_for_screen)


def _is_idle(node: MessagePump) -> bool:
    """Whether it waits for its next message, and none is there."""
    ready: Any = node._message_queue.ready_event
    return not ready.is_set() and bool(ready._waiters)


@pytest.fixture(autouse=True)
def unlimited_heartbeat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doubles of a runtime send nothing by themselves, and a test may take as long as it takes."""
    if request.module.__name__.rpartition(".")[2] != "test_heartbeat":
        monkeypatch.setattr(heartbeat, "SILENCE_LIMIT", float("inf"))
