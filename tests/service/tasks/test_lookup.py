"""Task lookup from typed ids, names and selections."""

from __future__ import annotations

import sqlite3
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from app.errors import Conflict, NotFound, Problem, Usage
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.changes import actions
from db.rows import TaskRow
from tests.service.calls import submit_task


async def find_number(call: Call, ident: Any) -> int:
    return (await call.db.read(lookup.find_task, ident)).number


async def test_a_task_is_found_by_number_uuid_prefix_and_name(call: Call):
    done = await submit_task(call, name="night job")

    for ident in (
        1,
        "1",
        "#1",
        " 1 ",
        done["uuid"],
        done["uuid"][:8],
        done["uuid"][:20].upper(),
        "night job",
    ):
        assert await find_number(call, ident) == 1, ident


@pytest.mark.parametrize(
    "ident",
    [
        "2",
        "#2",
        "0",
        "9" * 30,
        "",
        "#",
        " ",
        "-1",
        "1.0",
        "0x1",
        "night",
        "١",
        "1234567",
        "a" * 8,
        "\udcff",
        "%",
        "night_job",
    ],
)
async def test_an_unknown_task_is_not_found(call: Call, ident: str):
    await submit_task(call, name="night job")

    with pytest.raises(NotFound) as told:
        await find_number(call, ident)

    assert str(told.value).startswith("there is no task ") and told.value.exit_code == 3


@pytest.mark.parametrize(
    ("ident", "apart"),
    [("21,22", True), ("#1-#3", True), ("1..3", True), ("21", False), ("night,job", False)],
)
async def test_several_ids_in_one_word_are_refused_with_advice(call: Call, ident: str, apart: bool):
    with pytest.raises(NotFound) as told:
        await find_number(call, ident)

    assert ("one by one" in told.value.hint) == apart


async def test_digits_are_a_number_never_a_uuid_or_a_name(call: Call):
    await submit_task(call, name="2")

    with pytest.raises(NotFound):
        await find_number(call, "2")
    assert await find_number(call, "1") == 1


async def test_a_uuid_prefix_needs_eight_characters(call: Call):
    done = await submit_task(call)

    with pytest.raises(NotFound):
        await find_number(call, done["uuid"][:7])


async def test_an_ambiguous_prefix_is_refused_with_the_numbers(call: Call):
    first, second = await submit_task(call), await submit_task(call)
    shared = next(at for at in range(36) if first["uuid"][at] != second["uuid"][at])

    with pytest.raises(Conflict, match="#1.*#2|#2.*#1"):
        await find_number(call, first["uuid"][: max(8, shared)])


async def test_an_ambiguous_name_is_refused_with_the_numbers(call: Call):
    for _ in range(2):
        await submit_task(call, name="twin")

    with pytest.raises(
        Conflict, match='"twin" is the name of 2 tasks: #2, #1. Give the number'
    ) as told:
        await find_number(call, "twin")
    assert told.value.exit_code == 4


async def test_hostile_words_are_safe_in_messages(call: Call):
    with pytest.raises(NotFound) as told:
        await find_number(call, "\x1b]52;c;AAAA\x07" + "x" * 500)

    assert "\x1b" not in str(told.value) and len(str(told.value)) < 200


async def test_a_task_named_twice_is_selected_once(call: Call):
    await submit_task(call, name="a")

    done = await actions.cancel(call, ids=["1", "#1", "a", 1])

    assert [row["number"] for row in done["done"]] == [1]


async def test_unknown_ids_are_reported_and_the_others_handled(call: Call):
    await submit_task(call)

    done = await actions.cancel(call, ids=["77", "1", "nope"])

    assert [row["status"] for row in done["done"]] == ["cancelled"]
    assert [(row["id"], row["number"], row["exit_code"]) for row in done["refused"]] == [
        ("77", None, 3),
        ("nope", None, 3),
    ]


@pytest.mark.parametrize(
    "asked",
    [{}, {"ids": []}, {"ids": None}, {"select": {}}, {"select": {"queue": None, "status": None}},
    {"select": {"status": []}},
     {"select": {"stauts": "queued"}}, {"select": {"all": True}}],
)  # fmt: skip
async def test_an_empty_selection_is_a_usage_error_never_all(call: Call, asked: dict[str, Any]):
    await submit_task(call)

    with pytest.raises(Usage):
        await actions.cancel(call, **asked)

    assert await call.db.read(lambda c: lookup.find_task(c, 1).status) == "queued"


async def test_many_ids_of_any_kind_are_looked_up_by_few_statements(call: Call):
    known = [await submit_task(call, name=f"job {n}") for n in range(30)]
    words = [*(row["uuid"] for row in known), *(f"job {n}" for n in range(30))]
    words += [str(n) for n in range(1, 100)] + [f"{n:08x}-1" for n in range(100)]
    words += [f"name {n}" for n in range(100)]

    def look_up(c: Connection) -> tuple[list[TaskRow | Problem], int]:
        statements: list[str] = []
        driver = cast(sqlite3.Connection, c.connection.driver_connection)
        driver.set_trace_callback(statements.append)
        found = lookup.look_up(c, words)
        driver.set_trace_callback(None)
        return found, len(statements)

    found, statements = await call.db.write(look_up)

    rows = [row.number if isinstance(row, TaskRow) else 0 for row in found]
    assert rows == [*range(1, 31)] * 3 + [0] * (len(words) - 90)
    assert statements == 4


async def test_a_word_in_place_of_a_list_is_one_id(call: Call):
    for _ in range(12):
        await submit_task(call)

    done = await actions.cancel(call, ids="12")

    assert [row["number"] for row in done["done"]] == [12]


async def test_a_selection_filters_by_status_queue_name_tag_and_age(call: Call):
    await submit_task(call, name="a", tags={"team": "ml"})
    await submit_task(call, name="b", tags={"team": "ops"}, hold=True)

    async def chosen(**select: Any) -> list[int]:
        rows = (await call.db.read(lookup.resolve, None, select)).tasks
        assert await call.db.read(lookup.resolve_uuids, None, select) == (
            [row.uuid for row in rows],
            (),
        )
        return [row.number for row in rows]

    assert await chosen(status="held") == [2]
    assert await chosen(status=["queued", "held"]) == [2, 1]
    assert await chosen(name="a") == [1]
    assert await chosen(tag={"team": "ops"}) == [2]
    assert await chosen(tag={"team": "nobody"}) == []
    assert await chosen(queue="default", since=3600) == [2, 1]
    with pytest.raises(NotFound, match='there is no queue "defualt". Nearest: default'):
        await chosen(queue="defualt")


def test_without_any_queue_the_error_tells_how_to_create_one():
    assert (
        str(lookup.make_unknown_queue("default", []))
        == 'there is no queue "default", nor any other queue.'
        " Create the default one: taskdeck db check --repair"
    )


async def test_an_unknown_state_is_refused_with_the_nearest_and_all_states(call: Call):
    with pytest.raises(
        Usage, match='no state "faild". Nearest: failed.*States: scheduled, blocked'
    ):
        await actions.cancel(call, select={"status": "faild"})


@pytest.mark.parametrize("since", ["soon", -1, float("nan"), 1e300])
async def test_an_invalid_age_is_refused(call: Call, since: Any):
    with pytest.raises(Usage, match="since"):
        await actions.cancel(call, select={"since": since})
