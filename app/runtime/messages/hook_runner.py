"""Hooks: programs of the user that run when a task starts or ends, or an alert fires.

Each hook runs one program at a time, in the order of events, beside the other hooks. Each event is
handled at least once: the cursor of a hook is stored after its program ends. A failed program is
recorded and not repeated.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from app.core.notifications.hooks import ALERT, Hook
from app.core.text.sanitize import sanitize
from app.errors import Problem
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages import action_program
from app.service import hooks as service_hooks
from app.service.context import Call
from db import statement_timer
from db.queries.rules import hooks
from db.queries.rules.hooks import HookEvent, Progress

log = logging.getLogger(__name__)

BATCH = 50
"""Events read at a time."""
RECORD_SECONDS = 1.0
"""Seconds after which handled events are stored; a crash repeats those of this time."""
FAILING_AFTER = 3
"""Failures in a row after which an alert tells that a hook fails."""
UNSTORED_EVENTS = 10_000
"""Events without concern for the hook after which its cursor is stored anyway."""
LOOK_SECONDS = 1.0
"""Seconds between two looks at the settings while nothing is written."""
DEBOUNCE_SECONDS = 0.2
RETRY_DELAY = 10.0
"""Seconds before a step that failed is repeated."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a stop waits for programs. A program that is killed then runs again later."""


@dataclass
class _Worker:
    """Progress of one hook. `after` is the last event looked at, `stored` the stored cursor."""

    name: str
    after: int
    stored: int
    failing: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    done: list[HookEvent] = field(default_factory=list[HookEvent])
    """Handled events that are not stored yet."""
    failures: list[tuple[HookEvent, str]] = field(default_factory=list[tuple[HookEvent, str]])
    recorded_at: float = 0.0


