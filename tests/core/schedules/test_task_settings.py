"""Tests of the settings of a schedule's tasks in words."""

from __future__ import annotations

from app.core.schedules.definition import TASK_KEYS
from app.core.schedules.task_settings import _FORMATS, list_settings


def test_settings_are_shown_with_units():
    task = {
        "argv": ["true"], "queue": "night", "timeout": 7200.0, "memory": 512.0, "retries": 0,
        "notify": "ops", "notify_on": "failed", "tags": {"a": "b"},
    }  # fmt: skip

    assert list(list_settings(task)) == [
        "queue night", "timeout 2h", "memory 512M", "retries 0", "notify ops", "notify on failed",
        "tag a=b",
    ]  # fmt: skip


def test_no_setting_is_missing():
    work = {"argv", "script", "template", "parameters", "env", "tags"}

    assert set(TASK_KEYS) - work == _FORMATS.keys()
