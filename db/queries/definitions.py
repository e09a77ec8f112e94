"""Queries on queues, pools, templates, SLA rules, schedules and calendars.

All are created, changed and deleted alike, with an operation log entry in the caller's
transaction. The log holds the differences of a change (`db.differences`), and no value twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Connection, Table, func, select, text

from db import differences, raw_sql, schema, timestamps
from db.queries import schedules
from db.queries.history import operations
from db.queries.scheduling import loads
from db.rows import PoolRow, QueueRow, SlaRow, TemplateRow
from db.states import ACTIVE_SQL

ColumnChanges = dict[str, list[Any]]
"""{column: [old, new]}."""


def get_kind(table: Table) -> str:
    """Return the kind of a table's rows: `template` for `schema.templates`."""
    return "reservation" if table is schema.bookings else table.name.removesuffix("s")


def find_table(kind: str) -> Table | None:
    """Return the table of the definitions of a kind, or None."""
    if kind == get_kind(schema.bookings):
        return schema.bookings
    return schema.metadata.tables.get(f"{kind}s")


def create(c: Connection, table: Table, name: str, values: Mapping[str, Any], by: str) -> None:
    """Insert a definition. A new queue or pool is active."""
    create_all(c, table, {name: values}, by)


def create_all(
    c: Connection, table: Table, definitions: Mapping[str, Mapping[str, Any]], by: str
) -> None:
    """Insert definitions {name: values} of one kind, all with the same columns."""
    now = timestamps.now()
    more = {"created_at": now, "updated_at": now}
    if "status" in table.c:
        more["status"] = "active"
    # One statement for all: building one takes as long as storing three rows.
    rows = [{"name": name, **more, **values} for name, values in definitions.items()]
    c.execute(table.insert(), rows)
    _record_creations(c, table, definitions, by)


def _record_creations(
    c: Connection, table: Table, definitions: Mapping[str, Mapping[str, Any]], by: str
) -> None:
    kind = get_kind(table)
    operations.record_all(
        c,
        by,
        f"{kind} create",
        [
            (f"{kind} {name}", None, _omit_repeated_objects(values))
            for name, values in definitions.items()
        ],
    )


