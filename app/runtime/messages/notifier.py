"""Sending of deliveries: at least once, outside of transactions, with the same key each time.

The loop waits for a change of the database or the next due time; nothing polls. A delivery whose
attempt was not recorded, because of a crash, is sent again. One message is on its way to a target
at a time, so that messages arrive in order.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from app.core.notifications import messages
from app.core.rules import actions
from app.core.text.sanitize import sanitize, truncate
from app.errors import Problem
from app.runtime.messages import action_program
from app.runtime.messages.channel_sender import ChannelSender, SendResult
from app.service.alerts import read_texts
from app.service.context import Call, RuntimeHandle
from app.service.rules import acting
from app.service.rules.evaluation.levels import AlertText
from db import statement_timer, timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.rules import alerts, deliveries, silences, task_notices
from db.rows import DeliveryRow
from db.states import FAILED

log = logging.getLogger(__name__)

BACK_OFF = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds before the next attempt; the last value repeats."""
GIVE_UP_AFTER = timedelta(days=1)
"""Time after which a delivery is given up, if there were `MIN_ATTEMPTS`."""
MIN_ATTEMPTS = 6
"""Attempts before a delivery may be given up."""
FAILING_AFTER = 3
"""Failed attempts after which an alert tells that messages are not sent."""
MAX_OUTPUTS, MAX_LINES, MAX_LINE_CELLS = 3, 20, 300
"""Failed tasks whose output a message tells, and the lines of each and their cells."""
BATCH = 50
"""Deliveries read at a time."""
RETRY_DELAY = 10.0
"""Seconds before the loop or a record that failed is repeated."""
DEBOUNCE_SECONDS = 0.2
"""Seconds between two looks while much is written; a message waits longer for others anyway."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a stop waits for messages on their way."""


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """Decision about a due delivery: send it about these alerts, put it off, or skip it.

    Only its silenced alerts are put off, if there are others.
    """

    row: DeliveryRow
    ids: Sequence[int] = ()
    states: Mapping[int, tuple[str, str | None]] | None = None
    is_silenced: bool = False
    skip: str | None = None
    outputs: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """{task id: last lines of its log} of failed tasks."""
    texts: Mapping[int, AlertText] = field(default_factory=dict[int, AlertText])
    """Present texts of alerts whose message is later than their change."""


