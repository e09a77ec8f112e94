"""Submission of tasks.

A submission is stored entirely or not at all, and is on the disk before the answer. A submission
sent twice creates its tasks once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app import cluster
from app.core import early_signal, oom_retry
from app.core.board import DRAINING
from app.core.ids import make_following_id, make_uuid7
from app.core.notifications import notices
from app.core.notifications.channels import NotificationSettings
from app.core.scheduling.plan import Amounts
from app.core.scheduling.resources import make_amounts
from app.core.task_groups import format_group
from app.core.task_spec import TaskSpec, describe_error
from app.core.text.sanitize import sanitize
from app.errors import NOT_SUBMITTED, Conflict, Problem, Refused, Stopped, Usage
from app.paths import DISK_FULL_ERRORS, SUBMISSIONS, open_regular
from app.service import name_hints, notifications
from app.service.context import Call
from app.service.scheduling import dispatch_view, queue_order
from app.service.tasks import lookup
from app.service.tasks.client_bounds import ClientBounds, parse_client, refuse_with_client
from app.service.tasks.inspection import views
from app.service.tasks.limit_checks import require_within_limits
from app.service.tasks.places import Place, read_places, require_fit, require_plain_streams
from app.service.tasks.submission import (
    batch_dependencies,
    bulk,
    default_names,
    groups,
    number_file,
    start_times,
)
from app.service.tasks.submission.batch_dependencies import (
    DependencyEdge,
    Dependent,
    combine_errors,
    find_dependencies,
    find_parents,
)
from app.service.tasks.submission.cancelled_at_once import note_cancelled
from app.service.tasks.submission.groups import NewGroup
from app.service.tasks.submission.json_lines import (
    list_refused,
    make_empty_problem,
    make_line_problem,
    number_lines,
    parse_line,
)
from app.service.tasks.submission.resolution import Resolutions, resolve_task, run_resolved
from app.translation import tr, tr_n
from db.engine import Connection
from db.errors import DamagedDatabase, DiskFull, Storage
from db.queries import definitions, reads
from db.queries.scheduling import age_order, resources
from db.queries.tasks import environments, packed_task, task_numbers, transitions
from db.rows import QueuePositionRow, QueueRow, TemplateRow
from db.states import TaskStatus

DEFAULT_QUEUE = "default"
SMALL_BATCH = 200
"""Maximum number of tasks stored in one transaction of about 15 ms; `bulk` stages more."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The submitting user and shell context."""

    by: str
    cwd: str
    umask: int
    env: dict[str, str]
    settings: Callable[[], NotificationSettings] | None = None
    """Channels that tasks may name; None if they were checked before."""

    def find_notice(self, spec: TaskSpec, template: TemplateRow | None) -> str | None:
        """Return the column `notify` of a task. Raise Problem for an unknown channel.

        The template decides what the task leaves open. A channel of the template that
        config.toml lacks does not keep the task from running.
        """
        usual = None
        if template is not None and (template.notify or template.notify_on):
            usual = notices.change_notice(None, template.notify, template.notify_on)
        if spec.notify is None and spec.notify_on is None:
            return usual
        if self.settings is not None and (spec.notify or not notices.has_channel(usual)):
            notifications.check_notice(self.settings(), spec.notify, spec.notify_on)
        return notices.change_notice(usual, spec.notify, spec.notify_on)

    @property
    def environment(self) -> str:
        """The environment in its stored form."""
        return json.dumps(self.env, sort_keys=True)


