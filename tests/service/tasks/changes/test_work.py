"""Tests of changes of what a waiting task runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.service import operations as log
from app.service import registry
from app.service.context import Call
from app.service.definitions import templates
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from db.queries import reads
from db.queries.history.operations import Actor
from tests.service.calls import submit_task


async def set_work(call: Call, **fields: Any) -> dict[str, Any]:
    return await actions.set_(call, ids=[1], fields=fields)


async def record_work(call: Call, **fields: Any) -> int:
    """Change the task as the runtime does, and return the number of the operation."""
    ann = replace(call, by=Actor("ann", "cli", "here"))
    done = await registry.call_verb(ann, "set", {"ids": [1], "fields": fields})
    return done["operations"][0]


async def test_command_directory_and_variables_of_a_waiting_task_change(call: Call):
    await submit_task(call, argv=["train", "a.py"], env={"LR": "1", "KEEP": "x"})

    done = await set_work(call, argv=["train", "b.py"], cwd="/srv", env={"LR": "2", "NEW": "y"})

    row = await views.show(call, id=1)
    assert (row["launch"], row["cwd"], row["name"]) == (
        {"argv": ["train", "b.py"]},
        "/srv",
        "train b.py",
    )
    _, own = await call.db.read(reads.get_environment, row["uuid"])
    assert own == {"LR": "2", "KEEP": "x", "NEW": "y"}
    changes = done["done"][0]["changes"]
    assert changes["launch"] == [{"argv": ["train", "a.py"]}, {"argv": ["train", "b.py"]}]
    assert changes["env"] == [{"LR": "•••"}, {"LR": "••• (changed)", "NEW": "•••"}]


async def test_a_given_name_stays_and_a_script_changes_the_type(call: Call):
    await submit_task(call, name="mine")

    await set_work(call, script="b | c")

    row = await views.show(call, id=1)
    assert (row["name"], row["type"], row["launch"]["script"]) == ("mine", "shell", "b | c")


async def test_no_value_of_a_variable_leaves_the_operation_log(call: Call):
    await submit_task(call)
    await set_work(call, env={"LICENCE": "s3cr3t"})
    await set_work(call, env={"LICENCE": "0ther"})

    found = json.dumps(await log.ls(call))

    assert "LICENCE" in found and "s3cr3t" not in found and "0ther" not in found


async def test_an_undo_restores_command_directory_and_variables(call: Call):
    await submit_task(call, argv=["sort", "a"], cwd="/tmp")
    was = await views.show(call, id=1)
    operation = await record_work(call, script="x | y", cwd="/", env={"A": "1"})

    undone = await registry.call_verb(call, "undo", {"ids": [operation]})

    row = await views.show(call, id=1)
    same = ("launch", "cwd", "name", "type", "env_names")
    assert [row[key] for key in same] == [was[key] for key in same]
    assert "command sort a → x | y" in undone["done"][0]["text"]


async def test_what_a_started_task_runs_cannot_change(call: Call, worker):
    await submit_task(call)
    operation = await record_work(call, cwd="/srv")
    await worker.start(1)

    (refusal,) = (await set_work(call, argv=["b"]))["refused"]
    assert "has started" in refusal["message"]
    assert (await registry.call_verb(call, "undo", {"ids": [operation]}))["refused"][0][
        "message"
    ] == ("#1 has started.")


async def test_the_command_of_a_template_stays(call: Call):
    await templates.create(call, name="t", engine="exec", schema={"argv": ["true"]}, parameters={})
    await submit_task(call, template="t")

    (refusal,) = (await set_work(call, argv=["b"]))["refused"]
    assert "template of #1 makes its command" in refusal["message"]
    assert (await set_work(call, cwd="/"))["done"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"argv": []}, "argv must name a program"),
        ({"argv": ["a"], "script": "b"}, "not both"),
        ({"cwd": "here"}, "cwd must be an absolute path"),
        ({"env": {"A=B": "x"}}, "is not a variable name"),
        ({"env": {"A": 5}}, "env.A must be text"),
    ],
)
async def test_invalid_work_changes_nothing(call: Call, fields: dict[str, Any], said: str):
    await submit_task(call)

    with pytest.raises(Exception, match=said):
        await set_work(call, **fields)


async def test_the_search_finds_a_changed_command(call: Call):
    await submit_task(call, argv=["a"], name="n")
    await set_work(call, argv=["zebra"])

    stale = await call.db.read(
        lambda c: c.exec_driver_sql("SELECT number, changes FROM stale_texts").all()
    )
    assert [tuple(row) for row in stale] == [(1, 1)]
