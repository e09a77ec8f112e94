"""The operation log as it is read: by pages, by words, by who, what, to what and since when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.errors import Usage
from app.service import registry
from app.service.context import Call
from db.queries.operations import By
from tests.service.calls import execute, submitted

HERE = "pts/3 4120 81734"


@pytest.fixture
async def ann(call: Call) -> Call:
    """Ann, who did a few things from her deck after somebody did one from elsewhere."""
    ann = replace(call, by=By("ann", "deck", HERE))
    await submitted(ann, name="Encode Été")
    await registry.answer(replace(call, by=By("bob")), "queue.pause", {"name": "default"})
    await registry.answer(ann, "set", {"ids": [1], "fields": {"priority": 5}})
    await registry.answer(ann, "hold", {"ids": [1]})
    return ann


async def listed(call: Call, **args: Any) -> list[str]:
    return [row["verb"] for row in await registry.answer(call, "operations", args)]


async def test_they_are_told_newest_first_with_who_from_where_and_whether_they_can_be_undone(ann: Call):
    held, _, paused = (await registry.answer(ann, "operations", {"limit": 3}))

    assert (held["verb"], held["object"], held["name"], held["by"]) == ("hold", "task #1", "Encode Été", "ann")
    assert (held["source"], held["here"], held["undoable"], held["reason"]) == ("deck", True, True, "")
    assert (held["before"], held["after"]) == ({"status": "queued", "hold": False}, {"status": "held", "hold": True})
    assert (paused["by"], paused["source"], paused["here"], paused["name"]) == ("bob", "cli", False, None)


async def test_what_the_runtime_does_by_itself_says_so(ann: Call):
    rows = await registry.answer(ann, "operations", {"verb": "queue create"})

    assert [(row["by"], row["source"], row["here"]) for row in rows] == [("taskdeck", "duty", False)]


@pytest.mark.parametrize(
    ("args", "verbs"),
    [
        ({"by": "bob"}, ["queue pause"]),
        ({"verb": "queue", "by": "bob"}, ["queue pause"]),
        ({"verb": "set"}, ["set priority"]),
        ({"verb": "se"}, []),
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
async def test_they_are_found_by_words_and_by_what_they_are(ann: Call, args: dict[str, Any], verbs: list[str]):
    assert await listed(ann, **args) == verbs


async def test_the_page_after_one_goes_on_where_it_ended(ann: Call):
    every = await registry.answer(ann, "operations", {"limit": 0})
    first = await registry.answer(ann, "operations", {"limit": 2})
    second = await registry.answer(ann, "operations", {"limit": 100, "before": first[-1]["id"]})

    assert first + second == every


async def test_what_is_older_than_since_is_left_out(ann: Call):
    await execute(ann, "DROP TRIGGER IF EXISTS operations_stay")  # time passes
    await execute(ann, "UPDATE operations SET created_at = '2020-01-01T00:00:00.000000Z' WHERE verb <> 'hold'")

    assert await listed(ann, since="1h") == ["hold"]
    with pytest.raises(Usage, match="since"):
        await listed(ann, since="soon")


async def test_one_call_is_one_batch_however_many_transactions_it_takes(ann: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.service.tasks.actions.BATCH", 10)
    await registry.answer(ann, "submit.lines", {"text": '{"argv": ["true"]}\n' * 25})
    answer = await registry.answer(ann, "set", {"select": {"queue": "default"}, "fields": {"priority": 3}})

    rows = await registry.answer(ann, "operations", {"verb": "set", "limit": 26})
    assert {row["batch"] for row in rows} == {answer["operations"][0]}
    assert len(answer["operations"]) == 26
