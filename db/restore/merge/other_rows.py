"""Fire times, messages, the replication target and the identity of the home."""

from __future__ import annotations

from sqlalchemy import Connection

from db import host, raw_sql
from db.queries import schedules
from db.queries.tasks import pending_parents
from db.restore.merge.rows import copy_rows, has_table

_SENDING = ("status", "attempts", "log", "reached", "next_at", "last_error", "updated_at")
"""Columns of a delivery that its attempts change."""


def merge_fires(c: Connection) -> None:
    """Keep the fire times handled since the backup, and let all schedules continue from now."""
    if has_table(c, "old", "fires"):
        copy_rows(
            c,
            "fires",
            "EXISTS (SELECT 1 FROM main.schedules s WHERE s.name = o.schedule) AND (o.task_id IS"
            " NULL OR EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid = o.task_id))",
        )
    schedules.continue_from_now(c, host.read_boot_id())


def merge_messages(c: Connection) -> None:
    """Keep what was sent or done since the backup, and the latest report of each program."""
    if has_table(c, "old", "deliveries"):
        sets = ", ".join(f"{name} = o.{name}" for name in _SENDING)
        raw_sql.execute_statement(
            c,
            f"UPDATE main.deliveries SET {sets} FROM old.deliveries o WHERE main.deliveries.next_at"
            " IS NOT NULL AND o.key = main.deliveries.key AND o.attempts >="
            " main.deliveries.attempts",
        )
    if has_table(c, "old", "checkins"):
        raw_sql.execute_statement(
            c,
            "DELETE FROM main.checkins WHERE at < (SELECT o.at FROM old.checkins o WHERE o.name ="
            " main.checkins.name)",
        )
        copy_rows(c, "checkins", "typeof(o.at) = 'text'")


def merge_pending_parents(c: Connection) -> None:
    """Keep the tasks with children that the runtime has to update, new tasks among them."""
    copy_rows(c, "counters", f"o.name LIKE '{pending_parents.FOLDER}%'")
    pending_parents.start_again(c)


def merge_replica(c: Connection, is_descendant: bool) -> None:
    """Keep the current replication target.

    The absence of a target counts only if the present database descends from the backup
    (`is_descendant`).
    """
    chosen = "typeof(o.target) = 'text' AND typeof(o.origin) = 'text'"
    if is_descendant or raw_sql.fetch_value(c, f"SELECT 1 FROM old.replicas o WHERE {chosen}"):
        raw_sql.execute_statement(c, "DELETE FROM main.replicas")
        copy_rows(c, "replicas", chosen)


def keep_home(c: Connection) -> None:
    """Keep the UUID of the present database, even if the backup comes from another home."""
    known = "typeof(o.uuid) = 'text'"
    if raw_sql.fetch_value(c, f"SELECT 1 FROM old.home o WHERE {known}"):
        raw_sql.execute_statement(c, "DELETE FROM main.home")
        copy_rows(c, "home", known)
