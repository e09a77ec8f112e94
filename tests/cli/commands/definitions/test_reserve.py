"""Tests of `taskdeck reserve`."""

from __future__ import annotations

from tests.cli.builders import make_past_time

ROW = {
    "name": "r1", "pool": "gpu", "tag": "team=a", "cpu": 8.0, "memory": 16384.0,
    "resources": {"gpu": 4}, "begins_at": make_past_time(3600), "ends_at": make_past_time(-3600),
    "description": None, "created_at": make_past_time(60), "updated_at": make_past_time(60),
}  # fmt: skip


def test_reserve_needs_no_second_word(fake_runtime, cli):
    runtime = fake_runtime(reserve__create=ROW)
    words = ("--pool", "gpu", "--gpu", "4", "--from", "now", "--to", "2h", "--tag", "team=a")

    for verb in (("reserve",), ("reserve", "add")):
        out = cli(*verb, *words).out
        assert runtime.get_last_args("reserve.create") == {
            "pool": "gpu", "resources": {"gpu": 4}, "begin": "now", "end": "2h", "tag": "team=a",
        }  # fmt: skip
        assert out.startswith(
            "reserved as r1: cpu 8, memory 16.0G, gpu 4 of pool gpu for team=a, from "
        )


def test_reserve_names_what_is_missing(fake_runtime, cli):
    fake_runtime()

    result = cli("reserve", "--pool", "gpu", "--from", "now")

    assert result.code == 2 and "reserve needs --tag and --to" in result.err
    words = ("--pool", "gpu", "--from", "now", "--to", "2h", "--tag", "team=a", "--tag", "team=b")
    assert "a reservation is for one tag" in cli("reserve", *words).err


def test_reservations_are_listed(fake_runtime, cli):
    fake_runtime(reserve__ls=[ROW])

    heading, line = cli("reserve", "ls").out.splitlines()

    assert heading.split() == ["NAME", "POOL", "FOR", "RESERVED", "BEGINS", "ENDS"]
    assert " ".join(line.split()).startswith("r1 gpu team=a cpu 8, memory 16.0G, gpu 4 ")
    assert fake_runtime(reserve__ls=[]) and cli("reserve", "ls").err == "no reservations yet\n"
