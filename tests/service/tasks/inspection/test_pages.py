"""Task lists by page, filters, and the review of a selection before a verb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app import client
from app.core.filter_query import STATES
from app.errors import NotFound, Usage
from app.service.context import Call
from app.service.registry import VERBS, call_verb
from app.service.tasks.changes import actions, apply, retry
from app.service.tasks.inspection.pages import COLUMNS, browse, review
from app.service.tasks.submission import submit
from db.engine import open_database
from tests.db.builders import TaskBuilder
from tests.service.calls import execute_sql, submit_task


async def read_page(call: Call, **args: Any) -> dict[str, Any]:
    """Return the answer as sent over the socket, its rows as dicts."""
    said = json.loads(json.dumps(await call_verb(call, "browse", args)))
    return said | {"rows": [dict(zip(said["columns"], row, strict=True)) for row in said["rows"]]}


async def list_numbers(call: Call, **args: Any) -> list[int]:
    return [row["number"] for row in (await read_page(call, **args))["rows"]]


async def submit_three(call: Call) -> None:
    """Submit three tasks: #1 encode one, #2 encode two, #3 load."""
    for name, options in (
        ("encode one", {"priority": 5}),
        ("encode two", {"tags": {"env": "prod"}}),
        ("load", {"hold": True}),
    ):
        await submit_task(call, name=name, **options)


async def test_a_page_has_its_columns_and_says_whether_more_follow(call: Call):
    await submit_three(call)

    said = await read_page(call, limit=2)

    assert tuple(said["columns"]) == COLUMNS
    assert [row["name"] for row in said["rows"]] == ["load", "encode two"]
    assert {name: said[name] for name in ("more_before", "more_after", "total", "of", "lag",
    "complete", "stopped")} == {
        "more_before": False, "more_after": True, "total": 3, "of": 3, "lag": 3, "complete": True,
        "stopped": None,
    }  # fmt: skip
    assert said["rows"][1]["tags"] == {"env": "prod"} and said["rows"][1]["at"] == 2


@pytest.mark.parametrize(("way", "found"), [("after", [1]), ("from", [2, 1]), ("before", [3])])
async def test_a_page_begins_after_before_or_at_a_row(call: Call, way: str, found: list[int]):
    await submit_three(call)

    assert await list_numbers(call, at=[2, 2], way=way) == found


async def test_a_list_can_be_sorted_by_another_column_and_reversed(call: Call):
    await submit_three(call)

    assert await list_numbers(call, order="name", down=False) == [1, 2, 3]
    assert await list_numbers(call, order="priority") == [1, 3, 2]
    assert await list_numbers(call, order="started", way="before", limit=1) == [1]
    assert await list_numbers(call, order="priority", at=[0, 3]) == [2]


async def test_rows_show_wait_reasons_and_run_progress(call: Call):
    await submit_three(call)
    await execute_sql(call, "UPDATE tasks SET status = 'queued' WHERE number = 2")

    def start(c: Any) -> None:
        made = TaskBuilder(c)
        made.start_run(c.exec_driver_sql("SELECT uuid FROM tasks WHERE number = 1").scalar_one())

    await call.db.write(start)
    rows = {row["number"]: row for row in (await read_page(call))["rows"]}

    assert (rows[1]["status"], rows[1]["run"], rows[1]["why"]) == ("running", "running", None)
    assert (rows[2]["run"], rows[2]["why"]) == (None, "nothing starts: no runtime is running")
    assert rows[3]["why"] == rows[2]["why"]
    assert await list_numbers(call, filter="status:active") == [1]
    assert await list_numbers(call, filter="status:starting") == []


async def test_every_waiting_row_of_a_page_has_a_reason(call: Call):
    specs = [{"argv": ["true"], "hold": True} for _ in range(130)]
    await submit.submit(call, tasks=specs)
    assert all(row["why"] for row in (await read_page(call))["rows"])


