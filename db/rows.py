"""Frozen row types with the names of the columns. Times stay stored text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from db.timestamps import to_unix


class TaskRow(NamedTuple):
    """A row of the tasks table. Durations in seconds, memory in MiB.

    `notify` says who hears of its end: see `app.core.notifications.notices`. `resources` is, in all
    rows, the JSON text of {named resource: amount}. `sweep` is that of {swept parameter: text}.
    """

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
    notify: str | None = None
    resources: str | None = None
    early_signal: str | None = None
    output: str | None = None
    stdin: bool = False
    split: bool = False
    error: str | None = None
    retry_on_oom: str | None = None
    oom_memory: float | None = None
    group_number: int | None = None
    group_index: int | None = None
    sweep: str | None = None


class GroupRow(NamedTuple):
    """A row of the groups table."""

    number: int
    uuid: str
    name: str
    submitted_by: str
    created_at: str
    max_running: int | None
    first_number: int
    """Number that the first task got: the place of the group in a list of tasks."""


class TaskStateRow(NamedTuple):
    """Columns of a task that verbs check and change, read for up to a million tasks."""

    uuid: str
    number: int
    status: str
    attempts: int
    ended_at: str | None
    launch_text: str
    priority: int
    front: int
    queue: str
    cpu: float
    memory: float
    timeout: float | None
    retries: int
    retry_delay: float
    grace: float
    name: str
    not_before: str | None
    retry_at: str | None
    notify: str | None
    template: str | None
    resources: str | None
    early_signal: str | None
    retry_on_oom: str | None
    hold: bool
    pinned: bool

    @property
    def launch(self) -> dict[str, Any]:
        """The command with its environment, as resolved at the submission."""
        return json.loads(self.launch_text)


class TaskLineRow(NamedTuple):
    """Columns for a list line and its waiting reason.

    Read for hundreds of tasks each second.
    """

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
    resources: str | None
    group_number: int | None
    group_index: int | None
    sweep: str | None


class QueuePositionRow(NamedTuple):
    """Columns that determine a task's place in its queue."""

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    front: int
    priority: int
    created_at: str
    template: str | None
    timeout: float | None


class TaskListText(NamedTuple):
    """A long list: rows as JSON text, their number, and the uuids of the first waiting tasks."""

    lines: str
    found: int
    waiting: list[str]


class ParentRow(NamedTuple):
    """A parent of a task. `kind`: a key of `states.SATISFYING`, what the task waits for."""

    number: int
    name: str
    status: str
    kind: str


class InstanceRow(NamedTuple):
    """A run of a task. `max_rss` in MiB; `number` and `name` belong to the task."""

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
    resources: str | None
    devices: str | None
    outer_job: str | None = None
    node: str | None = None


class ActiveRunRow(NamedTuple):
    """An active run with the columns of its task that the deck shows."""

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
    resources: str | None = None
    group_number: int | None = None
    group_index: int | None = None
    sweep: str | None = None
    outer_job: str | None = None
    node: str | None = None


def get_run_limit(
    start_time: str | None, deadline: str | None, timeout: float | None
) -> float | None:
    """Return the limit of a run in seconds, None without one.

    The keeper ends the run at its deadline, which holds the timeout at its start. A later, shorter
    `timeout` of its task counts, too.
    """
    if start_time is None or deadline is None:
        return timeout
    began = round(to_unix(deadline) - to_unix(start_time), 3)
    return began if timeout is None else min(began, timeout)


class QueueRow(NamedTuple):
    """A row of the queues table. `open` tells when the queue starts tasks; None is always."""

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
    open: str | None


class PoolRow(NamedTuple):
    """A row of the pools table. `used_*` is what active runs reserve.

    A `policy` of None is by priority. A `kind` of None is local. A pool of kind `slurm` reserves
    nothing; `options` are those of its jobs (JSON).
    `enforce` names what the kernel enforces: `memory,cpu`.
    """

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
    resources: str | None = None
    policy: str | None = None
    ageing: float | None = None
    kind: str | None = None
    options: str | None = None
    enforce: str | None = None


class TemplateRow(NamedTuple):
    """A row of the templates table.

    `notify` is a channel, or a word such as `none`; `notify_on` says which ends it hears of.
    """

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
    notify: str | None
    notify_on: str | None
    retired_at: str | None
    created_at: str
    updated_at: str
    resources: str | None = None
    signal: str | None = None
    retry_on_oom: str | None = None


class SlaRow(NamedTuple):
    """A row of the slas table. Conditions and actions are JSON."""

    id: int
    name: str
    conditions: dict[str, Any]
    actions: list[dict[str, Any]] | dict[str, Any]
    priority: int
    enabled: bool
    created_at: str
    updated_at: str


class ScheduleRow(NamedTuple):
    """A row of the schedules table. `task` and `context` are JSON, `exclude` lists calendars."""

    name: str
    status: str
    kind: str
    expression: str
    zone: str
    start: str
    task: dict[str, Any]
    context: dict[str, Any]
    overlap: str
    missed: str
    missed_within: float | None
    jitter: float
    until: str | None
    exclude: list[str]
    description: str | None
    status_by: str | None
    status_at: str | None
    paused_until: str | None
    next_fire: str | None
    due_at: str | None
    last_success: str | None
    boot_id: str | None
    refusal: str | None
    created_at: str
    updated_at: str


class CalendarRow(NamedTuple):
    """A row of the calendars table. `dates` are ISO dates."""

    name: str
    dates: list[str]
    description: str | None
    created_at: str
    updated_at: str


class FireRow(NamedTuple):
    """A handled fire time of a schedule, with the task that was submitted, if it still exists."""

    schedule: str
    fire_time: str
    outcome: str
    reason: str | None
    task_id: str | None
    number: int | None
    status: str | None
    started_at: str | None
    ended_at: str | None


class AlertRow(NamedTuple):
    """An alert: one occurrence of an SLA rule.

    `fingerprint` names rule and subject of a rule of the general form. `note` belongs to the
    acknowledgement. `ending` is `expired` for an alert that nobody resolved in time.
    """

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
    fingerprint: str | None = None
    note: str | None = None
    ending: str | None = None


class DeliveryRow(NamedTuple):
    """A message or action on its way: `log` holds its attempts as {"at", "error"}.

    `payload` has the alerts as {"ids", "alerts"}, or ended tasks as {"ids", "tasks"}. `reached`
    marks the URLs of the channel that took the message.
    """

    id: int
    key: str
    sla_id: int | None
    alert_id: int | None
    task_id: str | None
    event: str
    action: dict[str, Any]
    target: str
    payload: dict[str, Any]
    status: str
    attempts: int
    log: list[dict[str, Any]]
    reached: list[str]
    repeats: int
    due_at: str
    next_at: str | None
    last_error: str | None
    created_at: str
    updated_at: str


class OperationRow(NamedTuple):
    """An entry of the operation log.

    `batch` is the first operation of the same call, `undoes` the operation this entry undid, and
    `undone_by` the entry that undid this one.
    """

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
    """A status change of a task or of its run."""

    id: int
    task_id: str
    runid: str | None
    status: str
    by: str
    note: str | None
    created_at: str
