"""Reading the operation log: pages, search words and filters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.errors import NotFound, Usage
from app.service import registry
from app.service.context import Call
from db.queries.history import operations
from db.queries.history.operations import Actor
from tests.service.calls import execute_sql, submit_task

ORIGIN = "pts/3 4120 81734"


@pytest.fixture
async def ann_call(call: Call) -> Call:
    """Return a call by ann, after one operation by bob and three by ann."""
    ann = replace(call, by=Actor("ann", "deck", ORIGIN))
    await submit_task(ann, name="Encode Été")
    await registry.call_verb(replace(call, by=Actor("bob")), "queue.pause", {"name": "default"})
    await registry.call_verb(ann, "set", {"ids": [1], "fields": {"priority": 5}})
    await registry.call_verb(ann, "hold", {"ids": [1]})
    return ann


async def list_verbs(call: Call, **args: Any) -> list[str]:
    return [row["verb"] for row in await registry.call_verb(call, "operations", args)]


async def test_entries_are_newest_first_with_author_origin_and_undoability(ann_call: Call):
    held, _, paused = await registry.call_verb(ann_call, "operations", {"limit": 3})

    assert (held["verb"], held["object"], held["name"], held["by"]) == (
        "hold",
        "task #1",
        "Encode Été",
        "ann",
    )
    assert (held["source"], held["here"], held["undoable"], held["reason"]) == (
        "deck",
        True,
        True,
        "",
    )
    assert (held["before"], held["after"]) == (
        {"status": "queued", "hold": False},
        {"status": "held", "hold": True},
    )
    assert (paused["by"], paused["source"], paused["here"], paused["name"]) == (
        "bob",
        "cli",
        False,
        None,
    )


async def test_operations_of_the_runtime_are_marked(ann_call: Call):
    rows = await registry.call_verb(ann_call, "operations", {"verb": "queue create"})

    assert [(row["by"], row["source"], row["here"]) for row in rows] == [
        ("taskdeck", "duty", False)
    ]


@pytest.mark.parametrize(
    ("args", "verbs"),
    [
        ({"by": "bob"}, ["queue pause"]),
        ({"verb": "queue", "by": "bob"}, ["queue pause"]),
        ({"verb": "set"}, ["set priority"]),
        ({"verb": "se"}, []),
        ({"by": "ann", "without": "submit"}, ["hold", "set priority"]),
        ({"object": "task #1"}, ["hold", "set priority", "submit"]),
        ({"words": ["PRIOR"]}, ["set priority"]),
        ({"words": ["encode", "held"]}, ["hold"]),
        ({"words": ["encode", "Été", "!priority"]}, ["hold", "submit"]),
        ({"words": ["#1", "!bob"], "by": "ann"}, ["hold", "set priority", "submit"]),
        ({"words": ["%"]}, []),
        ({"words": ["!"]}, []),
        ({"since": "1h", "by": "ann"}, ["hold", "set priority", "submit"]),
    ],
)
async def test_entries_are_found_by_words_and_filters(
    ann_call: Call, args: dict[str, Any], verbs: list[str]
):
    assert await list_verbs(ann_call, **args) == verbs


async def test_a_page_continues_after_the_previous_one(ann_call: Call):
    every = await registry.call_verb(ann_call, "operations", {"limit": 0})
    first = await registry.call_verb(ann_call, "operations", {"limit": 2})
    second = await registry.call_verb(
        ann_call, "operations", {"limit": 100, "before": first[-1]["id"]}
    )

    assert first + second == every


async def test_entries_older_than_since_are_left_out(ann_call: Call):
    # allow changes of the log, as if time passed
    await execute_sql(ann_call, "DROP TRIGGER IF EXISTS operations_stay")
    await execute_sql(
        ann_call,
        "UPDATE operations SET created_at = '2020-01-01T00:00:00.000000Z' WHERE verb <> 'hold'",
    )

    assert await list_verbs(ann_call, since="1h") == ["hold"]
    with pytest.raises(Usage, match="since"):
        await list_verbs(ann_call, since="soon")


async def test_one_call_is_one_batch_over_several_transactions(
    ann_call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.service.tasks.changes.apply.BATCH_SIZE", 10)
    await registry.call_verb(ann_call, "submit.lines", {"text": '{"argv": ["true"]}\n' * 25})
    answer = await registry.call_verb(
        ann_call, "set", {"select": {"queue": "default"}, "fields": {"priority": 3}}
    )

    rows = await registry.call_verb(
        ann_call, "operations", {"batch": answer["operations"][3], "limit": 30}
    )
    assert [row["id"] for row in rows] == answer["operations"][::-1]
    assert len(answer["operations"]) == 26


async def test_one_call_on_many_tasks_is_one_row_that_counts_them(ann_call: Call):
    """Count tasks of a call and of a submission; keep them in the search by object."""
    await registry.call_verb(ann_call, "submit", {"tasks": [{"argv": ["true"]}] * 300})
    answer = await registry.call_verb(ann_call, "cancel", {"select": {"queue": "default"}})
    await registry.call_verb(ann_call, "queue.resume", {"name": "default"})

    rows = await registry.call_verb(ann_call, "operations", {"by": "ann", "limit": 3})
    assert [(row["verb"], row["object"], row["count"], row["tasks"]) for row in rows] == [
        ("queue resume", "queue default", 1, None),
        ("cancel", "task #301", 301, 301),
        ("submit", "300 tasks #2–#301", 1, 300),
    ]
    assert rows[1]["id"] == answer["operations"][0]
    found = await registry.call_verb(ann_call, "operations", {"object": "task #42"})
    assert [(row["verb"], row["count"]) for row in found] == [("cancel", 1)]
    assert found[0]["id"] in answer["operations"]
    (found,) = await registry.call_verb(ann_call, "operations", {"words": ["#42", "cancelled"]})
    assert (found["id"], found["count"]) == (rows[1]["id"], 301)


async def test_pages_of_acts_do_not_repeat_or_skip_any(ann_call: Call):
    """Interleave the operations of two calls, as two callers do."""
    callers = Actor("eve"), Actor("bob")
    for at in range(3):
        for by in callers:
            await ann_call.db.write(operations.record, by, "hold", f"task #{at}")
    every = await registry.call_verb(ann_call, "operations", {"limit": 0})
    paged: list[dict[str, Any]] = []
    while page := await registry.call_verb(
        ann_call, "operations", {"limit": 1} | ({"before": paged[-1]["id"]} if paged else {})
    ):
        paged += page

    assert paged == every
    assert [(row["by"], row["count"]) for row in every[:2]] == [("bob", 3), ("eve", 3)]


async def test_an_act_can_be_undone_as_long_as_one_of_its_operations_can(ann_call: Call):
    for _ in range(2):
        await submit_task(ann_call)
    first, *rest = (await registry.call_verb(ann_call, "hold", {"ids": [2, 3]}))["operations"]
    await registry.call_verb(ann_call, "undo", {"ids": [first, *rest][1:]})

    (row,) = await registry.call_verb(ann_call, "operations", {"verb": "hold", "limit": 1})
    assert (row["id"], row["undoable"], row["undone_by"]) == (first, True, None)

    found = await registry.call_verb(ann_call, "undo", {"ids": [first]})
    assert [done["object"] for done in found["done"]] == ["task #2"]
    (row,) = await registry.call_verb(ann_call, "operations", {"verb": "hold", "limit": 1})
    assert not row["undoable"] and row["undone_by"]


async def test_an_undo_of_submissions_counts_their_tasks_once(ann_call: Call):
    """Count each task of an undo, which has an operation of its cancel too."""
    for _ in range(2):
        await registry.call_verb(ann_call, "submit", {"tasks": [{"argv": ["true"]}]})
    submitted = await registry.call_verb(ann_call, "operations", {"limit": 2})
    await registry.call_verb(ann_call, "undo", {"ids": [row["id"] for row in submitted]})

    (row,) = await registry.call_verb(ann_call, "operations", {"limit": 1})
    assert (row["verb"], row["count"], row["tasks"]) == ("undo submit", 4, 2)


async def test_an_unknown_act_is_refused(ann_call: Call):
    with pytest.raises(NotFound, match="no operation 99"):
        await registry.call_verb(ann_call, "operations", {"batch": 99})
