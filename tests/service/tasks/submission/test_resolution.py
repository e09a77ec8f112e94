"""Parameters are checked outside of the writer and the event loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.core.schema import parameters
from app.core.task_spec import TaskSpec
from app.errors import Conflict
from app.service.context import Call
from app.service.definitions import templates
from app.service.tasks.inspection import views
from app.service.tasks.submission import resolution, submit
from tests.service.calls import execute_sql, submit_task

SCHEMA = {"type": "object", "properties": {"who": {"type": "string"}}}


async def create_template(call: Call, name: str, word: str) -> None:
    schema = {"argv": ["echo", word, "{{ who }}"]}
    await templates.create(call, name=name, engine="exec", schema=schema, parameters=SCHEMA)


def call_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, before: Callable[..., Any]):
    """Call a function before another one."""
    original = getattr(owner, name)

    def both(*args: Any, **kwargs: Any) -> Any:
        before(*args)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, both)


async def test_no_parameters_are_checked_by_the_writer_or_the_event_loop(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await create_template(call, "t", "hello")
    threads: list[str] = []
    note = lambda *_: threads.append(threading.current_thread().name)  # noqa: E731
    call_before(monkeypatch, parameters, "resolve_values", note)
    task = {"template": "t", "parameters": {"who": "you"}}

    await submit.submit(call, tasks=[task], env={})
    await submit.submit(call, tasks=[task], env={}, dry_run=True)
    await submit.submit_lines(call, text=json.dumps(task))

    assert len(threads) == 3
    assert {name.rpartition("_")[0] for name in threads} == {"taskdeck-resolve"}


async def test_a_caller_gives_way_after_its_turn(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resolution, "TURN_SECONDS", 0)
    await create_template(call, "t", "hello")
    tasks = [TaskSpec(template="t", parameters={"who": who}) for who in "xyzz"]
    resolutions = resolution.Resolutions(await call.db.read(resolution._read_templates, {"t"}))
    pending = iter(tasks)

    assert resolution._resolve_some(pending, resolutions)
    assert list(resolutions.found) == ['["t", {"who": "x"}, null]']
    while resolution._resolve_some(pending, resolutions):
        pass
    assert len(resolutions.found) == 3


async def test_a_template_changed_meanwhile_is_read_again(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await create_template(call, "t", "old")
    original, tries = resolution.resolve, 0

    async def resolve(*args: Any) -> resolution.Resolutions:
        nonlocal tries
        tries += 1
        found = await original(*args)
        if tries == 1:
            await templates.set_(call, name="t", schema={"argv": ["echo", "new", "{{ who }}"]})
        return found

    monkeypatch.setattr(resolution, "resolve", resolve)
    done = await submit_task(call, template="t", parameters={"who": "you"})

    assert tries == 2
    assert (await views.show(call, id=done["number"]))["launch"]["argv"] == ["echo", "new", "you"]


async def test_a_template_that_changes_all_the_time_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await create_template(call, "t", "old")
    original, tries = resolution.resolve, 0

    async def resolve(*args: Any) -> resolution.Resolutions:
        nonlocal tries
        tries += 1
        found = await original(*args)
        await templates.set_(call, name="t", description=f"text {tries}")
        return found

    monkeypatch.setattr(resolution, "resolve", resolve)
    with pytest.raises(Conflict, match=r"a template changes all the time\. Nothing was submitted"):
        await submit_task(call, template="t", parameters={"who": "you"})

    assert (await execute_sql(call, "SELECT count(*) FROM tasks"))[0][0] == 0
