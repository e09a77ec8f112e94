"""The OpenAPI document, compared with real answers."""

from __future__ import annotations

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from app.http.endpoints import API, ENDPOINTS
from app.http.openapi import make_document
from app.http.schemas import make_schemas
from app.service.context import Call
from app.service.definitions import slas
from app.service.schedules import verbs
from app.service.tasks.submission import submit
from tests.service.calls import execute_sql, submit_task
from tests.service.conftest import Worker

PATHS = (
    "/tasks", "/tasks/1", "/tasks/2", "/tasks/3", "/tasks/1/why", "/tasks/3/why", "/tasks/1/runs",
    "/tasks/1/log?format=json", "/queues", "/queues/default", "/pools", "/pools/default", "/groups",
    "/groups/g1", "/alerts", "/alerts/7", "/schedules", "/schedules/nightly", "/usage", "/status",
    "/board",
)  # fmt: skip


async def fill(call: Call, worker: Worker) -> None:
    """Make a failed, a running and a held task, a group, a schedule and an alert."""
    await submit_task(call, name="a", tags={"env": "prod"}, retries=2)
    await worker.run(1, 3)
    await submit_task(call, name="b", timeout=60)
    await worker.start(2)
    await submit_task(call, name="c", hold=True)
    tasks = [{"argv": ["true", str(at)]} for at in range(2)]
    await submit.submit(call, tasks=tasks, env={}, group={"argv": ["true", "{}"]})
    await verbs.create(call, name="nightly", cron="0 3 * * *", timezone="UTC", argv=["true"])
    await slas.create(call, name="soon", preset="starts-within", value="30m", task="c")
    await execute_sql(
        call,
        "INSERT INTO alerts (id, name, severity, status, object, text, short, fired_at, created_at,"
        " updated_at) VALUES (7, 'soon', 'warning', 'firing', 'x', 't', 's', ?1, ?1, ?1)",
        "2026-01-01T00:00:00.000000Z",
    )


def find_schema(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema of the JSON answer of a path."""
    (pattern,) = (
        one
        for one in document["paths"]
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", one), API + path.partition("?")[0])
    )
    answer = document["paths"][pattern]["get"]["responses"]["200"]
    return answer["content"]["application/json"]["schema"]


async def test_real_answers_have_the_described_form(
    client: httpx.AsyncClient, live_call: Call, worker: Worker
):
    await fill(live_call, worker)
    document = (await client.get(f"{API}/openapi.json")).json()

    faults: list[Any] = []
    for path in PATHS:
        answer = await client.get(API + path)
        assert answer.status_code == 200, answer.text
        schema = find_schema(document, path) | {"components": document["components"]}
        found = Draft202012Validator(schema).iter_errors(answer.json())
        faults += [(path, list(fault.absolute_path), fault.message) for fault in found]

    assert faults == []


ROWS = {
    "/tasks/1": "task", "/tasks": "listed_task", "/tasks/1/runs": "run", "/queues": "queue",
    "/pools": "pool", "/groups": "group", "/alerts": "alert", "/schedules": "schedule",
    "/status": "status",
}  # fmt: skip


async def test_a_schema_names_all_members(
    client: httpx.AsyncClient, live_call: Call, worker: Worker
):
    await fill(live_call, worker)
    schemas, seen = make_schemas(), {}

    for path, name in ROWS.items():
        answer = (await client.get(API + path)).json()
        rows = answer.get("tasks", answer) if isinstance(answer, dict) else answer
        seen[name] = set(rows[0] if isinstance(rows, list) else rows)

    assert seen == {name: set(schemas[name]["required"]) for name in ROWS.values()}


def test_the_document_describes_every_path_of_the_table():
    document = make_document()

    assert document["openapi"] == "3.1.0"
    assert {*document["paths"]} >= {f"{API}{one.path}" for one in ENDPOINTS} | {"/healthz"}
    for methods in document["paths"].values():
        assert list(methods) == ["get"]
        assert "405" in methods["get"]["responses"]


def test_every_schema_that_is_referred_to_exists():
    document = make_document()
    referred = set(re.findall(r"#/components/(\w+)/(\w+)", repr(document)))

    assert {name for kind, name in referred if kind == "schemas"} <= set(make_schemas())
    assert {name for kind, name in referred if kind == "responses"} <= set(
        document["components"]["responses"]
    )