class Notifier:
    """The loop that sends deliveries."""

    def __init__(self, call: Call, sender: ChannelSender) -> None:
        self._call, self._db, self._sender = call, call.db, sender
        self._changed = asyncio.Event()
        self._active: dict[int, asyncio.Task[None]] = {}
        self._busy: set[str] = set()
        self._broken: set[int] = set()
        """Deliveries that this runtime cannot record, and so does not send again."""
        self._seen: int | None = None
        """Last event followed by this runtime; None before the first."""
        self._host = socket.gethostname()
        self.problems: dict[str, str] = {}
        """Messages that fail again and again, for an alert."""
        self._db.after_commit(self._changed.set)

    async def run(self) -> None:
        """Send what is due, then wait for a change or the next due time, forever."""
        statement_timer.current_caller.set("notifier")
        while True:
            self._changed.clear()
            try:
                delay = await self._look()
            except Problem as problem:
                log.error("notifications: %s", problem)
                delay = RETRY_DELAY
            except Exception:  # a row that cannot be read must not end the runtime
                live = self._call.live
                if live is None or not await live.find_unreadable(halts=True):
                    log.exception("notifications")
                delay = RETRY_DELAY
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            await asyncio.sleep(DEBOUNCE_SECONDS)  # a burst of commits causes one look

    async def close(self) -> None:
        """Wait briefly for messages on their way; what is not recorded is sent again."""
        if self._active:
            await asyncio.wait(self._active.values(), timeout=CLOSE_TIMEOUT)
        for task in self._active.values():
            task.cancel()
        await asyncio.gather(*self._active.values(), return_exceptions=True)

    async def _look(self) -> float | None:
        """Enqueue and start what is due; return the seconds until something else is."""
        if self._seen is None:
            await self._db.write(task_notices.start_cursor)
        span, plans, next_at = await self._read_work()
        if await self._follow_events(*span):
            _, plans, next_at = await self._read_work()
        return self._start_due(plans, next_at)

    async def _read_work(self) -> tuple[tuple[int, int], list[DeliveryPlan], str | None]:
        busy = list(self._busy)
        return await self._db.read(_read_work, timestamps.now(), busy, self._call.live)

    async def _follow_events(self, stored: int, last: int) -> bool:
        """Enqueue messages about tasks that ended; return True if there is one.

        The stored cursor moves with the messages, and rarely without; this runtime remembers what
        it has seen.
        """
        has_messages = False
        after = max(stored, self._seen or 0)
        settings = self._sender.settings
        default = task_notices.DefaultNotice(settings.default, settings.on)
        while after < last:
            until = min(last, after + task_notices.SPAN)
            ended = await self._db.read(task_notices.list_ended, after, until, default)
            if ended or until - stored > task_notices.MAX_LAG:
                await self._db.write(task_notices.enqueue, until, ended)
                stored, has_messages = until, True
            after = until
        self._seen = after
        return has_messages

    def _start_due(self, plans: Sequence[DeliveryPlan], next_at: str | None) -> float | None:
        """Start to send what is due; return the seconds until something else is."""
        for plan in plans:
            row = plan.row
            is_new = row.id not in self._active and row.id not in self._broken
            if is_new and row.target not in self._busy:
                self._busy.add(row.target)
                self._active[row.id] = asyncio.create_task(
                    self._deliver(plan), name=f"delivery {row.id}"
                )
        if next_at is None:
            return None
        wait = timestamps.parse_time(next_at) - timestamps.utcnow()
        # What is due and on its way, or waits for its target, is looked at after the next record.
        return wait.total_seconds() if wait > timedelta(0) else None

    async def _deliver(self, plan: DeliveryPlan) -> None:
        row = plan.row
        try:
            if plan.is_silenced:
                await self._db.write(_put_off, row)
            elif plan.skip is not None:
                await self._db.write(deliveries.finish, row.id, "skipped", plan.skip)
            else:
                await self._record(plan, await self._perform(plan))
        except Exception:
            log.exception("delivery %d", row.id)
            self._broken.add(row.id)
        finally:
            self._busy.discard(row.target)
            del self._active[row.id]
            self._changed.set()

    async def _perform(self, plan: DeliveryPlan) -> SendResult:
        """Send once; an unexpected error counts as a failed attempt."""
        try:
            with statement_timer.set_caller("notifier"):
                return await self._send(plan)
        except Exception as error:
            log.exception("delivery %d", plan.row.id)
            return SendResult(f"{type(error).__name__}; see run/runtime.log", plan.row.reached)

    async def _send(self, plan: DeliveryPlan) -> SendResult:
        row = plan.row
        data = self._describe(plan)
        kind = actions.get_kind(row.action)
        if kind == "notify":
            footer = messages.format_footer(self._host, row.key)
            is_alert = row.event != "ended"
            make = messages.make_alert_message if is_alert else messages.make_task_message
            message = make(data, footer)
            return await self._sender.send(row.target, message, row.key, data, row.reached)
        if kind == "webhook":
            secret = row.action.get("secret", "")
            error = await self._sender.post_signed(row.action["webhook"], secret, row.key, data)
        elif kind == "command":
            error = await self._run_command(row.action["command"], row.key, data)
        elif kind == "snapshot":
            return SendResult(None, [], await acting.take_snapshot(self._call))
        else:
            record = partial(_record_attempt, plan=plan, result=SendResult(None, []))
            error, is_recorded = await acting.perform(self._call, row, record)
            return SendResult(error, [], is_recorded=is_recorded)
        return SendResult(error, [])

    async def _run_command(self, argv: list[str], key: str, data: dict[str, Any]) -> str | None:
        if not self._sender.settings.allow_command:
            return "commands are off; to allow them: [actions] command = true in config.toml"
        return await action_program.run(argv, key, data)

    def _describe(self, plan: DeliveryPlan) -> dict[str, Any]:
        row = plan.row
        if row.event == "ended":
            outputs = plan.outputs if self._sender.settings.has_output else {}
            return messages.describe_tasks(row.payload, outputs, row.key, self._host)
        listed = [
            one | (plan.texts[one["id"]]._asdict() if one["id"] in plan.texts else {})
            for one in row.payload["alerts"]
            if one["id"] in plan.ids
        ]
        payload = {"ids": list(plan.ids), "alerts": listed or row.payload["alerts"][:1]}
        states = plan.states or {}
        resolved = {number: until for number, (_, until) in states.items()}
        return messages.describe_alerts(row.event, payload, resolved, row.key, self._host)

    async def _record(self, plan: DeliveryPlan, result: SendResult) -> None:
        """Record the attempt, until the database takes the record."""
        while not result.is_recorded:
            try:
                await self._db.write(_record_attempt, plan, result)
                break
            except Problem as problem:  # sent again only after a crash, however long this lasts
                log.error("delivery %d: %s", plan.row.id, problem)
                await asyncio.sleep(RETRY_DELAY)
        if result.error:
            log.warning("delivery %d to %s: %s", plan.row.id, plan.row.target, result.error)
        await self._update_problem()

    async def _update_problem(self) -> None:
        failing = await self._db.read(deliveries.find_failing, FAILING_AFTER)
        self.problems = {"notifications": _describe_failing(*failing)} if failing else {}


