"""Tools that change tasks: submit, cancel, retry. The runtime checks who owns each task."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from app.agents.answers import ChangeAnswer, ChangedTask, Refusal, SubmittedTask
from app.agents.arguments import CancelArguments, RetryArguments, SubmitArguments
from app.agents.reading import LOCAL, list_obstacles, map_pool_kinds
from app.agents.session import ToolCall, clean
from app.core.agent_clients import CLIENT_TAG, AgentSettings
from app.core.text import units
from app.errors import NOT_SUBMITTED, Conflict, Problem, Usage


def submit_task(call: ToolCall, args: SubmitArguments) -> SubmittedTask:
    """Queue a command within the limits of the client, or only check it."""
    bounds = call.read_bounds()
    spec = _make_spec(args, call.session.load_settings())
    context = _make_context(call, args)
    if args.dry_run:
        (row,) = call.call("submit", tasks=[spec], dry_run=True, client=bounds, **context)
        return _forecast(call, spec | {"tags": row["tags"]}, row)
    spec |= {"split": True} if map_pool_kinds(call).get(spec.get("queue")) == LOCAL else {}
    (stored,) = call.call("submit", tasks=[spec], client=bounds, **context)
    why = _explain_wait(call, stored["number"])
    is_waiting = why["reasons"] and why["reasons"][0]["code"] not in ("running", "ended")
    return SubmittedTask(
        number=stored["number"],
        name=clean(stored["name"]),
        queue=stored["queue"],
        status=why["status"],
        starts_in_seconds=why["expected_in"],
        waits_for=[clean(one["text"]) for one in why["reasons"]] if is_waiting else [],
        notes=call.notes,
    )


def _explain_wait(call: ToolCall, number: int) -> dict[str, Any]:
    """Return why a new task waits. An error would let the agent submit the task again."""
    try:
        return call.call("why", ids=[number])[0]
    except Problem as problem:
        call.add_note(f"submitted, but: {problem}")
        return {"status": "submitted", "reasons": [], "expected_in": None}


def _make_spec(args: SubmitArguments, settings: AgentSettings) -> dict[str, Any]:
    """Return the task as the runtime takes it. Raise Problem for what the client may not ask."""
    if CLIENT_TAG in (args.tags or {}):
        raise Usage(f"the tag {CLIENT_TAG} is set by Taskdeck. {NOT_SUBMITTED}")
    spec = args.to_spec()
    if args.tags:
        spec["tags"] = args.tags
    if settings.queue is not None:
        if args.queue not in (None, settings.queue):
            raise Conflict(f"the only queue of this client is {settings.queue}. {NOT_SUBMITTED}")
        spec["queue"] = settings.queue
    if settings.memory is not None and not spec.get("memory"):
        limit = units.format_memory(settings.memory)
        raise Usage(
            f"this client may use {limit} of memory in all, so each task must ask for some."
            f" {NOT_SUBMITTED}",
            "Give memory, such as 2G.",
        )
    _require_within("cpu", spec.get("cpu", 1.0), settings.cpu, units.format_number)
    _require_within("memory", spec.get("memory", 0.0), settings.memory, units.format_memory)
    return spec


def _require_within(
    name: str, asked: float, limit: float | None, format_amount: Callable[[float], str]
) -> None:
    if limit is not None and asked > limit:
        raise Conflict(
            f"{name} {format_amount(asked)} is more than the {format_amount(limit)} that this"
            f" client may use in all. {NOT_SUBMITTED}",
            "Ask for less.",
        )


def _make_context(call: ToolCall, args: SubmitArguments) -> dict[str, Any]:
    """Return directory, umask and environment of a task. Raise Usage."""
    context = dict(call.session.context)
    if args.cwd is None:
        return context
    if not os.path.isabs(args.cwd) or not os.path.isdir(args.cwd):
        raise Usage(
            f"cwd must be the absolute path of a directory, not {units.quote(args.cwd)}."
            f" {NOT_SUBMITTED}"
        )
    env = context["env"] | ({"PWD": args.cwd} if "PWD" in context["env"] else {})
    return context | {"cwd": args.cwd, "env": env}


def _forecast(call: ToolCall, spec: dict[str, Any], row: dict[str, Any]) -> SubmittedTask:
    """Return when a task would start, without a submission."""
    found = call.call("forecast", lines=json.dumps(spec))
    (new,) = [one for one in found["tasks"] if one["number"] is None]
    start = (new["after"] or {}).get("start")
    waits = list_obstacles(call, row["queue"])
    if found["halted"]:
        waits = [clean(f"nothing starts: {found['halted']}")]
    elif not waits and (start is None or start >= 1):
        waits = ["tasks that run or are ahead in the queue"]
    return SubmittedTask(
        number=None,
        name=clean(row["name"]),
        queue=row["queue"],
        status="not submitted",
        starts_in_seconds=None if start is None else [start, start],
        waits_for=waits,
        notes=call.notes,
    )


def cancel_tasks(call: ToolCall, args: CancelArguments) -> ChangeAnswer:
    """Cancel tasks of the client."""
    return _make_answer(call, call.call("cancel", ids=args.numbers, client=call.read_bounds()))


def retry_tasks(call: ToolCall, args: RetryArguments) -> ChangeAnswer:
    """Run ended tasks of the client again."""
    bounds = call.read_bounds()
    found = call.call("retry", ids=args.numbers, again=args.again, client=bounds)
    return _make_answer(call, found)


def _make_answer(call: ToolCall, report: dict[str, Any]) -> ChangeAnswer:
    done = [
        ChangedTask(number=row["number"], status=row["run"] or row["status"])
        for row in report["done"]
    ]
    refused = [
        Refusal(number=row["number"], message=clean(row["message"])) for row in report["refused"]
    ]
    notes = [*call.notes, *map(clean, report["notes"])]
    return ChangeAnswer(done=done, refused=refused, notes=notes)
