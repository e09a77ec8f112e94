"""Taking back what was done: only while things still stand as it left them, whole, and recorded as an operation of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table

from app.core import sla
from app.core.text import diff
from app.core.text.diff import number_of
from app.core.text.sanitize import clean
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import slas, templates
from app.service.operations import changed_since, has_changed, why_not
from app.service.tasks import lookup
from app.service.undo import tasks
from db import schema, timestamps
from db.queries import alerts, definitions, operations, reads
from db.queries.operations import By
from db.rows import OperationRow, SlaRow

BATCH = 100
"""Operations on tasks that are undone in one transaction; those on all else are few, and refer to each other."""
EARLIER = 20
"""Earlier calls that are looked at for one that can be undone, where the last cannot."""
NAMED = 8
"""Operations of such a call that are named, so that they can be typed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What takes back one operation on something that is no task. `act` does and records it."""

    operation: OperationRow
    act: Callable[[Connection, By], None]


async def undo(call: Call, *, ids: Sequence[int] | int | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Take operations back, or without ids all of the last call from this terminal; with `dry_run` only say what would be.

    {"done": [{"id", "verb", "object", "number", "name", "text", "back"}], "refused", "notes"}: `text` is what was done, `back` the same
    the other way round. What has changed since is refused, naming what changed and by whom.
    Raises Refused when there is nothing to undo, NotFound for an operation that there is not.
    """
    by = call.by if isinstance(call.by, By) else By(call.by)
    rows = await call.db.write_quietly(_chosen, by, ids)
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for part in _parts(rows):
        found = await (call.db.write_quietly(_tried, part, by) if dry_run else call.db.write(_each, part, by))
        for key, said in found.items():
            total[key] += said
    return total


def _parts(rows: Sequence[OperationRow]) -> list[list[int]]:
    """Operations in their order, as they are undone together."""
    parts: list[list[int]] = [[]]
    on_tasks = 0
    for row in rows:
        if on_tasks == BATCH:
            parts.append([])
            on_tasks = 0
        parts[-1].append(row.id)
        on_tasks += _on_task(row)
    return parts


def _on_task(row: OperationRow) -> bool:
    return number_of(row.object) is not None


def _chosen(c: Connection, by: By, ids: Sequence[int] | int | None) -> list[OperationRow]:
    """What is meant, in the order to undo it: the newest first, but of tasks that were cancelled together what others wait for first."""
    rows = _given(c, [ids] if isinstance(ids, int) else ids) if ids is not None else _last(c, by)
    return sorted(rows, key=lambda row: (-(row.batch or row.id), number_of(row.object) or 0 if row.verb == "cancel" else -row.id))


def _given(c: Connection, ids: Sequence[int]) -> list[OperationRow]:
    if not ids or any(isinstance(number, bool) or not isinstance(number, int) for number in ids):
        raise Usage("which operations? Give their numbers.", "See them: taskdeck operations")
    rows = operations.by_ids(c, ids)
    if missing := sorted({*ids} - {row.id for row in rows}):
        raise NotFound(f"no operation {missing[0]}.", "See them: taskdeck operations")
    return rows


def _last(c: Connection, by: By) -> list[OperationRow]:
    first = operations.last_of(c, by.origin) if by.origin else None
    if first is None:
        raise Refused("nothing that was done from this terminal is left to undo.", "See what was done: taskdeck operations")
    rows = [row for row in operations.batch(c, first.id) if row.undone_by is None]
    if reason := why_not(rows[0]) if all(map(why_not, rows)) else "":
        said = f"the last thing done from this terminal, {_told(c, rows[0])}, cannot be undone: {reason}."
        raise Refused(said, _before(c, by, first.id) or "See what was done before: taskdeck operations")
    return rows


def _before(c: Connection, by: By, first: int) -> str:
    """What was done from there before the call that begins with operation `first` and can be taken back as things stand, with how to;
    "" for nothing."""
    for (batch,) in c.exec_driver_sql(_EARLIER, (by.origin, first, EARLIER)).fetchall():
        rows = [row for row in operations.batch(c, batch) if row.undone_by is None]
        able = [done["id"] for done in _tried(c, [row.id for row in rows], by)["done"]] if len(rows) <= NAMED else []
        if able:
            chosen = next(row for row in rows if row.id in able)
            more = f" and {len(able) - 1} more" if len(able) > 1 else ""
            return f"Before it: {_told(c, chosen)}{more}. To undo that: taskdeck undo {' '.join(map(str, able))}"
    return ""


_EARLIER = (
    "SELECT id FROM operations WHERE batch = id AND origin = ? AND undoes IS NULL AND undone_by IS NULL AND id < ? ORDER BY id DESC LIMIT ?"
)


def _told(c: Connection, row: OperationRow) -> str:
    number = number_of(row.object)
    return _words(row, reads.names(c, [number]).get(number) if number is not None else None)


