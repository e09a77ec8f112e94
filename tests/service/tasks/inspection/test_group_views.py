"""Tests of groups as rows of the list of all tasks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import NotFound, Usage
from app.service.context import Call
from app.service.registry import call_verb
from app.service.tasks.changes import actions
from app.service.tasks.inspection import flow, group_views, views
from app.service.tasks.inspection.pages import browse
from app.service.tasks.inspection.wait import wait
from app.service.tasks.submission import submit
from app.service.undo import undo
from db.queries.tasks import task_list
from tests.service.calls import execute_sql, list_operations, submit_task
from tests.service.tasks.submission.test_groups import submit_group


async def submit_mixed(call: Call) -> None:
    """Submit #1 alone, #2 to #4 as g1, #5 alone, #6 and #7 as g2."""
    await submit_task(call, name="first")
    await submit_group(call, 3)
    await submit_task(call, name="second")
    await submit_group(call, 2)


def list_shown(found: dict[str, Any]) -> list[int | str]:
    """Return numbers of tasks and names of groups, in the order of the list."""
    numbers = [row[found["columns"].index("number")] for row in found["rows"]]
    places = [(number, number) for number in numbers]
    places += [(row["at"], row["group"]) for row in found["groups"]]
    return [shown for _, shown in sorted(places, reverse=True)]


async def test_each_group_is_one_row_of_the_list(call: Call):
    await submit_mixed(call)

    found = await browse(call, fold=True)

    assert list_shown(found) == ["g2", 5, "g1", 1]
    assert not found["more_before"] and not found["more_after"] and found["of"] == 7


@pytest.mark.parametrize(
    ("way", "at", "shown", "more"),
    [
        ("after", None, ["g2", 5], (False, True)),
        ("after", 5, ["g1", 1], (True, False)),
        ("from", 2, ["g1", 1], (True, False)),
        ("before", 2, ["g2", 5], (False, True)),
        ("before", None, ["g1", 1], (True, False)),
        ("after", 1, [], (True, False)),
    ],
)
async def test_pages_begin_at_tasks_and_groups(
    call: Call, way: str, at: int | None, shown: list[int | str], more: tuple[bool, bool]
):
    await submit_mixed(call)

    place = None if at is None else [at, at]
    found = await browse(call, fold=True, way=way, at=place, limit=2)

    assert list_shown(found) == shown
    assert (found["more_before"], found["more_after"]) == more


async def test_a_list_without_groups_or_with_a_filter_shows_tasks(call: Call):
    await submit_task(call, name="first")
    assert "groups" not in await browse(call, fold=True)

    await submit_group(call, 3)
    cases: tuple[dict[str, Any], ...] = ({"filter": "true"}, {"order": "name"})
    for args in cases:
        found = await browse(call, fold=True, **args)
        assert "groups" not in found
    assert len((await browse(call, filter="group:g1"))["rows"]) == 3
    assert len((await browse(call, filter="!group:1"))["rows"]) == 1


async def test_a_group_row_tells_progress_and_its_tasks_failed_first(call: Call):
    await submit_group(call, 4)
    ended = "UPDATE tasks SET status = '{}', started_at = created_at, ended_at = created_at"
    await execute_sql(call, f"{ended.format('succeeded')} WHERE number = 1")
    await execute_sql(call, f"{ended.format('failed')} WHERE number = 3")

    found = await browse(call, fold=True, unfold=[1])

    (row,) = found["groups"]
    assert (row["total"], row["ended"], row["failed"], row["waiting"]) == (4, 2, 1, 2)
    assert row["counts"] == {"failed": 1, "queued": 2, "succeeded": 1}
    assert row["rate"] == pytest.approx(120) and row["eta"] is None
    assert [task[found["columns"].index("number")] for task in row["rows"]] == [3, 2, 4, 1]


async def test_a_group_of_deleted_tasks_is_not_shown(call: Call):
    places = await submit_group(call, 2)
    numbers = [place["number"] for place in places]
    await actions.cancel(call, ids=numbers)
    await actions.rm(call, ids=numbers)

    assert list_shown(await browse(call, fold=True)) == []


# --- ls, show and why


async def test_a_list_of_tasks_has_groups_instead_of_their_tasks(call: Call):
    await submit_mixed(call)
    plain = await views.ls(call, brief=True, recent=True)

    found = await views.ls(call, brief=True, recent=True, fold=True)

    assert [line[1] for line in json.loads(found["lines"])] == [1, 5]
    assert [(group["group"], group["total"]) for group in found["groups"]] == [("g2", 2), ("g1", 3)]
    assert found["total"] == plain["total"] == 7 and "groups" not in plain


async def test_without_groups_a_folded_list_is_the_usual_one(call: Call):
    await submit_task(call)

    assert await views.ls(call, brief=True, fold=True) == await views.ls(call, brief=True)


async def test_single_tasks_of_every_state_stay_in_a_folded_list(call: Call):
    await submit_mixed(call)
    changes = (
        "status = 'running', started_at = created_at",
        "status = 'succeeded', ended_at = created_at",
        "status = 'scheduled', not_before = created_at",
        "hold = 1, status = 'held'",
    )
    for number, change in enumerate(changes, 8):
        await submit_task(call)
        await execute_sql(call, f"UPDATE tasks SET {change} WHERE number = ?", number)

    found = await views.ls(call, brief=True, fold=True)

    assert [line[1] for line in json.loads(found["lines"])] == [8, 1, 5, 10, 11, 9]


