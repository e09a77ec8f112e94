"""Events of hooks as their programs get them, and the state of hooks for `status`."""

from __future__ import annotations

import json
from typing import Any

from app.core.task_groups import format_group
from app.paths import get_log_path
from app.service.tasks.inspection import views
from db.engine import Connection
from db.queries.rules import hooks
from db.queries.rules.hooks import HookEvent

VERSION = 1
"""Version of the JSON of an event; a change that breaks a reader gets the next number."""


def describe_event(event: HookEvent, hook: str, home: str, host: str) -> dict[str, Any]:
    """Return an event as the program of a hook gets it on stdin."""
    return {
        "version": VERSION,
        "event": event.kind,
        "key": make_key(event, hook),
        "at": event.at,
        "hook": hook,
        "host": host,
        "home": home,
        "task": _describe_task(event, home) if event.task else None,
        "alert": _describe_alert(event) if event.alert else None,
    }


def make_key(event: HookEvent, hook: str) -> str:
    """Return the key of an event, the same if the event is repeated."""
    moment = f"-{event.at}" if event.alert else ""
    return f"{hook}-{event.kind}-{event.id}{moment}"


def _describe_task(event: HookEvent, home: str) -> dict[str, Any]:
    task = event.task
    shown = views.mask_task(json.loads(task.parameters), json.loads(task.launch))
    return {
        "number": task.number, "uuid": task.uuid, "name": task.name,
        "status": event.status if event.kind == "end" else task.status,
        "reason": task.reason, "queue": task.queue, "template": task.template,
        "group": task.group_number and format_group(task.group_number),
        "tags": json.loads(task.tags), "submitted_by": task.submitted_by,
        "argv": shown["launch"].get("argv"), "cwd": task.cwd, "created_at": task.created_at,
        "started_at": task.started_at, "ended_at": task.ended_at, "attempt": task.attempt,
        "exit_code": task.exit_code, "signal": task.signal,
        "log": get_log_path(home, task.runid) if task.runid else None,
    }  # fmt: skip


def _describe_alert(event: HookEvent) -> dict[str, Any]:
    alert = event.alert
    return {
        "id": alert.id, "rule": alert.name, "severity": alert.severity, "status": alert.status,
        "silenced": event.is_silenced, "object": alert.object, "text": alert.text,
        "value": alert.value, "limit": alert.limit, "since": alert.fired_at,
    }  # fmt: skip


def list_states(c: Connection) -> list[dict[str, Any]]:
    """Return the state of each hook that the runtime follows.

    `failing` counts the failures since the last success, `dropped` the events left out.
    """
    return [state._asdict() for state in hooks.list_states(c)]