async def test_parameters_and_commands_are_not_in_a_page(call: Call):
    await submit_task(call, name="get", argv=["get", "--token", "hunter2"])
    await execute_sql(call, 'UPDATE tasks SET parameters = \'{"token": "hunter2"}\'')

    assert "hunter2" not in json.dumps(await read_page(call))
    assert await list_numbers(call, filter="hunter2") == []
    assert await list_numbers(call, filter="--token") == [1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"order": "nmae"}, "tasks have no such order; choose number,"),
        ({"way": "up"}, "way must be after, before or from"),
        ({"limit": 0}, "way must be after"),
        ({"limit": 10_000}, "way must be after"),
        ({"at": [1]}, "at must be the place of a row"),
        ({"at": ["x", 1]}, "at must be the place of a row"),
        ({"at": [1, 10**30]}, "at must be the place of a row"),
        ({"at": [1, "1"]}, "at must be the place of a row"),
        ({"at": "ab"}, "browse: at must be a list"),
        ({"order": "name", "at": [1, 1]}, "at must be the place of a row"),
        ({"filter": "status:faild"}, 'there is no state "faild". Nearest: failed.'),
        ({"filter": "\udcff"}, '"'),
    ],
)
async def test_invalid_list_arguments_are_refused(call: Call, args: dict[str, Any], said: str):
    with pytest.raises(Usage) as told:
        await read_page(call, **args)

    assert str(told.value).startswith(said)


async def test_an_unknown_queue_is_refused_with_the_nearest_name(call: Call):
    with pytest.raises(NotFound, match='there is no queue "defualt". Nearest: default.'):
        await read_page(call, filter="queue:defualt")


async def test_a_review_counts_and_names_the_selected_tasks(call: Call):
    await submit_three(call)
    await submit_task(call, name="after", after=[1])
    await submit_task(call, name="last", after=[4])

    said = await review(call, filter="encode")

    assert (said["total"], said["statuses"], said["dependents"], said["refused"]) == (
        2,
        {"queued": 2},
        2,
        [],
    )
    assert [row["name"] for row in said["first"]] == ["encode two", "encode one"]
    assert (await review(call, ids=[1, 4, 99]))["dependents"] == 1
    assert len((await review(call, ids=[1, 4, 99]))["refused"]) == 1
    assert [
        len((await review(call, **what, first=1))["first"])
        for what in ({"filter": "encode"}, {"ids": [1, 4]})
    ] == [1, 1]


async def test_a_verb_acts_on_the_tasks_that_the_filter_lists(call: Call):
    await submit_three(call)
    shown = await list_numbers(call, filter="encode !two")

    done = await actions.cancel(call, select={"filter": "encode !two"})

    assert [row["number"] for row in done["done"]] == shown == [1]
    assert (await retry.retry(call, select={"filter": "status:cancelled"}))["done"][0][
        "number"
    ] == 1
    assert [
        row["number"] for row in (await actions.front(call, select={"filter": "encode"}))["done"]
    ] == [2, 1]
    assert (await actions.set_(call, select={"filter": "#2"}, fields={"name": "renamed"}))["done"][
        0
    ]["number"] == 2
    assert await list_numbers(call, filter="renamed") == [2]


async def test_tasks_that_left_the_filter_meanwhile_are_left_alone(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await submit_three(call)
    monkeypatch.setattr(apply, "BATCH_SIZE", 1)
    monkeypatch.setattr(apply, "STEP_SECONDS", 0.0)
    write, parts = call.db.write, []

    async def slowly(fn: Any, *args: Any) -> Any:
        if parts:
            await write(
                lambda c: c.exec_driver_sql("UPDATE tasks SET name = 'other' WHERE number = 1")
            )
        parts.append(fn)
        return await write(fn, *args)

    monkeypatch.setattr(call.db, "write", slowly)
    monkeypatch.setattr(call.db, "write_quietly", slowly)

    done = await actions.hold(call, select={"filter": "encode"})

    assert [row["number"] for row in done["done"]] == [2]


@pytest.mark.parametrize("line", ["", "   ", '""', 5, ["encode"]])
async def test_an_empty_filter_never_means_all(call: Call, line: Any):
    await submit_three(call)

    with pytest.raises(Usage):
        await actions.cancel(call, select={"filter": line})

    assert await list_numbers(call, filter="!status:cancelled") == [3, 2, 1]


async def test_a_filter_excludes_other_selections(call: Call):
    with pytest.raises(Usage, match="cannot be combined with other selections"):
        await actions.cancel(call, select={"filter": "encode", "queue": "default"})


@pytest.mark.parametrize("state", STATES)
async def test_every_state_can_be_filtered(call: Call, state: str):
    assert await list_numbers(call, filter=f"status:{state}") == []


async def test_lists_are_read_without_a_runtime_and_without_writing(call: Call, home: Path):
    await submit_three(call)
    assert {"browse", "review"} <= client.READ_ONLY_VERBS and {"browse", "review"} <= VERBS.keys()

    async with open_database(call.db.path, writable=False) as db:
        assert len((await browse(Call(db, "", home), filter="encode"))["rows"]) == 2
