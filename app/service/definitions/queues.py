"""Queue and pool verbs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from app.core import task_spec
from app.core.definitions.document import SlurmOptions, SlurmWord
from app.core.scheduling import overcommit
from app.core.scheduling.enforcement import list_enforced
from app.core.scheduling.open_times import find_opening, is_inside, list_windows, normalize_open
from app.core.scheduling.order import PRIORITY, get_ageing
from app.core.scheduling.plan import get_line_key
from app.core.scheduling.queue_room import is_outgrown
from app.core.scheduling.resources import GPU
from app.core.slurm import pool_options
from app.core.text import units
from app.core.text.sanitize import find_name_error, sanitize
from app.errors import Conflict, Usage
from app.service import enforced_limits, gpus, outer
from app.service.context import Call
from app.service.definitions import slas
from app.service.scheduling import dispatch_view, queue_order
from app.service.scheduling.limit_view import list_booked
from app.service.tasks import lookup
from app.translation import tr
from db import host, schema, timestamps
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.scheduling import age_order, bookings
from db.queries.scheduling.resources import parse_named, read_totals, sum_held, to_text
from db.rows import ActiveRunRow, PoolRow, QueueRow
from db.schema import Table
from db.states import WAITING

_FIELDS: dict[str, TypeAdapter[Any]] = {
    "capacity": TypeAdapter(task_spec.Capacity),
    "priority": TypeAdapter(task_spec.Priority),
    "cpu": TypeAdapter(task_spec.Cpu),
    "memory": TypeAdapter(task_spec.Size),
    "resources": TypeAdapter(task_spec.Resources),
    "pool": TypeAdapter(str),
    "open": TypeAdapter(Annotated[str | None, BeforeValidator(normalize_open)]),
    "policy": TypeAdapter(task_spec.Policy),
    "ageing": TypeAdapter(task_spec.Ageing),
    "enforce": TypeAdapter(task_spec.Enforce),
    "description": TypeAdapter(str),
    "sla": TypeAdapter(str),
    "kind": TypeAdapter(Annotated[str | None, BeforeValidator(pool_options.check_kind)]),
    **{name: TypeAdapter(SlurmWord | None) for name in pool_options.WORDS},
    "options": TypeAdapter(SlurmOptions),
}
_COLUMNS = {"cpu": "total_cpu", "memory": "total_memory"}


def _parse_values(values: dict[str, Any]) -> dict[str, Any]:
    return {
        _COLUMNS.get(name, name): parse_value(name, value)
        for name, value in values.items()
        if value is not None
    }


def parse_value(name: str, value: Any) -> Any:
    """Return the value of a field of a queue or pool. Raise Usage."""
    try:
        return _FIELDS[name].validate_python(value)
    except ValidationError as error:
        raise Usage(
            "{name} {error}. Nothing was changed.", name=name, error=task_spec.describe_error(error)
        ) from None


def _check_name(name: str) -> None:
    wrong = find_name_error(name)
    if wrong:
        raise Usage("name {wrong}. Nothing was changed.", wrong=wrong)


# --- queues -----------------------------------------------------------------------------


async def queue_ls(call: Call) -> list[dict[str, Any]]:
    """Return all queues, highest priority first, with their waiting tasks."""
    return await call.db.read(list_queue_dicts)


def list_queue_dicts(c: Connection) -> list[dict[str, Any]]:
    """Return the queues as sent to clients; `opens_at` is set while a queue is closed."""
    counted, now = reads.read_counters(c), _map_queue_facts(c)
    return [
        {**row._asdict(), "waiting": counted.get((row.name, "queued"), 0),
        "oldest_at": now[row.name].oldest_at, "opens_at": opens_at,
         "word": _get_word(row, now[row.name], opens_at)}
        for row in reads.list_queues(c)
        for opens_at in (_find_opening(row) if row.open else None,)
    ]  # fmt: skip


def _map_queue_facts(c: Connection) -> dict[str, Any]:
    """Return {queue: facts for its state}, with the request of the task that starts first."""
    found = reads.map_queue_facts(c)
    for queue, policy in age_order.map_policies(c).items():
        for task in queue_order.list_first(c, dispatch_view.get_cache(c), queue, policy, 1):
            found[queue] = found[queue]._replace(first_cpu=task.cpu, first_memory=task.memory)
    return found


def _find_opening(row: QueueRow) -> str | None:
    """Return the stored time at which a closed queue opens, None while it is open."""
    now = timestamps.utcnow().timestamp()
    windows = list_windows(row.open or "", now)
    opening = None if is_inside(windows) else find_opening(windows)
    return None if opening is None else timestamps.from_unix(now + opening)


async def queue_line(call: Call, *, names: Sequence[str]) -> dict[str, Any]:
    """Summarize the waiting tasks of some queues.

    Return {"first": uuid of the task that starts first, or of the next retry if no task is queued;
    "waiting": {status: tasks}}.
    """
    return await call.db.read(_summarize_waiting, names)


def _summarize_waiting(c: Connection, names: Sequence[str]) -> dict[str, Any]:
    for name in names:
        _QUEUE.require_known(c, name)
    cache, policies = dispatch_view.get_cache(c), age_order.map_policies(c)
    policy_of = {name: policies.get(name, PRIORITY) for name in names}
    heads = [
        (row, dispatch_view.to_waiting(c, cache, task, policy_of[row.name]))
        for row in reads.list_queues(c)
        if row.name in names
        for task in queue_order.list_first(c, cache, row.name, policy_of[row.name], 1)
    ]
    now = reads.map_queue_facts(c)
    closed = {
        row.name: row.status != "active" or now[row.name].pool_status != "active"
        for row, _ in heads
    }
    heads.sort(key=lambda head: (closed[head[0].name], get_line_key(head[1], head[0].priority)))
    counted = Counter[str]()
    for (queue, status), n in reads.read_counters(c).items():
        counted[status] += n if queue in names and status in WAITING else 0
    return {
        "first": heads[0][1].uuid if heads else reads.find_next_retry(c, names),
        "waiting": dict(+counted),
    }


def _get_word(row: QueueRow, now: Any, opens_at: str | None) -> str:
    """Return the state of a queue.

    States are open, full, no room, paused, draining, pool off, no Slurm and opens ….
    """
    if now.pool_status != "active":
        return "pool off"
    if row.status != "active":
        return row.status
    if opens_at is not None:
        at = timestamps.parse_time(opens_at)
        return f"opens {units.format_clock_time(at, timestamps.utcnow())}"
    if row.current_load >= row.capacity:
        return "full"
    if now.pool_kind is not None:
        return "no Slurm" if outer.get_seen_trouble() else "open"
    waits = now.first_cpu is not None
    return (
        "no room"
        if waits
        and (now.first_cpu > now.free_cpu + 1e-6 or now.first_memory > now.free_memory + 1e-6)
        else "open"
    )


async def queue_create(
    call: Call,
    *,
    name: str,
    capacity: Any = None,
    pool: str | None = None,
    priority: Any = None,
    open: str | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Create a queue.

    By default its capacity is the number of its pool's cores, or 100 in a Slurm pool.
    """
    _check_name(name)
    values = {
        "pool": "default",
        **_parse_values(
            {"capacity": capacity, "pool": pool, "priority": priority, "open": open,
             "description": description}
        ),
    }  # fmt: skip

    def create(c: Connection) -> None:
        _QUEUE.require_new(c, name)
        _check_pool(c, values)
        owner = definitions.find_pool(c, values["pool"])
        if owner:
            slots = pool_options.get_default_capacity(owner.kind, owner.total_cpu)
            values.setdefault("capacity", slots)
        definitions.create(c, schema.queues, name, values, call.by)

    await call.db.write(create)
    await _note_unreachable_capacity(call, name)
    return await queue_show(call, name=name)