@dataclass(slots=True)
class SubmitBatch:
    """Tasks that are stored together. Each queue and template is read once."""

    c: Connection
    origin: Origin
    first: str
    resolutions: Resolutions | None = None
    """Tasks resolved before; None resolves each task here, which a transaction must not."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    dependents: list[Dependent] = field(default_factory=list)
    queues: dict[str, tuple[QueueRow, Place]] = field(default_factory=dict)
    templates: dict[str, TemplateRow] = field(default_factory=dict)
    env_id: str = field(init=False)
    requests: dict[str, Amounts] = field(default_factory=dict)
    """{queue: the most that a task asks for of each resource}."""
    group: NewGroup | None = None
    stored: dict[str | int, list[str] | Problem] = field(default_factory=dict)
    """Uuids of stored tasks, or why there is none, by reference."""

    def __post_init__(self) -> None:
        self.env_id = hashlib.sha256(self.origin.environment.encode()).hexdigest()

    def add(self, spec: TaskSpec, line: int = 0) -> None:
        """Append the row of one task. Raise Problem."""
        self.rows.append(self.make_row(spec, len(self.rows), line))

    def make_row(self, spec: TaskSpec, at: int, line: int = 0) -> dict[str, Any]:
        """Return the row of the task at a position. Raise Problem."""
        template = self.get_template(spec.template) if spec.template is not None else None
        resolved = (
            resolve_task(spec, template)
            if template is None or self.resolutions is None
            else self.resolutions.get(spec, template)
        )
        queue, place = self.get_queue(
            spec.queue or (template.queue if template else None) or DEFAULT_QUEUE
        )
        cpu, memory = (
            _pick_first(spec.cpu, template and template.cpu, 1.0),
            _pick_first(spec.memory, template and template.memory, 0.0),
        )
        named = choose_named(spec, template)
        needs = make_amounts(cpu, memory, named)
        if place.is_outer:
            require_plain_streams(place, spec)
        self._check_request(queue.name, place, needs)
        require_within_limits(place.limits, spec.tags, needs)
        timeout = _pick_first(spec.timeout, template and template.timeout, None)
        signal = _pick_first(spec.signal, template and template.signal, None)
        if conflict := early_signal.find_conflict(signal, timeout):
            raise Usage(
                "{reason} Nothing was submitted.", "Give one: --timeout 2h", reason=conflict
            )
        on_oom = _pick_first(spec.retry_on_oom, template and template.retry_on_oom, None)
        if conflict := oom_retry.find_conflict(on_oom, memory):
            raise Usage(
                "{reason} Nothing was submitted.",
                "Raise its max: --retry-on-oom 1.5,max=64G",
                reason=conflict,
            )
        row = {
            "uuid": make_following_id(self.first, at),
            "name": spec.name or default_names.make_default_name(spec, resolved.launch),
            "template": spec.template, "type": resolved.kind,
            "parameters": resolved.parameters, "priority": spec.priority,
            "timeout": timeout, "early_signal": signal,
            "output": spec.output, "stdin": spec.stdin or None,
            "split": spec.split or spec.error is not None or None, "error": spec.error,
            "retry_on_oom": on_oom,
            "queue": queue.name, "cpu": cpu, "memory": memory,
            "retries": _pick_first(spec.retries, template and template.retries, 0),
            "retry_delay": spec.retry_delay, "grace": spec.grace,
            "not_before": None if spec.at is None else start_times.parse_start_time(spec.at),
            "hold": spec.hold, "held_by": self.origin.by if spec.hold else None, "tags": spec.tags,
            "env_id": self.env_id, "env": spec.env or None,
            "cwd": os.path.join(self.origin.cwd, spec.cwd) if spec.cwd else self.origin.cwd,
            "umask": self.origin.umask,
            "launch": resolved.launch, "log_limit": spec.log_limit,
            "notify": self.origin.find_notice(spec, template),
            "resources": resources.to_text(named), "submitted_by": self.origin.by,
            "group_number": None, "group_index": None, "sweep": None,
        }  # fmt: skip
        if self.group is not None:
            row |= self.group.get_columns(at)
        if spec.has_references:
            self.dependents.append(Dependent.make(at, row["name"], spec, line))
        return row

    def _check_request(self, queue: str, place: Place, needs: Amounts) -> None:
        """Raise Refused if a pool can never hold the request."""
        known = self.requests.get(queue, {})
        if any(need > known.get(name, 0.0) for name, need in needs.items()):
            require_fit(place, needs)
            self.requests[queue] = {
                name: max(needs.get(name, 0.0), known.get(name, 0.0)) for name in {**known, **needs}
            }

    def find_uuids(self, reference: str | int) -> list[str]:
        """Return the uuids of a stored task or group, looked up once. Raise Problem."""
        if reference not in self.stored:
            try:
                self.stored[reference] = lookup.find_all(self.c, [reference])
            except Problem as problem:
                self.stored[reference] = problem
        found = self.stored[reference]
        if isinstance(found, Problem):
            raise found.with_traceback(None)
        return found

    def find_parents(self) -> tuple[list[DependencyEdge], dict[int, Problem]]:
        """Return the dependencies of the rows, and the problems by position."""
        positions: dict[str, list[int]] = {}
        for at, row in enumerate(self.rows):
            positions.setdefault(row["name"], []).append(at)
        return find_dependencies(self.dependents, positions, self.find_uuids)

    def check_again(self, c: Connection) -> None:
        """Raise the problem if the definitions that the tasks use have changed meanwhile."""
        fresh = SubmitBatch(c, self.origin, self.first)
        for queue, needs in self.requests.items():
            require_fit(fresh.get_queue(queue)[1], needs)
        for template in self.templates:
            fresh.get_template(template)

    def get_queue(self, name: str) -> tuple[QueueRow, Place]:
        """Return a queue and its pool. Raise NotFound with the nearest name."""
        if not self.queues:
            places = read_places(self.c)
            self.queues = {
                queue.name: (queue, places[queue.name]) for queue in reads.list_queues(self.c)
            }
        if name not in self.queues:
            raise lookup.make_unknown_queue(name, list(self.queues))
        return self.queues[name]

    def get_template(self, name: str) -> TemplateRow:
        """Return a template that is not retired."""
        if name not in self.templates:
            found = definitions.find_template(self.c, name)
            if found is None or found.retired_at is not None:
                raise lookup.make_unknown_name(
                    "template", name, definitions.list_template_names(self.c)
                )
            self.templates[name] = found
        return self.templates[name]

    def drop_tasks(
        self, places: Collection[int], edges: Sequence[DependencyEdge]
    ) -> list[DependencyEdge]:
        """Remove the tasks at `places`, which have no edges; return the renumbered edges."""
        kept = [at for at in range(len(self.rows)) if at not in places]
        place = {at: n for n, at in enumerate(kept)}
        self.rows = [
            {**self.rows[at], "uuid": make_following_id(self.first, n)} for n, at in enumerate(kept)
        ]
        return [
            DependencyEdge(
                place[e.task], place[e.parent] if isinstance(e.parent, int) else e.parent, e.kind
            )
            for e in edges
        ]

    def insert(self, edges: Sequence[DependencyEdge]) -> dict[str, int]:
        """Insert all tasks with these dependencies, and return {uuid: number}."""
        environments.keep_environment(self.c, self.env_id, self.origin.environment)
        if self.group is not None:
            number = self.group.create(self.c, self.first, self.origin.by)
            self.rows = [{**row, "group_number": number} for row in self.rows]
        links = batch_dependencies.list_rows(edges, lambda at: self.rows[at]["uuid"])
        return transitions.submit(self.c, self.rows, links, self.origin.by)

    def store(self, edges: Sequence[DependencyEdge]) -> None:
        """Insert all tasks with these dependencies, as one operation."""
        numbers = self.insert(edges)
        bulk.record_submission(
            self.c, self.origin.by, len(numbers), min(numbers.values()), max(numbers.values())
        )


def _fill_batch(
    c: Connection,
    specs: Sequence[TaskSpec],
    origin: Origin,
    first: str,
    resolutions: Resolutions,
    group: NewGroup | None = None,
) -> SubmitBatch:
    """Return a batch with the rows of all tasks.

    Raise Problem; for a single task, the problem includes unknown parents.
    """
    batch = SubmitBatch(c, origin, first, resolutions, group=group)
    names = {spec.name for spec in specs}
    for spec in specs:
        try:
            batch.add(spec)
        except Problem as problem:
            if isinstance(problem, Refused) and spec.name and len(names) > 1:
                problem.message = f'"{sanitize(spec.name)}" {problem.message}'
            found = [problem]
            for _, reference in spec.references if len(specs) == 1 else ():
                find_parents(batch.find_uuids, reference, found)
            raise combine_errors(found) from None
    return batch


def _link(batch: SubmitBatch) -> list[DependencyEdge]:
    """Return the dependencies. Raise Problem with all unknown parents."""
    edges, unknown = batch.find_parents()
    if unknown:
        raise combine_errors(list(unknown.values()))
    return edges


def choose_named(spec: TaskSpec, template: TemplateRow | None) -> dict[str, int]:
    """Return the named resources of a task: those of its template, changed by its own."""
    usual = resources.parse_named(template.resources) if template else {}
    found = {**usual, **(spec.resources or {})}
    return {name: amount for name, amount in found.items() if amount}


def _pick_first(given: Any, usual: Any, default: Any) -> Any:
    """Return the first value that is not None."""
    return given if given is not None else default if usual is None else usual


# --- verbs ------------------------------------------------------------------------------


async def submit(
    call: Call, *, tasks: Sequence[dict[str, Any]], uuid: str | None = None, cwd: str = "/",
    umask: int = 0o022,
    env: dict[str, str] | None = None, dry_run: bool = False, explain: bool = False,
    group: dict[str, Any] | None = None, client: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Store all tasks or none, and return their places.

    Return no places if many tasks were accepted, but the disk is too full to store them yet. With
    `explain`, add the reason why the first task waits, which costs as much as storing the task, and
    note that the program of a single task does not exist.
    With `dry_run`, return the rows without storing them. With `group` (see `groups.GroupSpec`), the
    tasks become one group, which each place names. With `client` (see `ClientBounds`), each task
    gets its tag, and its bounds hold.
    """
    first, bounds = _check_uuid(uuid), parse_client(client)
    specs = await _validate_all(tasks)
    if bounds is not None:
        specs = [bounds.mark_task(spec) for spec in specs]
    if not specs:
        raise Usage("there is no task to submit.")
    origin = Origin(call.by, cwd, umask, env or {}, partial(notifications.get_settings, call))
    new = groups.parse_group(group, len(specs))
    if dry_run:
        return await run_resolved(
            call.db,
            specs,
            lambda resolved: call.db.read(_dry_run, specs, origin, resolved, new, bounds),
        )
    if _is_large(specs):
        refuse_with_client(bounds, "a submission of many tasks")
        staging = await _store_staged(call, enumerate(specs, 1), origin, first, group=new)
        places = await _list_places(call, first) if staging.is_complete else []
        return await _add_group(call, places, first) if new else places
    try:
        stored = await run_resolved(
            call.db,
            specs,
            lambda resolved: call.db.write(_store, specs, origin, first, resolved, new, bounds),
        )
    except DiskFull as problem:
        raise problem.with_undone(
            "The task was not accepted." if len(specs) == 1 else "No task was accepted."
        ) from None
    await number_file.raise_mark(call.home, max(row["number"] for row in stored))
    start_times.note_past(call, specs)
    _note_halted(call)
    if not explain and any(row["status"] == TaskStatus.CANCELLED for row in stored):
        await note_cancelled(call, first)
    stored = await _add_group(call, stored, first) if new else stored
    if not explain:
        return stored
    if len(specs) == 1:
        await _note_missing_program(call, specs[0], origin, stored[0]["queue"])
    return [stored[0] | {"short": await _read_short_reason(call, stored[0]["uuid"])}, *stored[1:]]


