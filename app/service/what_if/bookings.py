"""Supposed bookings: other times and amounts, checked as by `reserve`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.scheduling.amounts import Amounts
from app.core.scheduling.bookings import Booking
from app.core.text.sanitize import sanitize
from app.errors import Refused, Usage
from app.service.definitions import apply
from app.service.definitions.bookings import parse_moment, read_totals, require_room
from app.service.scheduling import limit_view
from app.service.tasks import lookup
from app.service.what_if.settings import NOT_DONE, RESOURCES, SettingStep
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries.scheduling import bookings as queries
from db.queries.scheduling.resources import parse_named, to_text

Supposed = Mapping[str, Mapping[str, Any]]
"""{booking: {"from", "to": texts, "cpu", "memory", "resources"}}, those that change."""


def read_changed(
    c: Connection, given: Supposed, pools: Mapping[str, Amounts], shared: Amounts, now: float
) -> tuple[Booking, ...] | None:
    """Return all bookings with the changes, or None without any; `now` is in UNIX seconds.

    `pools` and `shared` are supposed totals. Raise Problem as `reserve` does.
    """
    if not given:
        return None
    rows = _read_rows(c, given)
    totals = read_totals(c, pools, shared)
    known = [row._asdict() for row in rows]
    for row in known:
        if row["name"] in given:
            _check(row, known, totals[row["pool"]])
    return limit_view.to_bookings(rows, now)


def list_steps(c: Connection, given: Supposed) -> list[SettingStep]:
    """Return the verbs that change bookings; one that would have ended is removed."""
    if not given:
        return []
    changed = [row for row in _read_rows(c, given) if row.name in given]
    ended = [row.name for row in changed if row.ends_at <= timestamps.now()]
    steps = [
        SettingStep("reserve.rm", {"name": name}, ("taskdeck", "reserve", "rm", name))
        for name in ended
    ]
    tables = {
        row.name: apply.to_document("reservations", row._asdict())
        for row in changed
        if row.name not in ended
    }
    if tables:  # together, since one may take what another one gives up
        steps.append(SettingStep("apply", {"tables": {"reservations": tables}}, ()))
    return steps


def _read_rows(c: Connection, given: Supposed) -> list[Any]:
    """Return the rows of all bookings, with the changes. Raise NotFound."""
    rows = queries.list_rows(c)
    known = [row.name for row in rows]
    for name in given:
        if name not in known:
            raise lookup.make_unknown_name("reservation", name, known)
    return [row._replace(**_to_columns(row, given.get(row.name, {}))) for row in rows]


def _to_columns(row: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    now = timestamps.utcnow()
    found = {name: value for name, value in values.items() if name not in ("from", "to")}
    begin = timestamps.parse_time(row.begins_at)
    if "from" in values:
        begin = parse_moment("from", values["from"], now, NOT_DONE)
        found["begins_at"] = timestamps.format_time(begin)
    if "to" in values:
        since = now if values["to"].strip().lower() == "now" else max(begin, now)
        end = parse_moment("to", values["to"], since, NOT_DONE)
        found["ends_at"] = timestamps.format_time(end)
    if RESOURCES in found:
        joined = {**parse_named(row.resources), **found[RESOURCES]}
        found[RESOURCES] = to_text({name: amount for name, amount in joined.items() if amount})
    return found


def _check(row: dict[str, Any], known: list[dict[str, Any]], totals: Amounts) -> None:
    name = sanitize(row["name"])
    if row["ends_at"] <= timestamps.now():
        return
    if not (row["cpu"] or row["memory"] or row["resources"]):
        raise Usage(
            "reservation {name} would keep nothing. {not_done}",
            "To end it: --set reservation.{name}.to=now",
            name=name,
            not_done=tr(NOT_DONE),
        )
    if row["ends_at"] <= row["begins_at"]:
        raise Usage(
            "reservation {name} would end before it begins. {not_done}",
            name=name,
            not_done=tr(NOT_DONE),
        )
    others = [one for one in known if one is not row]
    try:
        require_room(row, others, totals, NOT_DONE)
    except Refused as problem:
        raise Refused(f"reservation {name}: {problem.message}", problem.hint) from None
