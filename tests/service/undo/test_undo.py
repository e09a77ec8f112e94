"""Undo: reverts an operation while nothing changed since, else names the later change."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service import registry
from app.service.context import Call
from app.service.tasks.inspection import views
from app.service.undo import undo
from db.queries.history.operations import Actor
from tests.service.calls import count_other_writes, execute_sql, submit_task

HERE, THERE = "pts/3 4120 81734", "pts/4 5000 91734"


@pytest.fixture
def ann(call: Call) -> Call:
    return replace(call, by=Actor("ann", "deck", HERE))


@pytest.fixture
def bob(call: Call) -> Call:
    return replace(call, by=Actor("bob", "cli", THERE))


async def call_as(call: Call, verb: str, **args: Any) -> Any:
    """Call a verb as the runtime does."""
    return await registry.call_verb(call, verb, args)


async def undo_operations(call: Call, *ids: int, **args: Any) -> list[str]:
    """Undo operations; return the descriptions and refusals."""
    found = await call_as(call, "undo", ids=list(ids) or None, **args)
    refused = [
        re.sub(" (List: |Ended tasks count).*", "", row["message"]) for row in found["refused"]
    ]
    return [row["text"] for row in found["done"]] + refused


async def show_task(call: Call, number: int = 1) -> dict[str, Any]:
    return await views.show(call, id=number)


# Submissions


async def test_a_submission_is_undone_by_cancelling_its_tasks(ann: Call):
    await call_as(ann, "submit", tasks=[{"argv": ["true"], "hold": True}] * 3)

    asked = await call_as(ann, "undo", dry_run=True)
    assert [row["back"] for row in asked["done"]] == [
        "submit of 3 tasks #1–#3, by cancelling 3 tasks"
    ]
    assert (await show_task(ann))["status"] == "held"
    answer = await call_as(ann, "undo")
    assert answer == asked | {"operations": answer["operations"]}

    assert [(await show_task(ann, number))["status"] for number in (1, 2, 3)] == ["cancelled"] * 3
    (act,) = await call_as(ann, "operations", limit=1)
    *cancels, back = await call_as(ann, "operations", batch=act["id"])
    assert [row["verb"] for row in cancels] == ["cancel"] * 3
    assert (back["verb"], back["after"]) == ("undo submit", {"cancelled": 3, "started": 0})
    with pytest.raises(Refused, match="no operation from this terminal is left to undo"):
        await call_as(ann, "undo")


async def test_undoing_a_submission_names_the_tasks_that_have_started(ann: Call, worker):
    await call_as(ann, "submit", tasks=[{"argv": ["true"]}] * 6)
    for number in (1, 2, 4):
        await worker.start(number)

    found = await call_as(ann, "undo")

    assert [row["back"] for row in found["done"]] == [
        "submit of 6 tasks #1–#6, by cancelling 3 tasks"
    ]
    assert found["notes"] == ["3 tasks have started and are left alone: #1–#2, #4."]
    assert [(await show_task(ann, number))["status"] for number in range(1, 7)] == [
        "running", "running", "cancelled", "running", "cancelled", "cancelled",
    ]  # fmt: skip


async def test_undoing_a_submission_names_other_tasks_that_are_cancelled_too(ann: Call, bob: Call):
    await call_as(ann, "submit", tasks=[{"argv": ["true"], "hold": True}] * 2)
    await call_as(bob, "submit", tasks=[{"argv": ["true"], "after": [2]}])
    await call_as(bob, "submit", tasks=[{"argv": ["true"], "after": [3]}])

    asked = await call_as(ann, "undo", dry_run=True)
    found = await call_as(ann, "undo")

    assert (
        asked["notes"]
        == found["notes"]
        == ["2 tasks depend on the submission and are cancelled, too: #3–#4."]
    )
    assert (await show_task(ann, 4))["status"] == "cancelled"


async def test_a_submission_whose_first_task_was_deleted_is_undone(ann: Call, bob: Call):
    await call_as(ann, "submit", tasks=[{"argv": ["true"], "hold": True}] * 3)
    await call_as(bob, "cancel", ids=[1])
    await call_as(bob, "rm", ids=[1])

    assert await undo_operations(ann) == ["submit of 3 tasks #1–#3, by cancelling 2 tasks"]
    assert [(await show_task(ann, number))["status"] for number in (2, 3)] == ["cancelled"] * 2


async def test_a_submission_is_undone_once_by_two_calls(ann: Call, bob: Call):
    (submitted,) = (
        await call_as(ann, "submit.lines", text='{"argv": ["true"], "hold": true}\n' * 3000)
    )["operations"]

    found = await asyncio.gather(
        *(call_as(caller, "undo", ids=[submitted]) for caller in (ann, bob))
    )

    (refused,) = [row["message"] for answer in found for row in answer["refused"]]
    assert refused == "submit of 3000 tasks #1–#3000: it was undone already."
    (done,) = [row for answer in found for row in answer["done"]]
    assert done["text"] == "submit of 3000 tasks #1–#3000, by cancelling 3,000 tasks"


async def test_a_submission_of_many_tasks_is_undone_whole(ann: Call, bob: Call):
    """Undo 500 tasks from a file, and leave another task alone."""
    await call_as(ann, "submit.lines", text='{"argv": ["true"]}\n' * 500)
    await call_as(bob, "submit", tasks=[{"argv": ["true"]}])

    assert len(await undo_operations(ann)) == 1

    counted = await execute_sql(ann, "SELECT status, count(*) FROM tasks GROUP BY status")
    assert sorted(map(tuple, counted)) == [("cancelled", 500), ("queued", 1)]


async def test_a_submission_whose_tasks_have_all_started_is_refused(ann: Call, worker):
    await call_as(ann, "submit", tasks=[{"argv": ["true"]}])
    await worker.start(1)

    assert await undo_operations(ann) == [
        "submit of #1 true leaves no task to cancel: #1 has started and is left alone."
    ]


async def test_a_run_of_a_schedule_is_undone_as_a_submission(ann: Call):
    await call_as(ann, "schedule.create", name="etl", every="1h", argv=["true"])
    await call_as(ann, "schedule.run", name="etl")

    assert await undo_operations(ann) == ["schedule run of schedule etl, by cancelling 1 task"]
    assert (await show_task(ann))["status"] == "cancelled"


# Tasks


async def test_a_hold_is_undone_and_recorded(ann: Call):
    await submit_task(ann, name="encode")
    (held,) = (await call_as(ann, "hold", ids=[1]))["operations"]

    assert await undo_operations(ann, held) == ["hold of #1 encode: status queued → held"]

    assert (await show_task(ann))["status"] == "queued"
    newest, before = await call_as(ann, "operations", limit=2)
    assert (newest["verb"], newest["undoes"], newest["after"]) == (
        "undo hold",
        held,
        {"status": "queued", "hold": False},
    )
    assert (before["undone_by"], before["undoable"], before["reason"]) == (
        newest["id"],
        False,
        "it was undone already",
    )


async def test_the_latest_batch_of_a_terminal_is_undone_then_the_previous_one(ann: Call, bob: Call):
    for _ in range(2):
        await call_as(ann, "submit", tasks=[{"argv": ["true"]}])
    await call_as(ann, "set", ids=[1], fields={"priority": 5})
    await call_as(ann, "hold", ids=[1, 2])
    await call_as(bob, "queue.pause", name="default")

    assert await undo_operations(ann) == [
        "hold of #2 true: status queued → held",
        "hold of #1 true: status queued → held",
    ]
    assert await undo_operations(ann) == ["set priority of #1 true: priority 0 → 5"]
    assert [(await show_task(ann, number))["status"] for number in (1, 2)] == ["queued", "queued"]
    again = replace(ann, by=Actor("ann", "cli", HERE))
    assert await undo_operations(again) == ["submit of #2 true, by cancelling 1 task"]


async def test_undo_offers_nothing_behind_an_operation_that_stays(ann: Call):
    await call_as(ann, "submit", tasks=[{"argv": ["true"]}])
    (held,) = (await call_as(ann, "hold", ids=[1]))["operations"]
    await call_as(ann, "checkin", name="app-dmp")

    with pytest.raises(
        Refused, match="terminal, checkin of name app-dmp, cannot be undone"
    ) as refused:
        await undo_operations(ann)

    assert refused.value.hint == "See earlier ones: taskdeck operations"
    assert (await show_task(ann, 1))["status"] == "held"
    assert len(await undo_operations(ann, held)) == 1


async def test_a_bulk_operation_that_cannot_be_undone_is_named_as_one(ann: Call):
    for _ in range(3):
        await call_as(ann, "submit", tasks=[{"argv": ["true"]}])
    await call_as(ann, "cancel", ids=[1, 2, 3])
    await call_as(ann, "retry", ids=[1, 2, 3])

    with pytest.raises(Refused, match="from this terminal, retry of 3 tasks, cannot be undone"):
        await undo_operations(ann)


async def test_a_terminal_that_did_nothing_has_nothing_to_undo(ann: Call, bob: Call):
    await submit_task(ann)
    await call_as(ann, "hold", ids=[1])

    for call in (bob, replace(ann, by="ann")):
        with pytest.raises(Refused, match="no operation from this terminal is left to undo"):
            await undo_operations(call)


async def test_a_dry_run_previews_the_undo(ann: Call):
    await submit_task(ann)
    await call_as(ann, "hold", ids=[1])

    assert await undo_operations(ann, dry_run=True) == ["hold of #1 true: status queued → held"]

    assert (await show_task(ann))["status"] == "held"
    assert (await call_as(ann, "operations", limit=1))[0]["verb"] == "hold"


async def test_a_start_time_is_undone_until_the_task_has_started(ann: Call, worker):
    await submit_task(ann)
    (later,) = (await call_as(ann, "set", ids=[1], fields={"at": "2h"}))["operations"]
    (said,) = await undo_operations(ann, later)
    assert re.fullmatch(
        r"set at of #1 true: status queued → scheduled, not before none → \d{4}-\d\d-\d\d"
        r" \d\d:\d\d",
        said,
    )
    now = await show_task(ann)
    assert (now["status"], now["not_before"]) == ("queued", None)

    await call_as(ann, "set", ids=[1], fields={"at": "2h"})
    (at_once,) = (await call_as(ann, "set", ids=[1], fields={"at": "now"}))["operations"]
    await worker.start(1)
    assert (await call_as(ann, "undo", ids=[at_once]))["refused"][0]["message"] == "#1 has started."


async def test_every_set_field_gets_its_old_value(ann: Call):
    await call_as(ann, "queue.create", name="gpu")
    await submit_task(ann, name="old", cpu=1, memory="512M")
    fields = {
        "name": "new",
        "queue": "gpu",
        "cpu": 0.5,
        "memory": "1G",
        "timeout": "30m",
        "retries": 2,
        "retry_delay": 9,
        "grace": 1,
    }
    was = await show_task(ann)
    (changed,) = (await call_as(ann, "set", ids=[1], fields=fields))["operations"]

    (said,) = await undo_operations(ann, changed)

    now = await show_task(ann)
    assert {name: now[name] for name in fields} == {name: was[name] for name in fields}
    assert "memory 512M → 1.0G" in said and "timeout no limit → 30m" in said


async def test_pinning_an_ended_task_can_be_undone(ann: Call, worker):
    await submit_task(ann)
    (mixed,) = (await call_as(ann, "set", ids=[1], fields={"pinned": True, "priority": 5}))[
        "operations"
    ]
    await worker.run(1)
    refused = (await call_as(ann, "set", ids=[1], fields={"pinned": False, "priority": 5}))[
        "refused"
    ]
    assert (
        "has ended (succeeded" in refused[0]["message"] and (await show_task(ann))["pinned"] is True
    )
    assert await undo_operations(ann, mixed) == ["#1 has ended (succeeded)."]
    (unpinned,) = (await call_as(ann, "set", ids=[1], fields={"pinned": False}))["operations"]
    assert (await show_task(ann))["pinned"] is False

    assert await undo_operations(ann, unpinned) == ["set pinned of #1 true: pinned yes → no"]

    assert (await show_task(ann))["pinned"] is True


async def test_a_later_change_by_another_person_refuses_the_undo(ann: Call, bob: Call):
    await submit_task(ann)
    (mine,) = (await call_as(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    (his,) = (await call_as(bob, "set", ids=[1], fields={"priority": 9}))["operations"]

    assert await undo_operations(ann, mine) == [
        "#1 has changed since: priority 5 → 9 by bob, 0s ago. It was left as it is."
    ]

    assert (await show_task(ann))["priority"] == 9
    await undo_operations(bob, his)
    assert await undo_operations(ann, mine) == ["set priority of #1 true: priority 0 → 5"]


async def test_a_value_changed_back_by_another_person_still_refuses(ann: Call, bob: Call):
    await submit_task(ann)
    (mine,) = (await call_as(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    for priority in (9, 5):
        await call_as(bob, "set", ids=[1], fields={"priority": priority})

    assert (await undo_operations(ann, mine))[0].startswith(
        "#1 has changed since: priority 5 → 9 by bob"
    )


async def test_a_change_of_another_field_does_not_prevent_an_undo(ann: Call, bob: Call):
    await submit_task(ann)
    (mine,) = (await call_as(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    await call_as(bob, "set", ids=[1], fields={"memory": 100})
    await call_as(bob, "hold", ids=[1])

    await undo_operations(ann, mine)

    now = await show_task(ann)
    assert (now["priority"], now["memory"], now["status"]) == (0, 100.0, "held")


async def test_a_task_returns_to_its_position_unless_it_has_ended(ann: Call, worker):
    for _ in range(3):
        await submit_task(ann)
    moved = (await call_as(ann, "front", ids=[3, 2]))["operations"]
    assert len(await undo_operations(ann, moved[1])) == 1
    assert (await show_task(ann, 2))["front"] == 0

    await worker.run(3)
    assert await undo_operations(ann, moved[0]) == ["#3 has ended (succeeded)."]


async def test_pause_and_resume_of_a_run_are_undone(ann: Call, worker):
    await submit_task(ann)
    await worker.start(1)
    (paused,) = (await call_as(ann, "pause", ids=[1]))["operations"]

    assert await undo_operations(ann, paused) == ["pause of #1 true: run running → paused"]
    assert (await show_task(ann))["instances"][0]["status"] == "running"

    await call_as(ann, "pause", ids=[1])
    (resumed,) = (await call_as(ann, "resume", ids=[1]))["operations"]
    await undo_operations(ann, resumed)
    assert (await show_task(ann))["instances"][0]["status"] == "paused"


async def test_the_pause_of_an_ended_run_is_not_undone(ann: Call, worker):
    await submit_task(ann)
    runid = await worker.start(1)
    (paused,) = (await call_as(ann, "pause", ids=[1]))["operations"]
    await worker.end(runid, 1)

    assert await undo_operations(ann, paused) == [
        "#1 has changed since: it is failed. It was left as it is."
    ]


async def test_a_cancelled_task_returns_with_the_tasks_cancelled_because_of_it(ann: Call):
    await submit_task(ann, name="first")
    await submit_task(ann, after=[1])
    await submit_task(ann, after=[2], hold=True)
    await submit_task(ann, after_any=[1])
    (cancelled,) = (await call_as(ann, "cancel", ids=[1]))["operations"]
    assert [(await show_task(ann, n))["status"] for n in (1, 2, 3, 4)] == [
        "cancelled",
        "cancelled",
        "cancelled",
        "queued",
    ]

    await undo_operations(ann, cancelled)

    assert [(await show_task(ann, n))["status"] for n in (1, 2, 3, 4)] == [
        "queued",
        "blocked",
        "held",
        "blocked",
    ]
    assert [(await show_task(ann, n))["reason"] for n in (1, 2, 3)] == [None] * 3
    assert (await call_as(ann, "operations", limit=1))[0]["after"] == {
        "status": "queued",
        "with": [2, 3],
    }


async def test_tasks_cancelled_earlier_stay_cancelled(ann: Call):
    await submit_task(ann)
    await submit_task(ann, after=[1])
    await call_as(ann, "cancel", ids=[2])
    (cancelled,) = (await call_as(ann, "cancel", ids=[1]))["operations"]

    await undo_operations(ann, cancelled)

    assert [(await show_task(ann, n))["status"] for n in (1, 2)] == ["queued", "cancelled"]


async def test_tasks_cancelled_together_all_return(ann: Call):
    await submit_task(ann)
    await submit_task(ann, after=[1])
    await call_as(ann, "cancel", ids=[2, 1])

    assert len(await undo_operations(ann)) == 2
    assert [(await show_task(ann, n))["status"] for n in (1, 2)] == ["queued", "blocked"]


async def test_a_child_of_a_cancelled_task_does_not_return_before_it(ann: Call):
    await submit_task(ann)
    await submit_task(ann, after=[1])
    (child,) = (await call_as(ann, "cancel", ids=[2]))["operations"]
    await call_as(ann, "cancel", ids=[1])

    assert await undo_operations(ann, child) == [
        "#2 waits for #1, which did not succeed: restore #1 first."
    ]


async def test_a_task_cancelled_between_attempts_returns_to_its_retry_time(ann: Call, worker):
    await submit_task(ann, retries=1, retry_delay=3600)
    await worker.run(1, 1, retry_in=3600.0)
    assert (await show_task(ann))["status"] == "retrying"
    (cancelled,) = (await call_as(ann, "cancel", ids=[1]))["operations"]

    await undo_operations(ann, cancelled)

    assert (await show_task(ann))["status"] == "retrying"


async def test_a_task_that_ran_is_not_brought_back(ann: Call, worker):
    await submit_task(ann)
    runid = await worker.start(1)
    (cancelled,) = (await call_as(ann, "cancel", ids=[1]))["operations"]
    await worker.end(runid, 0)

    assert await undo_operations(ann, cancelled) == [
        "cancel of #1 true: run running → stopping: it was running, and its work cannot be"
        " restored."
    ]


@pytest.mark.parametrize(
    ("verb", "said"), [("retry", "cancel the task"), ("rm", "deleted tasks cannot be restored")]
)
async def test_a_permanent_operation_explains_why(ann: Call, worker, verb: str, said: str):
    await submit_task(ann)
    await worker.run(1, 1)
    (done,) = (await call_as(ann, verb, ids=[1]))["operations"]

    assert said in (await undo_operations(ann, done))[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (None, "cancel the task instead."),
        ({"memory": 64.0}, "cancel the task instead; its new memory stays."),
        ({"memory": 64.0, "cpu": 0.5}, "cancel the task instead; its new cpu and memory stay."),
    ],
)
async def test_a_retry_that_stays_names_its_new_requests(ann: Call, worker, fields, said: str):
    await submit_task(ann)
    await worker.run(1, 1)
    (done,) = (await call_as(ann, "retry", ids=[1], fields=fields))["operations"]

    assert (await undo_operations(ann, done))[0].endswith(said)


async def test_a_verb_that_changed_nothing_leaves_nothing_to_undo(ann: Call):
    await submit_task(ann, priority=3)
    (raised,) = (await call_as(ann, "set", ids=[1], fields={"priority": 3}))["operations"]

    assert await undo_operations(ann, raised) == ["set priority of #1 true: it changed nothing."]


@pytest.mark.parametrize(
    ("verb", "runs", "said"),
    [("hold", False, "#1 is held already."), ("pause", True, "#1 is paused: nothing was changed.")],
)
async def test_repeating_a_toggle_records_no_operation(
    ann: Call, worker, verb: str, runs: bool, said: str
):
    await submit_task(ann)
    if runs:
        await worker.start(1)
    (turned,) = (await call_as(ann, verb, ids=[1]))["operations"]

    assert await call_as(ann, verb, ids=[1]) == {"done": [], "refused": [], "notes": [said]}

    assert [row["id"] for row in await call_as(ann, "operations", limit=1)] == [turned]


async def test_an_undo_cannot_be_undone(ann: Call):
    await submit_task(ann)
    await call_as(ann, "hold", ids=[1])
    (back,) = (await call_as(ann, "undo"))["operations"]

    assert "it is an undo itself" in (await undo_operations(ann, back))[0]


async def test_an_old_value_that_no_longer_fits_is_refused(ann: Call):
    await call_as(ann, "pool.set", name="default", memory="4G")
    await submit_task(ann, memory="3G")
    (changed,) = (await call_as(ann, "set", ids=[1], fields={"memory": "1G"}))["operations"]
    await call_as(ann, "pool.set", name="default", memory="2G")

    assert "needs 3.0G memory" in (await undo_operations(ann, changed))[0]
    assert (await show_task(ann))["memory"] == 1024.0


async def test_many_tasks_are_undone_in_several_transactions(ann: Call):
    await call_as(ann, "submit.lines", text='{"argv": ["true"]}\n' * 250)
    await call_as(ann, "set", select={"status": "queued"}, fields={"priority": 3})

    assert len(await undo_operations(ann)) == 250

    assert await execute_sql(ann, "SELECT DISTINCT priority FROM tasks") == [(0,)]


# Queues, pools, templates, rules, alerts


@pytest.mark.parametrize(
    ("verb", "args", "look", "key"),
    [
        ("queue.pause", {"name": "default"}, "queue.show", "status"),
        ("queue.drain", {"name": "default"}, "queue.show", "status"),
        ("queue.set", {"name": "default", "capacity": 77, "priority": 3}, "queue.show", "capacity"),
        ("queue.set", {"name": "default", "pool": "other"}, "queue.show", "pool"),
        ("pool.pause", {"name": "default"}, "pool.show", "status"),
        ("pool.set", {"name": "default", "cpu": 2, "memory": "1T"}, "pool.show", "total_memory"),
        (
            "template.set",
            {"name": "greet", "timeout": "5m", "schema": {"script": "true"}},
            "template.show",
            "schema",
        ),
        ("sla.set", {"name": "soon", "value": "9m"}, "sla.show", "conditions"),
        ("sla.set", {"name": "soon", "severity": "critical"}, "sla.show", "priority"),
        ("sla.set", {"name": "soon", "enabled": False}, "sla.show", "enabled"),
    ],
)
async def test_a_changed_definition_is_undone(
    ann: Call, verb: str, args: dict[str, Any], look: str, key: str
):
    await _create_definitions(ann)
    was = (await call_as(ann, look, name=args["name"]))[key]
    (changed,) = (await call_as(ann, verb, **args))["operations"]
    assert (await call_as(ann, look, name=args["name"]))[key] != was

    assert len((await call_as(ann, "undo"))["done"]) == 1

    assert (await call_as(ann, look, name=args["name"]))[key] == was
    assert (await call_as(ann, "operations", limit=1))[0]["undoes"] == changed


async def _create_definitions(call: Call) -> None:
    await call_as(call, "pool.create", name="other", cpu=4, memory="8G")
    await call_as(
        call, "template.create", name="greet", engine="shell", schema={"script": "echo hi"}, cpu=1
    )
    await call_as(call, "sla.create", name="soon", preset="starts-within", value="5m")


@pytest.mark.parametrize(
    ("word", "make"),
    [
        ("queue", {"pool": "default", "description": "nightly"}),
        ("pool", {"cpu": 2, "memory": "1G"}),
        ("template", {"engine": "shell", "schema": {"script": "echo hi"}, "timeout": "5m"}),
        ("sla", {"preset": "starts-within", "value": "5m", "queue": "default"}),
    ],
)  # fmt: skip
async def test_created_definitions_go_and_deleted_ones_return(
    ann: Call, word: str, make: dict[str, Any]
):
    (made,) = (await call_as(ann, f"{word}.create", name="new", **make))["operations"]
    was = await call_as(ann, f"{word}.show", name="new")

    await undo_operations(ann, made)
    with pytest.raises(NotFound):
        await call_as(ann, f"{word}.show", name="new")

    await call_as(ann, f"{word}.create", name="new", **make)
    await call_as(ann, f"{word}.rm", name="new")
    await undo_operations(ann)
    now = await call_as(ann, f"{word}.show", name="new")
    same = was.keys() - {"id", "created_at", "updated_at"}
    assert {key: now[key] for key in same} == {key: was[key] for key in same}


async def test_a_created_definition_in_use_stays(ann: Call):
    (made,) = (await call_as(ann, "queue.create", name="gpu"))["operations"]
    await submit_task(ann, queue="gpu")

    assert await undo_operations(ann, made) == ["1 task refers to queue gpu. It was not removed."]


async def test_a_recreated_definition_of_the_same_name_is_left_alone(ann: Call, bob: Call):
    await call_as(ann, "queue.create", name="gpu")
    (gone,) = (await call_as(ann, "queue.rm", name="gpu"))["operations"]
    await call_as(bob, "queue.create", name="gpu", capacity=9)

    assert await undo_operations(ann, gone) == ["there is a queue gpu again. It was left as it is."]


async def test_a_queue_toggled_by_another_person_is_left_alone(ann: Call, bob: Call):
    (paused,) = (await call_as(ann, "queue.pause", name="default"))["operations"]
    await call_as(bob, "queue.drain", name="default")

    assert await undo_operations(ann, paused) == [
        "queue default has changed since: status paused → draining by bob, 0s ago. It was left as"
        " it is."
    ]


async def test_a_definition_whose_reference_is_gone_does_not_return(ann: Call):
    await call_as(ann, "pool.create", name="gpu", cpu=1, memory="1G")
    await call_as(ann, "queue.create", name="q", pool="gpu")
    (moved,) = (await call_as(ann, "queue.set", name="q", pool="default"))["operations"]
    await call_as(ann, "pool.rm", name="gpu")

    assert await undo_operations(ann, moved) == ['there is no pool "gpu".']
    assert (await call_as(ann, "queue.show", name="q"))["pool"] == "default"


async def test_an_applied_definitions_file_is_undone(ann: Call):
    text = (
        '[queues.default]\ncapacity = 3\n[queues.new]\n[templates.t]\nengine = "shell"\nqueue ='
        ' "new"\nschema = { script = "true" }\n'
    )
    before = await call_as(ann, "export")
    await call_as(ann, "apply", text=text)
    applied = await call_as(ann, "export")

    told = await call_as(ann, "undo", dry_run=True)
    assert await call_as(ann, "export") == applied and "operations" not in told
    assert (len(told["done"]), told["refused"]) == (3, [])

    assert len(await undo_operations(ann)) == 3

    assert await call_as(ann, "export") == before


async def test_tasks_that_use_a_definition_are_undone_first(ann: Call):
    (made,) = (await call_as(ann, "queue.create", name="gpu"))["operations"]
    await submit_task(ann)
    (moved,) = (await call_as(ann, "set", ids=[1], fields={"queue": "gpu"}))["operations"]

    assert len((await call_as(ann, "undo", ids=[made, moved], dry_run=True))["done"]) == 2
    assert len((await call_as(ann, "undo", ids=[made, moved]))["done"]) == 2
    assert (await show_task(ann))["queue"] == "default"


async def test_two_changes_of_one_task_are_previewed_in_undo_order(ann: Call):
    await submit_task(ann)
    ids = [
        (await call_as(ann, "set", ids=[1], fields={"priority": priority}))["operations"][0]
        for priority in (5, 9)
    ]

    assert len((await call_as(ann, "undo", ids=ids, dry_run=True))["done"]) == 2
    assert (await show_task(ann))["priority"] == 9
    assert (await undo_operations(ann, ids[0], dry_run=True))[0].startswith(
        "#1 has changed since: priority 5 → 9 by ann"
    )


async def test_a_reverted_template_names_its_engine_and_schema(ann: Call):
    await _create_definitions(ann)
    await call_as(ann, "template.set", name="greet", timeout="5m")
    await undo_operations(ann)

    (row,) = await execute_sql(ann, "SELECT template FROM templates WHERE name = 'greet'")
    assert row[0] == '{"engine": "shell", "schema": {"script": "echo hi"}, "cpu": 1}'


async def _create_large_template(call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """Create a template of 16 KB and change two of its properties; return it before and after."""
    names = [f"p{n}" for n in range(200)]
    properties = {name: {"type": "string", "enum": [name], "description": ""} for name in names}
    properties["p9"] = {"properties": {"password": {"type": "string", "default": "hush"}}}
    given = {"type": "object", "properties": properties}
    await call_as(
        call,
        "template.create",
        name="large",
        engine="exec",
        schema={"argv": ["true"]},
        parameters=given,
    )
    before = await call_as(call, "template.show", name="large")
    changed = {name: inner for name, inner in properties.items() if name != "p7"}
    changed["p9"] = {"properties": {"password": {"type": "string", "default": "psst"}}}
    await call_as(call, "template.set", name="large", parameters={**given, "properties": changed})
    return before, await call_as(call, "template.show", name="large")


async def test_the_log_holds_differences_and_no_value_twice(ann: Call):
    before, _ = await _create_large_template(ann)

    (made,), (changed,) = await execute_sql(
        ann,
        "SELECT length(coalesce(before, '')) + length(after) FROM operations"
        " WHERE object = 'template large' ORDER BY id",
    )
    whole = len(json.dumps(before["parameters"]))
    assert made < whole + 500 and changed < whole / 2
    (shown,) = await call_as(ann, "operations", limit=1)
    for state in (shown["before"], shown["after"]):
        inside = state["parameters"]["properties"]["p9"]["properties"]
        assert inside["password"]["default"] == "•••"
    assert "p7" not in shown["after"]["parameters"]["properties"]


async def test_a_changed_and_a_deleted_large_template_return_exactly(ann: Call):
    before, after = await _create_large_template(ann)
    await call_as(ann, "template.rm", name="large")

    for was in (after, before):
        await undo_operations(ann)
        now = await call_as(ann, "template.show", name="large")
        for key in ("schema", "parameters"):
            assert json.dumps(now[key]) == json.dumps(was[key])
    assert before["template"].keys() == now["template"].keys()


async def test_whole_values_in_the_log_are_undone_as_well(ann: Call):
    before, after = await _create_large_template(ann)
    await execute_sql(ann, "DROP TRIGGER operations_stay")
    await execute_sql(
        ann,
        "UPDATE operations SET before = ?, after = ? WHERE verb = 'template set'",
        *(json.dumps({"parameters": state["parameters"]}) for state in (before, after)),
    )

    await undo_operations(ann)

    now = await call_as(ann, "template.show", name="large")
    assert json.dumps(now["parameters"]) == json.dumps(before["parameters"])


async def test_an_acknowledged_alert_fires_again(ann: Call):
    await _create_definitions(ann)
    await _insert_alert(ann)
    (seen,) = (await call_as(ann, "alert.ack", ids=[1]))["operations"]

    assert len(await undo_operations(ann, seen)) == 1

    (row,) = await call_as(ann, "alert.ls")
    assert (row["status"], row["acknowledged_by"]) == ("firing", None)


async def test_a_resolved_alert_is_left_alone(ann: Call):
    await _create_definitions(ann)
    await _insert_alert(ann)
    (seen,) = (await call_as(ann, "alert.ack", ids=[1]))["operations"]
    await execute_sql(ann, "UPDATE alerts SET status = 'resolved', resolved_at = fired_at")

    assert (
        "has changed since: it is not acknowledged any more"
        in (await undo_operations(ann, seen))[0]
    )


async def _insert_alert(call: Call) -> None:
    await execute_sql(
        call,
        "INSERT INTO alerts (sla_id, name, severity, status, object, text, short, fired_at,"
        " created_at, updated_at) SELECT id, name, 'warning', 'firing', '#1 a', 'late', 'late',"
        " created_at, created_at, created_at FROM slas",
    )


async def test_a_silence_is_undone_and_restored(ann: Call):
    await _create_definitions(ann)
    await call_as(ann, "alert.silence", sla="soon", until="5h")
    await undo_operations(ann)
    assert await execute_sql(ann, "SELECT count(*) FROM silences") == [(0,)]

    await call_as(ann, "alert.silence", sla="soon", until="5h", reason="tests")
    await call_as(ann, "alert.unsilence", sla="soon")
    await undo_operations(ann)
    assert await execute_sql(ann, "SELECT reason FROM silences") == [("tests",)]


# Invalid requests


@pytest.mark.parametrize(
    ("ids", "problem"),
    [([], Usage), (["1"], Usage), ([True], Usage), ([999], NotFound), ([10**30], Problem)],
)
async def test_an_unknown_operation_is_refused(ann: Call, ids: Any, problem: type[Problem]):
    with pytest.raises(problem):
        await call_as(ann, "undo", ids=ids)


async def test_answers_of_writing_verbs_name_their_operations(ann: Call):
    assert "operations" not in await call_as(ann, "queue.show", name="default")
    (paused,) = (await call_as(ann, "queue.pause", name="default"))["operations"]
    with pytest.raises(Conflict):
        await call_as(ann, "queue.create", name="default")
    assert (await call_as(ann, "queue.resume", name="default"))["operations"] == [paused + 1]


async def test_two_changes_of_one_task_are_undone_newest_first(ann: Call):
    await submit_task(ann)
    ids = [
        (await call_as(ann, "set", ids=[1], fields={"priority": priority}))["operations"][0]
        for priority in (5, 9)
    ]

    assert await undo_operations(ann, *ids) == [
        "set priority of #1 true: priority 5 → 9",
        "set priority of #1 true: priority 0 → 5",
    ]
    assert (await show_task(ann))["priority"] == 0


async def test_a_change_before_a_cancel_is_undone_after_it(ann: Call):
    await submit_task(ann)
    ids = [
        (await call_as(ann, "set", ids=[1], fields={"priority": 5}))["operations"][0],
        (await call_as(ann, "cancel", ids=[1]))["operations"][0],
    ]

    assert await undo_operations(ann, *ids) == [
        "cancel of #1 true: status queued → cancelled",
        "set priority of #1 true: priority 0 → 5",
    ]
    assert ((await show_task(ann))["priority"], (await show_task(ann))["status"]) == (0, "queued")


async def test_tasks_cancelled_one_by_one_return_in_reverse_order(ann: Call):
    await submit_task(ann)
    await submit_task(ann, after=[1])
    ids = [(await call_as(ann, "cancel", ids=[number]))["operations"][0] for number in (2, 1)]

    assert len(await undo_operations(ann, *ids)) == 2
    assert [(await show_task(ann, number))["status"] for number in (1, 2)] == ["queued", "blocked"]


async def test_a_dry_run_lists_many_operations_on_definitions_without_trying_them(
    ann: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(undo, "MAX_TRIED", 2)
    rows = {f"q{n}": {"capacity": 1, "pool": "p"} for n in range(2)}
    tables = {"pools": {"p": {"total_cpu": 1, "total_memory": "1G"}}, "queues": rows}
    await call_as(ann, "apply", tables=tables)

    found = await call_as(ann, "undo", dry_run=True)

    assert [one["object"] for one in found["done"]] == ["queue q1", "queue q0", "pool p"]
    assert found["notes"] == ["Not tried: more than 2 changed definitions. Some may be refused."]
    assert found["refused"] == []


async def test_many_operations_on_definitions_are_undone_in_several_transactions(
    ann: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(undo, "BATCH_SIZE", 5)
    rows = {f"q{n}": {"capacity": 1, "pool": "p"} for n in range(20)}
    tables = {"pools": {"p": {"total_cpu": 1, "total_memory": "1G"}}, "queues": rows}
    await call_as(ann, "apply", tables=tables)
    found = await call_as(ann, "undo", dry_run=True)

    wakes: list[None] = []
    ann.db.after_commit(lambda: wakes.append(None))
    others = await count_other_writes(ann, call_as(ann, "undo"))

    assert others >= 4
    assert len(wakes) == 1, "only the last transaction wakes dispatcher and decks"
    assert len(found["done"]) == 21 and found["refused"] == []
    assert [tuple(row) for row in await execute_sql(ann, "SELECT name FROM queues")] == [
        ("default",)
    ]