async def _validate_all(tasks: Sequence[dict[str, Any]]) -> list[TaskSpec]:
    """Return the checked tasks, and let others go on between parts of them."""
    specs: list[TaskSpec] = []
    for at in range(0, len(tasks), SMALL_BATCH):
        part = tasks[at : at + SMALL_BATCH]
        specs += [_validate(TaskSpec.model_validate, task) for task in part]
        await asyncio.sleep(0)
    return specs


async def _add_group(call: Call, places: list[dict[str, Any]], first: str) -> list[dict[str, Any]]:
    """Return places with the name of their group."""
    number = await call.db.read(groups.find_number, first)
    name = {} if number is None else {"group": format_group(number)}
    return [place | name for place in places]


def _is_large(specs: Sequence[TaskSpec]) -> bool:
    """Return True for tasks that would take too long in one transaction."""
    dependencies = sum(len(spec.references) for spec in specs if spec.has_references)
    return len(specs) > SMALL_BATCH or dependencies > bulk.MAX_PAIRS


def _note_halted(call: Call) -> None:
    """Note that nothing starts at the moment. A script might wait for the tasks."""
    if call.live is not None and (halted := call.live.halted):
        resumes = halted == DRAINING and not cluster.is_enabled()
        text = tr("nothing starts: {why}", why=tr(sanitize(halted)))
        call.note(tr("{said}. To resume: taskdeck serve --detach", said=text) if resumes else text)


