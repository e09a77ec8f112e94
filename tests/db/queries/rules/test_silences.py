"""Silences: which alerts they cover, and when what waits for their end is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from app.service.context import Call
from db import schema, timestamps
from db.queries.rules import alerts, silences
from tests.db.builders import TaskBuilder


def get_time(seconds: float) -> str:
    return timestamps.format_time(timestamps.utcnow() + timedelta(seconds=seconds))


def add_alert(c: Connection, name: str, severity: str = "warning", **more: Any) -> int:
    """Insert a firing alert, of the general form if it has a fingerprint."""
    now = timestamps.now()
    row = {
        "name": name, "severity": severity, "status": "firing", "object": "x", "text": "x",
        "short": "x", "fired_at": now, "created_at": now, "updated_at": now, **more,
    }  # fmt: skip
    made = schema.alerts.insert().values(**row).returning(schema.alerts.c.id)
    return c.execute(made).scalar_one()


def silence(c: Connection, seconds: float, **matchers: list[str]) -> int:
    return silences.put(c, matchers, get_time(seconds), "ann", None)


def list_labels(c: Connection) -> list[dict[str, Any]]:
    """Return the names of all open alerts, without rule and severity."""
    found = sorted(silences.list_labelled(c))
    return [
        {key: name for key, name in alert.labels._asdict().items() if name}
        | {"rule": "", "severity": ""}
        for alert in found
    ]


async def test_an_alert_has_the_names_of_its_task_and_queue(call: Call):
    def run(c: Connection) -> list[dict[str, Any]]:
        task = TaskBuilder(c).submit_task(name="etl", tags={"env": "dev", "n": "1"})
        c.exec_driver_sql(
            "INSERT INTO schedules (name, status, kind, expression, zone, start, task, context,"
            " exclude, created_at, updated_at) SELECT 'nightly', 'active', 'cron', '@daily', 'UTC',"
            " created_at, ?, '{}', '[]', created_at, created_at FROM tasks",
            ('{"template": "load", "tags": {"env": "ci"}}',),
        )
        c.exec_driver_sql(
            "INSERT INTO fires (schedule, fire_time, outcome, task_id, created_at, updated_at)"
            " SELECT 'nightly', created_at, 'submitted', uuid, created_at, created_at FROM tasks"
        )
        add_alert(c, "late", task_id=task)
        add_alert(c, "missed", fingerprint="3/schedule:nightly")
        add_alert(c, "failing", fingerprint="4/name:etl")
        return list_labels(c)

    of_task, of_schedule, of_name = await call.db.write(run)

    assert of_task == {
        "rule": "", "severity": "", "task": "etl", "schedule": "nightly", "queue": "default",
        "pool": "default", "tag": ("env=dev", "n=1"),
    }  # fmt: skip
    own = {"task": "nightly", "template": "load", "tag": ("env=ci",)}
    assert of_schedule == of_task | own
    assert of_name["tag"] == of_task["tag"]


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("queue:default", {"queue": "default", "pool": "default"}),
        ("pool:gpu", {"pool": "gpu"}),
        ("template:encode", {"template": "encode"}),
        ("name:etl", {"task": "etl", "queue": "default", "pool": "default"}),
        ("task:gone", {"task": "gone"}),
        ("schedule:gone", {"schedule": "gone"}),
        ("host", {}),
        ("rule", {}),
    ],
)
async def test_an_alert_without_a_task_has_the_names_of_its_subject(
    call: Call, subject: str, names: dict[str, str]
):
    def run(c: Connection) -> list[dict[str, Any]]:
        TaskBuilder(c).submit_task(name="etl")
        add_alert(c, "rule", fingerprint=f"7/{subject}")
        return list_labels(c)

    assert await call.db.write(run) == [{"rule": "", "severity": "", **names}]


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        ({"rule": ["gpu-*"]}, ["gpu-wait", "gpu-deep"]),
        ({"rule": ["gpu-*"], "severity": ["critical"]}, ["gpu-deep"]),
        ({"queue": ["gpu", "etl"]}, ["gpu-deep"]),
        ({"rule": ["[!g]*"]}, ["disk-full"]),
        ({"task": ["*"]}, ["gpu-wait"]),
        ({"rule": ["GPU-*"]}, []),
        ({"tag": ["env=d*"]}, ["gpu-wait"]),
        ({"tag": ["env=ci", "env=dev", "n=*"]}, ["gpu-wait"]),
        ({"tag": ["env=dev", "n=2"]}, []),
        ({"tag": ["*=*"], "queue": ["gpu"]}, []),
        ({"later": ["*"]}, []),
        ({}, []),
    ],
)
async def test_an_alert_must_match_all_names(
    call: Call, matchers: dict[str, list[str]], covered: list[str]
):
    def run(c: Connection) -> list[str]:
        task = TaskBuilder(c).submit_task(name="train", tags={"env": "dev", "n": "1"})
        names = {
            add_alert(c, "gpu-wait", task_id=task): "gpu-wait",
            add_alert(c, "gpu-deep", "critical", fingerprint="1/queue:gpu"): "gpu-deep",
            add_alert(c, "disk-full", "critical"): "disk-full",
        }
        silences.put(c, matchers, get_time(60), "ann", None)
        return [names[number] for number in sorted(silences.find_silenced(c))]

    assert await call.db.write(run) == covered


async def test_the_longest_silence_counts_and_an_expired_one_does_not(call: Call):
    def run(c: Connection) -> tuple[Any, Any, Any]:
        alert = add_alert(c, "late")
        silence(c, -1, rule=["*"])
        before = silences.find_silenced(c)
        short = silence(c, 60, rule=["late"])
        long = silence(c, 600, severity=["warning"])
        found = silences.find_silenced(c, [alert])[alert].id
        silences.remove(c, silences.find(c, long) or pytest.fail("no silence"))
        return before, found == long, silences.find_silenced(c)[alert].id == short

    assert await call.db.write(run) == ({}, True, True)


async def test_the_same_matchers_have_one_silence(call: Call):
    def run(c: Connection) -> tuple[int, int, int]:
        first, second = silence(c, 60, rule=["a"]), silence(c, 600, rule=["a"])
        return first, second, len(silences.list_active(c))

    first, second, count = await call.db.write(run)

    assert first == second and count == 1


async def test_a_resolved_alert_is_not_counted(call: Call):
    def run(c: Connection) -> tuple[int, int]:
        alert = add_alert(c, "late")
        number = silence(c, 60, rule=["late"])
        found = silences.find(c, number)
        assert found is not None
        before = silences.count_covered(c, [found])[number]
        row = {"key": alert, "resolved_at": timestamps.now(), "text": "", "short": "", "value": 0}
        alerts.resolve_alerts(c, [row])
        return before, silences.count_covered(c, [found])[number]

    assert await call.db.write(run) == (1, 0)


async def test_the_globs_of_a_silence_are_compiled_once_for_all_alerts(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    compiled: list[Any] = []

    def compile_counted(globs: Any) -> Any:
        compiled.append(globs)
        return make(globs)

    make = silences._compile
    monkeypatch.setattr(silences, "_compile", compile_counted)

    def run(c: Connection) -> int:
        for number in range(20):
            add_alert(c, f"r{number}")
        for number in range(3):
            silence(c, 60 + number, rule=[f"r{number}", "x-*"])
        return len(silences.find_silenced(c))

    assert await call.db.write(run) == 3
    assert compiled == [["r2", "x-*"], ["r1", "x-*"], ["r0", "x-*"]]


async def test_more_alerts_and_silences_escalate_by_as_many_statements(call: Call):
    statements: list[str] = []

    def count(c: Connection, many: int) -> int:
        raised = [(add_alert(c, f"r{many}"), "critical") for _ in range(many)]
        for number in range(many):
            silence(c, 60 + number, rule=[f"x{many}-{number}"])
        before = len(statements)
        alerts.escalate_alerts(c, raised)
        return len(statements) - before

    def run(c: Connection) -> tuple[int, int]:
        event.listen(c, "before_cursor_execute", lambda *given: statements.append(given[2]))
        return count(c, 2), count(c, 20)

    few, many = await call.db.write(run)
    assert few == many