def _omit_repeated_objects(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with null in a template's source for objects that other columns hold.

    A source never holds null itself.
    """
    source = row.get("template")
    if not isinstance(source, Mapping):
        return dict(row)
    shortened = {
        key: None
        if isinstance(value, Mapping) and json.dumps(row.get(key)) == json.dumps(value)
        else value
        for key, value in source.items()
    }
    return {**row, "template": shortened}


def _restore_repeated_objects(row: Mapping[str, Any]) -> dict[str, Any]:
    source = row.get("template")
    if not isinstance(source, Mapping):
        return dict(row)
    whole = {key: row.get(key) if value is None else value for key, value in source.items()}
    return {**row, "template": whole}


def update(
    c: Connection, table: Table, name: str, values: Mapping[str, Any], by: str, verb: str = "set"
) -> ColumnChanges:
    """Set the columns that differ and return the change.

    Equal values change nothing, not even the time of change. A template's source (`template`) is
    stored along with other changes and is no change by itself.
    """
    row = c.execute(select(table).where(table.c.name == name)).one()._mapping
    changed = find_difference(row, values)
    if changed:
        new = {key: value for key, value in values.items() if key in changed or key == "template"}
        if "status" in new:
            new |= {"status_by": by, "status_at": timestamps.now()}
        c.execute(
            table.update().where(table.c.name == name).values(**new, updated_at=timestamps.now())
        )
        if table is schema.queues and "pool" in changed:
            loads.move_reservations(c, name, values["pool"])
        pruned = {key: differences.prune(*pair) for key, pair in changed.items()}
        before, after = ({key: pair[at] for key, pair in pruned.items()} for at in (0, 1))
        operations.record(
            c, by, f"{get_kind(table)} {verb}", f"{get_kind(table)} {name}", before, after
        )
    return changed


def find_difference(row: Mapping[Any, Any], values: Mapping[str, Any]) -> ColumnChanges:
    """Return what `values` would change in a row.

    True differs from 1; the order of keys does not matter.
    """
    differs = {
        key: [row[key], value]
        for key, value in values.items()
        if not _is_same_scalar(row[key], value)
        and differences.to_comparable(row[key]) != differences.to_comparable(value)
    }
    differs.pop("template", None)
    return differs


def _is_same_scalar(one: Any, other: Any) -> bool:
    """Return True for equal texts, numbers or nulls of one type, without making JSON of them."""
    return type(one) is type(other) and not isinstance(one, Mapping | list) and one == other


def remove(c: Connection, table: Table, name: str, by: str, **more: Any) -> None:
    """Delete a definition without references; the operation keeps its row, and `more`."""
    row = dict(c.execute(select(table).where(table.c.name == name)).one()._mapping)
    c.execute(table.delete().where(table.c.name == name))
    kind = get_kind(table)
    operations.record(
        c, by, f"{kind} rm", f"{kind} {name}", before=_omit_repeated_objects(row) | more
    )


def restore(c: Connection, table: Table, row: Mapping[str, Any], by: str) -> None:
    """Insert a deleted definition as it was.

    An SLA rule gets a new id, because its own may be in use.
    """
    name, caches = row["name"], {"current_load": 0, "used_cpu": 0.0, "used_memory": 0.0}
    values = {
        key: caches.get(key, value)
        for key, value in _restore_repeated_objects(row).items()
        if key in table.c and key != "id"
    }
    c.execute(table.insert().values(**values))
    _record_creations(c, table, {name: values}, by)


def get_row(c: Connection, table: Table, name: str) -> dict[str, Any] | None:
    """Return the whole row of a name."""
    found = c.execute(select(table).where(table.c.name == name)).first()
    return dict(found._mapping) if found else None


# --- lookup by name -------------------------------------------------------------------------


def find_queue(c: Connection, name: str) -> QueueRow | None:
    """Return a queue by name."""
    return _find_by_name(c, schema.queues, QueueRow, name)


def find_pool(c: Connection, name: str) -> PoolRow | None:
    """Return a pool by name."""
    return _find_by_name(c, schema.pools, PoolRow, name)


def find_template(c: Connection, name: str) -> TemplateRow | None:
    """Return a template by name."""
    return _find_by_name(c, schema.templates, TemplateRow, name)


def find_sla(c: Connection, name: str) -> SlaRow | None:
    """Return an SLA rule by name."""
    return _find_by_name(c, schema.slas, SlaRow, name)


def _find_by_name(c: Connection, table: Table, row: Any, name: str) -> Any:
    found = c.execute(
        select(*(table.c[field] for field in row._fields)).where(table.c.name == name)
    ).first()
    return row._make(found) if found else None


def list_templates(c: Connection) -> list[TemplateRow]:
    """Return the templates by name."""
    t = schema.templates
    return [
        TemplateRow._make(row)
        for row in c.execute(select(*(t.c[f] for f in TemplateRow._fields)).order_by(t.c.name))
    ]


def list_template_heads(c: Connection) -> list[dict[str, Any]]:
    """Return the templates by name, without JSON: parsing that of 26 large ones takes 30 ms."""
    t = schema.templates
    columns = [t.c[name] for name in TemplateRow._fields if not isinstance(t.c[name].type, JSON)]
    return [dict(row._mapping) for row in c.execute(select(*columns).order_by(t.c.name))]


def list_template_names(c: Connection) -> list[str]:
    """Return the names of all templates, sorted."""
    return list(
        c.execute(select(schema.templates.c.name).order_by(schema.templates.c.name)).scalars()
    )


def list_slas(c: Connection) -> list[SlaRow]:
    """Return the SLA rules, most severe first, then by name."""
    s = schema.slas
    chosen = select(*(s.c[name] for name in SlaRow._fields)).order_by(s.c.priority.desc(), s.c.name)
    return [SlaRow._make(row) for row in c.execute(chosen)]


def has_enabled_sla(c: Connection) -> bool:
    """Return True if an SLA rule is enabled."""
    return raw_sql.fetch_value(c, "SELECT 1 FROM slas WHERE enabled LIMIT 1") is not None


def count_slas(c: Connection) -> int:
    """Return the number of SLA rules."""
    # SQL text: the board counts them every second.
    return raw_sql.fetch_value(c, "SELECT count(*) FROM slas")


# --- references -----------------------------------------------------------------------------


def count_queue_users(c: Connection, name: str) -> dict[str, int]:
    """Count the references to a queue.

    Tasks (ended ones too), runs of tasks that moved to another queue, templates, schedules and SLA
    rules.
    """
    return {
        "task": _count_rows(c, schema.tasks, "queue", name),
        "run": _count_moved_runs(c, name),
        "template": _count_rows(c, schema.templates, "queue", name),
        "schedule": len(schedules.list_users(c, "queue", name)),
        "rule": _count_matching_rules(c, "queue", name),
    }


def count_pool_users(c: Connection, name: str) -> dict[str, int]:
    """Count the queues of a pool, and its reservations."""
    return {
        "queue": _count_rows(c, schema.queues, "pool", name),
        "reservation": _count_rows(c, schema.bookings, "pool", name),
    }


def count_template_users(c: Connection, name: str) -> dict[str, int]:
    """Count the references to a template: tasks, schedules and SLA rules.

    Ended tasks count too.
    """
    return {
        "task": _count_rows(c, schema.tasks, "template", name),
        "schedule": len(schedules.list_users(c, "template", name)),
        "rule": _count_matching_rules(c, "template", name),
    }


def count_calendar_users(c: Connection, name: str) -> dict[str, int]:
    """Count the schedules that exclude the dates of a calendar."""
    return {"schedule": len(schedules.list_users(c, "calendar", name))}


def count_sla_users(c: Connection, sla_id: int) -> dict[str, int]:
    """Count the references to an SLA rule: pools and silences.

    Alerts keep the name of a deleted rule.
    """
    return {
        "pool": _count_rows(c, schema.pools, "sla_id", sla_id),
        "silence": _count_rows(c, schema.silences, "sla_id", sla_id),
    }


def _count_moved_runs(c: Connection, queue: str) -> int:
    """Count the active runs that hold a slot of a queue their task has left."""
    runs, tasks = schema.instances, schema.tasks
    statement = (
        # a literal list: SQLite uses the index of active runs only then
        text(f"instances.status IN {ACTIVE_SQL}"),
        runs.c.queue == queue,
        tasks.c.queue != runs.c.queue,
    )
    return c.execute(
        select(func.count()).select_from(runs.join(tasks)).where(*statement)
    ).scalar_one()


def _count_matching_rules(c: Connection, key: str, name: str) -> int:
    return sum(row.conditions.get("match", {}).get(key) == name for row in list_slas(c))


def _count_rows(c: Connection, table: Table, column: str, value: Any) -> int:
    return c.execute(
        select(func.count()).select_from(table).where(table.c[column] == value)
    ).scalar_one()