async def _note_missing_program(call: Call, spec: TaskSpec, origin: Origin, queue: str) -> None:
    """Note that the program of a task does not exist, unless a cluster runs the task."""
    if not spec.argv or "{" in spec.argv[0]:
        return
    env = {**origin.env, **(spec.env or {})}
    cwd = os.path.join(origin.cwd, spec.cwd) if spec.cwd else origin.cwd
    describe = name_hints.describe_missing_program
    hint = await asyncio.to_thread(describe, spec.argv[0], cwd, env)
    if hint and not (await call.db.read(read_places))[queue].is_outer:
        call.note(hint)


async def _read_short_reason(call: Call, uuid: str) -> str:
    """Return the short reason why a task waits or was cancelled at once.

    Return "" if nothing starts, which was noted, or if the reason cannot be read.
    """
    if call.live is not None and call.live.halted:
        return ""
    with suppress(Storage):
        return await call.db.read(_read_reason, uuid)
    return ""


def _read_reason(c: Connection, uuid: str) -> str:
    rows = reads.list_by_uuid(c, [uuid])
    why = dispatch_view.explain_waiting(c, dispatch_view.get_cache(c), rows, None)
    return next(
        (reason.short for found in why.values() for reason in found.reasons),
        "".join(row.reason or "" for row in rows),
    )


