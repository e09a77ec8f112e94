"""Booking verbs: amounts of a pool that only the tasks of a tag get, from a time to a time."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.core import task_spec
from app.core.definitions.document import BookingDefinition
from app.core.scheduling.amounts import Amounts, can_fit
from app.core.scheduling.bookings import MAX_OVERLAPPING, is_booked_tag
from app.core.scheduling.resources import format_amount, make_amounts
from app.core.text import units
from app.core.text.joining import end_sentence, join_and, join_sentences
from app.core.text.sanitize import find_name_error, sanitize
from app.errors import Conflict, Refused, Usage
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.places import get_totals, read_shared
from app.translation import tr, tr_n
from db import schema, timestamps
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.scheduling import bookings as queries
from db.queries.scheduling.limits import Exclusion, count_waiting
from db.queries.scheduling.resources import parse_named, to_text
from db.queries.tasks import known_names

UNCHANGED = "Nothing was reserved."
_FIELDS: Mapping[str, TypeAdapter[Any]] = {
    "cpu": TypeAdapter(task_spec.Cpu),
    "memory": TypeAdapter(task_spec.Size),
    "resources": TypeAdapter(task_spec.Resources),
}


async def ls(call: Call) -> list[dict[str, Any]]:
    """Return the bookings that have not ended, by their begin."""
    return await call.db.read(list_booking_dicts)


def list_booking_dicts(c: Connection) -> list[dict[str, Any]]:
    """Return the bookings that have not ended, as sent to clients."""
    return [
        row._asdict() | {"resources": dict(parse_named(row.resources))}
        for row in queries.list_rows(c)
    ]


async def create(
    call: Call,
    *,
    pool: str,
    tag: str,
    begin: str,
    end: str,
    name: str | None = None,
    cpu: Any = None,
    memory: Any = None,
    resources: Any = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Book amounts of a pool for the tasks of a tag `KEY=VALUE`.

    `end` is the first such time after `begin`. Without a name it is the first of r1, r2, … that is
    free. Raise Refused if the pool has too little beside other bookings.
    """
    first, last = _parse_times(begin, end)
    if not is_booked_tag(tag):
        raise Usage(
            "tag must be KEY=VALUE, such as team=a, not {tag}. {unchanged}",
            tag=units.quote(tag),
            unchanged=tr(UNCHANGED),
        )
    if name is not None and (wrong := find_name_error(name)):
        raise Usage("name {wrong}. {unchanged}", wrong=wrong, unchanged=tr(UNCHANGED))
    given = {"cpu": cpu, "memory": memory, "resources": resources}
    values = {key: _parse_amount(key, one) for key, one in given.items() if one is not None}
    if not _to_amounts(values):
        raise Usage(
            "nothing to reserve. Give --cpu, --memory, --gpu or --resource. {unchanged}",
            unchanged=tr(UNCHANGED),
        )
    row = {
        "pool": pool, "tag": tag, "cpu": values.get("cpu") or None,
        "memory": values.get("memory") or None, "resources": to_text(values.get("resources")),
        "begins_at": timestamps.format_time(first), "ends_at": timestamps.format_time(last),
        "description": description,
    }  # fmt: skip
    stored, known = await call.db.write(_store, name, row, call.by)
    if tag not in known:
        call.note(tr("no recent task has the tag {tag}.", tag=sanitize(tag)))
    coming = await ls(call)
    made = next(one for one in coming if one["name"] == stored)
    if more := [sanitize(one["name"]) for one in coming if _adds_up(one, made)]:
        call.note(
            tr(
                "{tag} gets this beside {more} of the same time.",
                tag=sanitize(tag),
                more=join_and(more),
            )
        )
    for text in await call.db.read_on_thread(_list_effects, made, first, last):
        call.note(text)
    return made


