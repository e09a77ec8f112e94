"""Tests of the doctor's check of hooks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.health.hooks import check_hooks


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text(
        '[hooks.tell]\non = ["end"]\nargv = ["true"]\n'
        '[hooks.gone]\non = ["end"]\nargv = ["/no/such/program"]\n'
    )


def check(*states: dict[str, Any]) -> list[tuple[str, str]]:
    status = {"runtime": {"state": "running"}, "hooks": list(states)}
    return [(one.state, one.text) for one in check_hooks("/home", status)]


def make_state(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "failing": 0, "dropped": 0, "last_error": None, **more}


def test_a_missing_program_is_broken_without_a_runtime():
    assert [one.text for one in check_hooks("/home", None)] == [
        'hook gone: there is no program "/no/such/program"'
    ]


def test_failures_and_dropped_events_are_told():
    found = check(
        make_state("tell", failing=2, last_error="sh ended with 3", dropped=1200),
        make_state("gone"),
    )
    assert found == [
        ("broken", "hook tell failed 2 times since its last success: sh ended with 3"),
        ("hint", "hook tell is too slow: 1,200 events were left out so far"),
        ("broken", 'hook gone: there is no program "/no/such/program"'),
    ]


def test_a_hook_that_the_runtime_does_not_know_is_a_hint():
    assert check(make_state("gone"))[0] == (
        "hint", "hook tell is not followed: the runtime uses other settings",
    )  # fmt: skip