def _words(row: OperationRow, name: str | None) -> str:
    return diff.told(row.verb, row.object, name, row.before, row.after)


# --- in a transaction ---------------------------------------------------------------------------------------------------------------


def _tried(c: Connection, ids: Sequence[int], by: By) -> dict[str, Any]:
    """What `_each` would do. It is done and given up, since one operation may only be possible once another was taken back."""
    with c.begin_nested() as trial:
        found = _each(c, ids, By.again(by))
        trial.rollback()
    return found


def _each(c: Connection, ids: Sequence[int], by: By) -> dict[str, Any]:
    """Take back what can be, each as those before it leave things."""
    found = {row.id: row for row in operations.by_ids(c, ids)}
    total: dict[str, Any] = {"done": [], "refused": [], "notes": []}
    for on_tasks, rows in groupby((found[number] for number in ids), _on_task):
        done, refused = (_back_on_tasks if on_tasks else _back)(c, list(rows), by)
        total["done"] += done
        total["refused"] += [lookup.refusal(problem, row.id, number_of(row.object)) for row, problem in refused]
    return total


def _back(c: Connection, rows: Sequence[OperationRow], by: By) -> tuple[list[dict[str, Any]], list[tuple[OperationRow, Problem]]]:
    """Take back what was done to anything but tasks; what was, and why the others were not."""
    done: list[dict[str, Any]] = []
    refused: list[tuple[OperationRow, Problem]] = []
    for row in rows:
        try:
            step = _step(c, row)
            with operations.undoing(by, row):
                step.act(c, by)
            done.append(_done(row, None))
        except Problem as problem:
            refused.append((row, problem))
    return done, refused


def _back_on_tasks(c: Connection, rows: Sequence[OperationRow], by: By) -> tuple[list[dict[str, Any]], list[tuple[OperationRow, Problem]]]:
    """The same for what was done to tasks, many at once."""
    done: list[dict[str, Any]] = []
    refused: list[tuple[OperationRow, Problem]] = [(row, _never(c, row)) for row in rows if why_not(row)]
    for wave in _waves([row for row in rows if not why_not(row)]):
        backs, left = tasks.look(c, wave)
        if backs:
            tasks.act(c, by, backs)
        done += [_done(back.operation, back.task.name) for back in backs]
        refused += left
    return done, refused


def _waves(rows: Sequence[OperationRow]) -> list[list[OperationRow]]:
    """Operations in their order, each object once in a wave."""
    waves: list[dict[str, OperationRow]] = []
    for row in rows:
        wave = next((wave for wave in waves if row.object not in wave), None)
        if wave is None:
            waves.append(wave := {})
        wave[row.object] = row
    return [list(wave.values()) for wave in waves]


def _done(row: OperationRow, name: str | None) -> dict[str, Any]:
    return {"id": row.id, "verb": row.verb, "object": row.object, "number": number_of(row.object), "name": name or row.object,
            "text": _words(row, name), "back": diff.told(row.verb, row.object, name, row.after, row.before)}  # fmt: skip


def _never(c: Connection, row: OperationRow) -> Refused:
    """It can never be taken back."""
    return Refused(f"{_told(c, row)}: {why_not(row)}.")


def _step(c: Connection, row: OperationRow) -> Step:
    """What takes this back. Raises Refused when it cannot be, as things stand."""
    if why_not(row):
        raise _never(c, row)
    if row.verb.startswith("alert "):
        return _alert_step(c, row)
    kind, _, verb = row.verb.partition(" ")
    table = schema.metadata.tables.get(f"{kind}s")
    if table is None or not row.object.startswith(f"{kind} "):
        raise Refused(f"{clean(row.verb)} cannot be undone.")
    steps = {"create": _made_step, "rm": _removed_step}
    return steps.get(verb, _changed_step)(c, row, table, row.object.removeprefix(f"{kind} "))


def _since(c: Connection, row: OperationRow, touched: set[str]) -> str:
    return changed_since(operations.later(c, [row]).get(row.object, ()), row, touched)


# --- queues, pools, templates and SLAs ----------------------------------------------------------------------------------------------


def _changed_step(c: Connection, row: OperationRow, table: Table, name: str) -> Step:
    """What was set or turned gets the values that it had."""
    stored = _stored(c, row, table, name)
    values = dict(row.before or {})
    if how := _since(c, row, set(values)):
        raise has_changed(clean(row.object), how)
    if found := definitions.difference(stored, row.after or {}):
        key = next(iter(found))
        now = diff.Field(key, found[key][1], found[key][0])
        raise has_changed(clean(row.object), f": {diff.sentence(now)}")
    _refuse_references(c, table, stored | values)
    if table is schema.templates:
        values["template"] = templates.source(stored | values)

    def act(c: Connection, by: By) -> None:
        definitions.change(c, table, name, values, by)
        if table is schema.slas:
            _rule_changed(c, slas.known(c, name), values)

    return Step(row, act)