def _list_effects(
    c: Connection, made: Mapping[str, Any], first: datetime, last: datetime
) -> list[str]:
    """Return what a booking means for tasks without its tag, for each resource."""
    now, totals = timestamps.utcnow(), read_totals(c)[made["pool"]]
    begins_in, found = (first - now).total_seconds(), list[str]()
    until = units.format_clock_time(last, now)
    for name, amount in _to_amounts(made).items():
        is_whole = not can_fit(1e-3, totals.get(name, 0.0) - amount)
        effect = (
            tr("do not start before {until}", until=until)
            if is_whole
            else tr("share the rest until {until}", until=until)
        )
        excluded = Exclusion((), (made["tag"],), name, 0.0, max(0.0, begins_in))
        many = count_waiting(c, made["pool"], excluded)
        if begins_in > 0:
            begin = units.format_clock_time(first, now)
            effect += tr(
                ", unless a timeout ends them by {begin}: give them --timeout", begin=begin
            )
        holds = tr_n(
            many,
            " This holds for 1 task that waits now.",
            " This holds for {count} tasks that wait now.",
            count=units.format_count(many),
        )
        holds = holds if many else ""
        found.append(
            tr(
                "other tasks that need {name} {effect}.{holds}",
                name=sanitize(name),
                effect=effect,
                holds=holds,
            )
        )
    return found


