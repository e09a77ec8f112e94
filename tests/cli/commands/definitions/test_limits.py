"""Tests of `taskdeck limit`."""

from __future__ import annotations

USED = {"running": 3, "cpu": 6.0, "memory": 2048.0, "resources": {"gpu": 1}}
LIMIT = {
    "name": "team=a", "running": 4, "cpu": 16.0, "memory": None, "resources": {"gpu": 2},
    "description": None, "created_at": "2026-11-30T10:00:00.000000Z",
    "updated_at": "2026-11-30T10:00:00.000000Z", "used": {"team=a": USED}, "created": True,
}  # fmt: skip
EACH = LIMIT | {"name": "team", "cpu": None, "resources": {}, "used": {"team=b": USED}}


def test_limits_are_listed_with_what_is_taken(fake_runtime, cli):
    fake_runtime(limit__ls=[LIMIT, EACH])

    lines = [" ".join(line.split()) for line in cli("limit", "ls").out.splitlines()]

    assert lines[1:] == ["team=a 3/4 6/16 – gpu 1/2", "team 4 each – – –"]


def test_a_limit_shows_what_each_value_takes(fake_runtime, cli):
    fake_runtime(limit__show=EACH)

    lines = [" ".join(line.split()) for line in cli("limit", "show", "team").out.splitlines()]

    assert "at most 4 running" in lines and "team=b 3 running, cpu 6, memory 2.0G, gpu 1" in lines


def test_a_limit_is_set_with_its_amounts(fake_runtime, cli):
    runtime = fake_runtime(limit__set=EACH | {"created": False})

    out = cli("limit", "set", "team", "--running", "4", "--gpu", "2").out

    assert runtime.get_last_args("limit.set") == {
        "name": "team", "running": 4, "resources": {"gpu": 2},
    }  # fmt: skip
    assert out == "limit team changed: at most 4 running, for each value of team\n"
