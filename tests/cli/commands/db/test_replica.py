"""Tests of the messages of `db replica`."""

from __future__ import annotations

NO_REPLICA = {
    "target": None,
    "at": None,
    "lag": None,
    "late": False,
    "problem": None,
    "promoted": False,
}


def test_off_names_the_former_target(fake_runtime, cli):
    fake_runtime(db__replica__off={**NO_REPLICA, "was": "/mnt/second"})

    assert cli("db", "replica", "off") == (
        0,
        "replica off: /mnt/second no longer receives copies; its files remain.\n",
        "",
    )


def test_off_without_a_replica_says_so(fake_runtime, cli):
    fake_runtime(db__replica__off={**NO_REPLICA, "was": None})

    assert (
        cli("db", "replica", "off").out
        == "there is no replica. To create a replica: taskdeck db replica set FOLDER\n"
    )


def test_the_help_explains_each_action(cli):
    said = " ".join(cli("db", "replica", "--help").out.split())

    assert (
        "[set FOLDER | status | off]" in said
        and "off: stop" in said
        and "HOST:FOLDER over ssh" in said
    )