def _rule_changed(c: Connection, rule: SlaRow, values: dict[str, Any]) -> None:
    """Its alerts follow."""
    if values.keys() & {"conditions", "enabled"}:
        alerts.restart(c, rule.id)
    if "priority" in values:
        alerts.rate(c, rule.id, sla.severity(rule.priority))


def _made_step(c: Connection, row: OperationRow, table: Table, name: str) -> Step:
    """What was made is taken away, when nothing refers to it and nobody changed it."""
    stored = _stored(c, row, table, name)
    if how := _since(c, row, {*stored}):
        raise has_changed(clean(row.object), how)
    users = {
        "queues": lambda: definitions.users_of_queue(c, name), "pools": lambda: definitions.users_of_pool(c, name),
        "templates": lambda: definitions.users_of_template(c, name), "slas": lambda: definitions.users_of_sla(c, stored["id"]),
    }  # fmt: skip
    lookup.unused(c, definitions.kind(table), name, users[table.name]())

    def act(c: Connection, by: By) -> None:
        if table is schema.slas:
            alerts.forget_sla(c, stored["id"])
        definitions.remove(c, table, name, by)

    return Step(row, act)


def _removed_step(c: Connection, row: OperationRow, table: Table, name: str) -> Step:
    """What was taken away is there again, as it was."""
    if definitions.stored(c, table, name) is not None:
        raise Conflict(f"there is a {clean(row.object)} again. It was left as it is.")
    _refuse_references(c, table, row.before)
    return Step(row, lambda c, by: definitions.restore(c, table, row.before, by))


def _stored(c: Connection, row: OperationRow, table: Table, name: str) -> dict[str, Any]:
    found = definitions.stored(c, table, name)
    if found is None:
        raise Refused(f"{clean(row.object)} is not there any more{_since(c, row, {'name'})}.")
    return found


def _refuse_references(c: Connection, table: Table, row: dict[str, Any]) -> None:
    """What it refers to must be there."""
    pools = [pool.name for pool in reads.pools(c)]
    if table is schema.queues and row["pool"] not in pools:
        raise lookup.named("pool", row["pool"], pools)
    if table is schema.templates:
        templates.check_place(templates.checked(templates.given_of(row)), templates.places(c))
    if table is schema.slas:
        slas.check_match(row["conditions"], definitions.template_names(c), [queue.name for queue in reads.queues(c)])
    if table is schema.pools and row["sla_id"] is not None and row["sla_id"] not in [rule.id for rule in definitions.slas(c)]:
        raise Refused("the SLA that it pointed at is not there any more.")


# --- alerts -------------------------------------------------------------------------------------------------------------------------


def _alert_step(c: Connection, row: OperationRow) -> Step:
    if row.verb in ("alert ack", "alert unack"):
        return _seen_step(c, row)
    if row.verb in ("alert silence", "alert unsilence"):
        return _heard_step(c, row)
    raise Refused(f"{clean(row.verb)} cannot be undone.")


def _seen_step(c: Connection, row: OperationRow) -> Step:
    """What was acknowledged fires again, as far as it is still open; and the other way round."""
    status, back = ("acknowledged", "firing") if row.verb == "alert ack" else ("firing", "acknowledged")
    ids = (row.after or {}).get("ids") or []
    left = [found.id for number in ids if (found := alerts.find(c, number)) is not None and found.status == status]
    if not left:
        raise has_changed(clean(row.object), f": it is not {status} any more" if ids else "")

    def act(c: Connection, by: By) -> None:
        if status == "acknowledged":
            alerts.unacknowledge(c, left)
        else:
            alerts.acknowledge(c, left, by)
        operations.record(c, by, "undo", row.object, {"status": status}, {"status": back, "ids": left})

    return Step(row, act)


def _heard_step(c: Connection, row: OperationRow) -> Step:
    """A rule is as quiet, or as loud, as it was."""
    rule = slas.known(c, row.object.removeprefix("sla "))
    quiet = alerts.silences(c).get(rule.id)
    was, now = row.before or {}, row.after or {}
    if (quiet.until if quiet else None) != now.get("until"):
        stands = f"until {quiet.until} by {clean(quiet.by)}" if quiet else "over"
        raise has_changed(clean(row.object), f": its silence is {stands}")
    past = was.get("until") is not None and was["until"] <= timestamps.now()
    if past:
        raise Refused(f"the silence of {clean(row.object)} would be over by now.")

    def act(c: Connection, by: By) -> None:
        if was.get("until") is None:
            alerts.unsilence(c, rule.id)
        else:
            alerts.silence(c, rule.id, was["until"], by, was.get("reason"))
        operations.record(c, by, "undo", row.object, now, was)

    return Step(row, act)
