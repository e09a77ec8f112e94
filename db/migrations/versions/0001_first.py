"""The first data model: the owner's six tables and ours.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_COUNT_UP = """
INSERT INTO counters (name, value, created_at, updated_at)
SELECT 'tasks/' || NEW.queue || '/' || NEW.status, 1, NEW.updated_at, NEW.updated_at WHERE NEW.deleted_at IS NULL
ON CONFLICT (name) DO UPDATE SET value = value + 1, updated_at = excluded.updated_at;
"""
_COUNT_DOWN = """
UPDATE counters SET value = value - 1 WHERE name = 'tasks/' || OLD.queue || '/' || OLD.status AND OLD.deleted_at IS NULL;
"""
_STALE = """
INSERT INTO stale_texts (number, changes, created_at, updated_at) VALUES ({row}.number, 1, {row}.updated_at, {row}.updated_at)
ON CONFLICT (number) DO UPDATE SET changes = changes + 1, updated_at = excluded.updated_at;
"""
_WRITTEN = (
    "id",
    "by",
    "verb",
    "object",
    "before",
    "after",
    "created_at",
    "updated_at",
    "source",
    "origin",
    "batch",
    "undoes",
)
_OTHERWISE = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in _WRITTEN)
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'operations are append-only'); END"
_TRIGGERS = (
    f"CREATE TRIGGER count_task_insert AFTER INSERT ON tasks BEGIN {_COUNT_UP} END",
    f"CREATE TRIGGER count_task_delete AFTER DELETE ON tasks BEGIN {_COUNT_DOWN} END",
    "CREATE TRIGGER count_task_move AFTER UPDATE OF status, queue, deleted_at ON tasks "
    f"BEGIN {_COUNT_DOWN} {_COUNT_UP} END",
    "CREATE TRIGGER text_changes AFTER UPDATE OF name ON tasks WHEN NEW.name <> OLD.name "
    f"BEGIN {_STALE.format(row='NEW')} END",
    f"CREATE TRIGGER text_goes AFTER DELETE ON tasks BEGIN {_STALE.format(row='OLD')} END",
    f"CREATE TRIGGER operations_stay BEFORE UPDATE ON operations WHEN OLD.undone_by IS NOT NULL OR {_OTHERWISE} {_REFUSE}",
    "CREATE TRIGGER operations_leave BEFORE DELETE ON operations WHEN NOT EXISTS (SELECT 1 FROM counters "
    "WHERE name = 'operations/from' AND OLD.created_at < printf('%04d-%02d', value / 100, value % 100)) "
    f"{_REFUSE}",
)


def upgrade() -> None:
    """Create all tables, indexes and triggers."""
    op.create_table(
        "backups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("verified_at", sa.String(length=27), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        *_stamps(),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["backups.id"], name=op.f("fk_backups_parent_id_backups")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "discarded_logs",
        sa.Column("runid", sa.String(length=36), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("runid", name=op.f("pk_discarded_logs")),
    )
    op.create_table(
        "environments",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_environments")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("runid", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_table(
        "forgotten",
        sa.Column("runid", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("runid", name=op.f("pk_forgotten")),
    )
    op.create_table(
        "history",
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("queue", sa.String(length=200), nullable=False),
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("template", sa.String(length=200), nullable=False),
        sa.Column("started", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sa.Column("runs", sa.Text(), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint(
            "width", "at", "queue", "pool", "template", name=op.f("pk_history")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "home",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        *_stamps(),
        sa.Column("parent", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_home")),
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("verb", sa.String(length=64), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        *_stamps(),
        sa.Column("source", sa.String(length=16), nullable=True),
        sa.Column("origin", sa.String(length=64), nullable=True),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("undone_by", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_table(
        "replicas",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=True),
        sa.Column("synced_at", sa.String(length=27), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_replicas")),
    )
    op.create_table(
        "samples",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("minute", sa.String(length=27), nullable=False),
        sa.Column("running", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("used_cpu", sa.Float(), nullable=True),
        sa.Column("used_memory", sa.Float(), nullable=True),
        sa.Column("measured_cpu", sa.Float(), nullable=True),
        sa.Column("measured_memory", sa.Float(), nullable=True),
        *_stamps(),
        sa.PrimaryKeyConstraint("kind", "name", "minute", name=op.f("pk_samples")),
    )
    op.create_table(
        "slas",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="2", nullable=False),
        *_stamps(),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slas")),
        sa.UniqueConstraint("name", name=op.f("uq_slas_name")),
    )
    op.create_table(
        "slow_queries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        *_stamps(),
        sa.Column("caller", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("worst", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slow_queries")),
    )
    op.create_table(
        "stale_texts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_stale_texts")),
    )
    op.create_table(
        "pools",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("total_cpu", sa.Float(), nullable=False),
        sa.Column("total_memory", sa.Float(), nullable=False),
        sa.Column("used_cpu", sa.Float(), server_default="0", nullable=False),
        sa.Column("used_memory", sa.Float(), server_default="0", nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        *_stamps(),
        sa.Column("sla_id", sa.Integer(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status_by", sa.String(length=200), nullable=True),
        sa.Column("status_at", sa.String(length=27), nullable=True),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'draining')", name=op.f("ck_pools_status")
        ),
        sa.CheckConstraint("total_cpu >= 0 AND total_memory >= 0", name=op.f("ck_pools_totals")),
        sa.ForeignKeyConstraint(["sla_id"], ["slas.id"], name=op.f("fk_pools_sla_id_slas")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sla_id", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("until", sa.String(length=27), nullable=False),
        *_stamps(),
        sa.ForeignKeyConstraint(["sla_id"], ["slas.id"], name=op.f("fk_silences_sla_id_slas")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("current_load", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        *_stamps(),
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status_by", sa.String(length=200), nullable=True),
        sa.Column("status_at", sa.String(length=27), nullable=True),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'draining')", name=op.f("ck_queues_status")
        ),
        sa.CheckConstraint("capacity >= 0", name=op.f("ck_queues_capacity")),
        sa.ForeignKeyConstraint(["pool"], ["pools.name"], name=op.f("fk_queues_pool_pools")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queues")),
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("engine", sa.String(length=32), nullable=False),
        sa.Column("template", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        *_stamps(),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("queue", sa.String(length=200), nullable=True),
        sa.Column("cpu", sa.Float(), nullable=True),
        sa.Column("memory", sa.Float(), nullable=True),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=True),
        sa.Column("retired_at", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(["queue"], ["queues.name"], name=op.f("fk_templates_queue_queues")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_templates")),
    )
    op.create_table(
        "tasks",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("template", sa.String(length=200), nullable=True),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timeout", sa.Float(), nullable=True),
        *_stamps(),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=200), nullable=False),
        sa.Column("cpu", sa.Float(), server_default="1", nullable=False),
        sa.Column("memory", sa.Float(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_delay", sa.Float(), server_default="1", nullable=False),
        sa.Column("grace", sa.Float(), server_default="5", nullable=False),
        sa.Column("not_before", sa.String(length=27), nullable=True),
        sa.Column("retry_at", sa.String(length=27), nullable=True),
        sa.Column("hold", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_by", sa.String(length=200), nullable=True),
        sa.Column("front", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("env_id", sa.String(length=64), nullable=True),
        sa.Column("env", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cwd", sa.Text(), nullable=False),
        sa.Column("umask", sa.Integer(), server_default="18", nullable=False),
        sa.Column("launch", sa.JSON(), nullable=False),
        sa.Column("log_limit", sa.Float(), nullable=True),
        sa.Column("submitted_by", sa.String(length=200), nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.String(length=27), nullable=True),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.Column("deleted_at", sa.String(length=27), nullable=True),
        sa.CheckConstraint(
            "status IN ('scheduled', 'blocked', 'held', 'queued', 'running', 'retrying', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost')",
            name=op.f("ck_tasks_status"),
        ),
        sa.ForeignKeyConstraint(
            ["env_id"], ["environments.sha256"], name=op.f("fk_tasks_env_id_environments")
        ),
        sa.ForeignKeyConstraint(["queue"], ["queues.name"], name=op.f("fk_tasks_queue_queues")),
        sa.ForeignKeyConstraint(
            ["template"], ["templates.name"], name=op.f("fk_tasks_template_templates")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_tasks")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sla_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("short", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("fired_at", sa.String(length=27), nullable=False),
        sa.Column("acknowledged_at", sa.String(length=27), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=200), nullable=True),
        sa.Column("resolved_at", sa.String(length=27), nullable=True),
        *_stamps(),
        sa.CheckConstraint(
            "status IN ('pending', 'firing', 'acknowledged', 'resolved')",
            name=op.f("ck_alerts_status"),
        ),
        sa.ForeignKeyConstraint(["sla_id"], ["slas.id"], name=op.f("fk_alerts_sla_id_slas")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.uuid"], name=op.f("fk_alerts_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_table(
        "dependencies",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        *_stamps(),
        sa.CheckConstraint("kind IN ('success', 'any')", name=op.f("ck_dependencies_kind")),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["tasks.uuid"],
            name=op.f("fk_dependencies_parent_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"],
            ["tasks.uuid"],
            name=op.f("fk_dependencies_task_id_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_id", "parent_id", name=op.f("pk_dependencies")),
    )
    op.create_table(
        "instances",
        sa.Column("runid", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("start_time", sa.String(length=27), nullable=True),
        sa.Column("end_time", sa.String(length=27), nullable=True),
        sa.Column("logs", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        *_stamps(),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=200), nullable=False),
        sa.Column("pool", sa.String(length=200), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=False),
        sa.Column("memory", sa.Float(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("stop_reason", sa.String(length=32), nullable=True),
        sa.Column("stopped_by", sa.String(length=200), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_ticks", sa.Integer(), nullable=True),
        sa.Column("boot_id", sa.String(length=36), nullable=True),
        sa.Column("run_seconds", sa.Float(), nullable=True),
        sa.Column("cpu_seconds", sa.Float(), nullable=True),
        sa.Column("max_rss", sa.Float(), nullable=True),
        sa.Column("deadline", sa.String(length=27), nullable=True),
        sa.Column("log_bytes", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "status IN ('starting', 'running', 'paused', 'stopping', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost')",
            name=op.f("ck_instances_status"),
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.uuid"], name=op.f("fk_instances_task_id_tasks")
        ),
        sa.PrimaryKeyConstraint("runid", name=op.f("pk_instances")),
    )
    op.create_index(
        "idx_alerts_open",
        "alerts",
        ["status", "fired_at"],
        sqlite_where=sa.text("status <> 'resolved'"),
    )
    op.create_index(
        "idx_alerts_resolved",
        "alerts",
        ["resolved_at"],
        sqlite_where=sa.text("resolved_at IS NOT NULL"),
    )
    op.create_index("idx_alerts_task", "alerts", ["task_id"])
    op.create_index("idx_backups_parent", "backups", ["parent_id"])
    op.create_index("idx_dependencies_parent", "dependencies", ["parent_id"])
    op.create_index("idx_events_task", "events", ["task_id", "id"])
    op.create_index("idx_forgotten_task", "forgotten", ["task_id"])
    op.create_index(
        "idx_instances_active",
        "instances",
        ["queue", "runid"],
        sqlite_where=sa.text("status IN ('starting', 'running', 'paused', 'stopping')"),
    )
    op.create_index(
        "idx_instances_ended",
        "instances",
        ["end_time"],
        sqlite_where=sa.text("end_time IS NOT NULL"),
    )
    op.create_index("idx_instances_status", "instances", ["status"])
    op.create_index("idx_instances_task", "instances", ["task_id"])
    op.create_index("idx_instances_time", "instances", ["start_time"])
    op.create_index("idx_operations_object", "operations", ["object", "id"])
    op.create_index("idx_pools_sla", "pools", ["sla_id"])
    op.create_index("idx_queues_pool", "queues", ["pool"])
    op.create_index("idx_queues_priority", "queues", ["priority"])
    op.create_index("idx_queues_status", "queues", ["status"])
    op.create_index("idx_samples_minute", "samples", ["minute"])
    op.create_index("idx_silences_sla", "silences", ["sla_id", "until"])
    op.create_index(
        "idx_slow_queries_statement", "slow_queries", ["statement", "caller"], unique=True
    )
    op.create_index("idx_tasks_created", "tasks", ["created_at"])
    op.create_index(
        "idx_tasks_deleted", "tasks", ["deleted_at"], sqlite_where=sa.text("deleted_at IS NOT NULL")
    )
    op.create_index(
        "idx_tasks_ended",
        "tasks",
        ["status", "ended_at"],
        sqlite_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("idx_tasks_env", "tasks", ["env_id"])
    op.create_index("idx_tasks_name", "tasks", ["name"])
    op.create_index("idx_tasks_number", "tasks", ["number"], unique=True)
    op.create_index(
        "idx_tasks_oldest",
        "tasks",
        ["queue", "created_at"],
        sqlite_where=sa.text("status = 'queued'"),
    )
    op.create_index("idx_tasks_queue", "tasks", ["queue", "number"])
    op.create_index(
        "idx_tasks_retrying", "tasks", ["retry_at"], sqlite_where=sa.text("status = 'retrying'")
    )
    op.create_index(
        "idx_tasks_scheduled", "tasks", ["not_before"], sqlite_where=sa.text("status = 'scheduled'")
    )
    op.create_index("idx_tasks_status", "tasks", ["status"])
    op.create_index(
        "idx_tasks_template",
        "tasks",
        ["template", "ended_at"],
        sqlite_where=sa.text("template IS NOT NULL"),
    )
    op.create_index("idx_tasks_type", "tasks", ["type"])
    op.create_index("idx_templates_queue", "templates", ["queue"])
    op.create_index(
        "uq_alerts_task",
        "alerts",
        ["sla_id", "task_id"],
        unique=True,
        sqlite_where=sa.text("task_id IS NOT NULL"),
    )
    op.create_index(
        "idx_tasks_next",
        "tasks",
        ["queue", sa.text("front DESC"), sa.text("priority DESC"), "number"],
        sqlite_where=sa.text("status = 'queued'"),
    )
    op.create_index("idx_tasks_priority", "tasks", ["priority"])
    op.create_index("idx_tasks_submitted_by", "tasks", ["submitted_by"])
    op.create_index(
        "idx_instances_long",
        "instances",
        ["end_time", "start_time"],
        sqlite_where=sa.text("run_seconds > 300"),
    )
    op.create_index(
        "idx_tasks_of_template", "tasks", ["template"], sqlite_where=sa.text("template IS NOT NULL")
    )
    op.create_index(
        "idx_tasks_started", "tasks", ["started_at"], sqlite_where=sa.text("started_at IS NOT NULL")
    )
    op.create_index("idx_operations_batch", "operations", ["batch"])
    op.create_index(
        "idx_operations_origin", "operations", ["origin", "id"], sqlite_where=sa.text("batch = id")
    )
    op.create_index(
        "idx_tasks_over", "tasks", ["ended_at"], sqlite_where=sa.text("ended_at IS NOT NULL")
    )
    for trigger in _TRIGGERS:
        op.execute(trigger)


def _stamps() -> tuple[sa.Column, ...]:
    return (
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
    )
