"""Answers of the API on a real database: the same JSON as on the command line, and errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.errors import Conflict, NotFound, Problem, Storage, Usage
from app.http import api
from app.http.api import count_items, make_problem_response
from app.service.context import Call
from app.service.definitions import templates
from app.service.registry import call_verb
from tests.service.calls import submit_task
from tests.service.conftest import Worker


async def get(client: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_pages_of_tasks_follow_each_other(client: httpx.AsyncClient, live_call: Call):
    for name in ("a", "b", "c"):
        await submit_task(live_call, name=name)

    first = await get(client, "/tasks?limit=2")
    rest = await get(client, f"/tasks?limit=2&after={first['next']}")

    assert [task["name"] for task in first["tasks"] + rest["tasks"]] == ["c", "b", "a"]
    assert (first["total"], rest["next"]) == (3, None)


async def test_tasks_are_filtered_as_on_the_command_line(
    client: httpx.AsyncClient, live_call: Call
):
    await submit_task(live_call, name="a, b", tags={"env": "prod"})
    await submit_task(live_call, name="a", hold=True)

    async def list_numbers(query: str) -> list[int]:
        return [task["number"] for task in (await get(client, f"/tasks?{query}"))["tasks"]]

    assert await list_numbers("name=a,%20b") == [1]
    assert await list_numbers("tag=env=prod&since=1h") == [1]
    assert await list_numbers("status=held&status=running") == [2]
    assert await list_numbers("filter=!tag:env") == [2]
    assert await list_numbers("direction=asc&order=name") == [2, 1]
    assert (await get(client, "/tasks?queue=none", 404))["error"]["code"] == "not-found"


@pytest.mark.parametrize(
    ("path", "verb", "args"),
    [
        ("/tasks/1", "show", {"id": 1}),
        ("/tasks/1/runs", "instances", {"id": 1}),
        ("/queues", "queue.ls", {}),
        ("/queues/default", "queue.show", {"name": "default"}),
        ("/pools/default", "pool.show", {"name": "default"}),
        ("/groups", "group.ls", {}),
        ("/alerts", "alert.ls", {}),
        ("/schedules", "schedule.ls", {}),
    ],
)
async def test_json_is_that_of_the_command_line(
    client: httpx.AsyncClient, live_call: Call, worker: Worker, path: str, verb: str, args: Any
):
    await submit_task(live_call, name="a")
    await worker.run(1, 3)

    assert await get(client, path) == await call_verb(live_call, verb, args)


async def test_a_waiting_task_is_explained(client: httpx.AsyncClient, live_call: Call):
    await submit_task(live_call, name="a", hold=True)

    reasons = (await get(client, "/tasks/1/why"))["reasons"]

    assert [reason["code"] for reason in reasons] == ["held"]


async def test_a_secret_stays_masked(client: httpx.AsyncClient, live_call: Call):
    secret = {"type": "object", "properties": {"key": {"type": "string", "writeOnly": True}}}
    schema = {"argv": ["true", "{{ key }}"]}
    await templates.create(live_call, name="t", engine="exec", schema=schema, parameters=secret)
    await submit_task(live_call, template="t", parameters={"key": "opensesame"})

    for path in ("/tasks", "/tasks/1", "/tasks/1/why", "/status", "/board"):
        assert "opensesame" not in (await client.get(f"/api/v1{path}")).text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/tasks/99", 404, "not-found"),
        ("/tasks/99/log", 404, "not-found"),
        ("/tasks/x", 400, "usage"),
        ("/tasks/1/x", 404, "not-found"),
        ("/tasks?after=x", 400, "usage"),
        ("/tasks?filter=status:nothing", 400, "usage"),
        ("/tasks?filter=%00", 200, None),
        ("/usage?by=moon", 400, "usage"),
        ("/queues/no%2Fqueue", 404, "not-found"),
        ("/alerts?limit=0", 400, "usage"),
    ],
)
async def test_errors_are_json(client: httpx.AsyncClient, path: str, status: int, code: str | None):
    found = await get(client, path, status)

    assert code is None or found["error"]["code"] == code


async def test_a_log_is_sent_as_it_is_with_its_offsets(
    client: httpx.AsyncClient, live_call: Call, worker: Worker
):
    await submit_task(live_call, name="a")
    await worker.run(1)
    run = (await call_verb(live_call, "log", {"id": 1}))["runs"][0]
    await live_call.db.write(
        lambda c: c.exec_driver_sql("UPDATE instances SET logs = 'one\ntwo\n'") and None
    )

    answer = await client.get("/api/v1/tasks/1/log?limit=4")
    rest = await get(client, "/tasks/1/log?offset=4&format=json")

    assert (answer.text, answer.headers["content-type"]) == ("one\n", "text/plain; charset=utf-8")
    assert (answer.headers["x-log-next"], answer.headers["x-log-size"]) == ("4", "8")
    assert (rest["text"], rest["next"], rest["runid"]) == ("two\n", None, run["runid"])


async def test_an_answer_with_too_many_entries_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "MAX_ITEMS", 0)

    assert (await get(client, "/queues", 413))["error"]["code"] == "too-large"


def test_the_longest_list_counts():
    assert [count_items(one) for one in ([1, 2], {"a": [1], "b": {"c": 1, "d": 2}}, {}, None)] == [
        2,
        2,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("problem", "status"),
    [(Usage, 400), (NotFound, 404), (Conflict, 409), (Storage, 503), (Problem, 503)],
)
def test_each_problem_has_its_http_status(problem: type[Problem], status: int):
    answer = make_problem_response(problem("no \x1b[31m. Nothing was done."))

    assert answer.status_code == status
    assert b"\\u001b" not in answer.body and b"Nothing was done" not in answer.body
