"""Form of a schedule: faults, requests with undo, command lines and the preview."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.text.sanitize import MASK
from app.tui.forms.edit_model import EditSheet
from app.tui.forms.schedule_model import (
    NEW_SCHEDULE,
    SCHEDULE,
    build_schedule_commands,
    build_schedule_requests,
    convert_schedule,
    preview_schedule,
)
from tests.tui.boards import NOW
from tests.tui.fake_home import make_schedule_row

CONTEXT = {"cwd": "/srv", "umask": 18, "env": {"A": "1"}}


def make_new(**texts: str) -> EditSheet:
    given = {"name": "poll", "expression": "0 2 * * *", "timezone": "UTC", "command": "./poll"}
    return EditSheet(NEW_SCHEDULE, (), given | texts)


def make_old(row: dict[str, Any], **texts: str) -> EditSheet:
    return EditSheet(SCHEDULE, (convert_schedule(row),), texts)


OLD = make_schedule_row(
    "etl", task={"argv": ["./etl", "a b"], "queue": "etl", "timeout": 600.0}, jitter=300.0
)
THUMBS = make_schedule_row(
    "thumbs", kind="every", expression="600",
    task={"template": "thumbs", "parameters": {"input": "/srv/in", "width": 320}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ({"expression": ""}, "Expression is required, such as 0 2 * * *."),
        ({"expression": "* * * * * *"}, "must have 5 fields"),
        ({"expression": "0 25 * * *"}, 'has a wrong hour: "25"'),
        ({"kind": "every", "expression": "0.2s"}, "must be at least 1s"),
        ({"kind": "boot"}, "Expression must be empty: at each boot has none."),
        ({"timezone": "Europe/Belrin"}, "nearest: Europe/Berlin"),
        ({"command": ""}, "What should it run? Give a command or a template."),
        ({"template": "thumbs"}, "Give a command or a template, not both."),
        ({"command": "it's"}, "Command has an open quote."),
        ({"parameters": "a=1"}, "Parameters must be empty: a command has none."),
        ({"command": "", "template": "t", "parameters": "a"}, "must be NAME=VALUE"),
        ({"command": "", "template": "t", "parameters": "a:={"}, "must have JSON after :="),
        ({"command": "", "template": "t", "parameters": f"a={MASK}"}, "type the secret again"),
        ({"jitter": "soon"}, "Jitter must be a duration"),
        ({"until": "2020-01-01"}, "Until must be in the future"),
    ],
)
def test_a_fault_says_what_to_type(texts: dict[str, str], fault: str):
    assert fault in " ".join(make_new(**texts).find_faults())


def test_a_script_may_hold_an_apostrophe():
    assert make_new(command="echo it's | cat").find_faults() == []


def test_a_command_is_split_and_shell_text_becomes_a_script():
    (words,) = build_schedule_requests(make_new(command="./poll 'a b'"), CONTEXT)
    (script,) = build_schedule_requests(make_new(command="cd /tmp && ./poll"), CONTEXT)

    assert words.args["argv"] == ["./poll", "a b"] and "script" not in words.args
    assert script.args["script"] == "cd /tmp && ./poll" and "argv" not in script.args
    assert words.undo[0].verb == "schedule.rm" and words.args["cwd"] == "/srv"


def test_a_new_schedule_sends_recurrence_rules_and_work():
    texts = {"kind": "boot", "expression": "", "command": "", "template": "thumbs"}
    sheet = make_new(**texts, parameters="input=/srv/in width:=320", overlap="queue")

    (request,) = build_schedule_requests(sheet, CONTEXT)

    assert request.args == {
        "name": "poll", "at_boot": True, "timezone": "UTC", "overlap": "queue",
        "missed": "run-once", "template": "thumbs", "parameters": {"width": 320},
        "parameter_texts": [["input", "/srv/in"]], **CONTEXT,
    }  # fmt: skip


def test_a_form_whose_values_are_being_read_has_no_faults_of_its_own():
    assert SCHEDULE.check(EditSheet(SCHEDULE, (), {"kind": "", "command": ""})) == []


def test_the_channel_of_a_schedule_is_set_and_reset():
    (request,) = build_schedule_requests(make_old(OLD, notify="never "), CONTEXT)
    assert request.args == {"name": "etl", "notify": "", "notify_on": "never"}
    assert request.undo[0].args == {"name": "etl", "notify": "", "notify_on": ""}
    (request,) = build_schedule_requests(make_new(command="./poll", notify="ended ops"), CONTEXT)
    assert (request.args["notify"], request.args["notify_on"]) == ("ops", "ended")


def test_only_changes_are_sent_and_can_be_undone():
    (request,) = build_schedule_requests(make_old(OLD, timeout="5m", jitter=""), CONTEXT)

    assert request.args == {"name": "etl", "timeout": "5m", "jitter": ""}
    assert request.undo[0].args == {"name": "etl", "timeout": "10m", "jitter": "5m"}
    assert build_schedule_requests(make_old(OLD), CONTEXT) == []


def test_an_undo_of_other_work_restores_the_stored_words():
    (request,) = build_schedule_requests(make_old(OLD, command="./other"), CONTEXT)

    assert request.args == {"name": "etl", "argv": ["./other"]}
    assert request.undo[0].args == {"name": "etl", "argv": ["./etl", "a b"]}


def test_work_with_an_unknown_secret_has_no_undo():
    row = make_schedule_row("s", task={"template": "t", "parameters": {"token": MASK}})
    (request,) = build_schedule_requests(make_old(row, parameters="token=new"), CONTEXT)

    assert request.args["parameter_texts"] == [["token", "new"]] and request.undo == ()


def test_a_command_line_does_the_same():
    (new,) = build_schedule_commands(make_new(queue="gpu", command="./poll -x"))
    (old,) = build_schedule_commands(make_old(THUMBS, parameters="input=/b width:=9"))

    assert new == [
        "taskdeck", "schedule", "create", "poll", "--tz", "UTC", "--queue", "gpu",
        "--cron", "0 2 * * *", "--", "./poll", "-x",
    ]  # fmt: skip
    assert old == [
        "taskdeck", "schedule", "set", "thumbs", "--template", "thumbs", "-p", "input=/b",
        "-p", "width:=9",
    ]  # fmt: skip
    assert build_schedule_commands(make_new(expression="")) == []


def test_the_preview_names_the_next_fire_times():
    (text,) = preview_schedule(make_new(), NOW)

    assert text == ("Fires at 02:00 every day (UTC): tomorrow 02:00, Fri 02:00, Sat 02:00.")
    assert preview_schedule(make_new(kind="boot", expression=""), NOW) == [
        "Fires once after each boot of this machine, not now."
    ]


def test_the_preview_warns_that_a_script_is_replaced():
    row = make_schedule_row("s", task={"script": "set -e\n./a\n./b"})

    assert preview_schedule(make_old(row, command="./c"), NOW)[1:] == [
        "Its script of 3 lines is replaced by this one line."
    ]
    assert make_old(row).find_changes() == {}