async def test_many_tasks_of_a_group_hide_no_waiting_task(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(task_list, "MAX_EXAMINED", 3)
    await submit_group(call, 4)
    await submit_task(call)
    await submit_task(call)
    await actions.hold(call, ids=[6])

    found = await views.ls(call, brief=True, fold=True, limit=9)

    assert sorted(line[1] for line in json.loads(found["lines"])) == [5, 6]


async def test_ended_groups_leave_the_usual_list_after_a_day(call: Call):
    await submit_mixed(call)
    await actions.cancel(call, ids=["g1"])
    await execute_sql(call, "UPDATE counters SET updated_at = '2020' WHERE name LIKE 'groups/%'")

    assert [group["group"] for group in await group_views.ls(call, recent=True)] == ["g2"]
    assert [group["group"] for group in await group_views.ls(call)] == ["g2", "g1"]
    await actions.rm(call, ids=["g1"])
    assert [group["group"] for group in await group_views.ls(call)] == ["g2"]


async def test_a_group_shows_its_first_failure(call: Call):
    await submit_mixed(call)
    assert (await group_views.show(call, id="g1"))["failure"] is None
    for number, status, at in ((2, "failed", "2026-02"), (3, "lost", "2026-01")):
        change = "UPDATE tasks SET status = ?, ended_at = ?, reason = 'x' WHERE number = ?"
        await execute_sql(call, change, status, at, number)

    found = await group_views.show(call, id="g1")

    assert (found["total"], found["failed"], found["status"]) == (3, 2, "queued")
    failure = found["failure"]
    assert (failure["number"], failure["status"], failure["member"]) == (3, "lost", "[2]")
    with pytest.raises(NotFound, match='there is no group "g9"'):
        await group_views.show(call, id="g9")


@pytest.mark.parametrize("change", [None, 0])
async def test_the_limit_of_a_group_is_set_and_removed(call: Call, change: int | None):
    await submit_group(call, 2, group={"argv": ["x"], "max_running": 8})

    found = await group_views.set_(call, id="g1", max_running=4)
    assert (found["was"], found["max_running"]) == (8, 4)
    await group_views.set_(call, id="g1", max_running=change)

    assert (await group_views.show(call, id="g1"))["max_running"] is None
    assert (await list_operations(call))[1:] == [("group set", "group g1")] * 2
    for wrong in (-1, 1.5, True, "4", 10**6):
        with pytest.raises(Usage):
            await group_views.set_(call, id="g1", max_running=wrong)  # type: ignore[arg-type]


async def test_a_changed_limit_of_a_group_is_undone(call: Call):
    await submit_group(call, 2, group={"argv": ["x"], "max_running": 8})
    for most in (4, 2):
        await group_views.set_(call, id="g1", max_running=most)
    rows = await execute_sql(call, "SELECT id FROM operations WHERE verb = 'group set' ORDER BY id")
    (first,), (second,) = rows

    assert (await undo.undo(call, ids=[first]))["done"] == []
    assert (await undo.undo(call, ids=[second]))["done"]

    assert (await group_views.show(call, id="g1"))["max_running"] == 4


async def test_why_tells_a_group_limit_and_the_command_to_raise_it(runtime_call: Call, worker: Any):
    await submit_group(runtime_call, 2, group={"argv": ["x"], "max_running": 1})
    await worker.start(1)

    (answer,) = await views.explain(runtime_call, ids=[2])
    assert (answer["group"], answer["group_index"]) == ("g1", 2)
    assert answer["needs"] == {"cpu": 1.0, "memory": 0.0}

    assert answer["reasons"][0]["text"].startswith("group g1: 1 of 1 running")
    commands = [" ".join(cure["command"]) for cure in answer["cures"]]
    assert "taskdeck set g1 --max-running 2" in commands


async def test_why_counts_the_reasons_of_one_group(call: Call):
    await submit_mixed(call)
    await actions.hold(call, ids=[2])

    found = await views.explain(call, ids=["g1"])

    assert (found["group"], found["total"]) == ("g1", 3)
    assert sum(group["count"] for group in found["groups"]) == 3
    with pytest.raises(Usage, match="why takes one group, or tasks"):
        await views.explain(call, ids=["g1", 2])


async def test_the_page_of_a_group_lists_its_parameters_and_tasks(call: Call):
    sweep = {"names": ["lr", "token"], "values": [["0.1", "x"], ["0.2", "y"]]}
    await submit_group(call, 2, group={"name": "grid", "sweep": sweep})

    found = await call_verb(call, "group.tasks", {"id": "g1", "limit": 1})

    assert found["names"] == ["lr", "token"] and found["group"]["total"] == 2
    (row,) = found["rows"]
    assert row[found["columns"].index("sweep")] == {"lr": "0.1", "token": "•••"}
    with pytest.raises(Usage, match="limit must be"):
        await call_verb(call, "group.tasks", {"id": "g1", "limit": 0})


async def test_a_skipped_task_fails_neither_its_group_nor_a_wait(call: Call, worker):
    tasks = [
        {"argv": ["a"], "name": "fetch"},
        {"argv": ["b"], "name": "clean-up", "after_failure": ["fetch"]},
    ]
    await submit.submit(call, tasks=tasks, group={"name": "flow"})
    await worker.run(1)

    shown = await group_views.show(call, id="g1")

    assert (shown["status"], shown["ended"], shown["total"]) == ("succeeded", 2, 2)
    assert shown["counts"] == {"succeeded": 1, "skipped": 1}
    assert [end["code"] for end in await wait(call, ids=["g1"])] == [0, 0]
    assert (await flow.show_flow(call, id="g1"))["statuses"] == shown["counts"]