class HookRunner:
    """Runs the hooks of config.toml."""

    def __init__(self, call: Call, settings: ConfigWatcher) -> None:
        self._call, self._db, self._settings = call, call.db, settings
        self._changed = asyncio.Event()
        self._changed.set()
        self._hooks: Mapping[str, Hook] = {}
        self._workers: dict[str, _Worker] = {}
        self._last_event = 0
        """Last event at the last look. A new hook begins after this event."""
        self._is_followed = False
        self._is_closing = False
        self._dropped: dict[str, int] = {}
        """Events left out before the hook last caught up, which no alert names any more."""
        self._host = socket.gethostname()
        self.problems: dict[str, str] = {}
        """Hooks that fail again and again or leave events out, for an alert."""
        self._db.after_commit(self._changed.set)

    async def prepare(self) -> None:
        """Note the last event before the runtime answers. New hooks begin after this event."""
        self._last_event = await self._db.read(hooks.find_last_event)

    async def run(self) -> None:
        """Follow changes of the settings and wake the workers after commits, forever."""
        statement_timer.current_caller.set("hooks")
        while True:
            is_changed = self._changed.is_set()
            self._changed.clear()
            try:
                await self._look(is_changed)
            except Exception:  # the next look tries again
                log.exception("hooks")
                await asyncio.sleep(RETRY_DELAY)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
                    await asyncio.sleep(DEBOUNCE_SECONDS)  # a burst of commits causes one look

    async def close(self) -> None:
        """Wait briefly for programs. The next runtime repeats events that are not stored."""
        self._is_closing = True
        tasks = [worker.task for worker in self._workers.values() if worker.task]
        for worker in self._workers.values():
            worker.wake.set()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, is_changed: bool) -> None:
        wanted = self._settings.hooks
        if self._hooks.keys() - wanted.keys():  # an editor may have emptied the file to save it
            await asyncio.sleep(LOOK_SECONDS)
            wanted = self._settings.hooks
        if not self._is_followed or wanted != self._hooks:
            await self._follow(wanted)
        if is_changed:
            self._last_event = await self._db.read(hooks.find_last_event)
        for worker in self._workers.values():
            worker.wake.set()

    async def _follow(self, wanted: Mapping[str, Hook]) -> None:
        """Start workers for new hooks, and end those of hooks that are gone."""
        wants = {name: ALERT in hook.on for name, hook in wanted.items()}
        keeps = self._settings.problem is not None  # the hook may be the fault
        if wants or await self._db.read(hooks.map_cursors):
            await self._db.write(hooks.follow, wants, self._last_event, keeps)
        self._is_followed = True
        self._hooks = dict(wanted)
        gone = [self._workers.pop(name) for name in self._workers.keys() - wanted.keys()]
        for worker in gone:
            if worker.task:
                worker.task.cancel()
        places = await self._db.read(hooks.map_cursors)
        failing = await self._db.read(hooks.map_failing)
        for name in wanted.keys() - self._workers.keys():
            place = min(places[name], self._last_event)  # a salvaged database may count anew
            worker = _Worker(name, place, place, failing.get(name, 0))
            worker.task = asyncio.create_task(self._work(worker), name=f"hook {name}")
            self._workers[name] = worker
        await self._update_problems()

    async def _work(self, worker: _Worker) -> None:
        """Handle the events of one hook until the runtime ends."""
        statement_timer.current_caller.set("hooks")
        while not self._is_closing:
            worker.wake.clear()
            try:
                is_behind = await self._handle_next(worker)
            except asyncio.CancelledError:
                if worker.done:
                    await self._record(worker)
                raise
            except Exception:
                log.exception("hook %s", worker.name)
                await asyncio.sleep(RETRY_DELAY)
                continue
            if not is_behind and not self._is_closing:
                await self._note_caught_up(worker)
                await worker.wake.wait()

    def _get_hook(self, name: str) -> Hook:
        """Return the hook as it is set now, or as it was last without a mistake."""
        return self._settings.hooks.get(name) or self._hooks[name]

    async def _handle_next(self, worker: _Worker) -> bool:
        """Handle the next events; return True if there may be more."""
        hook = self._get_hook(worker.name)
        batch = await self._db.read(hooks.read_batch, worker.name, worker.after, hook.on, BATCH)
        if batch.last - worker.after > hooks.MAX_LAG:
            kept = worker.after
            worker.after = worker.stored = await self._db.write(
                hooks.leave_out, worker.name, kept, hook.on
            )
            log.warning("hook %s: left out events %d to %d", hook.name, kept, worker.after)
            await self._update_problems()
            return True
        for event in batch.events:
            if self._is_closing:
                break
            await self._run(worker, event)
            if time.monotonic() - worker.recorded_at >= RECORD_SECONDS:
                await self._record(worker)
        if not self._is_closing:
            worker.after = batch.until
        if worker.done or worker.after - worker.stored > UNSTORED_EVENTS:
            await self._record(worker)
        return bool(batch.events) or batch.until < batch.last

    async def _run(self, worker: _Worker, event: HookEvent) -> None:
        """Run the program of a hook for one event."""
        hook = self._get_hook(worker.name)
        if event.task or event.alert:
            error = await self._run_program(hook, event)
            worker.failing = worker.failing + 1 if error else 0
            if error:
                log.warning("hook %s, %s %d: %s", hook.name, event.kind, event.id, error)
                worker.failures.append((event, error))
        worker.done.append(event)
        if event.kind != ALERT:
            worker.after = event.id

    async def _run_program(self, hook: Hook, event: HookEvent) -> str | None:
        """Return why the program failed, or None."""
        home = os.fspath(self._call.home)
        try:
            data = service_hooks.describe_event(event, hook.name, home, self._host)
        except ValueError:  # a damaged row must not stop the hook
            log.exception("hook %s, %s %d", hook.name, event.kind, event.id)
            return "the task cannot be read"
        return await action_program.run(
            hook.argv, data["key"], data, hook.timeout, {"TASKDECK_HOME": home}
        )

    async def _record(self, worker: _Worker) -> None:
        """Store the handled events. Try until the database takes them; at the end, try once."""
        hook = self._hooks.get(worker.name)
        alerts = [event.id for event in worker.done if event.kind == ALERT]
        argv = hook.argv if hook else ("",)
        progress = Progress(worker.after, alerts, worker.failures, worker.failing, argv)
        while True:
            try:
                await self._db.write(hooks.record, worker.name, progress)
                break
            except Problem as problem:  # repeated only after a crash, however long this lasts
                log.error("hook %s: %s", worker.name, problem)
                if self._is_closing:  # a full disk must not keep the runtime from ending
                    return
                await asyncio.sleep(RETRY_DELAY)
        worker.done, worker.failures = [], []
        worker.stored, worker.recorded_at = worker.after, time.monotonic()
        await self._update_problems()

    async def _note_caught_up(self, worker: _Worker) -> None:
        """Resolve the alert about events left out."""
        if self.problems:
            states = await self._db.read(hooks.list_states)
            self._dropped[worker.name] = {one.name: one.dropped for one in states}.get(
                worker.name, 0
            )
            await self._update_problems()

    async def _update_problems(self) -> None:
        states = await self._db.read(hooks.list_states)
        texts: list[str] = []
        for state in (one for one in states if one.name in self._hooks):
            name = sanitize(state.name)
            if state.failing >= FAILING_AFTER:
                texts.append(
                    f"hook {name} failed {state.failing:,} times in a row, the last time:"
                    f" {state.last_error}"
                )
            if left_out := state.dropped - self._dropped.setdefault(state.name, state.dropped):
                texts.append(f"hook {name} is too slow: {left_out:,} events were left out")
        self.problems = {"hooks": f"{'; '.join(texts)}; see: taskdeck notify ls"} if texts else {}
