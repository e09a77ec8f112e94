"""Edit model: requests, messages and previews from stored rows and typed texts."""

from __future__ import annotations

from typing import Any

import pytest

from app.tui.forms import edit_model
from app.tui.forms.edit_model import (
    NEW_QUEUE,
    NEW_RULE,
    POOL,
    QUEUE,
    RULE,
    TASK,
    EditKind,
    EditSheet,
)
from app.tui.forms.edit_preview import get_hint, preview_edit
from app.tui.forms.edit_source import EditSource, convert_rule
from tests.tui.fake_runtime import BOARD, make_task_row

pytestmark = pytest.mark.unit

MEDIA_QUEUE = {
    "name": "media",
    "capacity": 2,
    "pool": "main",
    "priority": 0,
    "description": None,
    "status": "active",
}
GPU_POOL = {
    "name": "gpu",
    "cpu": 8.0,
    "memory": 32768.0,
    "description": "cards",
    "status": "active",
}
RULE_ROW = {
    "name": "encode-on-time", "conditions": {"preset": "finishes-within", "value": "45m",
    "match": {"template": "encode"}},
    "limit": 2700.0, "severity": "critical", "enabled": True, "open": {"firing": 2},
}  # fmt: skip


def make_sheet(kind: EditKind, *rows: dict[str, Any], **texts: str) -> EditSheet:
    return EditSheet(kind, rows, texts)


