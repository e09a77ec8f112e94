"""Tests of the messages and time arguments of `db restore`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta

import pytest

from app.cli import time_format
from app.cli.commands.db import backup, restore
from db.restore.merge.result import ReconcileResult
from tests.cli.conftest import CommandResult


def test_times_of_day_mean_the_last_one_and_durations_ago():
    now = time_format.get_local_now()
    soon = now + timedelta(minutes=2)

    assert abs(
        time_format.to_local(restore._parse_past_time("2h")) - (now - timedelta(hours=2))
    ) < timedelta(seconds=5)
    assert (
        timedelta(hours=23)
        < now - time_format.to_local(restore._parse_past_time(f"{soon:%H:%M}"))
        < timedelta(hours=25)
    )
    with pytest.raises(
        ValueError,
        match='must be a past time, such as 10:00, "yesterday 10:00", .*, not "tomorrow"',
    ):
        restore._parse_past_time("tomorrow")


def test_discarded_changes_are_listed_in_two_lines():
    dropped = {"queue": ["night"], "template": ["a", "b"], "sla": ["soon"]}
    many = ReconcileResult(
        dropped=dropped, undone={"queue pause": 1, "set priority": 2}, operations=1234
    )

    assert restore._describe_dropped(asdict(many)) == [
        "not carried over, created since: queue night, 2 templates (a, b), rule soon",
        (
            "1,234 later operations are missing from its log; their changes are lost:"
            " 1 queue pause, 2 set priority"
        ),
    ]
    assert restore._describe_dropped(asdict(ReconcileResult(operations=1))) == [
        "1 later operation is missing from its log"
    ]
    assert restore._describe_dropped(asdict(ReconcileResult())) == []


def test_replaced_databases_are_mentioned_in_a_sentence():
    file = {
        "path": "/home/t/taskdeck.db.before-restore-x",
        "at": "2026-11-25T10:42:07.000000Z",
        "bytes": 2048,
    }

    assert backup.describe_kept({"files": [], "keep": 60.0}) == ""
    one = backup.describe_kept({"files": [file], "keep": None})
    assert one.startswith(
        "1 database kept by a restore or an upgrade is in the home (2.0K). Restore the newest, "
    )
    two = backup.describe_kept({"files": [file, file], "keep": 14 * 86400.0})
    assert two.startswith(
        "2 databases kept by restores or upgrades are in the home (4.0K); all but the "
        "newest are removed after 14d. Restore the newest, "
    )
    assert two.endswith(": taskdeck db restore taskdeck.db.before-restore-x")


def test_lost_and_possibly_repeated_runs_are_reported():
    stand = {"tasks": {"held": 2}, "newest": 2, "newest_at": "2026-11-25T10:42:07.000000Z"}
    carried = asdict(
        ReconcileResult(ended=[1], held=2, unknown=1, lost=list(range(3, 15)), next=16)
    )
    told = {"backup": {"id": "b", "kind": "full", "at": "2026-11-25T10:00:00.000000Z"},
    "before": None, "after": stand,
            "carried": carried, "present": "damaged"}  # fmt: skip

    said = restore.describe_changes(told)

    assert said[1] == "now     cannot be read (damaged)" and said[2].startswith(
        "then    2 tasks (2 held), newest #2 of "
    )
    assert said[3] == "1 task ended since and is not run again: #1"
    assert (
        said[4]
        == "12 tasks submitted since cannot be read and are lost: #3 #4 #5 #6 #7 #8 #9 #10 #11 #12"
        " and 2 more"
    )
    assert said[5:] == [
        "1 run unknown to the backup; the task cannot be determined",
        "2 waiting tasks may have run already and are held; to release one: taskdeck release TASK",
        "the next task will be #16",
    ]


def test_later_user_actions_are_listed_in_one_line():
    said = restore._describe_carried(
        asdict(
            ReconcileResult(cancelled=2, stay_held=1, deleted=1, renumbered=[(1, 1004), (2, 1005)])
        )
    )
    first = restore._describe_carried(asdict(ReconcileResult(stay_held=1)))

    assert [line for many, line in said if many] == [
        "2 tasks cancelled since stay cancelled, 1 stays held, 1 stays deleted",
        "tasks renumbered: #1 is now #1004, #2 is now #1005",
    ]
    assert [line for many, line in first if many] == ["1 task held since stays held"]


def test_an_empty_id_and_stdout_as_target_are_refused(cli: Callable[..., CommandResult]):
    for words, said in [
        (("restore", "", "--dry-run"), "the ID of a backup must not be empty"),
        (("verify", ""), "the ID of a backup must not be empty"),
        (("restore", "--to", "-"), "--to needs a file: a database cannot go to stdout"),
        (("restore", "--to="), "--to must not be empty"),
    ]:
        refused = cli("db", *words)
        assert refused.code == 2 and said in refused.err, refused
