"""What was done is taken back while things stand as it left them, and else refused with who changed what."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service import registry
from app.service.context import Call
from app.service.tasks import views
from db.queries import operations
from db.queries.operations import By
from tests.service.calls import execute, submitted

HERE, THERE = "pts/3 4120 81734", "pts/4 5000 91734"


@pytest.fixture
def ann(call: Call) -> Call:
    """Ann, at a terminal."""
    return replace(call, by=By("ann", "deck", HERE))


@pytest.fixture
def bob(call: Call) -> Call:
    """Bob, at another one."""
    return replace(call, by=By("bob", "cli", THERE))


async def do(call: Call, verb: str, **args: Any) -> Any:
    """A verb as the runtime answers it."""
    return await registry.answer(call, verb, args)


async def undo(call: Call, *ids: int, **args: Any) -> list[str]:
    """What was undone, in words; or refused."""
    found = await do(call, "undo", ids=list(ids) or None, **args)
    refused = [re.sub(" (List: |Ended tasks count).*", "", row["message"]) for row in found["refused"]]
    return [row["text"] for row in found["done"]] + refused


async def task(call: Call, number: int = 1) -> dict[str, Any]:
    return await views.show(call, id=number)


# --- tasks --------------------------------------------------------------------------------------------------------------------------


async def test_a_hold_is_taken_back_and_recorded(ann: Call):
    await submitted(ann, name="encode")
    (held,) = (await do(ann, "hold", ids=[1]))["operations"]

    assert await undo(ann, held) == ["hold of #1 encode: status queued → held"]

    assert (await task(ann))["status"] == "queued"
    newest, before = (await do(ann, "operations", limit=2))
    assert (newest["verb"], newest["undoes"], newest["after"]) == ("undo hold", held, {"status": "queued", "hold": False})
    assert (before["undone_by"], before["undoable"], before["reason"]) == (newest["id"], False, "it was taken back already")


async def test_the_last_thing_done_from_a_terminal_is_taken_back_whole_and_then_the_one_before(ann: Call, bob: Call):
    for _ in range(2):
        await do(ann, "submit", tasks=[{"argv": ["true"]}])
    await do(ann, "set", ids=[1], fields={"priority": 5})
    await do(ann, "hold", ids=[1, 2])
    await do(bob, "queue.pause", name="default")

    assert await undo(ann) == ["hold of #2 true: status queued → held", "hold of #1 true: status queued → held"]
    assert await undo(ann) == ["set priority of #1 true: priority 0 → 5"]
    assert [(await task(ann, number))["status"] for number in (1, 2)] == ["queued", "queued"]
    with pytest.raises(Refused, match="from this terminal, submit of #2 true, cannot be undone: cancel the task instead"):
        await undo(replace(ann, by=By("ann", "cli", HERE)))


async def test_behind_what_can_never_be_undone_the_last_that_can_is_named_and_not_done(ann: Call, bob: Call):
    for _ in range(2):
        await do(ann, "submit", tasks=[{"argv": ["true"]}])
    (hold, *_) = held = (await do(ann, "hold", ids=[1, 2]))["operations"]
    (gone,) = (await do(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    await do(bob, "set", ids=[1], fields={"priority": 9})
    await ann.db.write(operations.record, ann.by, "stop", "runtime", None, {"drain": False})

    with pytest.raises(Refused, match="the last thing done from this terminal, stop of runtime, cannot be undone") as refused:
        await undo(ann)

    typed = " ".join(map(str, held))
    assert refused.value.hint == f"Before it: hold of #1 true: status queued → held and 1 more. To undo that: taskdeck undo {typed}"
    assert gone > hold and [(await task(ann, number))["status"] for number in (1, 2)] == ["held", "held"]
    assert len(await undo(ann, *held)) == 2
    with pytest.raises(Refused) as left:
        await undo(ann)
    assert left.value.hint == "See what was done before: taskdeck operations"


async def test_from_a_terminal_that_did_nothing_there_is_nothing_to_undo(ann: Call, bob: Call):
    await submitted(ann)
    await do(ann, "hold", ids=[1])

    for call in (bob, replace(ann, by="ann")):
        with pytest.raises(Refused, match="nothing that was done from this terminal"):
            await undo(call)


async def test_what_would_be_undone_is_told_without_doing_it(ann: Call):
    await submitted(ann)
    await do(ann, "hold", ids=[1])

    assert await undo(ann, dry_run=True) == ["hold of #1 true: status queued → held"]

    assert (await task(ann))["status"] == "held"
    assert (await do(ann, "operations", limit=1))[0]["verb"] == "hold"


async def test_a_time_to_start_is_taken_back_until_the_task_has_started(ann: Call, worker):
    await submitted(ann)
    (later,) = (await do(ann, "set", ids=[1], fields={"at": "2h"}))["operations"]
    (said,) = await undo(ann, later)
    assert re.fullmatch(r"set at of #1 true: status queued → scheduled, not before none → \d{4}-\d\d-\d\d \d\d:\d\d", said)
    now = await task(ann)
    assert (now["status"], now["not_before"]) == ("queued", None)

    await do(ann, "set", ids=[1], fields={"at": "2h"})
    (at_once,) = (await do(ann, "set", ids=[1], fields={"at": "now"}))["operations"]
    await worker.start(1)
    assert (await do(ann, "undo", ids=[at_once]))["refused"][0]["message"] == "#1 has started."


async def test_every_field_that_was_set_gets_its_value_back(ann: Call):
    await do(ann, "queue.create", name="gpu")
    await submitted(ann, name="old", cpu=1, memory="512M")
    fields = {"name": "new", "queue": "gpu", "cpu": 0.5, "memory": "1G", "timeout": "30m", "retries": 2, "retry_delay": 9, "grace": 1}
    was = await task(ann)
    (changed,) = (await do(ann, "set", ids=[1], fields=fields))["operations"]

    (said,) = await undo(ann, changed)

    now = await task(ann)
    assert {name: now[name] for name in fields} == {name: was[name] for name in fields}
    assert "memory 512M → 1.0G" in said and "timeout no limit → 30m" in said


async def test_what_has_ended_can_be_pinned_and_that_is_taken_back_and_nothing_else(ann: Call, worker):
    await submitted(ann)
    (mixed,) = (await do(ann, "set", ids=[1], fields={"pinned": True, "priority": 5}))["operations"]
    await worker.run(1)
    refused = (await do(ann, "set", ids=[1], fields={"pinned": False, "priority": 5}))["refused"]
    assert "has ended (succeeded" in refused[0]["message"] and (await task(ann))["pinned"] is True
    assert await undo(ann, mixed) == ["#1 has ended (succeeded)."]
    (unpinned,) = (await do(ann, "set", ids=[1], fields={"pinned": False}))["operations"]
    assert (await task(ann))["pinned"] is False

    assert await undo(ann, unpinned) == ["set pinned of #1 true: pinned yes → no"]

    assert (await task(ann))["pinned"] is True


async def test_what_somebody_else_has_changed_since_is_refused_naming_what_and_whom(ann: Call, bob: Call):
    await submitted(ann)
    (mine,) = (await do(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    (his,) = (await do(bob, "set", ids=[1], fields={"priority": 9}))["operations"]

    assert await undo(ann, mine) == ["#1 has changed since: priority 5 → 9 by bob, 0s ago. It was left as it is."]

    assert (await task(ann))["priority"] == 9
    await undo(bob, his)
    assert await undo(ann, mine) == ["set priority of #1 true: priority 0 → 5"]


async def test_a_value_that_was_changed_there_and_back_is_still_somebody_elses(ann: Call, bob: Call):
    await submitted(ann)
    (mine,) = (await do(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    for priority in (9, 5):
        await do(bob, "set", ids=[1], fields={"priority": priority})

    assert (await undo(ann, mine))[0].startswith("#1 has changed since: priority 5 → 9 by bob")


async def test_a_change_of_something_else_does_not_stand_in_the_way(ann: Call, bob: Call):
    await submitted(ann)
    (mine,) = (await do(ann, "set", ids=[1], fields={"priority": 5}))["operations"]
    await do(bob, "set", ids=[1], fields={"memory": 100})
    await do(bob, "hold", ids=[1])

    await undo(ann, mine)

    now = await task(ann)
    assert (now["priority"], now["memory"], now["status"]) == (0, 100.0, "held")


async def test_a_task_goes_back_to_its_place_unless_it_has_ended(ann: Call, worker):
    for _ in range(3):
        await submitted(ann)
    moved = (await do(ann, "front", ids=[3, 2]))["operations"]
    assert len(await undo(ann, moved[0])) == 1
    assert (await task(ann, 3))["front"] == 0

    await worker.run(2)
    assert await undo(ann, moved[1]) == ["#2 has ended (succeeded)."]


async def test_a_run_goes_on_and_stands_still_again(ann: Call, worker):
    await submitted(ann)
    await worker.start(1)
    (paused,) = (await do(ann, "pause", ids=[1]))["operations"]

    assert await undo(ann, paused) == ["pause of #1 true: run running → paused"]
    assert (await task(ann))["instances"][0]["status"] == "running"

    await do(ann, "pause", ids=[1])
    (resumed,) = (await do(ann, "resume", ids=[1]))["operations"]
    await undo(ann, resumed)
    assert (await task(ann))["instances"][0]["status"] == "paused"


async def test_a_pause_of_a_run_that_is_over_is_not_taken_back(ann: Call, worker):
    await submitted(ann)
    runid = await worker.start(1)
    (paused,) = (await do(ann, "pause", ids=[1]))["operations"]
    await worker.end(runid, 1)

    assert await undo(ann, paused) == ["#1 has changed since: it is failed. It was left as it is."]


async def test_a_cancelled_task_comes_back_with_all_that_was_cancelled_because_of_it(ann: Call):
    await submitted(ann, name="first")
    await submitted(ann, after=[1])
    await submitted(ann, after=[2], hold=True)
    await submitted(ann, after_any=[1])
    (cancelled,) = (await do(ann, "cancel", ids=[1]))["operations"]
    assert [(await task(ann, n))["status"] for n in (1, 2, 3, 4)] == ["cancelled", "cancelled", "cancelled", "queued"]

    await undo(ann, cancelled)

    assert [(await task(ann, n))["status"] for n in (1, 2, 3, 4)] == ["queued", "blocked", "held", "blocked"]
    assert [(await task(ann, n))["reason"] for n in (1, 2, 3)] == [None] * 3
    assert (await do(ann, "operations", limit=1))[0]["after"] == {"status": "queued", "with": [2, 3]}


async def test_what_was_cancelled_before_stays_cancelled(ann: Call):
    await submitted(ann)
    await submitted(ann, after=[1])
    await do(ann, "cancel", ids=[2])
    (cancelled,) = (await do(ann, "cancel", ids=[1]))["operations"]

    await undo(ann, cancelled)

    assert [(await task(ann, n))["status"] for n in (1, 2)] == ["queued", "cancelled"]


async def test_of_tasks_that_were_cancelled_together_each_comes_back(ann: Call):
    await submitted(ann)
    await submitted(ann, after=[1])
    await do(ann, "cancel", ids=[2, 1])

    assert len(await undo(ann)) == 2
    assert [(await task(ann, n))["status"] for n in (1, 2)] == ["queued", "blocked"]


async def test_what_waits_for_a_cancelled_task_is_not_brought_back_before_it(ann: Call):
    await submitted(ann)
    await submitted(ann, after=[1])
    (child,) = (await do(ann, "cancel", ids=[2]))["operations"]
    await do(ann, "cancel", ids=[1])

    assert await undo(ann, child) == ["#2 waits for #1, which did not succeed: bring that back first."]


async def test_a_task_between_two_attempts_comes_back_to_wait_for_its_time(ann: Call, worker):
    await submitted(ann, retries=1, retry_delay=3600)
    await worker.run(1, 1, retry_in=3600.0)
    assert (await task(ann))["status"] == "retrying"
    (cancelled,) = (await do(ann, "cancel", ids=[1]))["operations"]

    await undo(ann, cancelled)

    assert (await task(ann))["status"] == "retrying"


async def test_what_ran_is_not_brought_back(ann: Call, worker):
    await submitted(ann)
    runid = await worker.start(1)
    (cancelled,) = (await do(ann, "cancel", ids=[1]))["operations"]
    await worker.end(runid, 0)

    assert await undo(ann, cancelled) == [
        "cancel of #1 true: run running → stopping: it ran: what was lost does not come back."
    ]


@pytest.mark.parametrize(("verb", "said"), [("retry", "cancel the task"), ("rm", "what was deleted is gone")])
async def test_what_is_never_undone_says_why(ann: Call, worker, verb: str, said: str):
    await submitted(ann)
    await worker.run(1, 1)
    (done,) = (await do(ann, verb, ids=[1]))["operations"]

    assert said in (await undo(ann, done))[0]


async def test_a_verb_that_changed_nothing_leaves_nothing_to_undo(ann: Call):
    await submitted(ann, priority=3)
    (raised,) = (await do(ann, "set", ids=[1], fields={"priority": 3}))["operations"]

    assert await undo(ann, raised) == ["set priority of #1 true: it changed nothing."]


@pytest.mark.parametrize(
    ("verb", "runs", "said"), [("hold", False, "#1 is held already."), ("pause", True, "#1 is paused: nothing was changed.")]
)
async def test_a_turn_that_was_made_already_is_no_operation(ann: Call, worker, verb: str, runs: bool, said: str):
    await submitted(ann)
    if runs:
        await worker.start(1)
    (turned,) = (await do(ann, verb, ids=[1]))["operations"]

    assert await do(ann, verb, ids=[1]) == {"done": [], "refused": [], "notes": [said]}

    assert [row["id"] for row in await do(ann, "operations", limit=1)] == [turned]


async def test_an_undo_is_not_undone(ann: Call):
    await submitted(ann)
    await do(ann, "hold", ids=[1])
    (back,) = (await do(ann, "undo"))["operations"]

    assert "it took something back itself" in (await undo(ann, back))[0]


async def test_an_old_value_that_no_longer_fits_is_refused(ann: Call):
    await do(ann, "pool.set", name="default", memory="4G")
    await submitted(ann, memory="3G")
    (changed,) = (await do(ann, "set", ids=[1], fields={"memory": "1G"}))["operations"]
    await do(ann, "pool.set", name="default", memory="2G")

    assert "needs 3.0G memory" in (await undo(ann, changed))[0]
    assert (await task(ann))["memory"] == 1024.0


async def test_many_are_undone_in_several_transactions(ann: Call):
    await do(ann, "submit.lines", text='{"argv": ["true"]}\n' * 250)
    await do(ann, "set", select={"status": "queued"}, fields={"priority": 3})

    assert len(await undo(ann)) == 250

    assert await execute(ann, "SELECT DISTINCT priority FROM tasks") == [(0,)]


# --- queues, pools, templates, rules, alerts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "args", "look", "key"),
    [
        ("queue.pause", {"name": "default"}, "queue.show", "status"),
        ("queue.drain", {"name": "default"}, "queue.show", "status"),
        ("queue.set", {"name": "default", "capacity": 77, "priority": 3}, "queue.show", "capacity"),
        ("queue.set", {"name": "default", "pool": "other"}, "queue.show", "pool"),
        ("pool.pause", {"name": "default"}, "pool.show", "status"),
        ("pool.set", {"name": "default", "cpu": 2, "memory": "1T"}, "pool.show", "total_memory"),
        ("template.set", {"name": "greet", "timeout": "5m", "schema": {"script": "true"}}, "template.show", "schema"),
        ("sla.set", {"name": "soon", "value": "9m"}, "sla.show", "conditions"),
        ("sla.set", {"name": "soon", "severity": "critical"}, "sla.show", "priority"),
        ("sla.set", {"name": "soon", "enabled": False}, "sla.show", "enabled"),
    ],
)
async def test_a_change_of_a_definition_is_taken_back(ann: Call, verb: str, args: dict[str, Any], look: str, key: str):
    await _definitions(ann)
    was = (await do(ann, look, name=args["name"]))[key]
    (changed,) = (await do(ann, verb, **args))["operations"]
    assert (await do(ann, look, name=args["name"]))[key] != was

    assert len((await do(ann, "undo"))["done"]) == 1

    assert (await do(ann, look, name=args["name"]))[key] == was
    assert (await do(ann, "operations", limit=1))[0]["undoes"] == changed


async def _definitions(call: Call) -> None:
    await do(call, "pool.create", name="other", cpu=4, memory="8G")
    await do(call, "template.create", name="greet", engine="shell", schema={"script": "echo hi"}, cpu=1)
    await do(call, "sla.create", name="soon", preset="starts-within", value="5m")


@pytest.mark.parametrize(
    ("word", "make"),
    [
        ("queue", {"pool": "default", "description": "nightly"}), ("pool", {"cpu": 2, "memory": "1G"}),
        ("template", {"engine": "shell", "schema": {"script": "echo hi"}, "timeout": "5m"}),
        ("sla", {"preset": "starts-within", "value": "5m", "queue": "default"}),
    ],
)  # fmt: skip
async def test_what_was_made_goes_and_what_was_taken_away_comes_back(ann: Call, word: str, make: dict[str, Any]):
    (made,) = (await do(ann, f"{word}.create", name="new", **make))["operations"]
    was = await do(ann, f"{word}.show", name="new")

    await undo(ann, made)
    with pytest.raises(NotFound):
        await do(ann, f"{word}.show", name="new")

    await do(ann, f"{word}.create", name="new", **make)
    await do(ann, f"{word}.rm", name="new")
    await undo(ann)
    now = await do(ann, f"{word}.show", name="new")
    same = was.keys() - {"id", "created_at", "updated_at"}
    assert {key: now[key] for key in same} == {key: was[key] for key in same}


async def test_what_was_made_and_is_used_stays(ann: Call):
    (made,) = (await do(ann, "queue.create", name="gpu"))["operations"]
    await submitted(ann, queue="gpu")

    assert await undo(ann, made) == ["1 task refers to queue gpu. It was not removed."]


async def test_what_came_again_under_the_same_name_is_left_alone(ann: Call, bob: Call):
    await do(ann, "queue.create", name="gpu")
    (gone,) = (await do(ann, "queue.rm", name="gpu"))["operations"]
    await do(bob, "queue.create", name="gpu", capacity=9)

    assert await undo(ann, gone) == ["there is a queue gpu again. It was left as it is."]


async def test_a_queue_that_somebody_else_turned_since_is_left_as_it_is(ann: Call, bob: Call):
    (paused,) = (await do(ann, "queue.pause", name="default"))["operations"]
    await do(bob, "queue.drain", name="default")

    assert await undo(ann, paused) == [
        "queue default has changed since: status paused → draining by bob, 0s ago. It was left as it is."
    ]


async def test_a_definition_of_what_is_gone_does_not_come_back(ann: Call):
    await do(ann, "pool.create", name="gpu", cpu=1, memory="1G")
    await do(ann, "queue.create", name="q", pool="gpu")
    (moved,) = (await do(ann, "queue.set", name="q", pool="default"))["operations"]
    await do(ann, "pool.rm", name="gpu")

    assert await undo(ann, moved) == ['no pool "gpu".']
    assert (await do(ann, "queue.show", name="q"))["pool"] == "default"


async def test_a_whole_file_of_definitions_is_taken_back(ann: Call):
    text = '[queues.default]\ncapacity = 3\n[queues.new]\n[templates.t]\nengine = "shell"\nqueue = "new"\nschema = { script = "true" }\n'
    before = await do(ann, "export")
    await do(ann, "apply", text=text)
    applied = await do(ann, "export")

    told = await do(ann, "undo", dry_run=True)
    assert await do(ann, "export") == applied and "operations" not in told
    assert (len(told["done"]), told["refused"]) == (3, [])

    assert len(await undo(ann)) == 3

    assert await do(ann, "export") == before


async def test_what_uses_a_definition_is_taken_back_before_it_tasks_too(ann: Call):
    (made,) = (await do(ann, "queue.create", name="gpu"))["operations"]
    await submitted(ann)
    (moved,) = (await do(ann, "set", ids=[1], fields={"queue": "gpu"}))["operations"]

    assert len((await do(ann, "undo", ids=[made, moved], dry_run=True))["done"]) == 2
    assert len((await do(ann, "undo", ids=[made, moved]))["done"]) == 2
    assert (await task(ann))["queue"] == "default"


async def test_two_changes_of_one_task_are_told_as_they_would_be_taken_back(ann: Call):
    await submitted(ann)
    ids = [(await do(ann, "set", ids=[1], fields={"priority": priority}))["operations"][0] for priority in (5, 9)]

    assert len((await do(ann, "undo", ids=ids, dry_run=True))["done"]) == 2
    assert (await task(ann))["priority"] == 9
    assert (await undo(ann, ids[0], dry_run=True))[0].startswith("#1 has changed since: priority 5 → 9 by ann")


async def test_a_template_that_is_set_back_says_what_it_is_made_from(ann: Call):
    await _definitions(ann)
    await do(ann, "template.set", name="greet", timeout="5m")
    await undo(ann)

    (row,) = await execute(ann, "SELECT template FROM templates WHERE name = 'greet'")
    assert row[0] == '{"engine": "shell", "schema": {"script": "echo hi"}, "cpu": 1}'


async def test_an_alert_that_was_acknowledged_fires_again(ann: Call):
    await _definitions(ann)
    await _alert(ann)
    (seen,) = (await do(ann, "alert.ack", ids=[1]))["operations"]

    assert len(await undo(ann, seen)) == 1

    (row,) = await do(ann, "alert.ls")
    assert (row["status"], row["acknowledged_by"]) == ("firing", None)


async def test_an_alert_that_has_resolved_is_left_as_it_is(ann: Call):
    await _definitions(ann)
    await _alert(ann)
    (seen,) = (await do(ann, "alert.ack", ids=[1]))["operations"]
    await execute(ann, "UPDATE alerts SET status = 'resolved', resolved_at = fired_at")

    assert "has changed since: it is not acknowledged any more" in (await undo(ann, seen))[0]


async def _alert(call: Call) -> None:
    await execute(
        call,
        "INSERT INTO alerts (sla_id, name, severity, status, object, text, short, fired_at, created_at, updated_at) "
        "SELECT id, name, 'warning', 'firing', '#1 a', 'late', 'late', created_at, created_at, created_at FROM slas",
    )


async def test_a_silence_is_over_and_back(ann: Call):
    await _definitions(ann)
    await do(ann, "alert.silence", sla="soon", until="5h")
    await undo(ann)
    assert await execute(ann, "SELECT count(*) FROM silences") == [(0,)]

    await do(ann, "alert.silence", sla="soon", until="5h", reason="tests")
    await do(ann, "alert.unsilence", sla="soon")
    await undo(ann)
    assert await execute(ann, "SELECT reason FROM silences") == [("tests",)]


# --- what is asked wrongly ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "problem"), [([], Usage), (["1"], Usage), ([True], Usage), ([999], NotFound), ([10**30], Problem)]
)
async def test_an_operation_that_there_is_not_is_refused(ann: Call, ids: Any, problem: type[Problem]):
    with pytest.raises(problem):
        await do(ann, "undo", ids=ids)


async def test_the_answers_name_their_operations_and_readings_none(ann: Call):
    assert "operations" not in await do(ann, "queue.show", name="default")
    (paused,) = (await do(ann, "queue.pause", name="default"))["operations"]
    with pytest.raises(Conflict):
        await do(ann, "queue.create", name="default")
    assert (await do(ann, "queue.resume", name="default"))["operations"] == [paused + 1]


async def test_two_changes_of_one_task_are_undone_together_the_newest_first(ann: Call):
    await submitted(ann)
    ids = [(await do(ann, "set", ids=[1], fields={"priority": priority}))["operations"][0] for priority in (5, 9)]

    assert await undo(ann, *ids) == ["set priority of #1 true: priority 5 → 9", "set priority of #1 true: priority 0 → 5"]
    assert (await task(ann))["priority"] == 0


async def test_a_change_that_was_made_before_a_cancel_is_undone_after_that(ann: Call):
    await submitted(ann)
    ids = [(await do(ann, "set", ids=[1], fields={"priority": 5}))["operations"][0], (await do(ann, "cancel", ids=[1]))["operations"][0]]

    assert await undo(ann, *ids) == ["cancel of #1 true: status queued → cancelled", "set priority of #1 true: priority 0 → 5"]
    assert ((await task(ann))["priority"], (await task(ann))["status"]) == (0, "queued")


async def test_of_tasks_that_were_cancelled_one_by_one_the_last_comes_back_first(ann: Call):
    await submitted(ann)
    await submitted(ann, after=[1])
    ids = [(await do(ann, "cancel", ids=[number]))["operations"][0] for number in (2, 1)]

    assert len(await undo(ann, *ids)) == 2
    assert [(await task(ann, number))["status"] for number in (1, 2)] == ["queued", "blocked"]