_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _check_uuid(given: object) -> str:
    """Check the uuid of the first task, or make a new one."""
    if given is None:
        return make_uuid7()
    if not isinstance(given, str) or not _UUID7.fullmatch(given):
        raise Usage("uuid must be a UUID of version 7 in small letters. Nothing was submitted.")
    return given


def _validate(validate: Callable[[Any], TaskSpec], task: Any) -> TaskSpec:
    try:
        return validate(task)
    except ValidationError as error:
        raise Usage("{error}. Nothing was submitted.", error=describe_error(error)) from None


def _dry_run(
    c: Connection,
    specs: Sequence[TaskSpec],
    origin: Origin,
    resolutions: Resolutions,
    group: NewGroup | None,
    client: ClientBounds | None,
) -> list[dict[str, Any]]:
    if client is not None:
        client.require_room(c, len(specs))
    batch = _fill_batch(c, specs, origin, make_uuid7(), resolutions, group)
    _link(batch)
    return [
        {
            **row,
            "env": None,
            "resources": dict(resources.parse_named(row["resources"])),
            **views.mask_task(row["parameters"], row["launch"]),
        }
        for row in batch.rows
    ]


def _store(
    c: Connection,
    specs: Sequence[TaskSpec],
    origin: Origin,
    first: str,
    resolutions: Resolutions,
    group: NewGroup | None,
    client: ClientBounds | None,
) -> list[dict[str, Any]]:
    # A known uuid means that an earlier call stored the batch and its answer was lost.
    is_known = bulk.is_known(c, first)
    if client is not None and not is_known:
        client.admit(c, len(specs), origin.by)
    batch = _fill_batch(c, specs, origin, first, resolutions, group)
    if not is_known:
        batch.store(_link(batch))
    uuids = [row["uuid"] for row in batch.rows]
    stored = {row.uuid: row for row in reads.list_queue_positions(c, uuids)}
    if len(stored) < len(uuids):
        raise Conflict(
            "another submission has these uuids. {not_submitted}", not_submitted=tr(NOT_SUBMITTED)
        )
    counters, policies = reads.read_counters(c), age_order.map_policies(c)
    return [_read_place(c, stored[uuid], counters, policies) for uuid in uuids]


def _read_place(
    c: Connection,
    row: QueuePositionRow,
    counters: Mapping[tuple[str, str], int],
    policies: Mapping[str, str],
) -> dict[str, Any]:
    total = counters.get((row.queue, "queued"), 0)
    if row.status == "queued" and (policy := policies.get(row.queue)):
        past = dispatch_view.get_cache(c)
        ahead = queue_order.map_places(c, past, row.queue, policy, [row], total)[row.number]
    else:
        ahead = total - 1 - reads.count_after(c, row) if row.status == "queued" else None
    return _format_place(row, ahead, total)


def _format_place(row: QueuePositionRow, ahead: int | None, total: int) -> dict[str, Any]:
    return {"uuid": row.uuid, "number": row.number, "name": row.name, "queue": row.queue,
    "status": row.status,
            "position": ahead, "total": total}  # fmt: skip


