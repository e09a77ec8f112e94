"""Keys on an alert that is not about one task."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.board import AlertEntry
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.fake_runtime import UUID, FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown
from tests.tui.screens.test_alerts import make_alert_row, make_rule_answer

LATEST = UUID.format(1042)
RAN, SCHEDULED, NEITHER = (
    {"task": LATEST, "schedule": None}, {"task": None, "schedule": "nightly"},
    {"task": None, "schedule": None},
)  # fmt: skip


@pytest.mark.parametrize("screen", ["4", "7"])
@pytest.mark.parametrize(
    ("scope", "called", "about", "key", "opened"),
    [
        ("task", "etl", RAN, "enter", ("open_tasks", "name:etl")),
        ("task", "etl", RAN, "l", ("open_log", LATEST)),
        ("task", "etl", RAN, "w", ("open_why", LATEST)),
        ("task", "etl", SCHEDULED, "enter", ("open_schedule", "nightly")),
        ("task", "etl", SCHEDULED, "w", ("open_schedule", "nightly")),
        ("task", "etl", NEITHER, "enter", "No task and no schedule has the name etl."),
        ("schedule", "schedule nightly", SCHEDULED, "enter", ("open_schedule", "nightly")),
        ("queue", "queue gpu", NEITHER, "enter", ("open_tasks", "queue:gpu")),
        ("queue", "queue gpu", NEITHER, "w", ("open_why", UUID.format(1049))),
        ("queue", "queue gpu", NEITHER, "l", "queue gpu: no task to show."),
        ("host", "host", NEITHER, "enter", "media-long is about the host, not about tasks."),
    ],
)
async def test_an_alert_opens_what_it_is_about(
    monkeypatch: pytest.MonkeyPatch, screen: str, scope: str, called: str, about: dict[str, Any],
    key: str, opened: tuple[str, str] | str,
):  # fmt: skip
    rule = make_rule_answer("media-long", "critical", conditions={"scope": scope})
    row = make_alert_row(7, "media-long", "critical", task=None, object=called, text="late")
    entry = AlertEntry(7, "media-long", "critical", "firing", called, "late", "late", NOW - 60)
    runtime = FakeRuntime(
        boards.busy()._replace(alerts=(entry,)), alert_ls=[row], sla_ls=[rule], alert_silences=[],
        alert_show=row | {"rule": rule, "about": about, "task": None, "runs": []},
    )  # fmt: skip
    app = make_deck(runtime)
    found: list[tuple[str, str]] = []
    for name in ("open_tasks", "open_log", "open_why", "open_schedule", "open_task"):
        monkeypatch.setattr(app, name, lambda what, name=name, **_: found.append((name, what)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(screen)
        await wait_until(pilot, lambda: is_shown(app, "CRIT  media-long"))
        await wait_until(pilot, lambda: is_shown(app, "↵ open") is (scope != "host"))
        await pilot.press(key)
        if isinstance(opened, str):
            await wait_until(pilot, lambda: is_shown(app, opened))
        else:
            await wait_until(pilot, lambda: found == [opened])
