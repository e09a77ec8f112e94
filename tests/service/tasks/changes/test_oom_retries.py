"""Tests of the retry with more memory: stored, changed, explained, and from templates."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.errors import Problem
from app.service.context import Call
from app.service.definitions import templates
from app.service.registry import call_verb
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.undo import undo
from db.queries.tasks import transitions
from db.queries.tasks.run_end import RunVerdict
from db.states import RunStatus
from tests.service.calls import submit_task


async def test_a_rule_is_stored_set_and_taken_back(call: Call):
    await submit_task(call, retry_on_oom={"factor": 1.5, "max": "64G"})
    assert (await views.show(call, id=1))["retry_on_oom"] == "1.5,max=64G"

    done = await call_verb(call, "set", {"ids": [1], "fields": {"retry_on_oom": None}})
    assert done["done"][0]["changes"]["retry_on_oom"] == ["1.5,max=64G", None]
    await undo.undo(call, ids=done["operations"])

    assert (await views.show(call, id=1))["retry_on_oom"] == "1.5,max=64G"
    with pytest.raises(Problem, match="retry_on_oom must have a factor above 1"):
        await actions.set_(call, ids=[1], fields={"retry_on_oom": "0.5"})
    done = await actions.set_(call, ids=[1], fields={"memory": 65536.0})
    assert "allows at most 64.0G, and the task has 64.0G" in done["refused"][0]["message"]


async def test_a_template_gives_its_tasks_signal_and_rule(call: Call):
    values: dict[str, Any] = {"timeout": "2h", "signal": "USR1@5m", "retry_on_oom": "2"}
    await templates.create(call, name="t", engine="exec", schema={"argv": ["true"]}, **values)

    await submit_task(call, argv=None, template="t")
    await submit_task(call, argv=None, template="t", signal="USR2@1m", retry_on_oom="3")
    await templates.set_(call, name="t", signal="none", retry_on_oom="none")
    await submit_task(call, argv=None, template="t")

    shown = [await views.show(call, id=n) for n in (1, 2, 3)]
    assert [(task["early_signal"], task["retry_on_oom"]) for task in shown] == [
        ("USR1@5m", "2"), ("USR2@1m", "3"), (None, None)
    ]  # fmt: skip


async def test_why_tells_the_memory_of_the_next_attempt(call: Call):
    answer = await submit_task(call, memory="4G", retry_on_oom="1.5", retry_delay="1h")
    reason = "signal 9 (KILL); retried with 6.0G after running out of 4.0G"
    verdict = RunVerdict(RunStatus.FAILED, reason, 3600.0, 6144.0, 4096.0)
    start = {"uuid": answer["uuid"], "runid": "r1", "queue": "default", "pool": "default",
             "cpu": 1.0, "memory": 4096.0, "tags": "{}", "attempt": 1}  # fmt: skip
    await call.db.write(transitions.claim, [start])
    event = {"run": "r1", "code": None, "signal": 9, "at": time.time()}

    await call.db.write(transitions.record_ends, [event], lambda run, end: verdict)

    task = await views.show(call, id=1)
    assert (task["memory"], task["oom_memory"], task["failures"]) == (6144.0, 4096.0, 0)
    (why,) = await views.explain(call, ids=[1])
    note = "retried with 6.0G after running out of 4.0G"
    assert any(note in found["text"] for found in why["reasons"])
