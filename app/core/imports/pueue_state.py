"""State file of pueue, as the tasks that it becomes.

Pueue 4 writes each status as an object. Pueue 1 to 3 write a word, or a word with a value. They
write the result of a task beside its status.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.core.imports.items import (
    PeerItem,
    PeerPhase,
    PeerQueue,
    PeerState,
    clean_name,
    format_start,
)
from app.core.json_types import is_dict
from app.core.schedules.crontab_names import make_name
from app.core.shell_context import leave_out_session
from app.core.task_spec import MAX_PRIORITY
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.translation import tr

MAX_BYTES = 64 * 1024 * 1024
"""Size of a state file; an environment of 5 KiB leaves room for 12,000 tasks."""
DEFAULT_GROUP = "default"
_PHASES = {
    "Queued": PeerPhase.WAITING, "Stashed": PeerPhase.WAITING, "Locked": PeerPhase.WAITING,
    "Running": PeerPhase.ACTIVE, "Paused": PeerPhase.ACTIVE, "Done": PeerPhase.ENDED,
}  # fmt: skip
_NEVER_RAN = frozenset({"DependencyFailed", "FailedToSpawn"})


class _Task(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    id: int
    command: str
    path: str
    envs: dict[str, str] = Field(default_factory=dict)
    group: str = DEFAULT_GROUP
    dependencies: list[int] = Field(default_factory=list[int])
    priority: int = 0
    label: str | None = None
    created_at: str | None = None
    status: str | dict[str, Any]
    result: str | dict[str, Any] | None = None
    enqueue_at: str | None = None


class _State(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    tasks: dict[str, _Task]
    groups: dict[str, Any] = Field(default_factory=dict)
    settings: Any = None


def load_state(data: bytes, path: str) -> dict[str, Any]:
    """Return the JSON object of a state file. Raise Usage."""
    shown = truncate(sanitize(path), 200)
    if len(data) > MAX_BYTES:
        raise Usage("{file} is larger than 64 MiB. Nothing was changed.", file=shown)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Usage(
            "{file} is not JSON, as a state of pueue is. Nothing was changed.", file=shown
        ) from None
    if not is_dict(found) or "tasks" not in found:
        raise Usage(
            "{file} has no tasks: it is no state of pueue. Nothing was changed.", file=shown
        )
    return found


def parse_state(state: dict[str, Any], path: str) -> PeerState:
    """Return what a state becomes. Raise Usage."""
    try:
        found = _State.model_validate(state)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = truncate(sanitize(".".join(map(str, first["loc"]))), 80)
        raise Usage(
            "{file}: {where} is not as pueue writes it: {why}. Nothing was changed.",
            file=truncate(sanitize(path), 200),
            where=where,
            why=truncate(sanitize(first["msg"]), 200),
        ) from None
    if wrong := next((name for name, task in found.tasks.items() if name != str(task.id)), None):
        shown = truncate(sanitize(wrong), 30)
        raise Usage(
            "{file}: task {number} has another id. Nothing was changed.",
            file=truncate(sanitize(path), 200),
            number=shown,
        )
    tasks = sorted(found.tasks.values(), key=lambda task: task.id)
    queues = _make_queues(found, tasks)
    return PeerState(
        source=path, queues=list(queues.values()), items=[_make_item(t, queues) for t in tasks]
    )


def _make_queues(state: _State, tasks: list[_Task]) -> dict[str, PeerQueue]:
    """Return the queue of each group; groups without waiting tasks have one too."""
    queues: dict[str, PeerQueue] = {}
    names: set[str] = set()
    for group in dict.fromkeys([*state.groups, *(task.group for task in tasks)]):
        name = "pueue" if group == DEFAULT_GROUP else clean_name(group) or "pueue-group"
        name = f"pueue-{name}" if name == "default" or name in names else name
        while name in names:
            name += "-2"
        names.add(name)
        shown = truncate(sanitize(group), 60)
        status, capacity = _read_group(state, group)
        queues[group] = PeerQueue(
            name=name, origin=f"group {shown}", capacity=capacity, is_paused=status == "Paused"
        )
    return queues


def _read_group(state: _State, group: str) -> tuple[str, int]:
    """Return the status of a group and the tasks that run at once; before 2.0 in the settings."""
    found: Any = state.groups.get(group, "Running")
    if is_dict(found):
        status, count = found.get("status", "Running"), found.get("parallel_tasks")
    else:
        status, count = found, _get(_get(_get(state.settings, "daemon"), "groups"), group)
    is_valid = isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= 100_000
    # 0 tasks at once means no limit in pueue.
    return (status if isinstance(status, str) else "Running"), (count or 100) if is_valid else 1


def _get(value: Any, key: str) -> Any:
    return value.get(key) if is_dict(value) else None


def _make_item(task: _Task, queues: dict[str, PeerQueue]) -> PeerItem:
    word, details = _split_word(task.status)
    item = PeerItem(
        id=task.id,
        created=_parse_time(task.created_at) or 0.0,
        command=task.command,
        status=word,
        phase=_PHASES.get(word, PeerPhase.ACTIVE),
        queue=queues[task.group].name,
        cwd=task.path,
        env=leave_out_session(task.envs),
        parents=tuple(task.dependencies),
    )
    if item.phase is PeerPhase.ENDED:
        _set_result(item, details.get("result", details.get("", task.result)))
    if item.phase is PeerPhase.WAITING:
        item.task, item.losses = _make_task(task)
        _set_start(item, word, details.get("enqueue_at", task.enqueue_at))
    if word not in _PHASES:
        item.status = truncate(sanitize(word), 30)
    return item


def _split_word(status: Any) -> tuple[str, dict[str, Any]]:
    """Return a word and its details: `Queued`, {"Done": "Success"} or {"Done": {…}}."""
    if is_dict(status) and len(status) == 1:
        ((word, details),) = status.items()
        return str(word), details if is_dict(details) else {"": details}
    return (status if isinstance(status, str) else "unknown"), {}


def _set_result(item: PeerItem, result: Any) -> None:
    word, details = _split_word(result)
    shown = f"{word} {details['']}" if isinstance(details.get(""), int) else word
    item.status = truncate(sanitize(shown), 30)
    item.is_done = word == "Success"
    item.never_ran = word in _NEVER_RAN


def _set_start(item: PeerItem, word: str, enqueue_at: Any) -> None:
    """Set the start time, hold or obstacle of a waiting task."""
    if word == "Locked":
        item.obstacle = tr("is being edited there")
    if word != "Stashed":
        return
    at = _parse_time(enqueue_at)
    if at is None:
        item.is_held = True
    else:
        item.task["at"] = format_start(at)


def _make_task(task: _Task) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of the submission, and what cannot be kept."""
    losses: list[str] = []
    name = clean_name(task.label)
    if task.label and name != task.label:
        losses.append(tr("the label has characters that a name cannot have"))
    priority = max(-MAX_PRIORITY, min(MAX_PRIORITY, task.priority))
    if priority != task.priority:
        losses.append(
            tr("the priority {priority} becomes {limit}", priority=task.priority, limit=priority)
        )
    found: dict[str, Any] = {
        "argv": ["sh", "-c", task.command],
        "name": name or make_name(task.command),
    }
    return found | ({"priority": priority} if priority else {}), losses


def _parse_time(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
