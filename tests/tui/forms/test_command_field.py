"""Tests of a command in one field of a form."""

from __future__ import annotations

from typing import Any

import pytest

from app.tui.forms.command_field import format_work, make_work, pick_work

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "work", [{"argv": ["a", "b c", "it's", "x|y"]}, {"script": "a | b"}, {"script": "cd /srv"}]
)
def test_work_survives_the_field(work: dict[str, Any]):
    assert make_work(format_work(work)) == work


def test_a_stored_script_is_restored_as_a_script():
    assert pick_work({"argv": ["/bin/sh", "-c", "a"], "script": "a"})["script"] == "a"
