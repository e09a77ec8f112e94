"""Tests of `taskdeck resource`."""

from __future__ import annotations

ROW = {
    "name": "license.matlab", "total": 2, "used": 1, "description": None, "created": True,
    "created_at": "2026-11-30T10:00:00.000000Z", "updated_at": "2026-11-30T10:00:00.000000Z",
}  # fmt: skip


def test_shared_resources_are_listed_with_what_is_reserved(fake_runtime, cli):
    fake_runtime(resource__ls=[ROW])

    lines = [" ".join(line.split()) for line in cli("resource", "ls").out.splitlines()]

    assert lines[1:] == ["license.matlab 1/2 –"]


def test_a_total_is_set_and_removed(fake_runtime, cli):
    runtime = fake_runtime(resource__set=ROW, resource__rm={"name": "license.matlab"})

    said = cli("resource", "set", "license.matlab", "--total", "2")

    assert said.out == "resource license.matlab created: 2 in all, for all pools\n"
    assert runtime.get_last_args("resource.set") == {"name": "license.matlab", "total": 2}
    said = cli("resource", "rm", "license.matlab")
    assert said.out == "resource license.matlab removed\n"