async def _note_unreachable_capacity(call: Call, name: str) -> None:
    """Note a capacity above the cores of the pool. Tasks may request less than a core."""
    queue = await call.db.read(definitions.find_queue, name)
    pool = await call.db.read(definitions.find_pool, queue.pool) if queue else None
    if queue and pool and pool.kind is None and queue.capacity > pool.total_cpu:
        cores = units.format_number(pool.total_cpu)
        call.note(
            tr(
                "pool {name} has {cores} cpu, so at most {most} tasks of 1 cpu run at once,"
                " whatever the capacity of the queue.",
                name=sanitize(pool.name),
                cores=cores,
                most=int(pool.total_cpu),
            )
        )


def _check_pool(c: Connection, values: dict[str, Any]) -> None:
    if "pool" in values and definitions.find_pool(c, values["pool"]) is None:
        raise lookup.make_unknown_name(
            "pool", values["pool"], [row.name for row in reads.list_pools(c)]
        )


async def queue_set(
    call: Call,
    *,
    name: str,
    capacity: Any = None,
    pool: str | None = None,
    priority: Any = None,
    open: str | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Change a queue. `open` tells when it starts tasks, such as `22:00-06:00` or `always`."""
    values = _parse_values(
        {"capacity": capacity, "pool": pool, "priority": priority, "open": open,
         "description": description}
    )  # fmt: skip
    if not values:
        raise Usage(
            "nothing to set. Options: --capacity, --priority, --pool, --open or --description."
        )

    def change(c: Connection) -> None:
        _QUEUE.require_known(c, name)
        _check_pool(c, values)
        definitions.update(c, schema.queues, name, values, call.by)

    await call.db.write(change)
    if "capacity" in values or "pool" in values:
        await _note_unreachable_capacity(call, name)
    return await queue_show(call, name=name)


# --- pools ------------------------------------------------------------------------------


async def pool_ls(call: Call) -> list[dict[str, Any]]:
    """Return all pools."""
    return await call.db.read(list_pool_dicts)


def list_pool_dicts(c: Connection) -> list[dict[str, Any]]:
    """Return the pools as sent to clients, with the names of their SLA rules."""
    slas = {row.id: row.name for row in definitions.list_slas(c)}
    rows, held, booked = reads.list_pools(c), sum_held(c), bookings.list_rows(c)
    runs = reads.list_running(c) if any(row.kind is not None for row in rows) else ()
    devices = gpus.read_devices(c, rows, read_totals(c))
    return [
        {
            **row._asdict(),
            "kind": row.kind or pool_options.LOCAL,
            "options": [],
            **pool_options.parse_options(row.options),
            **_describe_outer(row, runs),
            "policy": row.policy or PRIORITY,
            "ageing": get_ageing(row.ageing),
            "enforce": list_enforced(row.enforce),
            "trouble": enforced_limits.find_trouble(row.enforce),
            "sla": slas.get(row.sla_id) if row.sla_id is not None else None,
            "resources": dict(parse_named(row.resources)),
            "used_resources": held.get(row.name, {}),
            "reservations": [
                {
                    "name": one.name,
                    "tag": one.tag,
                    "needs": list_booked(one),
                    "begins_at": one.begins_at,
                    "ends_at": one.ends_at,
                }
                for one in booked
                if one.pool == row.name
            ],
            "devices": devices if parse_named(row.resources).get(GPU) else [],
        }
        for row in rows
    ]


def _describe_outer(row: PoolRow, runs: Sequence[ActiveRunRow]) -> dict[str, Any]:
    """Return what a Slurm pool has handed over, and the cluster."""
    if row.kind is None:
        return {}
    use = outer.make_use(row, runs)._asdict()
    return {"outer": use, "cluster": outer.describe_cluster()}


async def pool_create(
    call: Call,
    *,
    name: str,
    cpu: float | str | None = None,
    memory: float | str | None = None,
    resources: Any = None,
    policy: str | None = None,
    ageing: Any = None,
    enforce: Any = None,
    sla: str | None = None,
    description: str | None = None,
    kind: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Create a pool with a number of cores, MiB of memory, and {named resource: amount}.

    One of kind slurm has none of these, but `partition`, `account`, `qos` and `options`.
    """
    _check_name(name)
    given = {"cpu": cpu, "memory": memory, "resources": resources, "policy": policy}
    given |= {"ageing": ageing, "enforce": enforce, "sla": sla}
    given |= {"description": description, "kind": kind}
    values = _parse_values({**given, **_check_options(options)})
    _check_fit(values.get("kind"), {**given, **options})
    if values.get("kind") is None and None in (cpu, memory):
        raise Usage("a pool needs cpu and memory. Nothing was created.")
    values = {"total_cpu": 0.0, "total_memory": 0.0, **values}
    await require_enforceable(call, [values.get("enforce")])

    def create(c: Connection) -> None:
        _POOL.require_new(c, name)
        definitions.create(c, schema.pools, name, _to_pool_columns(c, values, None), call.by)

    await call.db.write(create)
    await note_oversize(call, [name])
    return await pool_show(call, name=name)


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the jobs of a Slurm pool. Raise Usage for an unknown name."""
    for name in options.keys() - pool_options.NAMES:
        raise Usage("a pool has no setting {name}. Nothing was changed.", name=units.quote(name))
    return options


def _check_fit(kind: str | None, given: Mapping[str, Any]) -> None:
    """Raise Usage for settings that a pool of this kind cannot have."""
    named = [name for name, value in given.items() if value is not None]
    if misfit := pool_options.find_misfit(kind, named):
        raise Usage("{misfit}. Nothing was changed.", misfit=misfit)


async def note_oversize(call: Call, names: Sequence[str]) -> None:
    """Note that pools offer more than the machine has.

    People share cores on purpose, so oversized pools are not refused.
    """
    for warning in overcommit.list_warnings(
        await call.db.read(list_pool_dicts), *host.read_capacity(), names
    ):
        call.note(tr("{warning}: more may start than it can run well.", warning=warning))


async def require_enforceable(call: Call, stored: Iterable[str | None]) -> None:
    """Raise Conflict if the kernel cannot enforce these limits of pools.

    A keeper without runs is restarted first, in a cgroup of its own.
    """
    wanted = sorted({name for one in stored for name in list_enforced(one)}, reverse=True)
    if wanted and call.live is not None and (lack := await call.live.enable_limits(wanted)):
        raise Conflict(
            f"the kernel cannot enforce {' and '.join(wanted)} of runs here: {lack.why}."
            " Nothing was changed.",
            lack.cure,
        )


def _to_pool_columns(
    c: Connection, values: dict[str, Any], stored: PoolRow | None
) -> dict[str, Any]:
    """Return new values of a pool by column names.

    Named resources and options of jobs that are not given stay.
    """
    found = _resolve_sla(c, values)
    if "resources" in found:
        named = parse_named(stored.resources if stored else None)
        found["resources"] = to_text({**named, **found["resources"]})
    options = {name: found.pop(name) for name in pool_options.NAMES if name in found}
    if options:
        known = pool_options.parse_options(stored.options if stored else None)
        found["options"] = pool_options.format_options({**known, **options})
    return found


def _resolve_sla(c: Connection, values: dict[str, Any]) -> dict[str, Any]:
    """Replace the name of the SLA rule by its id."""
    if "sla" not in values:
        return dict(values)
    rules = {row.name: row for row in definitions.list_slas(c)}
    name = values["sla"]
    if name not in rules:
        raise lookup.make_unknown_name("sla", name, list(rules))
    slas.check_pool(name, rules[name].conditions)
    return {
        **{key: value for key, value in values.items() if key != "sla"},
        "sla_id": rules[name].id,
    }


_NO_POOL_OPTION = (
    "nothing to set. Options: --cpu, --memory, --gpu, --resource, --policy, --ageing, --enforce,"
    " --sla or --description; of a Slurm pool --partition, --account, --qos or --option."
)


async def pool_set(
    call: Call,
    *,
    name: str,
    cpu: Any = None,
    memory: Any = None,
    resources: Any = None,
    policy: str | None = None,
    ageing: Any = None,
    enforce: Any = None,
    sla: str | None = None,
    description: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Change a pool. Active runs keep their resources even if the pool shrinks."""
    given = {"cpu": cpu, "memory": memory, "resources": resources, "policy": policy}
    given |= {"ageing": ageing, "enforce": enforce, "sla": sla, "description": description}
    values = _parse_values({**given, **_check_options(options)})
    if not values:
        raise Usage(_NO_POOL_OPTION)
    if "enforce" in values:
        row = await pool_show(call, name=name)
        _check_fit(row["kind"], {"enforce": enforce})
        await require_enforceable(call, [values["enforce"]])

    def change(c: Connection) -> None:
        _POOL.require_known(c, name)
        row = definitions.find_pool(c, name)
        _check_fit(row.kind if row else None, {**given, **options})
        columns = _to_pool_columns(c, values, row)
        definitions.update(c, schema.pools, name, columns, call.by)

    before = await call.db.read(definitions.find_pool, name)
    await call.db.write(change)
    if cpu is not None or memory is not None:
        await note_oversize(call, [name])
    if before is not None and cpu is not None:
        await _note_outgrown_queues(call, before)
    if resources:
        await _note_shared(call, name, resources)
    return await pool_show(call, name=name)


async def _note_outgrown_queues(call: Call, before: PoolRow) -> None:
    """Note each queue whose capacity limits more than its pool does since the pool changed."""
    cores = (await pool_show(call, name=before.name))["total_cpu"]
    for queue in await call.db.read(reads.list_queues):
        if queue.pool == before.name and is_outgrown(queue.capacity, before.total_cpu, cores):
            call.note(
                tr(
                    "queue {queue} runs at most {capacity} tasks at once, and pool {pool} now has"
                    " room for {room} of 1 cpu. To let the pool limit: taskdeck queue set {word}"
                    " --capacity {room}",
                    queue=sanitize(queue.name),
                    capacity=queue.capacity,
                    pool=sanitize(before.name),
                    room=int(cores),
                    word=sanitize(shlex.quote(queue.name)),
                )
            )


async def _note_shared(call: Call, pool: str, given: Mapping[str, int]) -> None:
    """Tell that amounts just set bound only this pool's part of what all pools share."""
    totals = await call.db.read(read_totals)
    for name in sorted(given.keys() & totals.keys()):
        call.note(
            tr(
                "all pools share {name}, {totals} in all: pool {pool} uses at most {given}. To"
                " change the total: taskdeck resource set {name} --total N",
                name=sanitize(name),
                totals=totals[name],
                pool=sanitize(pool),
                given=given[name],
            )
        )


# --- both -------------------------------------------------------------------------------


@dataclass(frozen=True)
class DefinitionKind:
    """Queue or pool: its name, table, rows for clients, and users."""

    word: str
    table: Table
    dicts: Callable[[Connection], list[dict[str, Any]]]
    users: Callable[[Connection, str], dict[str, int]]

    def require_known(self, c: Connection, name: str) -> None:
        """Raise NotFound, with the nearest name, if the name does not exist."""
        if definitions.get_row(c, self.table, name) is None:
            names = [row["name"] for row in self.dicts(c)]
            raise lookup.make_unknown_name(self.word, name, names)

    def require_new(self, c: Connection, name: str) -> None:
        """Raise Conflict if the name exists."""
        if definitions.get_row(c, self.table, name) is not None:
            word, shown = self.word, sanitize(name)
            raise Conflict(
                "there is a {word} {shown} already. Nothing was changed.",
                "Change it: taskdeck {word} set {shown}",
                word=word,
                shown=shown,
            )


async def _show(kind: DefinitionKind, call: Call, *, name: str) -> dict[str, Any]:
    """Return one queue or pool."""

    def read(c: Connection) -> dict[str, Any]:
        kind.require_known(c, name)
        return next(row for row in kind.dicts(c) if row["name"] == name)

    return await call.db.read(read)


async def _rm(kind: DefinitionKind, call: Call, *, name: str) -> dict[str, Any]:
    """Delete a queue or pool that is not in use."""

    def remove(c: Connection) -> None:
        kind.require_known(c, name)
        if kind is _POOL:
            bookings.remove_ended(c)
        lookup.require_unused(c, kind.word, name, kind.users(c, name))
        definitions.remove(c, kind.table, name, call.by)

    await call.db.write(remove)
    return {"name": name}


async def _set_status(
    kind: DefinitionKind, status: str, verb: str, call: Call, *, name: str
) -> dict[str, Any]:
    """Change the status of a queue or pool.

    Return the row with the old status in `before`, which may be the same.
    """

    def change(c: Connection) -> str:
        kind.require_known(c, name)
        changed = definitions.update(c, kind.table, name, {"status": status}, call.by, verb)
        return changed["status"][0] if changed else status

    was = await call.db.write(change)
    return {**await _show(kind, call, name=name), "before": {"status": was}}


_QUEUE = DefinitionKind("queue", schema.queues, list_queue_dicts, definitions.count_queue_users)
_POOL = DefinitionKind("pool", schema.pools, list_pool_dicts, definitions.count_pool_users)

queue_show, pool_show = partial(_show, _QUEUE), partial(_show, _POOL)
queue_rm, pool_rm = partial(_rm, _QUEUE), partial(_rm, _POOL)
queue_pause, pool_pause = (
    partial(_set_status, _QUEUE, "paused", "pause"),
    partial(_set_status, _POOL, "paused", "pause"),
)
queue_resume, pool_resume = (
    partial(_set_status, _QUEUE, "active", "resume"),
    partial(_set_status, _POOL, "active", "resume"),
)
queue_drain, pool_drain = (
    partial(_set_status, _QUEUE, "draining", "drain"),
    partial(_set_status, _POOL, "draining", "drain"),
)
