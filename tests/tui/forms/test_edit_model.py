"""What an edit form sends, says and warns of, from what is stored and what was typed."""

from __future__ import annotations

from typing import Any

import pytest

from app.tui.forms import edit_model
from app.tui.forms.edit_model import NEW_QUEUE, NEW_RULE, POOL, QUEUE, RULE, TASK, Kind, Sheet
from app.tui.forms.edit_preview import hint, outlook
from app.tui.forms.edit_source import Source, rule_row
from tests.tui.fake_runtime import BOARD, task

MEDIA = {"name": "media", "capacity": 2, "pool": "main", "priority": 0, "description": None, "status": "active"}
GPU = {"name": "gpu", "cpu": 8.0, "memory": 32768.0, "description": "cards", "status": "active"}
RULE_ROW = {
    "name": "encode-on-time", "conditions": {"preset": "finishes-within", "value": "45m", "match": {"template": "encode"}},
    "limit": 2700.0, "severity": "critical", "enabled": True, "open": {"firing": 2},
}  # fmt: skip


def sheet(kind: Kind, *rows: dict[str, Any], **texts: str) -> Sheet:
    return Sheet(kind, rows, texts)


def only(found: Sheet) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The one deed: verb, arguments, arguments of what undoes it."""
    (deed,) = edit_model.deeds(found)
    return deed.verb, deed.args, [back.args for back in deed.undo]


def test_only_what_was_changed_is_sent_and_undo_brings_back_what_was():
    found = sheet(TASK, task(), memory="8G", cpu="4.0", timeout="")
    uuid = task()["uuid"]
    assert only(found) == (
        "set", {"ids": [uuid], "fields": {"memory": 8192.0, "timeout": None}},
        [{"ids": [uuid], "fields": {"memory": 12288.0, "timeout": 14400.0}}],
    )  # fmt: skip
    assert edit_model.deeds(found)[0].said == "Memory 12G → 8G, timeout 4h → no limit:"


def test_a_value_written_in_another_way_is_no_change():
    assert edit_model.deeds(sheet(TASK, task(), memory="12288M", timeout="240m", retries="1", cpu="4")) == []


def test_several_tasks_are_changed_in_one_field_and_undone_each_to_its_own():
    rows = [task(number=1), task(number=2, memory=1024.0), task(number=3, memory=8192.0), task(number=4)]
    found = sheet(TASK, *rows, memory="8G")
    verb, args, undo = only(found)
    one, two, _, four = (row["uuid"] for row in rows)
    assert (verb, args["ids"]) == ("set", [one, two, four])
    assert sorted((sorted(back["ids"]), back["fields"]["memory"]) for back in undo) == [([one, four], 12288.0), ([two], 1024.0)]
    assert edit_model.deeds(found)[0].said == "Memory → 8G:"


def test_a_field_in_which_rows_differ_begins_empty_and_stays_as_it_is():
    found = sheet(TASK, task(number=1, timeout=60.0), task(number=2), priority="7")
    assert found.differ(found.slot("timeout")) and found.begins(found.slot("timeout")) == ""
    assert found.changes() == {"priority": 7}
    assert not sheet(TASK, task(number=1), task(number=2), timeout="none").faults()
    assert sheet(TASK, task(number=1), task(number=2, timeout=60.0), timeout="none").changes() == {"timeout": None}


def test_the_time_to_start_at_is_set_and_taken_away():
    none, stored = task(at=""), task(at="2031-01-31T08:00:00.000000Z")
    found = sheet(TASK, none, at="2031-01-31T09:00:00Z")
    assert [args["fields"] for args in (only(found)[1], *only(found)[2])] == [{"at": "2031-01-31T09:00:00+00:00"}, {"at": "now"}]
    for word in ("", "now"):
        found = sheet(TASK, stored, at=word)
        assert [args["fields"] for args in (only(found)[1], *only(found)[2])] == [{"at": "now"}, {"at": stored["at"]}]
        assert edit_model.equal(found) == [["taskdeck", "set", "1049", "--at", "now"]]
    assert edit_model.equal(sheet(TASK, none, at="2h")) == [["taskdeck", "set", "1049", "--at", "2h"]]
    assert edit_model.deeds(sheet(TASK, stored)) == []
    assert sheet(TASK, none, at="25:70").faults()


def test_names_are_for_one_task_only():
    assert "name" not in [slot.name for slot in sheet(TASK, task(number=1), task(number=2)).slots]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"memory": "lots"}, 'Memory must be a size such as 512M or 1.5G, not "lots".'),
        ({"memory": ""}, "Memory must not be empty."),
        ({"cpu": "-1"}, 'CPU must not be negative, as "-1" is.'),
        ({"priority": "high"}, 'Priority must be a whole number, not "high".'),
        ({"retries": "10001"}, 'Retries must be 0 to 10,000, not "10001".'),
        ({"timeout": "soon"}, "Timeout must be a duration"),
        ({"name": "a/b"}, "Name must not contain"),
    ],
)
def test_what_makes_no_sense_is_told_in_the_words_of_the_service(texts: dict[str, str], words: str):
    found = sheet(TASK, task(), **texts)
    assert found.faults()[0].startswith(words)
    assert edit_model.deeds(found) == []


def test_the_state_of_a_queue_is_a_deed_of_its_own():
    found = edit_model.deeds(sheet(QUEUE, MEDIA, capacity="4", status="draining"))
    assert [(deed.verb, deed.args, [(b.verb, b.args) for b in deed.undo]) for deed in found] == [
        ("queue.set", {"name": "media", "capacity": 4}, [("queue.set", {"name": "media", "capacity": 2})]),
        ("queue.drain", {"name": "media"}, [("queue.resume", {"name": "media"})]),
    ]
    assert edit_model.equal(sheet(QUEUE, MEDIA, capacity="4", status="draining")) == [
        ["taskdeck", "queue", "set", "media", "--capacity", "4"], ["taskdeck", "queue", "drain", "media"],
    ]  # fmt: skip


def test_an_old_text_that_was_none_is_brought_back_as_empty():
    assert only(sheet(QUEUE, MEDIA, description="films"))[2] == [{"name": "media", "description": ""}]
    assert only(sheet(POOL, GPU, description=""))[1:] == ({"name": "gpu", "description": ""}, [{"name": "gpu", "description": "cards"}])


def test_a_new_queue_is_made_of_what_was_filled_in_and_undo_takes_it_away():
    found = Sheet(NEW_QUEUE, (), {"name": "night", "capacity": "2"})
    assert only(found) == ("queue.create", {"name": "night", "capacity": 2}, [{"name": "night"}])
    assert edit_model.equal(found) == [["taskdeck", "queue", "create", "night", "--capacity", "2"]]
    assert Sheet(NEW_QUEUE, (), {"capacity": "2"}).faults() == ["Name is needed."]


def test_a_rule_is_changed_by_its_parts():
    row = rule_row(RULE_ROW)
    found = sheet(RULE, row, value="1h", template="", tag="team=ml 'box=a b'", enabled="off")
    assert only(found)[1:] == (
        {"name": "encode-on-time", "value": "1h", "template": "", "tag": {"team": "ml", "box": "a b"}, "enabled": False},
        [{"name": "encode-on-time", "value": "45m", "template": "encode", "tag": {}, "enabled": True}],
    )
    assert edit_model.equal(found)[0] == [
        "taskdeck", "sla", "set", "encode-on-time", "--finishes-within", "1h", "--template", "", "--tag", "team=ml", "--tag",
        "box=a b", "--off",
    ]  # fmt: skip
    assert "Tag must be KEY=VALUE" in sheet(RULE, row, tag="team").faults()[0]
    assert "Tag must be KEY=VALUE" in sheet(RULE, row, tag="it's=").faults()[0]


def test_a_new_rule_begins_as_a_warning_that_something_finishes_in_time():
    found = Sheet(NEW_RULE, (), {"name": "a", "value": "30m", "queue": "gpu"})
    given = {"name": "a", "preset": "finishes-within", "value": "30m", "queue": "gpu", "severity": "warning"}
    assert only(found)[:2] == ("sla.create", given)
    assert edit_model.equal(found) == [
        ["taskdeck", "sla", "create", "a", "--finishes-within", "30m", "--queue", "gpu", "--severity", "warning"]
    ]


LAG = {
    "name": "fresh", "conditions": {"preset": "stays-below", "metric": "replica-lag", "value": "5m"}, "metric": "replica-lag",
    "limit": 300.0, "unit": "seconds", "severity": "critical", "enabled": True, "open": {"firing": 1},
}  # fmt: skip
LOG = LAG | {"conditions": {"preset": "stays-below", "metric": "wal-size", "value": "64M"}, "metric": "wal-size", "limit": 2.0**26}


def test_a_rule_on_a_metric_is_made_in_the_same_form():
    found = Sheet(NEW_RULE, (), {"name": "a", "preset": "wal-size", "value": "64M"})
    given = {"name": "a", "preset": "stays-below", "metric": "wal-size", "value": "64M", "severity": "warning"}
    assert only(found)[:2] == ("sla.create", given)
    assert edit_model.equal(found)[0][2:] == ["create", "a", "--metric", "wal-size", "--stays-below", "64M", "--severity", "warning"]
    assert outlook(found, BOARD) == ["Its one alert fires while wal-size is 64M or more."]
    assert hint(found, "value", BOARD) == "a size: 64M"
    assert hint(Sheet(NEW_RULE, ()), "value", BOARD) == "from its submission"


def test_a_rule_on_a_metric_is_changed_and_undone():
    found = sheet(RULE, rule_row(LAG), value="600s")
    assert only(found)[1:] == ({"name": "fresh", "value": "10m"}, [{"name": "fresh", "value": "5m"}])
    assert edit_model.equal(found) == [["taskdeck", "sla", "set", "fresh", "--metric", "replica-lag", "--stays-below", "10m"]]
    assert outlook(found, BOARD) == ["Its one alert fires while replica-lag is 10m or more. Its 1 open alert fires again where still late."]
    assert edit_model.deeds(sheet(RULE, rule_row(LAG), value="300s")) == edit_model.deeds(sheet(RULE, rule_row(LOG))) == []


def test_a_rule_on_tasks_becomes_one_on_a_metric_once_it_matches_nothing_and_undo_brings_it_back():
    row = rule_row(RULE_ROW)
    assert sheet(RULE, row, preset="replica-lag").faults() == ["Template must be empty: replica-lag is about no task."]
    found = sheet(RULE, row, preset="backup-age", value="2h", template="")
    assert only(found)[1:] == (
        {"name": "encode-on-time", "preset": "stays-below", "metric": "backup-age", "value": "2h", "template": ""},
        [{"name": "encode-on-time", "preset": "finishes-within", "value": "45m", "template": "encode"}],
    )
    other = sheet(RULE, rule_row(LAG), preset="wal-size", value="1G")
    assert only(other)[2] == [{"name": "fresh", "preset": "stays-below", "metric": "replica-lag", "value": "5m"}]


@pytest.mark.parametrize(
    ("what", "value", "fault"),
    [
        ("wal-size", "5m", 'Limit must be a size such as 64M, which wal-size is, not "5m".'),
        ("slow-queries", "5m", "Limit must be a count such as 20"),
        ("replica-lag", "64M", "Limit must be a duration such as 5m"),
        ("lock-wait", "0", "Limit must be above 0"),
        ("finishes-within", "64 parsecs", "Limit must be a duration"),
    ],
)
def test_a_limit_is_read_by_what_the_rule_asks(what: str, value: str, fault: str):
    (found,) = Sheet(NEW_RULE, (), {"name": "a", "preset": what, "value": value}).faults()
    assert found.startswith(fault)


def test_the_line_for_several_tasks_names_them_all():
    found = sheet(TASK, task(number=7), task(number=8), memory="1536M", queue="media")
    assert edit_model.equal(found) == [["taskdeck", "set", "7", "8", "--queue", "media", "--memory", "1536M"]]


def test_what_no_command_line_can_do_has_no_line():
    assert edit_model.equal(sheet(TASK, task(), timeout="", memory="8G")) == []
    assert edit_model.equal(sheet(TASK, task())) == []


def test_texts_of_others_are_cleaned_wherever_they_are_shown():
    evil = MEDIA | {"description": "a\x1b[2Jb\x07"}
    found = sheet(QUEUE, evil, description="c")
    assert "\x1b" not in found.begins(found.slot("description")) + edit_model.said(found)
    assert edit_model.deeds(sheet(QUEUE, evil)) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (sheet(TASK, task(), memory="1G", cpu="1"), "It fits what is free in pool gpu now."),
        (sheet(TASK, task(), memory="8G"), "8.0G memory asked, only 2.0G free in pool gpu: it goes on waiting."),
        (sheet(TASK, task(), memory="64G"), "64.0G memory is more than pool gpu has in all (32.0G): that is refused."),
        (sheet(TASK, task(), queue="media"), "Goes to queue media: full, 2 of 2 running, 14 wait there."),
        (sheet(TASK, task(status="running"), memory="1G"), "What runs keeps what it has; the change counts for its next attempt."),
        (sheet(TASK, task(status="failed"), memory="1G"), "It has ended: nothing of it can be changed."),
        (sheet(QUEUE, MEDIA, capacity="4"), "Capacity 2 → 4: 2 more may start now, where they fit the pool."),
        (sheet(QUEUE, MEDIA, capacity="1"), "Capacity 2 → 1: 2 run on; nothing starts until 1 has ended."),
        (sheet(QUEUE, MEDIA, status="paused"), "Nothing more starts; 2 run on, 14 wait."),
        (sheet(QUEUE, MEDIA | {"status": "paused"}, status="active"), "It starts things again: 14 wait."),
        (sheet(POOL, GPU, memory="16G"), "Memory 32.0G → 16.0G: 30.0G is reserved. What runs keeps it; nothing starts until 14.0G is"),
        (sheet(POOL, GPU, cpu="16"), "CPU 8 → 16: 10 free."),
        (sheet(POOL, GPU, memory="0"), "Nothing can start in pool gpu that asks for memory."),
        (sheet(POOL, GPU, cpu="0"), "Nothing can start in pool gpu that asks for CPU, as every task does unless it says 0."),
        (sheet(RULE, rule_row(RULE_ROW), value="1h"), "It looks at every task that has not ended. Its 2 open alerts fire again"),
        (sheet(RULE, rule_row(RULE_ROW), enabled="off"), "It is looked at no more; its 2 open alerts close."),
        (sheet(RULE, rule_row(RULE_ROW), template=""), "It looks at every task that has not ended."),
        (sheet(RULE, rule_row(RULE_ROW | {"enabled": False}), value="1h"), "It is off: nothing is late by it until it is on."),
        (Sheet(NEW_RULE, (), {"name": "a", "value": "1h"}), "Tasks that are late by it already are told of at once."),
    ],
)
def test_what_would_happen_is_said_before_it_is_saved(found: Sheet, words: str):
    assert any(said.startswith(words) for said in outlook(found, BOARD)), outlook(found, BOARD)


def test_a_rule_about_everything_says_so():
    found = Sheet(NEW_RULE, (), {"name": "a", "value": "1h"})
    assert outlook(found, BOARD)[-1] == "It is about every task: no template, queue, name or tag is named."


def test_nothing_is_foretold_of_what_was_not_changed_or_without_a_board():
    assert outlook(sheet(TASK, task()), BOARD) == []
    assert outlook(sheet(TASK, task(), memory="1G"), None) == []
    assert outlook(sheet(TASK, task(), memory="1G"), BOARD._replace(queues=(), pools=())) == []


def test_beside_the_fields_of_a_task_stands_what_its_pool_has():
    found = sheet(TASK, task())
    assert hint(found, "memory", BOARD) == "2.0G of 32.0G free in pool gpu"
    assert hint(found, "queue", BOARD) == "no room: 2 of 4, 5 waiting"
    assert hint(found, "retries", BOARD) == ""


def test_forms_of_the_same_things_share_what_was_typed_and_others_do_not():
    keys = {Source(TASK, ("a",)).key, Source(TASK, ("b",)).key, Source(QUEUE, ("a",)).key, Source(NEW_QUEUE).key}
    assert len(keys) == 4 and Source(TASK, ("a",), "other title").key == Source(TASK, ("a",)).key
