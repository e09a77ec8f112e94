"""Rows as they leave the database: plain, frozen, with the columns' names. Times stay the text that is stored."""

from __future__ import annotations

from typing import Any, NamedTuple


class TaskRow(NamedTuple):
    """A task. Seconds, cores, MiB."""

    uuid: str
    number: int
    name: str
    template: str | None
    type: str
    status: str
    parameters: dict[str, Any]
    priority: int
    timeout: float | None
    queue: str
    cpu: float
    memory: float
    retries: int
    retry_delay: float
    grace: float
    not_before: str | None
    retry_at: str | None
    hold: bool
    held_by: str | None
    front: int
    tags: dict[str, str]
    cwd: str
    umask: int
    launch: dict[str, Any]
    log_limit: float | None
    submitted_by: str
    pinned: bool
    reason: str | None
    attempts: int
    failures: int
    started_at: str | None
    ended_at: str | None
    created_at: str
    updated_at: str


class TaskLineRow(NamedTuple):
    """What a line tells of a task, and what says why it waits: read for hundreds of them once a second."""

    uuid: str
    number: int
    name: str
    status: str
    queue: str
    template: str | None
    priority: int
    front: int
    cpu: float
    memory: float
    timeout: float | None
    retries: int
    attempts: int
    failures: int
    hold: int
    held_by: str | None
    retry_at: str | None
    not_before: str | None
    created_at: str
    ended_at: str | None
    reason: str | None


class QueuePositionRow(NamedTuple):
    """What says where a task stands."""

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    front: int
    priority: int


class TaskListText(NamedTuple):
    """A long list: the JSON text of its rows, how many there are, and the uuids of those that wait."""

    lines: str
    found: int
    waiting: list[str]


class ParentRow(NamedTuple):
    """What a task waits for. `kind`: `success`, or `any` end."""

    number: int
    name: str
    status: str
    kind: str


class InstanceRow(NamedTuple):
    """One run of a task. `max_rss` in MiB; `number` and `name` are its task's."""

    runid: str
    task_id: str
    number: int
    name: str
    queue: str
    pool: str
    attempt: int
    status: str
    start_time: str | None
    end_time: str | None
    exit_code: int | None
    signal: int | None
    reason: str | None
    stop_reason: str | None
    cpu: float
    memory: float
    cpu_seconds: float | None
    max_rss: float | None
    run_seconds: float | None
    log_bytes: int | None
    deadline: str | None
    pid: int | None
    tags: dict[str, str]
    created_at: str
    updated_at: str


class ActiveRunRow(NamedTuple):
    """A run that holds resources, with what the deck shows of its task."""

    runid: str
    task_id: str
    number: int
    name: str
    queue: str
    pool: str
    attempt: int
    status: str
    start_time: str | None
    cpu: float
    memory: float
    reason: str | None
    stop_reason: str | None
    priority: int
    template: str | None
    timeout: float | None


class QueueRow(NamedTuple):
    """A queue; `waiting` and `oldest_at` tell of its queued tasks."""

    name: str
    capacity: int
    current_load: int
    status: str
    priority: int
    pool: str
    description: str | None
    status_by: str | None
    status_at: str | None
    created_at: str
    updated_at: str


class PoolRow(NamedTuple):
    """A pool; `used_*` is what running instances reserve."""

    name: str
    total_cpu: float
    total_memory: float
    used_cpu: float
    used_memory: float
    status: str
    sla_id: int | None
    description: str | None
    status_by: str | None
    status_at: str | None
    created_at: str
    updated_at: str


class TemplateRow(NamedTuple):
    """A definition of work."""

    name: str
    type: str
    engine: str
    template: Any
    schema: dict[str, Any]
    parameters: dict[str, Any]
    description: str | None
    queue: str | None
    cpu: float | None
    memory: float | None
    timeout: float | None
    retries: int | None
    retired_at: str | None
    created_at: str
    updated_at: str


class SlaRow(NamedTuple):
    """Conditions and actions as the design's JSON."""

    id: int
    name: str
    conditions: dict[str, Any]
    actions: dict[str, Any]
    priority: int
    enabled: bool
    created_at: str
    updated_at: str


class AlertRow(NamedTuple):
    """One occurrence of an SLA that came true."""

    id: int
    sla_id: int | None
    name: str
    severity: str
    status: str
    task_id: str | None
    object: str
    text: str
    short: str
    value: float | None
    limit: float | None
    fired_at: str
    acknowledged_at: str | None
    acknowledged_by: str | None
    resolved_at: str | None
    created_at: str
    updated_at: str


class OperationRow(NamedTuple):
    """Who did what to what, from where. `batch` is the first operation of the same call, `undoes` the one that this took back,
    `undone_by` the one that took this back."""

    id: int
    by: str
    verb: str
    object: str
    before: Any
    after: Any
    source: str | None
    origin: str | None
    batch: int | None
    undoes: int | None
    undone_by: int | None
    created_at: str
    updated_at: str


class EventRow(NamedTuple):
    """One move of a task or of its run."""

    id: int
    task_id: str
    runid: str | None
    status: str
    by: str
    note: str | None
    created_at: str