async def submit_lines(
    call: Call, *, text: str | None = None, file: str | None = None, uuid: str | None = None,
    cwd: str = "/", umask: int = 0o022, env: dict[str, str] | None = None,
    keep_going: bool = False, dry_run: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Store one task for each JSON line of a text, or of a file in `run/submissions`.

    An invalid line refuses all lines, unless `keep_going`. With `dry_run` all lines are checked and
    none is stored; `valid` is the number of the good ones. For many lines, `spans` are position and
    number of a task, and the count of tasks whose numbers follow; `numbers` only with a text. Both
    are empty if the tasks were accepted, but the disk is too full to store them yet.
    """
    first = _check_uuid(uuid)
    origin = Origin(call.by, cwd, umask, env or {}, partial(notifications.get_settings, call))
    if text is None:
        return await _submit_file(call, file, origin, first, keep_going, dry_run)
    lines = list(number_lines(text.split("\n")))
    if dry_run:
        return await _check_lines(call, iter(lines), origin, first)
    parsed = [(n, parse_line(line)) for n, line in lines[:SMALL_BATCH]]
    if len(lines) > SMALL_BATCH or _is_large(
        [spec for _, spec in parsed if isinstance(spec, TaskSpec)]
    ):
        staging = await _store_staged(call, iter(lines), origin, first, keep_going)
        spans = await _read_spans(call, staging)
        numbers = [number + at for _, number, count in spans for at in range(count)]
        return {"numbers": numbers, "spans": spans, "refused": list_refused(staging.refused)}
    try:
        stored = await run_resolved(
            call.db,
            [spec for _, spec in parsed if isinstance(spec, TaskSpec)],
            lambda resolved: call.db.write(
                _store_lines, parsed, origin, first, keep_going, resolved
            ),
        )
    except DiskFull as problem:
        raise problem.with_undone("No task was accepted.") from None
    await number_file.raise_mark(call.home, max(stored["numbers"]))
    refused = {row["line"] for row in stored["refused"]}
    start_times.note_past(
        call, [spec for n, spec in parsed if isinstance(spec, TaskSpec) and n not in refused]
    )
    _note_halted(call)
    if any(spec.has_references for _, spec in parsed if isinstance(spec, TaskSpec)):
        await note_cancelled(call, first)
    return stored


async def _submit_file(
    call: Call, name: str | None, origin: Origin, first: str, keep_going: bool, dry_run: bool
) -> dict[str, Any]:
    """Store one task for each line of a file that a command left in `run/submissions`."""
    if name is None or not _UUID7.fullmatch(name):
        raise Usage("submit.lines needs a text, or the name of a file. Nothing was submitted.")
    with ExitStack() as stack:
        try:
            path = call.home / "run" / SUBMISSIONS / f"{name}.lines"
            file = stack.enter_context(open_regular(str(path)))
        except OSError as error:
            said = (error.strerror or "unknown").lower()
            raise Usage(
                "the lines cannot be read: {said}. Nothing was submitted.", said=said
            ) from None
        if dry_run:
            return await _check_lines(call, number_lines(file), origin, first)
        staging = await _store_staged(call, number_lines(file), origin, first, keep_going)
    return {"spans": await _read_spans(call, staging), "refused": list_refused(staging.refused)}


async def _check_lines(
    call: Call, lines: Iterator[tuple[int, Any]], origin: Origin, first: str
) -> dict[str, Any]:
    """Check all lines as for a submission, and store none."""
    staging = Staging(call, lines, origin, first, keep_going=True, is_dry_run=True)

    def check() -> None:
        staging.run()
        staging.close()

    try:
        await asyncio.to_thread(check)
    finally:
        staging.stop.set()
    refused = list_refused(staging.refused)
    return {"numbers": [], "spans": [], "valid": staging.count, "refused": refused}


@dataclass
class Staging:
    """Check of a large submission and its file of rows, made by a thread of its own."""

    call: Call
    items: Iterator[tuple[int, Any]]
    """Tasks of a request, or lines, by number."""
    origin: Origin
    first: str
    keep_going: bool = False
    is_dry_run: bool = False
    group: NewGroup | None = None
    count: int = 0
    """Number of tasks that are good so far."""
    past: int = 0
    """Number of tasks whose start time is past."""
    refused: dict[int, Problem] = field(default_factory=dict)
    is_known: bool = False
    """True if the submission was stored or published before, and its answer was lost."""
    is_published: bool = False
    is_complete: bool = False
    """True once all tasks are stored. Accepted tasks wait while the disk is full."""
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write the rows to the disk. Raise Problem; then no file is left."""
        with self.call.db.open_reader() as c:
            self.batch = SubmitBatch(c, self.origin, self.first, group=self.group)
            self.is_known = bulk.is_known(c, self.first)
            self.file = bulk.StagedFile(
                self.call.home, self.first, self.origin.by, self.origin.environment,
                self.group and (self.group.name, self.group.max_running),
            )  # fmt: skip
            try:
                self._add_all()
                self._link()
                if not self.count and not (self.is_dry_run and self.refused):
                    raise make_empty_problem(self.refused)
                self.file.sync()
            except BaseException as error:
                self.file.remove()
                self.file.close()
                if isinstance(error, OSError):
                    raise _make_file_problem(error, self.call.home) from None
                raise

    def _add_all(self) -> None:
        for n, item in self.items:
            if self.stop.is_set():
                raise Stopped("the caller has gone.")
            try:
                spec = item if isinstance(item, TaskSpec) else parse_line(item)
                if isinstance(spec, Problem):
                    raise spec
                row = self.batch.make_row(spec, self.count, 0 if spec is item else n)
            except Problem as problem:
                self._refuse(n, problem, item)
                continue
            if not self.is_known:
                self.file.add(packed_task.pack_task(row))
            if spec.at is not None:
                self.past += start_times.get_seconds_since(spec.at) > start_times.PAST_TOLERANCE
            self.count += 1
            if self.count > bulk.MAX_BATCH:
                raise _make_too_many_problem(self.count + sum(1 for _ in self.items))

    def _refuse(self, n: int, problem: Problem, item: Any) -> None:
        if isinstance(item, TaskSpec):
            raise problem
        if not self.keep_going:
            total = self.count + 1 + sum(1 for _ in self.items)
            raise make_line_problem(n, problem, total) from None
        self.refused[n] = problem

    def _link(self) -> None:
        """Resolve the dependencies, and drop the tasks whose parents are unknown."""
        dependents = self.batch.dependents
        if not dependents or self.is_known:
            return
        wanted = {
            str(reference)
            for one in dependents
            for _, reference in one.references
            if batch_dependencies.is_name(reference)
        }
        edges, unknown = find_dependencies(
            dependents, self.file.find_positions(wanted), self.batch.find_uuids
        )
        for one in dependents if unknown else ():
            if one.at in unknown:
                if not one.line:
                    raise combine_errors(list(unknown.values()))
                if not self.keep_going:
                    raise make_line_problem(one.line, unknown[one.at], self.count)
                self.refused[one.line] = unknown[one.at]
        self.count -= len(unknown)
        self.file.link(edges, unknown)

    def publish(self, c: Connection) -> None:
        """Accept the submission, unless it is known. Raise Problem."""
        if not self.is_known and not bulk.is_known(c, self.first):
            self.batch.check_again(c)
            bulk.publish(c, self.file)
            self.is_published = True

    def close(self) -> None:
        """Remove the file unless it was published, and release it."""
        if not self.is_published:
            self.file.remove()
        self.file.close()


def _make_file_problem(error: OSError, home: Path) -> Storage:
    """Return the problem of a file of rows that cannot be written."""
    if error.errno in DISK_FULL_ERRORS:
        return DiskFull(
            "the disk is full ({home}). {undone}",
            "Free space, then try again.",
            home=home,
            undone=DiskFull.undone,
        )
    said = (error.strerror or "unknown").lower()
    return Storage(
        "the tasks cannot be written to {home}/run: {said}. {not_submitted}",
        home=home,
        said=said,
        not_submitted=tr(NOT_SUBMITTED),
    )


async def _store_staged(
    call: Call,
    items: Iterator[tuple[int, Any]],
    origin: Origin,
    first: str,
    keep_going: bool = False,
    group: NewGroup | None = None,
) -> Staging:
    """Store a large submission in the steps of `bulk`. Raise Problem."""
    staging = Staging(call, items, origin, first, keep_going, group=group)
    thread = ThreadPoolExecutor(1, "taskdeck-submit")
    work, is_accepted, stack = thread.submit(staging.run), False, ExitStack()
    stack.enter_context(call.db.announce_large_write())
    try:
        await asyncio.wrap_future(work)
        await call.db.write(staging.publish)
        is_accepted = True  # by this commit, or by that of an earlier call
        path = staging.file.path
        if not staging.is_published:
            known = await call.db.read(bulk.find_published, first)
            path = known and path.with_name(known)
        if path:
            await bulk.store_published(call.db, path, call.by)
        staging.is_complete = True
    except Storage as problem:
        if is_accepted and not isinstance(problem, DamagedDatabase):
            call.note(_format_waiting(staging.count, problem))
            return staging
        if isinstance(problem, DiskFull):
            raise problem.with_undone("No task was accepted.") from None
        raise
    finally:
        stack.close()
        staging.stop.set()
        thread.shutdown(wait=False)
        if work.done() and not work.cancelled() and work.exception() is None:
            staging.close()
        call.db.trim_later(TRIM_DELAY)
    if staging.past:
        start_times.note_many_past(call, staging.past)
    _note_halted(call)
    if staging.batch.dependents:
        await note_cancelled(call, first)
    return staging


def _format_waiting(count: int, problem: Storage) -> str:
    """Return the message about accepted tasks that cannot be stored yet."""
    return tr_n(
        count,
        "{why}. The task is accepted, and stored once the database can be written."
        " To look: taskdeck status",
        "{why}. All {n:,} tasks are accepted, and stored once the database can be written."
        " To look: taskdeck status",
        why=problem.message.partition(". Nothing was ")[0],
    )


TRIM_DELAY = 1.0
"""Seconds after which memory goes back to the system; by then the answer has been sent."""
PAGE = 5_000
"""Tasks read at once for the answer to a large submission."""


async def _read_spans(call: Call, staging: Staging) -> list[list[int]]:
    """Return the numbers of a stored submission as `spans` (`submit_lines`)."""
    first, last = bulk.get_uuid_range(staging.first)
    if not staging.is_complete:
        return []
    low, high, count = await call.db.read(task_numbers.summarize_numbers, first, last)
    if count == staging.count == high - low + 1 and not staging.batch.dependents:
        return [[0, low, count]]
    spans: list[list[int]] = []
    base = int(first.replace("-", ""), 16)
    after = make_following_id(first, -1)
    while page := await call.db.read(task_numbers.list_numbers, after, last, PAGE):
        for uuid, number in page:
            at = int(uuid.replace("-", ""), 16) - base
            if spans and at - spans[-1][0] == number - spans[-1][1] == spans[-1][2]:
                spans[-1][2] += 1
            else:
                spans.append([at, number, 1])
        after = page[-1][0]
    return spans


async def _list_places(call: Call, first: str) -> list[dict[str, Any]]:
    """Return the places of the tasks of a large submission, without positions in their queues."""
    found: list[dict[str, Any]] = []
    after, last = make_following_id(first, -1), bulk.get_uuid_range(first)[1]
    totals = await call.db.read(reads.read_counters)
    while page := await call.db.read(task_numbers.list_numbers, after, last, PAGE):
        uuids = [uuid for uuid, _ in page]
        rows = {row.uuid: row for row in await call.db.read(reads.list_queue_positions, uuids)}
        found += [
            _format_place(rows[uuid], None, totals.get((rows[uuid].queue, "queued"), 0))
            for uuid in uuids
            if uuid in rows
        ]
        after = uuids[-1]
    return found


def _make_too_many_problem(total: int) -> Usage:
    return Usage(
        "{total:,} tasks are too many at once; at most {most:,}. {not_submitted}",
        total=total,
        most=bulk.MAX_BATCH,
        not_submitted=tr(NOT_SUBMITTED),
    )


def _store_lines(
    c: Connection,
    parsed: Sequence[tuple[int, TaskSpec | Problem]],
    origin: Origin,
    first: str,
    keep_going: bool,
    resolutions: Resolutions,
) -> dict[str, Any]:
    batch = SubmitBatch(c, origin, first, resolutions)
    lines, refused = _fill_from_lines(batch, parsed, keep_going)
    stored = bulk.is_known(c, first)  # An earlier call stored the batch, and its answer was lost.
    edges, unknown = batch.find_parents() if keep_going or not stored else ([], {})
    if unknown and not keep_going:
        at = min(unknown)
        raise make_line_problem(lines[at], unknown[at], len(parsed))
    refused |= {lines[at]: problem for at, problem in unknown.items()}
    if not stored:
        edges = batch.drop_tasks(unknown, edges) if unknown else edges
        if not batch.rows:
            raise make_empty_problem(refused)
        batch.store(edges)
    return {
        "numbers": task_numbers.find_numbers(c, [row["uuid"] for row in batch.rows]),
        "refused": list_refused(refused),
    }


def _fill_from_lines(
    batch: SubmitBatch, parsed: Sequence[tuple[int, TaskSpec | Problem]], keep_going: bool
) -> tuple[list[int], dict[int, Problem]]:
    """Add the valid lines to a batch; return their numbers, and the problems by line.

    Raise the first problem unless `keep_going`.
    """
    lines, refused = list[int](), dict[int, Problem]()
    for n, spec in parsed:
        try:
            if isinstance(spec, Problem):
                raise spec
            batch.add(spec, n)
            lines.append(n)
        except Problem as problem:
            if not keep_going:
                raise make_line_problem(n, problem, len(parsed)) from None
            refused[n] = problem
    return lines, refused
