"""Tables of the database. The comment of each is its purpose in the topic `data-model`.

Tasks, runs and definitions come first, then records and caches. Times are fixed-width UTC text
(`timestamps`), durations seconds, CPU cores, memory MiB. Each index names the query it serves.
`current_load`, `used_cpu`, `used_memory` and the `counters` are caches, updated in the transaction
that changes what they count.
"""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

from db.states import ACTIVE_SQL, RunStatus, TaskStatus

APPLICATION_ID = 0x7461736B
"""ASCII `task`, in the header of every Taskdeck database."""

metadata = MetaData(
    naming_convention={
        "ix": "idx_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Time = String(27)
Name = String(200)
Id = String(36)


class OsText(TypeDecorator[str]):
    """A path or argument of any bytes: text if it is UTF-8, else a blob."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else to_os_text(value)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return os.fsdecode(value) if isinstance(value, bytes) else value


def to_os_text(value: str) -> str | bytes:
    """Return `value` as `OsText` stores it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return os.fsencode(value)
    return value


def _make_time_columns() -> tuple[Column[Any], Column[Any]]:
    """Return the time columns that every table has."""
    return Column("created_at", Time, nullable=False), Column("updated_at", Time, nullable=False)


def _make_status_column(*allowed: str) -> tuple[Column[Any], CheckConstraint]:
    listed = ", ".join(f"'{word}'" for word in allowed)
    return Column("status", String(16), nullable=False), CheckConstraint(
        f"status IN ({listed})", name="status"
    )


tasks = Table(
    "tasks",
    metadata,
    Column("uuid", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("template", Name, ForeignKey("templates.name")),
    Column("type", Name, nullable=False),
    *_make_status_column(*TaskStatus),
    Column("parameters", JSON, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("timeout", Float),
    *_make_time_columns(),
    Column("number", Integer, nullable=False),
    Column("queue", Name, ForeignKey("queues.name"), nullable=False),
    Column("cpu", Float, nullable=False, server_default="1"),
    Column("memory", Float, nullable=False, server_default="0"),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("retry_delay", Float, nullable=False, server_default="1"),
    Column("grace", Float, nullable=False, server_default="5"),
    Column("not_before", Time),
    Column("retry_at", Time),
    Column("hold", Boolean(create_constraint=False), nullable=False, server_default=text("0")),
    Column("held_by", Name),
    Column("front", Integer, nullable=False, server_default="0"),
    Column("tags", JSON, nullable=False),
    Column("env_id", String(64), ForeignKey("environments.sha256")),
    Column("env", JSON(none_as_null=True)),
    Column("cwd", OsText, nullable=False),
    Column("umask", Integer, nullable=False, server_default="18"),
    Column("launch", JSON, nullable=False),
    Column("log_limit", Float),
    Column("submitted_by", Name, nullable=False),
    Column("pinned", Boolean(create_constraint=False), nullable=False, server_default=text("0")),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("started_at", Time),
    Column("ended_at", Time),
    Column("deleted_at", Time),
    Column("notify", Text),
    Column("resources", Text),
    Column("early_signal", String(32)),
    Column("output", Text),
    Column("stdin", Boolean(create_constraint=False)),
    # No foreign key: SQLite could not drop the column again, for a downgrade.
    Column("group_number", Integer),
    Column("group_index", Integer),
    Column("sweep", Text),
    Column("split", Boolean(create_constraint=False)),
    Column("error", Text),
    Column("retry_on_oom", String(64)),
    Column("oom_memory", Float),
    Index("idx_tasks_status", "status"),
    Index("idx_tasks_type", "type"),
    Index("idx_tasks_created", "created_at"),
    # `#1042`, newest first, and keyset pages.
    Index("idx_tasks_number", "number", unique=True),
    # Lookup by name.
    Index("idx_tasks_name", "name"),
    # Tasks of a queue, newest first; foreign key of `queues`.
    Index("idx_tasks_queue", "queue", "number"),
    # Recent durations of a template; foreign key of `templates`.
    Index("idx_tasks_template", "template", "ended_at", sqlite_where=text("template IS NOT NULL")),
    # Unused environments.
    Index("idx_tasks_env", "env_id"),
    # Dispatcher: a queue's waiting tasks in start order.
    Index(
        "idx_tasks_next", "queue", text("front DESC"), text("priority DESC"), "number",
        sqlite_where=text("status = 'queued'"),
    ),
    # Oldest waiting task of a queue, also for SLA rules.
    # Its order is that of pools with another policy, too.
    Index(
        "idx_tasks_oldest", "queue", "created_at", "number",
        sqlite_where=text("status = 'queued'"),
    ),
    # Tasks that are due.
    Index("idx_tasks_scheduled", "not_before", sqlite_where=text("status = 'scheduled'")),
    Index("idx_tasks_retrying", "retry_at", sqlite_where=text("status = 'retrying'")),
    # Recently ended tasks, today's counts and cleanup. By status, so that many successes hide no
    # failure.
    Index("idx_tasks_ended", "status", "ended_at", sqlite_where=text("ended_at IS NOT NULL")),
    # Sorted lists, and rare templates, submitters and priorities.
    Index("idx_tasks_priority", "priority"),
    Index("idx_tasks_submitted_by", "submitted_by"),
    Index("idx_tasks_of_template", "template", sqlite_where=text("template IS NOT NULL")),
    Index("idx_tasks_started", "started_at", sqlite_where=text("started_at IS NOT NULL")),
    Index("idx_tasks_over", "ended_at", sqlite_where=text("ended_at IS NOT NULL")),
    # Tasks of a group by status, and their latest ends.
    Index(
        "idx_tasks_group", "group_number", "status", "ended_at",
        sqlite_where=text("group_number IS NOT NULL"),
    ),
    # Tasks of no group, for lists that show each group as one row.
    Index(
        "idx_tasks_single", "number",
        sqlite_where=text("group_number IS NULL AND deleted_at IS NULL"),
    ),
    # Rows to purge.
    Index("idx_tasks_deleted", "deleted_at", sqlite_where=text("deleted_at IS NOT NULL")),
    comment="A submitted command, what it asks for, and its status.",
)  # fmt: skip

groups = Table(
    "groups",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("uuid", Id, nullable=False),
    Column("name", Name, nullable=False),
    Column("submitted_by", Name, nullable=False),
    *_make_time_columns(),
    Column("max_running", Integer),
    Column("first_number", Integer, nullable=False, server_default="0"),
    CheckConstraint("max_running > 0", name="max_running"),
    # The group of a submission that is sent twice.
    Index("idx_groups_uuid", "uuid", unique=True),
    # Groups of which only some tasks may run at once.
    Index("idx_groups_limited", "number", sqlite_where=text("max_running IS NOT NULL")),
    # Place of a group in a list of tasks.
    Index("idx_groups_first", "first_number"),
    comment="Tasks that were submitted together, with the UUID of the first one.",
)
"""Groups of tasks. People write the number 12 as `g12`."""

instances = Table(
    "instances",
    metadata,
    Column("runid", Id, primary_key=True),
    Column("task_id", Id, ForeignKey("tasks.uuid"), nullable=False),
    *_make_status_column(*RunStatus),
    Column("start_time", Time),
    Column("end_time", Time),
    Column("logs", Text),
    Column("tags", JSON, nullable=False),
    *_make_time_columns(),
    Column("attempt", Integer, nullable=False),
    Column("queue", Name, nullable=False),
    Column("pool", Name, nullable=False),
    Column("cpu", Float, nullable=False),
    Column("memory", Float, nullable=False),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("reason", Text),
    Column("stop_reason", String(32)),
    Column("stopped_by", Name),
    Column("pid", Integer),
    Column("pid_ticks", Integer),
    Column("boot_id", String(36)),
    Column("run_seconds", Float),
    Column("cpu_seconds", Float),
    Column("max_rss", Float),
    Column("deadline", Time),
    Column("log_bytes", Integer),
    Column("resources", Text),
    Column("devices", Text),
    Column("copy_to", OsText),
    Column("copy_error_to", OsText),
    Column("outer_job", String(64)),
    Column("node", String(255)),
    Index("idx_instances_task", "task_id"),
    Index("idx_instances_status", "status"),
    Index("idx_instances_time", "start_time"),
    # Active runs, for the dispatcher and the deck.
    Index(
        "idx_instances_active", "queue", "runid",
        sqlite_where=text(f"status IN {ACTIVE_SQL}"),
    ),
    # Logs that are still to be copied to a file of the user.
    Index("idx_instances_copies", "runid", sqlite_where=text("copy_to IS NOT NULL")),
    Index(
        "idx_instances_error_copies", "runid", sqlite_where=text("copy_error_to IS NOT NULL")
    ),
    # Cleanup by end time.
    Index("idx_instances_ended", "end_time", sqlite_where=text("end_time IS NOT NULL")),
    # Runs at a past moment: long ones may have started much earlier.
    Index("idx_instances_long", "end_time", "start_time", sqlite_where=text("run_seconds > 300")),
    comment="A run: one attempt of a task, with process, exit and use of CPU and memory.",
)  # fmt: skip

templates = Table(
    "templates",
    metadata,
    Column("name", Name, primary_key=True),
    Column("type", Name, nullable=False),
    Column("engine", String(32), nullable=False),
    Column("template", JSON(none_as_null=True)),
    Column("schema", JSON, nullable=False),
    Column("parameters", JSON, nullable=False),
    *_make_time_columns(),
    Column("description", Text),
    Column("queue", Name, ForeignKey("queues.name")),
    Column("cpu", Float),
    Column("memory", Float),
    Column("timeout", Float),
    Column("retries", Integer),
    Column("retired_at", Time),
    Column("notify", Name),
    Column("notify_on", String(8)),
    Column("resources", Text),
    Column("signal", String(32)),
    Column("retry_on_oom", String(64)),
    # Foreign key of `queues`.
    Index("idx_templates_queue", "queue"),
    comment="A reusable definition of tasks, with the JSON Schema of its parameters.",
)

bookings = Table(
    "bookings",
    metadata,
    Column("name", Name, primary_key=True),
    Column("pool", Name, ForeignKey("pools.name"), nullable=False),
    Column("tag", Name, nullable=False),
    Column("begins_at", Time, nullable=False),
    Column("ends_at", Time, nullable=False),
    Column("cpu", Float),
    Column("memory", Float),
    Column("resources", Text),
    *_make_time_columns(),
    Column("description", Text),
    CheckConstraint("begins_at < ends_at", name="ends_at"),
    # Foreign key of `pools`.
    Index("idx_bookings_pool", "pool"),
    comment="Amounts of a pool that only the tasks of a tag get, from a time to a time.",
)

start_forecasts = Table(
    "start_forecasts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("pool", Name, nullable=False),
    Column("earliest", Float, nullable=False),
    Column("latest", Float, nullable=False),
    *_make_time_columns(),
    CheckConstraint("earliest <= latest", name="latest"),
    # Latest forecasts of a pool, from which the leeway is learned.
    Index("idx_start_forecasts_pool", "pool", "created_at"),
    comment="Expected starts of some tasks, in seconds from the time of the row.",
)

queues = Table(
    "queues",
    metadata,
    Column("name", Name, primary_key=True),
    Column("capacity", Integer, nullable=False),
    Column("current_load", Integer, nullable=False, server_default="0"),
    *_make_status_column("active", "paused", "draining"),
    Column("priority", Integer, nullable=False, server_default="0"),
    *_make_time_columns(),
    Column("pool", Name, ForeignKey("pools.name"), nullable=False),
    Column("description", Text),
    Column("status_by", Name),
    Column("status_at", Time),
    Column("open", Text),
    CheckConstraint("capacity >= 0", name="capacity"),
    Index("idx_queues_status", "status"),
    Index("idx_queues_priority", "priority"),
    # Foreign key of `pools`.
    Index("idx_queues_pool", "pool"),
    comment="Where tasks wait: capacity, priority, status and current load.",
)

pools = Table(
    "pools",
    metadata,
    Column("name", Name, primary_key=True),
    Column("total_cpu", Float, nullable=False),
    Column("total_memory", Float, nullable=False),
    Column("used_cpu", Float, nullable=False, server_default="0"),
    Column("used_memory", Float, nullable=False, server_default="0"),
    *_make_status_column("active", "paused", "draining"),
    *_make_time_columns(),
    Column("sla_id", Integer, ForeignKey("slas.id")),
    Column("description", Text),
    Column("status_by", Name),
    Column("status_at", Time),
    Column("resources", Text),
    Column("policy", String(16)),
    Column("ageing", Float),
    Column("kind", String(16)),
    Column("options", Text),
    Column("enforce", String(16)),
    CheckConstraint("total_cpu >= 0 AND total_memory >= 0", name="totals"),
    # Foreign key of `slas`.
    Index("idx_pools_sla", "sla_id"),
    comment="Where the runs of some queues go, and the amounts that they reserve there.",
)

resources = Table(
    "resources",
    metadata,
    Column("name", Name, primary_key=True),
    Column("total", Integer, nullable=False),
    *_make_time_columns(),
    Column("description", Text),
    CheckConstraint("total >= 0", name="total"),
    comment="A named resource that all pools share, such as a floating licence.",
)

limits = Table(
    "limits",
    metadata,
    Column("name", Name, primary_key=True),
    Column("running", Integer),
    Column("cpu", Float),
    Column("memory", Float),
    Column("resources", Text),
    *_make_time_columns(),
    Column("description", Text),
    comment="The most that running tasks of a tag may take together, or of each value of a tag.",
)

slas = Table(
    "slas",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False),
    Column("conditions", JSON, nullable=False),
    Column("actions", JSON, nullable=False),
    Column("priority", Integer, nullable=False, server_default="2"),
    *_make_time_columns(),
    Column("enabled", Boolean(create_constraint=False), nullable=False, server_default=text("1")),
    UniqueConstraint("name"),
    comment="A rule for tasks or for a metric, with conditions and severity.",
)

environments = Table(
    "environments",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("variables", JSON, nullable=False),
    *_make_time_columns(),
    comment="Environment variables of tasks, once for each distinct set.",
)

dependencies = Table(
    "dependencies",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.uuid", ondelete="CASCADE"), primary_key=True),
    Column("parent_id", Id, ForeignKey("tasks.uuid", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(8), nullable=False),
    *_make_time_columns(),
    CheckConstraint("kind IN ('success', 'any', 'failure', 'failures', 'start')", name="kind"),
    # Children of an ended task.
    Index("idx_dependencies_parent", "parent_id"),
    # Parents whose start lets children start, looked up at each start.
    Index("idx_dependencies_start", "parent_id", sqlite_where=text("kind = 'start'")),
    comment="A task that waits for the start or a certain end of another.",
)

home = Table(
    "home",
    metadata,
    Column("uuid", Id, primary_key=True),
    *_make_time_columns(),
    Column("parent", Id),
    comment="One row: the UUID of the home, and for a promoted replica that of its former home.",
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sla_id", Integer, ForeignKey("slas.id")),
    Column("name", Name, nullable=False),
    Column("severity", String(8), nullable=False),
    *_make_status_column("pending", "firing", "acknowledged", "resolved"),
    Column("task_id", Id, ForeignKey("tasks.uuid", ondelete="SET NULL")),
    Column("object", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("short", Text, nullable=False),
    Column("value", Float),
    Column("limit", Float),
    Column("fired_at", Time, nullable=False),
    Column("acknowledged_at", Time),
    Column("acknowledged_by", Name),
    Column("resolved_at", Time),
    *_make_time_columns(),
    Column("fingerprint", Text),
    Column("note", Text),
    Column("ending", String(16)),
    # One alert for each preset rule and task.
    Index(
        "uq_alerts_task",
        "sla_id",
        "task_id",
        unique=True,
        sqlite_where=text("task_id IS NOT NULL AND fingerprint IS NULL"),
    ),
    # One live alert for each rule of the general form and subject.
    Index(
        "uq_alerts_live",
        "fingerprint",
        unique=True,
        sqlite_where=text("fingerprint IS NOT NULL AND resolved_at IS NULL"),
    ),
    # Alerts of a task; foreign key of `tasks`.
    Index("idx_alerts_task", "task_id"),
    # Open and recently resolved alerts.
    Index("idx_alerts_open", "status", "fired_at", sqlite_where=text("status <> 'resolved'")),
    Index("idx_alerts_resolved", "resolved_at", sqlite_where=text("resolved_at IS NOT NULL")),
    comment="A broken rule or a problem of the runtime, from firing to resolved.",
)

silences = Table(
    "silences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sla_id", Integer, ForeignKey("slas.id")),
    Column("matchers", JSON(none_as_null=True)),
    Column("by", Name, nullable=False),
    Column("reason", Text),
    Column("until", Time, nullable=False),
    *_make_time_columns(),
    CheckConstraint("(sla_id IS NULL) <> (matchers IS NULL)", name="target"),
    Index("idx_silences_sla", "sla_id", "until"),
    comment="A time during which nobody hears of a rule, or of alerts that match.",
)

rule_states = Table(
    "rule_states",
    metadata,
    Column("sla_id", Integer, ForeignKey("slas.id", ondelete="CASCADE"), primary_key=True),
    Column("subject", Text, primary_key=True),
    *_make_status_column("pending", "firing"),
    Column("since", Time, nullable=False),
    Column("fired_at", Time),
    Column("clear_since", Time),
    Column("due_at", Time),
    Column("escalated", Boolean(create_constraint=False), nullable=False, server_default=text("0")),
    *_make_time_columns(),
    # The next time at which a state changes by itself.
    Index("idx_rule_states_due", "due_at", sqlite_where=text("due_at IS NOT NULL")),
    comment="What a rule of the general form remembers about a subject that breaks it.",
)
"""`status` is pending or firing; inactive subjects have no row. `due_at` is when the row is to
change."""

due_times = Table(
    "due_times",
    metadata,
    Column("sla_id", Integer, ForeignKey("slas.id", ondelete="CASCADE"), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("due_at", Time, nullable=False),
    Column("object", Text, nullable=False),
    *_make_time_columns(),
    # What is due next, and what was due while no runtime ran.
    Index("idx_due_times_due", "due_at"),
    comment="When a rule fires about a subject that is not done before; the next ones of a rule.",
)
"""`object` is the subject in words. A row goes once the subject is done, or its alert fires."""

checkins = Table(
    "checkins",
    metadata,
    Column("name", Name, primary_key=True),
    Column("at", Time, nullable=False),
    Column("by", Name, nullable=False),
    Column("note", Text),
    *_make_time_columns(),
    comment="The latest success that a program outside of Taskdeck reported.",
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Name, primary_key=True),
    *_make_status_column("active", "paused"),
    Column("kind", String(8), nullable=False),
    Column("expression", Text, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("start", Time, nullable=False),
    Column("task", JSON, nullable=False),
    Column("context", JSON, nullable=False),
    Column("overlap", String(8), nullable=False, server_default="skip"),
    Column("missed", String(8), nullable=False, server_default="run-once"),
    Column("missed_within", Float),
    Column("jitter", Float, nullable=False, server_default="0"),
    Column("until", Time),
    Column("exclude", JSON, nullable=False),
    Column("description", Text),
    Column("status_by", Name),
    Column("status_at", Time),
    Column("paused_until", Time),
    Column("next_fire", Time),
    Column("due_at", Time),
    Column("last_success", Time),
    Column("boot_id", String(36)),
    Column("refusal", Text),
    *_make_time_columns(),
    CheckConstraint("kind IN ('cron', 'every', 'at', 'rrule', 'boot')", name="kind"),
    CheckConstraint("overlap IN ('skip', 'queue')", name="overlap"),
    CheckConstraint("missed IN ('run-once', 'run-all', 'skip')", name="missed"),
    # Schedules that are due.
    Index("idx_schedules_due", "due_at", sqlite_where=text("due_at IS NOT NULL")),
    # Alerts.
    Index("idx_schedules_refused", "refusal", sqlite_where=text("refusal IS NOT NULL")),
    comment="When a template or command is submitted by itself, and by which rules.",
)
"""`next_fire` is the next fire time, and `due_at` adds the jitter. Without `next_fire`, `due_at`
asks for a new one, and nothing is submitted for earlier times. `refusal` is the reason why the
latest task could not be submitted."""

fires = Table(
    "fires",
    metadata,
    Column("schedule", Name, ForeignKey("schedules.name", ondelete="CASCADE"), primary_key=True),
    Column("fire_time", Time, primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
    Column("task_id", Id, ForeignKey("tasks.uuid", ondelete="SET NULL")),
    *_make_time_columns(),
    CheckConstraint("outcome IN ('submitted', 'skipped', 'missed', 'refused')", name="outcome"),
    # Foreign key of `tasks`; the schedule of a task.
    Index("idx_fires_task", "task_id", sqlite_where=text("task_id IS NOT NULL")),
    # Cleanup: fire times go after their tasks.
    Index("idx_fires_time", "fire_time", sqlite_where=text("task_id IS NULL")),
    comment="A fire time of a schedule, and what was done about it.",
)

calendars = Table(
    "calendars",
    metadata,
    Column("name", Name, primary_key=True),
    Column("dates", JSON, nullable=False),
    Column("description", Text),
    *_make_time_columns(),
    comment="A named list of dates on which schedules do not fire.",
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Id, nullable=False),
    Column("sla_id", Integer, ForeignKey("slas.id", ondelete="SET NULL")),
    Column("alert_id", Integer, ForeignKey("alerts.id", ondelete="SET NULL")),
    Column("task_id", Id, ForeignKey("tasks.uuid", ondelete="SET NULL")),
    Column("event", String(16), nullable=False),
    Column("action", JSON, nullable=False),
    Column("target", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    *_make_status_column("pending", "sent", "given_up", "skipped", "dry_run"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("log", JSON, nullable=False),
    Column("reached", JSON, nullable=False),
    Column("repeats", Integer, nullable=False, server_default="0"),
    Column("due_at", Time, nullable=False),
    Column("next_at", Time),
    Column("last_error", Text),
    *_make_time_columns(),
    UniqueConstraint("key"),
    # Next one to send.
    Index("idx_deliveries_due", "next_at", sqlite_where=text("next_at IS NOT NULL")),
    # Deliveries of a rule; foreign key of `slas`.
    Index("idx_deliveries_sla", "sla_id", "id", sqlite_where=text("sla_id IS NOT NULL")),
    # Deliveries of an alert; foreign key of `alerts`.
    Index("idx_deliveries_alert", "alert_id", sqlite_where=text("alert_id IS NOT NULL")),
    # Foreign key of `tasks`.
    Index("idx_deliveries_task", "task_id", sqlite_where=text("task_id IS NOT NULL")),
    comment="A message of a rule or task to a target, with its attempts.",
)
"""Written in the transaction that changes the alert; sent afterwards. `next_at` is None once
nothing more is sent."""

operations = Table(
    "operations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("by", Name, nullable=False),
    Column("verb", String(64), nullable=False),
    Column("object", Text, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    *_make_time_columns(),
    Column("source", String(16)),
    Column("origin", String(64)),
    Column("batch", Integer),
    Column("undoes", Integer),
    Column("undone_by", Integer),
    # Later operations on an object.
    Index("idx_operations_object", "object", "id"),
    # Operations of one call.
    Index("idx_operations_batch", "batch"),
    # Latest call from a terminal.
    Index("idx_operations_origin", "origin", "id", sqlite_where=text("batch = id")),
    comment="The operation log: who changed what, with the values before and after.",
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("task_id", Id, nullable=False),
    Column("runid", Id),
    Column("status", String(16), nullable=False),
    Column("by", Name, nullable=False),
    Column("note", Text),
    *_make_time_columns(),
    # Events of a task.
    Index("idx_events_task", "task_id", "id"),
    comment="A change of status of a task or run.",
)

samples = Table(
    "samples",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("minute", Time, primary_key=True),
    Column("running", Integer, nullable=False, server_default="0"),
    Column("waiting", Integer, nullable=False, server_default="0"),
    Column("started", Integer, nullable=False, server_default="0"),
    Column("ended", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("used_cpu", Float),
    Column("used_memory", Float),
    Column("measured_cpu", Float),
    Column("measured_memory", Float),
    *_make_time_columns(),
    Column("resources", Text),
    # Latest 30 minutes of samples; cleanup.
    Index("idx_samples_minute", "minute"),
    comment="Counts and use of a queue or pool in a minute.",
)

history = Table(
    "history",
    metadata,
    Column("width", Integer, primary_key=True),
    Column("at", Time, primary_key=True),
    Column("queue", Name, primary_key=True),
    Column("pool", Name, primary_key=True),
    Column("template", Name, primary_key=True),
    Column("started", Integer, nullable=False),
    Column("ended", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("waits", Text, nullable=False),
    Column("runs", Text, nullable=False),
    *_make_time_columns(),
    sqlite_with_rowid=False,
    comment="Starts, ends, waits and run times in 1, 15 or 120 minutes.",
)
"""Runs started and ended in each time bucket from `at`. See `queries.rollups`."""

slow_queries = Table(
    "slow_queries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("statement", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("plan", Text),
    *_make_time_columns(),
    Column("caller", String(64), nullable=False, server_default=text("''")),
    Column("count", Integer, nullable=False, server_default=text("1")),
    Column("worst", Float, nullable=False, server_default=text("0")),
    Column("total", Float, nullable=False, server_default=text("0")),
    Index("idx_slow_queries_statement", "statement", "caller", unique=True),
    comment="Slow statements by caller: count, and last, worst and total seconds.",
)

backups = Table(
    "backups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("file", Text, nullable=False),
    Column("parent_id", Integer, ForeignKey("backups.id")),
    Column("bytes", Integer),
    Column("sha256", LargeBinary(32)),
    Column("verified_at", Time),
    Column("problem", Text),
    *_make_time_columns(),
    Index("idx_backups_parent", "parent_id"),
    comment="A full backup or an increment, with its checksum and last check.",
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
    *_make_time_columns(),
    comment="Named numbers, such as the highest task number and the tasks of a status.",
)

stale_texts = Table(
    "stale_texts",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("changes", Integer, nullable=False),
    *_make_time_columns(),
    comment="A task whose text in the search index is outdated.",
)
"""Tasks whose indexed text is outdated (renamed or deleted), with a change count.

See `db.search.fts`.
"""

forgotten = Table(
    "forgotten",
    metadata,
    Column("runid", Id, primary_key=True),
    Column("task_id", Id, nullable=False),
    Column("number", Integer),
    Column("status", String(16), nullable=False),
    Column("ended_at", Time),
    *_make_time_columns(),
    Index("idx_forgotten_task", "task_id"),
    comment="The outcome of a run whose rows are gone; its task is not run again.",
)
"""Outcomes of runs whose rows are gone, removed by retention or lost by a restore. Tasks named here
are not dispatched."""

discarded_logs = Table(
    "discarded_logs",
    metadata,
    Column("runid", Id, primary_key=True),
    *_make_time_columns(),
    comment="A deleted run whose log file is still to be removed.",
)

replicas = Table(
    "replicas",
    metadata,
    Column("target", Text, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("at", Time),
    Column("synced_at", Time),
    Column("problem", Text),
    *_make_time_columns(),
    comment="The target of the replication, and the latest sync.",
)
"""Replication target. A replica holds this row too: `origin` is the home it belongs to, `at` the
start of the latest sync."""

_NEXT = "substr({0}, 1, 20) || printf('%06dZ', min(substr({0}, 21, 6) + 1, 999999))"
"""Microsecond after a time. SQLite reads its clock in milliseconds."""
_SET_LATER = f"updated_at = max({{}}.updated_at, {_NEXT.format('updated_at')})"
"""Rows of one transaction may share a time, but each change moves the time of its counter."""
_COUNT_UP = """
INSERT INTO counters (name, value, created_at, updated_at)
SELECT 'tasks/' || NEW.queue || '/' || NEW.status, 1, NEW.updated_at, NEW.updated_at
WHERE NEW.deleted_at IS NULL
ON CONFLICT (name) DO UPDATE SET value = value + 1, {};
""".format(_SET_LATER.format("excluded"))
_COUNT_DOWN = """
UPDATE counters SET value = value - 1{}
WHERE name = 'tasks/' || OLD.queue || '/' || OLD.status AND OLD.deleted_at IS NULL;
"""
_COUNT_MOVE = _COUNT_DOWN.format(f", {_SET_LATER.format('NEW')}") + _COUNT_UP
_GROUP_UP, _GROUP_DOWN = (
    text.replace("'tasks/'", "'groups/'").replace(".queue", ".group_number")
    for text in (_COUNT_UP, _COUNT_DOWN)
)
_GROUP_MOVE = _GROUP_DOWN.format(f", {_SET_LATER.format('NEW')}") + _GROUP_UP
_MARK_STALE = """
INSERT INTO stale_texts (number, changes, created_at, updated_at)
VALUES ({row}.number, 1, {row}.updated_at, {row}.updated_at)
ON CONFLICT (number) DO UPDATE SET changes = changes + 1, updated_at = excluded.updated_at;
"""
COUNTED_TOGETHER = "counted-together"
"""Counter that exists only inside a transaction that counts its tasks itself, many at once."""
_ONE_BY_ONE = f"NOT EXISTS (SELECT 1 FROM counters WHERE name = '{COUNTED_TOGETHER}')"
OPERATIONS_KEPT_FROM = "operations/from"
"""Counter of the first month whose operations are kept, such as 202611. Only older ones may be
deleted."""
_CHANGED = " OR ".join(
    f'NEW."{c.name}" IS NOT OLD."{c.name}"'
    for c in operations.c
    if c.name not in ("undone_by", "updated_at")
)
_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"


def _make_touch_trigger(table: Table) -> str:
    """Return the trigger that moves `updated_at` if an update of a row has not set it.

    The trigger writes the row a second time, so statements that run often set `updated_at`.
    """
    keys = table.primary_key.columns.keys() if table is history else ["rowid"]
    same = " AND ".join(f"{key} = NEW.{key}" for key in keys)
    later = f"max({_NOW}, {_NEXT.format('OLD.updated_at')})"
    return (
        f"CREATE TRIGGER touch_{table.name} AFTER UPDATE ON {table.name}"
        " WHEN NEW.updated_at IS OLD.updated_at"
        f" BEGIN UPDATE {table.name} SET updated_at = {later} WHERE {same}; END"
    )


TRIGGERS = {
    "count_task_insert": (
        f"CREATE TRIGGER count_task_insert AFTER INSERT ON tasks WHEN {_ONE_BY_ONE}"
        f" BEGIN {_COUNT_UP} END"
    ),
    "count_task_delete": (
        f"CREATE TRIGGER count_task_delete AFTER DELETE ON tasks BEGIN {_COUNT_DOWN.format('')} END"
    ),
    "count_task_move": (
        "CREATE TRIGGER count_task_move AFTER UPDATE OF status, queue, deleted_at ON tasks"
        f" WHEN {_ONE_BY_ONE} BEGIN {_COUNT_MOVE} END"
    ),
    "count_group_insert": (
        "CREATE TRIGGER count_group_insert AFTER INSERT ON tasks WHEN NEW.group_number IS NOT NULL"
        f" AND {_ONE_BY_ONE} BEGIN {_GROUP_UP} END"
    ),
    "count_group_delete": (
        "CREATE TRIGGER count_group_delete AFTER DELETE ON tasks WHEN OLD.group_number IS NOT NULL"
        f" BEGIN {_GROUP_DOWN.format('')} END"
    ),
    "count_group_move": (
        "CREATE TRIGGER count_group_move AFTER UPDATE OF status, deleted_at ON tasks WHEN"
        f" NEW.group_number IS NOT NULL AND {_ONE_BY_ONE} BEGIN {_GROUP_MOVE} END"
    ),
    "text_changes": (
        "CREATE TRIGGER text_changes AFTER UPDATE OF name ON tasks WHEN NEW.name <> OLD.name "
        f"BEGIN {_MARK_STALE.format(row='NEW')} END"
    ),
    "text_goes": (
        f"CREATE TRIGGER text_goes AFTER DELETE ON tasks BEGIN {_MARK_STALE.format(row='OLD')} END"
    ),
    "operations_stay": (
        "CREATE TRIGGER operations_stay BEFORE UPDATE ON operations WHEN (OLD.undone_by IS NOT NULL"
        f" AND NEW.undone_by IS NOT OLD.undone_by) OR {_CHANGED}"
        " BEGIN SELECT RAISE(ABORT, 'operations are append-only'); END"
    ),
    "operations_leave": (
        "CREATE TRIGGER operations_leave BEFORE DELETE ON operations WHEN NOT EXISTS (SELECT 1"
        f" FROM counters WHERE name = '{OPERATIONS_KEPT_FROM}' AND OLD.created_at <"
        " printf('%04d-%02d', value / 100, value % 100)) BEGIN SELECT RAISE(ABORT, 'operations are"
        " append-only'); END"
    ),
    **{f"touch_{name}": _make_touch_trigger(table) for name, table in metadata.tables.items()},
}
"""Count tasks by queue or group and status, so that no screen counts a million rows. Note changed
texts for the index. Keep operations append-only, except `undone_by` and whole expired months. Move
`updated_at` with every change of a row."""