def get_single_request(found: EditSheet) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Return the verb, the arguments and the undo arguments of the only request."""
    (deed,) = edit_model.build_save_requests(found)
    return deed.verb, deed.args, [back.args for back in deed.undo]


def test_only_changes_are_sent_and_undo_restores_them():
    found = make_sheet(TASK, make_task_row(), memory="8G", cpu="4.0", timeout="")
    uuid = make_task_row()["uuid"]
    assert get_single_request(found) == (
        "set", {"ids": [uuid], "fields": {"memory": 8192.0, "timeout": None}},
        [{"ids": [uuid], "fields": {"memory": 12288.0, "timeout": 14400.0}}],
    )  # fmt: skip
    (request,) = edit_model.build_save_requests(found)
    assert request.result_text == "Memory 12G → 8G, timeout 4h → no limit:"


def test_another_notation_of_a_value_is_no_change():
    assert (
        edit_model.build_save_requests(
            make_sheet(TASK, make_task_row(), memory="12288M", timeout="240m", retries="1", cpu="4")
        )
        == []
    )


def test_undo_restores_the_own_value_of_each_of_several_tasks():
    rows = [
        make_task_row(number=1),
        make_task_row(number=2, memory=1024.0),
        make_task_row(number=3, memory=8192.0),
        make_task_row(number=4),
    ]
    found = make_sheet(TASK, *rows, memory="8G")
    verb, args, undo = get_single_request(found)
    one, two, _, four = (row["uuid"] for row in rows)
    assert (verb, args["ids"]) == ("set", [one, two, four])
    assert sorted((sorted(back["ids"]), back["fields"]["memory"]) for back in undo) == [
        ([one, four], 12288.0),
        ([two], 1024.0),
    ]
    assert edit_model.build_save_requests(found)[0].result_text == "Memory → 8G:"


def test_a_field_with_differing_values_starts_empty_and_is_kept():
    found = make_sheet(
        TASK, make_task_row(number=1, timeout=60.0), make_task_row(number=2), priority="7"
    )
    assert (
        found.has_differences(found.find_field("timeout"))
        and found.get_initial_text(found.find_field("timeout")) == ""
    )
    assert found.find_changes() == {"priority": 7}
    assert not make_sheet(
        TASK, make_task_row(number=1), make_task_row(number=2), timeout="none"
    ).find_faults()
    assert make_sheet(
        TASK, make_task_row(number=1), make_task_row(number=2, timeout=60.0), timeout="none"
    ).find_changes() == {"timeout": None}


def test_a_command_and_a_directory_are_sent_and_restored():
    launch = {"argv": ["train", "a b"]}
    row = make_task_row(launch=launch, command="train 'a b'")
    found = make_sheet(TASK, row, command="train c | tee log", cwd="/srv")
    assert get_single_request(found)[1:] == (
        {"ids": [row["uuid"]], "fields": {"cwd": "/srv", "script": "train c | tee log"}},
        [{"ids": [row["uuid"]], "fields": {"cwd": "/home/ann/sweep", **launch}}],
    )
    assert edit_model.build_commands(found) == [
        ["taskdeck", "set", "1049", "--cwd", "/srv", "-c", "train c | tee log"]
    ]
    assert "A shell runs the command, because of | in it." in preview_edit(found, BOARD)
    argv = make_sheet(TASK, row, command="train 'x y'")
    assert get_single_request(argv)[1]["fields"] == {"argv": ["train", "x y"]}


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"status": "running"}, "A started task keeps its command and directory"),
        ({"template": "t"}, "A template makes the command: the edit is refused."),
    ],
)
def test_the_preview_names_a_command_that_stays(stored: dict[str, Any], said: str):
    found = make_sheet(TASK, make_task_row(command="a", **stored), command="b")

    assert any(line.startswith(said) for line in preview_edit(found, BOARD))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"command": "a 'b"}, "Command has an open quote."),
        ({"command": ""}, "Command must not be empty."),
        ({"cwd": "here"}, 'Directory must be an absolute path, not "here".'),
        ({"command": "c"}, "Command has several lines. To change it: taskdeck set ID -c SCRIPT"),
    ],
)
def test_a_command_that_the_field_cannot_hold_is_a_fault(texts: dict[str, str], said: str):
    stored = "a\nb" if texts.get("command") == "c" else "a"

    assert make_sheet(TASK, make_task_row(command=stored), **texts).find_faults() == [said]


def test_the_start_time_can_be_set_and_cleared():
    none, stored = make_task_row(at=""), make_task_row(at="2031-01-31T08:00:00.000000Z")
    found = make_sheet(TASK, none, at="2031-01-31T09:00:00Z")
    assert [
        args["fields"] for args in (get_single_request(found)[1], *get_single_request(found)[2])
    ] == [{"at": "2031-01-31T09:00:00+00:00"}, {"at": "now"}]
    for word in ("", "now"):
        found = make_sheet(TASK, stored, at=word)
        assert [
            args["fields"] for args in (get_single_request(found)[1], *get_single_request(found)[2])
        ] == [{"at": "now"}, {"at": stored["at"]}]
        assert edit_model.build_commands(found) == [["taskdeck", "set", "1049", "--at", "now"]]
    assert edit_model.build_commands(make_sheet(TASK, none, at="2h")) == [
        ["taskdeck", "set", "1049", "--at", "2h"]
    ]
    assert edit_model.build_save_requests(make_sheet(TASK, stored)) == []
    assert make_sheet(TASK, none, at="25:70").find_faults()


def test_only_a_single_task_has_a_name_field():
    assert "name" not in [
        slot.name
        for slot in make_sheet(TASK, make_task_row(number=1), make_task_row(number=2)).fields
    ]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"memory": "lots"}, 'Memory must be a size such as 512M or 1.5G, not "lots".'),
        ({"memory": ""}, "Memory must not be empty."),
        ({"cpu": "-1"}, 'CPU must be 0 or more, not "-1".'),
        ({"priority": "high"}, 'Priority must be a whole number, not "high".'),
        ({"retries": "10001"}, 'Retries must be 0 to 10,000, not "10001".'),
        ({"timeout": "soon"}, "Timeout must be a duration"),
        ({"name": "a/b"}, "Name must not contain"),
    ],
)
def test_invalid_values_get_the_messages_of_the_service(texts: dict[str, str], words: str):
    found = make_sheet(TASK, make_task_row(), **texts)
    assert found.find_faults()[0].startswith(words)
    assert edit_model.build_save_requests(found) == []


def test_the_state_of_a_queue_is_a_separate_request():
    found = edit_model.build_save_requests(
        make_sheet(QUEUE, MEDIA_QUEUE, capacity="4", status="draining")
    )
    assert [(deed.verb, deed.args, [(b.verb, b.args) for b in deed.undo]) for deed in found] == [
        (
            "queue.set",
            {"name": "media", "capacity": 4},
            [("queue.set", {"name": "media", "capacity": 2})],
        ),
        ("queue.drain", {"name": "media"}, [("queue.resume", {"name": "media"})]),
    ]
    assert edit_model.build_commands(make_sheet(QUEUE, MEDIA_QUEUE, capacity="4",
    status="draining")) == [
        ["taskdeck", "queue", "set", "media", "--capacity", "4"],
        ["taskdeck", "queue", "drain", "media"],
    ]  # fmt: skip


def test_undo_restores_a_missing_text_as_empty():
    assert get_single_request(make_sheet(QUEUE, MEDIA_QUEUE, description="films"))[2] == [
        {"name": "media", "description": ""}
    ]
    assert get_single_request(make_sheet(POOL, GPU_POOL, description=""))[1:] == (
        {"name": "gpu", "description": ""},
        [{"name": "gpu", "description": "cards"}],
    )


def test_a_new_queue_sends_the_filled_fields_and_undo_deletes_it():
    found = EditSheet(NEW_QUEUE, (), {"name": "night", "capacity": "2"})
    assert get_single_request(found) == (
        "queue.create",
        {"name": "night", "capacity": 2},
        [{"name": "night"}],
    )
    assert edit_model.build_commands(found) == [
        ["taskdeck", "queue", "create", "night", "--capacity", "2"]
    ]
    assert EditSheet(NEW_QUEUE, (), {"capacity": "2"}).find_faults() == ["Name is required."]


def test_a_rule_edit_sends_single_conditions():
    row = convert_rule(RULE_ROW)
    found = make_sheet(RULE, row, value="1h", template="", tag="team=ml 'box=a b'", enabled="off")
    assert get_single_request(found)[1:] == (
        {
            "name": "encode-on-time",
            "value": "1h",
            "template": "",
            "tag": {"team": "ml", "box": "a b"},
            "enabled": False,
        },
        [
            {
                "name": "encode-on-time",
                "value": "45m",
                "template": "encode",
                "tag": {},
                "enabled": True,
            }
        ],
    )
    assert edit_model.build_commands(found)[0] == [
        "taskdeck", "sla", "set", "encode-on-time", "--finishes-within", "1h", "--template", "",
        "--tag", "team=ml", "--tag",
        "box=a b", "--off",
    ]  # fmt: skip
    assert "Tag must be KEY=VALUE" in make_sheet(RULE, row, tag="team").find_faults()[0]
    assert "Tag must be KEY=VALUE" in make_sheet(RULE, row, tag="it's=").find_faults()[0]


def test_a_new_rule_defaults_to_a_finishes_within_warning():
    found = EditSheet(NEW_RULE, (), {"name": "a", "value": "30m", "queue": "gpu"})
    given = {
        "name": "a",
        "preset": "finishes-within",
        "value": "30m",
        "queue": "gpu",
        "severity": "warning",
    }
    assert get_single_request(found)[:2] == ("sla.create", given)
    assert edit_model.build_commands(found) == [
        [
            "taskdeck",
            "sla",
            "create",
            "a",
            "--finishes-within",
            "30m",
            "--queue",
            "gpu",
            "--severity",
            "warning",
        ]
    ]


LAG_RULE = {
    "name": "fresh", "conditions": {"preset": "stays-below", "metric": "replica-lag",
    "value": "5m"}, "metric": "replica-lag",
    "limit": 300.0, "unit": "seconds", "severity": "critical", "enabled": True,
    "open": {"firing": 1},
}  # fmt: skip
WAL_RULE = LAG_RULE | {
    "conditions": {"preset": "stays-below", "metric": "wal-size", "value": "64M"},
    "metric": "wal-size",
    "limit": 2.0**26,
}


def test_the_same_form_creates_a_metric_rule():
    found = EditSheet(NEW_RULE, (), {"name": "a", "preset": "wal-size", "value": "64M"})
    given = {
        "name": "a",
        "preset": "stays-below",
        "metric": "wal-size",
        "value": "64M",
        "severity": "warning",
    }
    assert get_single_request(found)[:2] == ("sla.create", given)
    assert edit_model.build_commands(found)[0][2:] == [
        "create",
        "a",
        "--metric",
        "wal-size",
        "--stays-below",
        "64M",
        "--severity",
        "warning",
    ]
    assert preview_edit(found, BOARD) == ["Its one alert fires while wal-size is 64M or more."]
    assert get_hint(found, "value", BOARD) == "a size: 64M"
    assert get_hint(EditSheet(NEW_RULE, ()), "value", BOARD) == "from its submission"


def test_a_metric_rule_can_be_changed_and_undone():
    found = make_sheet(RULE, convert_rule(LAG_RULE), value="600s")
    assert get_single_request(found)[1:] == (
        {"name": "fresh", "value": "10m"},
        [{"name": "fresh", "value": "5m"}],
    )
    assert edit_model.build_commands(found) == [
        ["taskdeck", "sla", "set", "fresh", "--metric", "replica-lag", "--stays-below", "10m"]
    ]
    assert preview_edit(found, BOARD) == [
        "Its one alert fires while replica-lag is 10m or more. Its 1 open alert fires again where"
        " still late."
    ]
    assert (
        edit_model.build_save_requests(make_sheet(RULE, convert_rule(LAG_RULE), value="300s"))
        == edit_model.build_save_requests(make_sheet(RULE, convert_rule(WAL_RULE)))
        == []
    )


def test_a_task_rule_becomes_a_metric_rule_and_is_undone():
    row = convert_rule(RULE_ROW)
    assert make_sheet(RULE, row, preset="replica-lag").find_faults() == [
        "Template must be empty: replica-lag does not apply to tasks."
    ]
    found = make_sheet(RULE, row, preset="backup-age", value="2h", template="")
    assert get_single_request(found)[1:] == (
        {
            "name": "encode-on-time",
            "preset": "stays-below",
            "metric": "backup-age",
            "value": "2h",
            "template": "",
        },
        [
            {
                "name": "encode-on-time",
                "preset": "finishes-within",
                "value": "45m",
                "template": "encode",
            }
        ],
    )
    other = make_sheet(RULE, convert_rule(LAG_RULE), preset="wal-size", value="1G")
    assert get_single_request(other)[2] == [
        {"name": "fresh", "preset": "stays-below", "metric": "replica-lag", "value": "5m"}
    ]


@pytest.mark.parametrize(
    ("what", "value", "fault"),
    [
        ("wal-size", "5m", 'Limit must be a size such as 64M for wal-size, not "5m".'),
        ("slow-queries", "5m", "Limit must be a count such as 20"),
        ("replica-lag", "64M", "Limit must be a duration such as 5m"),
        ("lock-wait", "0", "Limit must be above 0"),
        ("finishes-within", "64 parsecs", "Limit must be a duration"),
    ],
)
def test_a_limit_is_parsed_by_the_rule_s_unit(what: str, value: str, fault: str):
    (found,) = EditSheet(NEW_RULE, (), {"name": "a", "preset": what, "value": value}).find_faults()
    assert found.startswith(fault)


def test_the_shell_command_names_all_tasks():
    found = make_sheet(
        TASK, make_task_row(number=7), make_task_row(number=8), memory="1536M", queue="media"
    )
    assert edit_model.build_commands(found) == [
        ["taskdeck", "set", "7", "8", "--queue", "media", "--memory", "1536M"]
    ]


def test_edits_without_a_command_have_no_shell_command():
    row = convert_rule(
        RULE_ROW | {"conditions": RULE_ROW["conditions"] | {"match": {"tag": {"a": "b"}}}}
    )
    assert edit_model.build_commands(make_sheet(RULE, row, tag="", enabled="off")) == []
    assert edit_model.build_commands(make_sheet(TASK, make_task_row())) == []
    assert edit_model.build_commands(make_sheet(TASK, make_task_row(), timeout="")) == [
        ["taskdeck", "set", str(make_task_row()["number"]), "--timeout", "none"]
    ]


def test_stored_texts_are_sanitized_wherever_they_are_shown():
    evil = MEDIA_QUEUE | {"description": "a\x1b[2Jb\x07"}
    found = make_sheet(QUEUE, evil, description="c")
    assert "\x1b" not in found.get_initial_text(
        found.find_field("description")
    ) + edit_model.describe_changes(found)
    assert edit_model.build_save_requests(make_sheet(QUEUE, evil)) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (make_sheet(TASK, make_task_row(), memory="1G", cpu="1"), "It fits in pool gpu now."),
        (
            make_sheet(TASK, make_task_row(), memory="8G"),
            "8.0G memory requested, only 2.0G free in pool gpu: it keeps waiting.",
        ),
        (
            make_sheet(TASK, make_task_row(), memory="64G"),
            "64.0G memory exceeds the total of pool gpu (32.0G): the edit is refused.",
        ),
        (
            make_sheet(TASK, make_task_row(), queue="media"),
            "Goes to queue media: full, 2 of 2 running, 14 wait there.",
        ),
        (
            make_sheet(TASK, make_task_row(status="running"), memory="1G"),
            "The running attempt keeps its resources; the change applies to the next attempt.",
        ),
        (
            make_sheet(TASK, make_task_row(status="failed"), memory="1G"),
            "It has ended and cannot be edited.",
        ),
        (
            make_sheet(QUEUE, MEDIA_QUEUE, capacity="4"),
            "Capacity 2 → 4: 2 more tasks may start now if they fit the pool.",
        ),
        (
            make_sheet(QUEUE, MEDIA_QUEUE, capacity="1"),
            "Capacity 2 → 1: 2 tasks keep running; nothing starts until 1 of them has ended.",
        ),
        (
            make_sheet(QUEUE, MEDIA_QUEUE, status="paused"),
            "Nothing more starts. 2 running tasks continue. 14 tasks wait.",
        ),
        (
            make_sheet(QUEUE, MEDIA_QUEUE | {"status": "paused"}, status="active"),
            "Tasks start again; 14 tasks wait.",
        ),
        (
            make_sheet(POOL, GPU_POOL, memory="16G"),
            (
                "Memory 32.0G → 16.0G: 30.0G is reserved. Running tasks keep their"
                " reservations; nothing starts until 14.0G is released."
            ),
        ),
        (make_sheet(POOL, GPU_POOL, cpu="16"), "CPU 8 → 16: 10 free."),
        (
            make_sheet(POOL, GPU_POOL, memory="0"),
            "Nothing can start in pool gpu that requests memory.",
        ),
        (
            make_sheet(POOL, GPU_POOL, cpu="0"),
            "Nothing can start in pool gpu that requests CPU, as every task does by default.",
        ),
        (
            make_sheet(RULE, convert_rule(RULE_ROW), value="1h"),
            "It checks every task that has not ended. Its 2 open alerts fire again",
        ),
        (
            make_sheet(RULE, convert_rule(RULE_ROW), enabled="off"),
            "The rule stops; its 2 open alerts close.",
        ),
        (
            make_sheet(RULE, convert_rule(RULE_ROW), template=""),
            "It checks every task that has not ended.",
        ),
        (
            make_sheet(RULE, convert_rule(RULE_ROW | {"enabled": False}), value="1h"),
            "The rule is off: it raises no alerts until it is on.",
        ),
        (
            EditSheet(NEW_RULE, (), {"name": "a", "value": "1h"}),
            "Tasks already late raise an alert at once.",
        ),
    ],
)
def test_the_preview_describes_the_effect_before_saving(found: EditSheet, words: str):
    assert any(said.startswith(words) for said in preview_edit(found, BOARD)), preview_edit(
        found, BOARD
    )


def test_the_preview_warns_about_a_rule_for_every_task():
    found = EditSheet(NEW_RULE, (), {"name": "a", "value": "1h"})
    assert (
        preview_edit(found, BOARD)[-1]
        == "It applies to every task: no template, queue, name or tag is given."
    )


def test_no_preview_without_changes_or_a_board():
    assert preview_edit(make_sheet(TASK, make_task_row()), BOARD) == []
    assert preview_edit(make_sheet(TASK, make_task_row(), memory="1G"), None) == []
    assert (
        preview_edit(
            make_sheet(TASK, make_task_row(), memory="1G"), BOARD._replace(queues=(), pools=())
        )
        == []
    )


def test_task_fields_show_the_free_resources_of_the_pool():
    found = make_sheet(TASK, make_task_row())
    assert get_hint(found, "memory", BOARD) == "2.0G of 32.0G free in pool gpu"
    assert get_hint(found, "queue", BOARD) == "no room: 2 of 4, 5 waiting"
    assert get_hint(found, "retries", BOARD) == ""


def test_only_forms_of_the_same_kind_share_a_draft():
    keys = {
        EditSource(TASK, ("a",)).key,
        EditSource(TASK, ("b",)).key,
        EditSource(QUEUE, ("a",)).key,
        EditSource(NEW_QUEUE).key,
    }
    assert (
        len(keys) == 4
        and EditSource(TASK, ("a",), "other title").key == EditSource(TASK, ("a",)).key
    )


def test_a_slurm_pool_has_its_options_and_no_amounts():
    stored = {"name": "big", "policy": "priority", "ageing": 604800.0, "status": "active"}
    sheet = make_sheet(edit_model.SLURM_POOL, stored, partition="long")
    assert get_single_request(sheet) == (
        "pool.set", {"name": "big", "partition": "long"}, [{"name": "big", "partition": ""}]
    )  # fmt: skip
    assert edit_model.build_commands(sheet) == [
        ["taskdeck", "pool", "set", "big", "--partition", "long"]
    ]

    sheet = make_sheet(edit_model.SLURM_POOL, stored | {"qos": "fast"}, qos="", account="a b")
    assert sheet.find_changes() == {"qos": ""}
    assert "must be a name" in sheet.find_faults()[0]
