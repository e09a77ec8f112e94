"""Rules of a real runtime that is killed before what they judge is due."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from app import paths
from tests.runtime_process import RuntimeProcess, wait_until

HUNG = {"deadline": {"reference": "started_at", "offset": "1h"}}
LATE = {"deadline": {"reference": "queued_at", "offset": "1h"}}
NEVER_STARTED = {"metric": "instance.queued_seconds", "op": ">", "value": "1h"}


def create(runtime: RuntimeProcess, name: str, when: Any, queue: str) -> None:
    conditions = {"scope": "instance", "match": {"queue": queue}, "when": when}
    runtime.call("sla.create", name=name, conditions=conditions)


def let_two_hours_pass(runtime: RuntimeProcess) -> None:
    """Set back all times about tasks and rules, as if the runtime had been down for two hours."""
    columns = {
        "tasks": ("created_at",), "instances": ("start_time",), "due_times": ("due_at",),
        "slas": ("created_at", "updated_at"), "samples": ("minute",),
    }  # fmt: skip
    with closing(sqlite3.connect(paths.get_database_path(runtime.home))) as c, c:
        for table, names in columns.items():
            earlier = "strftime('%Y-%m-%dT%H:%M:%f000Z', {0}, '-2 hours')"
            c.execute(
                f"UPDATE {table} SET " + ", ".join(f"{n} = {earlier.format(n)}" for n in names)
            )


def test_what_is_due_while_the_runtime_is_dead_fires_at_its_start(runtime: RuntimeProcess):
    runtime.call("queue.create", name="closed", capacity=1)
    runtime.call("queue.create", name="open", capacity=1)
    runtime.call("queue.pause", name="closed")
    create(runtime, "hung", HUNG, "default")
    create(runtime, "ended-late", LATE, "open")
    create(runtime, "never-started", NEVER_STARTED, "closed")
    running, waiting = runtime.submit("sleep", "600"), runtime.submit("true", queue="closed")
    go, over = runtime.home / "go", runtime.home / "over"
    script = f"until [ -e {go} ]; do sleep 0.05; done; touch {over}"
    ended = runtime.submit("sh", "-c", script, queue="open")
    judged = (("hung", running), ("never-started", waiting), ("ended-late", ended))
    for name, task in judged:
        due = wait_until(lambda: runtime.call("sla.show", name=name)["due"], name)  # noqa: B023
        assert due["object"].startswith(f"#{task} ")

    runtime.kill()
    let_two_hours_pass(runtime)
    go.touch()
    wait_until(over.exists, "the end of the run")
    runtime.start()

    found = wait_until(
        lambda: found if len(found := runtime.call("alert.ls", all=True)) == 3 else None,
        "all alerts",
    )
    texts = {alert["sla"]: alert["text"] for alert in found}
    assert all(text.endswith(", while down") for text in texts.values()), texts
    assert texts["hung"].startswith("no success by ")
    assert texts["never-started"].startswith("queued ")
    assert texts["ended-late"].startswith("was due ") and ", ended " in texts["ended-late"]