def _describe_failing(count: int, row: DeliveryRow) -> str:
    what = "message was" if count == 1 else "messages were"
    return (
        f"{count:,} {what} not sent so far, the last to {sanitize(row.target)}:"
        f" {row.last_error}; see: taskdeck notify ls"
    )


def _read_work(
    c: Connection, now: str, busy: Sequence[str], live: RuntimeHandle | None
) -> tuple[tuple[int, int], list[DeliveryPlan], str | None]:
    """Return the span of events, what to do with due deliveries, and the time of the next one."""
    span, first = task_notices.read_span(c), deliveries.find_next_time(c)
    if first is None or first > now:
        return span, [], first
    due = deliveries.find_due(c, now, busy, BATCH)
    return span, [_make_plan(c, row, live) for row in due], deliveries.find_next_time(c, now)


def _make_plan(c: Connection, row: DeliveryRow, live: RuntimeHandle | None) -> DeliveryPlan:
    if row.event == "ended":
        return DeliveryPlan(row, outputs=_read_outputs(c, row.payload["tasks"]))
    ids = row.payload["ids"]
    ends = _find_ends(c, row)
    if ends and row.event == "firing":
        return DeliveryPlan(row, is_silenced=True)
    ids = [number for number in ids if number not in ends]
    if ends and not ids:
        return DeliveryPlan(row, skip="silenced")
    states = deliveries.map_alert_states(c, ids)
    is_later = deliveries.is_held(row) or row.repeats
    if is_later:
        ids = [number for number in ids if states.get(number, ("",))[0] == "firing"]
    elif row.attempts and row.event == "firing" and not _is_message(row):
        ids = [number for number in ids if states.get(number, ("",))[0] != "resolved"]
    if not ids:
        return DeliveryPlan(row, skip=_explain_end(c, states))
    is_later = row.event == "firing" and (is_later or row.attempts)
    return DeliveryPlan(row, ids, states, texts=read_texts(c, ids, live) if is_later else {})


def _read_outputs(c: Connection, tasks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the last lines of the first failed tasks, sanitized."""
    failed = [task["uuid"] for task in tasks if task["status"] in FAILED][:MAX_OUTPUTS]
    found = reads.map_last_runs(c, failed)
    return {
        uuid: [truncate(sanitize(line), MAX_LINE_CELLS) for line in _list_last_lines(run.logs)]
        for uuid, run in found.items()
    }


def _list_last_lines(logs: str | None) -> list[str]:
    return [line for line in (logs or "").splitlines() if line.strip()][-MAX_LINES:]


def _is_message(row: DeliveryRow) -> bool:
    """Return whether a delivery tells somebody, which is done at least once."""
    return actions.get_kind(row.action) in ("notify", "webhook")


def _explain_end(c: Connection, states: Mapping[int, tuple[str, str | None]]) -> str:
    """Return why nothing is done any more: `acknowledged by ann`, or that nothing fires."""
    known = [number for number, (status, _) in states.items() if status == "acknowledged"]
    by = [one.acknowledged_by for one in alerts.list_by_id(c, known[:1])]
    return f"acknowledged by {by[0]}" if by and by[0] else "no longer firing"


def _find_ends(c: Connection, row: DeliveryRow) -> dict[int, str]:
    """Return {alert: end of its silence} for a message of which nothing was sent."""
    if row.attempts:
        return {}
    return {key: one.until for key, one in silences.find_silenced(c, row.payload["ids"]).items()}


def _put_off(c: Connection, row: DeliveryRow) -> None:
    """Let silenced alerts wait for the end of their silence, which may just have changed."""
    ends = _find_ends(c, row)
    if ends and len(ends) < len(row.payload["ids"]):
        deliveries.split_silenced(c, row.id, ends, min(ends.values()))
    elif ends:
        deliveries.put_off(c, row.id, min(ends.values()))


def _record_attempt(c: Connection, plan: DeliveryPlan, result: SendResult) -> None:
    """Record an attempt, and enqueue the repetition of a message about firing alerts."""
    row, now = plan.row, timestamps.utcnow()
    age = now - timestamps.parse_time(row.due_at)
    is_over = age > GIVE_UP_AFTER and row.attempts + 1 >= MIN_ATTEMPTS
    wait = timedelta(seconds=BACK_OFF[min(row.attempts, len(BACK_OFF) - 1)])
    next_at = None if is_over else timestamps.format_time(now + wait)
    is_done = deliveries.record_attempt(c, row, result.error, result.reached, next_at)
    if result.snapshot is not None:
        deliveries.keep_snapshot(c, row, result.snapshot)
    every, most = row.action.get("repeat_every"), row.action.get("max")
    if is_done and row.event == "firing" and every and (most is None or row.repeats + 1 < most):
        later = timestamps.format_time(now + timedelta(seconds=every))
        deliveries.repeat(c, row, list(plan.ids), later)