def _adds_up(one: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    """Return True for another booking of the same pool and tag at the same time."""
    is_same = (one["pool"], one["tag"]) == (made["pool"], made["tag"])
    overlaps = one["begins_at"] < made["ends_at"] and made["begins_at"] < one["ends_at"]
    return is_same and overlaps and one["name"] != made["name"]


def _parse_times(begin: str, end: str) -> tuple[datetime, datetime]:
    """Return begin and end. Raise Usage for times in the past or in the wrong order."""
    now = timestamps.utcnow()
    first = parse_moment("from", begin, now)
    last = parse_moment("to", end, max(first, now))
    for label, at in (("to", last), ("from", first)):
        if (now - at).total_seconds() > 60:
            said = tr(
                "{label} is in the past: {at}. {unchanged}",
                label=label,
                at=units.format_clock_time(at, now),
                unchanged=tr(UNCHANGED),
            )
            raise Usage(said, "From this moment on: --from now")
    if last <= first:
        raise Usage("to must be later than from. {unchanged}", unchanged=tr(UNCHANGED))
    return first, last


def parse_moment(label: str, text: str, now: datetime, unchanged: str = UNCHANGED) -> datetime:
    """Return the moment of a typed time, `now` too. Raise Usage that names the label."""
    try:
        return now if text.strip().lower() == "now" else units.parse_time(text, now)
    except ValueError as error:
        raise Usage(join_sentences(end_sentence(f"{label} {error}"), tr(unchanged))) from None


def _parse_amount(name: str, value: Any) -> Any:
    try:
        return _FIELDS[name].validate_python(value)
    except ValidationError as error:
        raise Usage(
            "{name} {error}. Nothing was reserved.",
            name=name,
            error=task_spec.describe_error(error),
        ) from None


def _to_amounts(values: Mapping[str, Any]) -> Amounts:
    found = make_amounts(
        values.get("cpu") or 0.0, values.get("memory") or 0.0, values.get("resources")
    )
    return {name: amount for name, amount in found.items() if amount}


def _store(
    c: Connection, name: str | None, row: dict[str, Any], by: str
) -> tuple[str, Sequence[str]]:
    """Store a booking; return its name and the tags that recent tasks have."""
    queries.remove_ended(c)
    others = queries.list_rows(c)
    taken = {one.name for one in others}
    if name in taken:
        raise Conflict(
            "there is a reservation {name} already. {unchanged}",
            name=sanitize(name or ""),
            unchanged=tr(UNCHANGED),
        )
    name = name or next(f"r{n}" for n in range(1, len(taken) + 2) if f"r{n}" not in taken)
    pools = {pool.name: pool for pool in reads.list_pools(c)}
    if row["pool"] not in pools:
        raise lookup.make_unknown_name("pool", row["pool"], list(pools))
    refuse_outer(row["pool"], pools[row["pool"]].kind)
    require_room(row, [one._asdict() for one in others], read_totals(c)[row["pool"]])
    definitions.create(c, schema.bookings, name, row, by)
    return name, known_names.list_recent_tags(c)


def read_totals(
    c: Connection, pools: Mapping[str, Amounts] | None = None, shared: Amounts | None = None
) -> dict[str, Amounts]:
    """Return {pool: what it can give}, with these totals instead of the stored ones."""
    bounds = read_shared(c)
    own = {pool.name: get_totals(pool) for pool in reads.list_pools(c)} | dict(pools or {})
    of_all = {**bounds.shared, **(shared or {}), **bounds.least}
    return {name: {**of_all, **totals} for name, totals in own.items()}


def refuse_outer(pool: str, kind: str | None, unchanged: str = UNCHANGED) -> None:
    """Raise Refused for a pool of Slurm, which keeps amounts by reservations of its own."""
    if kind is not None:
        raise Refused(
            "pool {pool} is of kind slurm: nothing is reserved here. {unchanged}",
            "Use a reservation of Slurm: taskdeck pool set {word} --option=--reservation=NAME",
            pool=sanitize(pool),
            unchanged=tr(unchanged),
            word=shlex.quote(sanitize(pool)),
        )


def require_room(
    row: Mapping[str, Any], others: Sequence[Mapping[str, Any]], totals: Amounts,
    unchanged: str = UNCHANGED,
) -> None:  # fmt: skip
    """Raise Refused if a pool has less than this at a time, beside other bookings."""
    pool = sanitize(row["pool"])
    same = [
        one
        for one in others
        if one["pool"] == row["pool"]
        and one["begins_at"] < row["ends_at"]
        and row["begins_at"] < one["ends_at"]
    ]
    moments = {max(one["begins_at"], row["begins_at"]) for one in same} | {row["begins_at"]}
    for at in sorted(moments):
        beside = [one for one in same if one["begins_at"] <= at < one["ends_at"]]
        if len(beside) >= MAX_OVERLAPPING:
            raise Refused(
                "pool {pool} has {n} reservations at a time already, the maximum. {unchanged}",
                pool=pool,
                n=len(beside),
                unchanged=tr(unchanged),
            )
        for name, need in _to_amounts(_parse_row(row)).items():
            held = sum(_to_amounts(_parse_row(one)).get(name, 0.0) for one in beside)
            if not can_fit(need, totals.get(name, 0.0) - held):
                whole = totals.get(name, 0.0)
                total = f"{format_amount(name, whole)} {sanitize(name)}"
                is_held = held and can_fit(need, whole)
                rest = (
                    tr(", and {amount} are reserved then", amount=format_amount(name, held))
                    if is_held
                    else ""
                )
                said = tr(
                    "pool {pool} has {total} in all{rest}. {unchanged}",
                    pool=pool,
                    total=total,
                    rest=rest,
                    unchanged=tr(unchanged),
                )
                raise Refused(said, "See: taskdeck reserve ls")


def _parse_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "resources": parse_named(row["resources"])}


def to_columns(definition: BookingDefinition) -> dict[str, Any]:
    """Return the definition of a file by column names."""
    return {
        "pool": definition.pool, "tag": definition.tag, "cpu": definition.cpu or None,
        "memory": definition.memory or None, "resources": to_text(definition.resources),
        "begins_at": timestamps.format_time(definition.begin),
        "ends_at": timestamps.format_time(definition.end),
        "description": definition.description,
    }  # fmt: skip


def to_source(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row by the keys of a definitions file, with local times."""
    begin, end = (
        timestamps.parse_time(row[key]).astimezone().isoformat() for key in ("begins_at", "ends_at")
    )
    return {**row, "from": begin, "to": end, "resources": parse_named(row["resources"]) or None}


async def rm(call: Call, *, name: str) -> dict[str, Any]:
    """Delete a booking; what it kept is free at once."""

    def remove(c: Connection) -> None:
        if definitions.get_row(c, schema.bookings, name) is None:
            names = [row.name for row in queries.list_rows(c)]
            raise lookup.make_unknown_name("reservation", name, names)
        definitions.remove(c, schema.bookings, name, call.by)

    await call.db.write(remove)
    return {"name": name}
