"""What `db restore` says and which moments it understands."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from app.cli import db_restore, times
from db.ledger import Carried


def test_a_time_of_day_is_the_last_one_and_a_duration_is_so_long_ago():
    now = times.local_now()
    soon = now + timedelta(minutes=2)

    assert abs(db_restore._moment("2h") - (now - timedelta(hours=2))) < timedelta(seconds=5)
    assert timedelta(hours=23) < now - db_restore._moment(f"{soon:%H:%M}") < timedelta(hours=25)


def test_what_is_lost_or_may_have_run_is_said():
    stand = {"tasks": {"held": 2}, "newest": 2, "newest_at": "2026-11-25T10:42:07.000000Z"}
    carried = asdict(Carried(ended=[1], held=2, unknown=1, lost=list(range(3, 15)), next=16))
    told = {"backup": {"id": "b", "kind": "full", "at": "2026-11-25T10:00:00.000000Z"}, "before": None, "after": stand,
            "carried": carried, "present": "damaged"}  # fmt: skip

    said = db_restore.changes(told)

    assert said[1] == "now     cannot be read (damaged)" and said[2].startswith("then    2 tasks (2 held), newest #2 of ")
    assert said[3] == "1 task ended since and is not run again: #1"
    assert said[4] == "12 tasks submitted since cannot be read and are lost: #3 #4 #5 #6 #7 #8 #9 #10 #11 #12 and 2 more"
    assert said[5:] == [
        "1 run since then: it cannot be known of which task",
        "so 2 waiting tasks may have run and are held; to let one go: taskdeck release TASK",
        "the next task will be #16",
    ]


def test_what_people_wished_since_is_said_in_one_line():
    said = db_restore._carried(asdict(Carried(cancelled=2, stay_held=1, deleted=1, renumbered=[(1, 1004), (2, 1005)])))
    first = db_restore._carried(asdict(Carried(stay_held=1)))

    assert [line for many, line in said if many] == [
        "2 tasks cancelled since stay cancelled, 1 stays held, 1 stays deleted",
        "numbers that the backup has given to others: #1 is now #1004, #2 is now #1005",
    ]
    assert [line for many, line in first if many] == ["1 task held since stays held"]
