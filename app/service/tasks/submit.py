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
import shlex
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from app import engines
from app.core.board import DRAINING
from app.core.ids import make_following_id, make_uuid7
from app.core.schema import parameters
from app.core.task_spec import TaskSpec, describe_error
from app.core.text import units
from app.core.text.sanitize import find_name_error, sanitize, truncate
from app.errors import NOT_SUBMITTED, Conflict, NotFound, Problem, Refused, Usage
from app.service import dispatch_view
from app.service.context import Call
from app.service.tasks import lookup, number_file, views
from db import host, timestamps
from db.engine import Connection
from db.errors import DiskFull, Storage
from db.queries import definitions, operations, reads, transitions
from db.rows import PoolRow, QueuePositionRow, QueueRow, TemplateRow

DEFAULT_QUEUE = "default"
MAX_NAMED_ERRORS = 10
"""Maximum number of errors named in one refusal."""
MAX_BATCH = 1_000_000
LARGE_BATCH = 5_000
MAX_EDGES = 1_000_000
"""Maximum number of dependencies of a batch.

Dependencies grow with the square of the tasks of one name, and storing them blocks the writer.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The submitting user and shell context."""

    by: str
    cwd: str
    umask: int
    env: dict[str, str]


class DependencyEdge(NamedTuple):
    """A dependency of a batch task.

    `task` is a position in the batch. `parent` is a position in the batch, or the uuid of an
    existing task.
    """

    task: int
    parent: int | str
    kind: str


@dataclass(slots=True)
class SubmitBatch:
    """Tasks that are stored together. Each queue and template is read once."""

    c: Connection
    origin: Origin
    first: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    after: list[tuple[int, TaskSpec]] = field(default_factory=list)
    queues: dict[str, tuple[QueueRow, PoolRow]] = field(default_factory=dict)
    templates: dict[str, TemplateRow] = field(default_factory=dict)

    def add(self, spec: TaskSpec) -> None:
        """Append the row of one task. Raise Problem."""
        template = self.get_template(spec.template) if spec.template is not None else None
        given = _resolve_parameters(spec, template)
        launch, kind = _make_launch(spec, template, given)
        queue, pool = self.get_queue(
            spec.queue or (template.queue if template else None) or DEFAULT_QUEUE
        )
        cpu, memory = (
            _pick_first(spec.cpu, template and template.cpu, 1.0),
            _pick_first(spec.memory, template and template.memory, 0.0),
        )
        require_fit(pool, cpu, memory)
        row = {
            "uuid": make_following_id(self.first, len(self.rows)),
            "name": spec.name or make_default_name(spec, launch), "template": spec.template,
            "type": kind,
            "parameters": given, "priority": spec.priority,
            "timeout": _pick_first(spec.timeout, template and template.timeout, None),
            "queue": queue.name, "cpu": cpu, "memory": memory,
            "retries": _pick_first(spec.retries, template and template.retries, 0),
            "retry_delay": spec.retry_delay, "grace": spec.grace,
            "not_before": None if spec.at is None else parse_start_time(spec.at),
            "hold": spec.hold, "held_by": self.origin.by if spec.hold else None, "tags": spec.tags,
            "env_id": None, "env": spec.env or None,
            "cwd": os.path.join(self.origin.cwd, spec.cwd) if spec.cwd else self.origin.cwd,
            "umask": self.origin.umask,
            "launch": launch, "log_limit": spec.log_limit, "submitted_by": self.origin.by,
        }  # fmt: skip
        if spec.after or spec.after_any:
            self.after.append((len(self.rows), spec))
        self.rows.append(row)

    def get_queue(self, name: str) -> tuple[QueueRow, PoolRow]:
        """Return a queue and its pool. Raise NotFound with the nearest name."""
        if not self.queues:
            pools = {pool.name: pool for pool in reads.list_pools(self.c)}
            self.queues = {
                queue.name: (queue, pools[queue.pool]) for queue in reads.list_queues(self.c)
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

    def find_parents(
        self, lines: Sequence[int] = ()
    ) -> tuple[list[DependencyEdge], dict[int, Problem]]:
        """Return the dependencies, and the problems by task position.

        Unknown parents and cycles are problems. A parent may be a batch task given by name, unless
        that task has a problem itself. `lines` are the line numbers of the tasks. Raise Usage for
        too many dependencies.
        """
        positions_by_name: dict[str, list[int]] = {}
        for at, row in enumerate(self.rows):
            positions_by_name.setdefault(row["name"], []).append(at)
        specs, found, children = (
            dict(self.after),
            dict[int, list[DependencyEdge]](),
            dict[int, list[int]](),
        )
        unknown: dict[int, Problem] = {}
        pending, many = list(specs), 0
        while True:  # Tasks that depend on a rejected task are checked again.
            rejected = list[int]()
            for at in pending:
                edges, missing = self._find_edges(at, specs[at], positions_by_name, unknown)
                many += len(edges) - len(found.get(at, ()))
                if many > MAX_EDGES:
                    raise _make_too_many_edges(positions_by_name, specs[at])
                found[at] = edges
                for edge in edges:
                    if isinstance(edge.parent, int):
                        children.setdefault(edge.parent, []).append(at)
                if missing:
                    unknown[at] = _combine_errors(missing)
                    rejected.append(at)
            for cycle in () if rejected else _find_cycles(found, unknown):
                unknown |= dict.fromkeys(cycle, self._make_cycle_problem(cycle, lines))
                rejected += cycle
            if not rejected:
                return [
                    edge for at, edges in found.items() if at not in unknown for edge in edges
                ], unknown
            pending = list(
                dict.fromkeys(
                    heir for at in rejected for heir in children.pop(at, ()) if heir not in unknown
                )
            )

    def _find_edges(
        self,
        at: int,
        spec: TaskSpec,
        positions_by_name: Mapping[str, list[int]],
        rejected: Container[int],
    ) -> tuple[list[DependencyEdge], list[Problem]]:
        """Return the dependencies of one task, and the problems of its unknown parents."""
        edges, missing = list[DependencyEdge](), list[Problem]()
        for kind, references in (("success", spec.after), ("any", spec.after_any)):
            for reference in references:
                inner = [
                    i
                    for i in self._find_in_batch(positions_by_name, reference, at)
                    if i not in rejected
                ]
                edges += [
                    DependencyEdge(at, parent, kind)
                    for parent in inner or _find_uuid(self.c, reference, missing)
                ]
        return edges, missing

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

    def _find_in_batch(
        self, positions_by_name: Mapping[str, list[int]], reference: str | int, at: int
    ) -> list[int]:
        """Return the batch tasks that a reference names.

        Digits never name a batch task. A task's own name refers to a stored task of that name if
        there is one.
        """
        if isinstance(reference, int) or _NUMBER.fullmatch(reference):
            return []
        named = positions_by_name.get(reference, [])
        return [i for i in named if i != at] or (
            [] if reads.find_by_name(self.c, reference, 1) else named
        )

    def _make_cycle_problem(self, cycle: Sequence[int], lines: Sequence[int]) -> Conflict:
        """Return the problem of a dependency cycle."""
        names = [
            f'"{sanitize(self.rows[at]["name"])}"{f" (line {lines[at]})" if lines else ""}'
            for at in cycle[:MAX_NAMED_ERRORS]
        ]
        more = [f"{len(cycle) - MAX_NAMED_ERRORS:,} more"] if len(cycle) > MAX_NAMED_ERRORS else []
        return Conflict(
            f"{' would wait for '.join([*names, *more, names[0]])}: a cycle. {NOT_SUBMITTED}"
        )

    def store(self, edges: Sequence[DependencyEdge]) -> None:
        """Insert all tasks with these dependencies, as one operation."""
        sha = _store_environment(self.c, self.origin.env)
        for row in self.rows:
            row["env_id"] = sha
        uuids = [row["uuid"] for row in self.rows]
        kinds = {
            (uuids[e.task], uuids[e.parent] if isinstance(e.parent, int) else e.parent): e.kind
            for e in edges
        }
        rows = [
            {"task_id": task, "parent_id": parent, "kind": kind}
            for (task, parent), kind in kinds.items()
        ]
        numbers = list(transitions.submit(self.c, self.rows, rows, self.origin.by).values())
        record_submission(self.c, self.origin.by, numbers)


def _fill_batch(
    c: Connection, specs: Sequence[TaskSpec], origin: Origin, first: str
) -> SubmitBatch:
    """Return a batch with the rows of all tasks.

    Raise Problem; for a single task, the problem includes unknown parents.
    """
    batch = SubmitBatch(c, origin, first)
    for spec in specs:
        try:
            batch.add(spec)
        except Problem as problem:
            found = [problem]
            for reference in (*spec.after, *spec.after_any) if len(specs) == 1 else ():
                _find_uuid(c, reference, found)
            raise _combine_errors(found) from None
    return batch


def _link(batch: SubmitBatch) -> list[DependencyEdge]:
    """Return the dependencies. Raise Problem with all unknown parents."""
    edges, unknown = batch.find_parents()
    if unknown:
        raise _combine_errors(list(unknown.values()))
    return edges


def _make_too_many_edges(positions_by_name: Mapping[str, Sequence[int]], spec: TaskSpec) -> Usage:
    """Return the problem of too many dependencies.

    A name refers to every task that has it.
    """
    several = max(
        (*spec.after, *spec.after_any),
        key=lambda reference: len(positions_by_name.get(str(reference), ())),
    )
    count = len(positions_by_name.get(str(several), ()))
    named = f'"{sanitize(str(several))}" names {count:,} of these tasks'
    return Usage(
        f"these tasks wait for one another in more than {MAX_EDGES:,} ways: {named}."
        f" {NOT_SUBMITTED}",
        "Give those tasks names of their own.",
    )


def _find_uuid(c: Connection, reference: str | int, missing: list[Problem]) -> list[str]:
    """Return the uuid of the referenced task; append a problem to `missing`."""
    try:
        return [lookup.find_task(c, reference).uuid]
    except Problem as problem:
        missing.append(problem)
        return []


def _combine_errors(problems: Sequence[Problem]) -> Problem:
    """Combine problems into one of the first one's type."""
    first, *others = problems
    if not others:
        return first
    said = list(
        dict.fromkeys(
            problem.message.replace(NOT_SUBMITTED, "").rstrip(". ") for problem in problems
        )
    )
    rest = (
        [f"and {len(said) - MAX_NAMED_ERRORS:,} more like these"]
        if len(said) > MAX_NAMED_ERRORS
        else []
    )
    return type(first)(
        f"{'; '.join([*said[:MAX_NAMED_ERRORS], *rest])}. {NOT_SUBMITTED}", first.hint
    )


_NUMBER = re.compile(r"#?[0-9]+")


def _find_cycles(
    found: Mapping[int, Sequence[DependencyEdge]], without: Collection[int]
) -> list[list[int]]:
    """Return disjoint dependency cycles, ignoring tasks in `without`.

    Removing the cycles leaves no task that waits for itself. The search is iterative, since chains
    may be long.
    """
    cycles, done = list[list[int]](), set(without)
    for start in found:
        path = list[int]()
        place: dict[int, int] = {}
        stack: list[tuple[int, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                del place[path.pop()]
                done.add(node)
            elif node in place:
                cycle = path[place[node] :]
                # Other dependencies of these tasks are searched from their own start.
                while stack.pop() != (node, True):
                    pass
                for at in cycle:
                    del place[at]
                del path[-len(cycle) :]
                done.update(cycle)
                cycles.append(cycle)
            elif node not in done:
                place[node] = len(path)
                path.append(node)
                stack.append((node, True))
                stack += [
                    (edge.parent, False)
                    for edge in found.get(node, ())
                    if isinstance(edge.parent, int)
                ]
    return cycles


def _pick_first(given: Any, usual: Any, default: Any) -> Any:
    """Return the first value that is not None."""
    return given if given is not None else default if usual is None else usual


def _resolve_parameters(spec: TaskSpec, template: TemplateRow | None) -> dict[str, Any]:
    if template is None:
        return {}
    given = dict(spec.parameters or {})
    if spec.parameter_texts:
        given |= parameters.convert_texts(
            [(name, text) for name, text in spec.parameter_texts], template.parameters
        )
    return parameters.resolve_values(template.parameters, given, template.name)


def _make_launch(
    spec: TaskSpec, template: TemplateRow | None, given: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Return the resolved launch and the type of a task."""
    if template is not None:
        launch = engines.make_launch(template.engine, template.schema, given, template.parameters)
        return views.add_masks(launch, template, given), template.type
    if spec.script is not None:
        return {
            **engines.make_launch("shell", {"script": spec.script}, {}),
            "script": spec.script,
        }, "shell"
    return {"argv": spec.argv}, "exec"


def require_fit(pool: PoolRow, cpu: float, memory: float, undone: str = NOT_SUBMITTED) -> None:
    """Raise Refused if a pool can never hold the request, naming all shortages."""
    requests = (
        ("memory", memory, pool.total_memory, units.format_memory),
        ("cpu", cpu, pool.total_cpu, units.format_number),
    )
    lacking = [
        (word, needed, write(needed), write(total))
        for word, needed, total, write in requests
        if needed > total + 1e-6
    ]
    if lacking:
        needs = " and ".join(f"{needed} {word}" for word, _, needed, _ in lacking)
        has = " and ".join(total for *_, total in lacking)
        options = " ".join(f"--{word} {needed}" for word, _, needed, _ in lacking)
        beyond = _describe_machine_limit({word: needed for word, needed, *_ in lacking})
        raise Refused(
            f"needs {needs}, but pool {sanitize(pool.name)} has {has} in all: it could never start."
            f" {undone}",
            f"Ask for less{beyond}, or: taskdeck pool set {sanitize(shlex.quote(pool.name))}"
            f" {options}",
        )


def _describe_machine_limit(needs: Mapping[str, float]) -> str:
    """Describe the machine's own shortage, if any.

    A pool should not be made larger than the machine.
    """
    machine, write = (
        host.read_capacity()._asdict(),
        {"memory": units.format_memory, "cpu": units.format_number},
    )
    excess = [
        f"{write[word](machine[word])} {word}"
        for word, needed in needs.items()
        if needed > machine[word] + 1e-6
    ]
    return f" (this machine has {' and '.join(excess)} in all)" if excess else ""


def parse_start_time(at: str | int | float) -> str:
    """Return a start time as stored. Raise Usage."""
    try:
        return timestamps.format_time(units.parse_time(str(at), timestamps.utcnow()))
    except (ValueError, OverflowError) as error:
        raise Usage(f"at {error}") from None


_PATH = re.compile(r"[^\s;|&$<>()`'\"*?]{1,300}|[^\t\r\n;|&$<>()`'\"*?]{1,300}\.\w{1,8}")
"""Likely file names: no shell syntax or globs, and spaces only before a file extension."""


def make_default_name(spec: TaskSpec, launch: dict[str, Any]) -> str:
    """Return a name for a task: `ffmpeg a.mp4`, `sleep 30`.

    The name is the template, or the program with its last path-like argument, else with its last
    plain word.
    """
    if spec.template is not None:
        return spec.template
    if spec.script is not None:
        return make_valid_name(spec.script.strip().splitlines()[0])
    return make_name(launch["argv"])


def make_name(argv: Sequence[str]) -> str:
    """Return a name from the program and its last path-like argument."""
    plain = [word for word in argv[1:] if word[:1] not in ("-", "") and _PATH.fullmatch(word)]
    paths = [word for word in plain if set(word) & {".", "/"}] or [
        word for word in plain if len(word) <= 40
    ]
    return make_valid_name(
        " ".join(
            [
                os.path.basename(argv[0]),
                *(os.path.basename(word.rstrip("/")) for word in paths[-1:]),
            ]
        )
    )


_FOLDER_PARTS = re.compile(
    r"""(?:(?<![^\s<>=:;|&(])|(?<=["'])(?=[/~.$]))   # a word begins, or a quoted path
        (?:\w+:(?=//))?(?:[^\s<>=:;|&()"'/]*/)+      # https:, and all up to the last slash
        (?=[^\s<>=:;|&()"'/])                        # before the name itself""",
    re.VERBOSE,
)


def make_valid_name(text: str) -> str:
    """Convert text to a valid name, shortening paths: `sort passwd | uniq`."""
    words = _FOLDER_PARTS.sub("", sanitize(text)).replace("/", " ").split()
    name = truncate(" ".join(words).lstrip(". "), 60)
    return name if not find_name_error(name) else "task"


def _store_environment(c: Connection, env: dict[str, str]) -> str:
    """Store an environment, shared by equal ones, and return its key."""
    text = json.dumps(env, sort_keys=True)
    sha = hashlib.sha256(text.encode()).hexdigest()
    transitions.keep_environment(c, sha, text)
    return sha


# --- verbs ------------------------------------------------------------------------------


async def submit(
    call: Call, *, tasks: Sequence[dict[str, Any]], uuid: str | None = None, cwd: str = "/",
    umask: int = 0o022,
    env: dict[str, str] | None = None, dry_run: bool = False, explain: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Store all tasks or none, and return their places.

    With `explain`, add the reason why the first task waits, which costs as much as storing the
    task. With `dry_run`, return the rows without storing them.
    """
    first = _check_uuid(uuid)
    specs = [_validate(TaskSpec.model_validate, task) for task in tasks]
    if not specs:
        raise Usage("there is no task to submit.")
    origin = Origin(call.by, cwd, umask, env or {})
    if dry_run:
        return await call.db.read(_dry_run, specs, origin)
    try:
        stored = await call.db.write(_store, specs, origin, first)
    except DiskFull as problem:
        raise problem.with_undone(
            "The task was not accepted." if len(specs) == 1 else "No task was accepted."
        ) from None
    await number_file.raise_mark(call.home, max(row["number"] for row in stored))
    _note_past(call, specs)
    _note_halted(call)
    return (
        [stored[0] | {"short": await _read_short_reason(call, stored[0]["uuid"])}, *stored[1:]]
        if explain
        else stored
    )


PAST_TOLERANCE = 5.0
"""Seconds by which a start time may be past without a note: it lay in the future when typed."""


def _note_past(call: Call, specs: Sequence[TaskSpec]) -> None:
    """Note start times in the past.

    Such tasks are stored all the same, because scripts use past times.
    """
    past = {at: get_seconds_since(at) for at in {spec.at for spec in specs} if at is not None}
    excess = [
        (spec, past[spec.at])
        for spec in specs
        if spec.at is not None and past[spec.at] > PAST_TOLERANCE
    ]
    if len(specs) > 1 and excess:
        return call.note(
            f"the start time of {len(excess):,} of these tasks is past: they do not wait for it."
        )
    for spec, seconds in excess:
        then = "it is ignored" if spec.hold or spec.after or spec.after_any else "starting now"
        call.note(f"start time is {units.format_age(seconds)} in the past: {then}.")


def get_seconds_since(at: str | int | float) -> float:
    """Return the seconds since a start time, 0 for an invalid one."""
    now = timestamps.utcnow()
    with suppress(ValueError, OverflowError):
        return (now - units.parse_time(str(at), now)).total_seconds()
    return 0.0


def _note_halted(call: Call) -> None:
    """Note that nothing starts at the moment. A script might wait for the tasks."""
    if call.live is not None and (halted := call.live.halted):
        again = ". To resume: taskdeck serve --detach" if halted == DRAINING else ""
        call.note(f"nothing starts: {sanitize(halted)}{again}")


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
        raise Usage(f"{describe_error(error)}. Nothing was submitted.") from None


def _dry_run(c: Connection, specs: Sequence[TaskSpec], origin: Origin) -> list[dict[str, Any]]:
    batch = _fill_batch(c, specs, origin, make_uuid7())
    _link(batch)
    return [
        {**row, "env": None, **views.mask_task(row["parameters"], row["launch"])}
        for row in batch.rows
    ]


def _store(
    c: Connection, specs: Sequence[TaskSpec], origin: Origin, first: str
) -> list[dict[str, Any]]:
    batch = _fill_batch(c, specs, origin, first)
    # A known uuid means that an earlier call stored the batch and its answer was lost.
    if not transitions.is_known(c, first):
        batch.store(_link(batch))
    uuids = [row["uuid"] for row in batch.rows]
    stored = {row.uuid: row for row in reads.list_queue_positions(c, uuids)}
    counters = reads.read_counters(c)
    return [_read_place(c, stored[uuid], counters) for uuid in uuids]


def record_submission(c: Connection, by: str, numbers: Sequence[int]) -> None:
    """Record one operation for a submission of any size."""
    what = (
        f"task #{numbers[0]}"
        if len(numbers) == 1
        else f"{len(numbers)} tasks #{numbers[0]}–#{numbers[-1]}"
    )
    operations.record(c, by, "submit", what, after={"first": numbers[0], "last": numbers[-1]})


def _read_place(
    c: Connection, row: QueuePositionRow, counters: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    total = counters.get((row.queue, "queued"), 0)
    ahead = total - 1 - reads.count_after(c, row) if row.status == "queued" else None
    return {"uuid": row.uuid, "number": row.number, "name": row.name, "queue": row.queue,
    "status": row.status,
            "position": ahead, "total": total}  # fmt: skip


async def submit_lines(
    call: Call, *, text: str, uuid: str | None = None, cwd: str = "/", umask: int = 0o022,
    env: dict[str, str] | None = None,
    keep_going: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Store one task for each JSON line.

    An invalid line refuses all lines, unless `keep_going`.
    """
    first = _check_uuid(uuid)
    parsed = await asyncio.to_thread(_parse_lines, text)
    try:
        stored = await call.db.write(
            _store_lines, parsed, Origin(call.by, cwd, umask, env or {}), first, keep_going
        )
        await number_file.raise_mark(call.home, max(stored["numbers"]))
        refused = {row["line"] for row in stored["refused"]}
        _note_past(
            call, [spec for n, spec in parsed if isinstance(spec, TaskSpec) and n not in refused]
        )
        _note_halted(call)
        return stored
    except DiskFull as problem:
        raise problem.with_undone("No task was accepted.") from None
    finally:
        if len(parsed) >= LARGE_BATCH:
            del text, parsed
            asyncio.get_running_loop().call_later(1.0, _trim_memory)


def _trim_memory() -> None:
    """Return the memory of a large batch to the system.

    The allocator would keep it for a runtime that lives for weeks.
    """
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def _parse_lines(text: str) -> list[tuple[int, TaskSpec | Problem]]:
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip(" \t\r")]
    if len(lines) > MAX_BATCH:
        raise Usage(
            f"{len(lines):,} lines are too many at once; at most {MAX_BATCH:,}. None was stored."
        )
    return [(n, _parse_line(line)) for n, line in lines]


def _parse_line(line: str) -> TaskSpec | Problem:
    try:
        spec = TaskSpec.model_validate_json(line.encode())
    except UnicodeEncodeError:
        return Usage("is not UTF-8")
    except ValidationError as error:
        return Usage(describe_error(error))
    twice = _find_duplicate_key(line)
    return spec if twice is None else Usage(f"{units.quote(twice)} appears twice")


def _find_duplicate_key(line: str) -> str | None:
    """Return a key that occurs twice in an object of valid JSON; pydantic takes the last value."""
    found: list[str] = []

    def check_keys(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            found.extend(key for key in keys if keys.count(key) > 1)

    json.loads(line, object_pairs_hook=check_keys, parse_int=str)  # int() refuses long numbers
    return found[0] if found else None


def _store_lines(
    c: Connection,
    parsed: Sequence[tuple[int, TaskSpec | Problem]],
    origin: Origin,
    first: str,
    keep_going: bool,
) -> dict[str, Any]:
    batch, lines, refused = _fill_from_lines(c, parsed, origin, first, keep_going)
    stored = transitions.is_known(
        c, first
    )  # An earlier call stored the batch, and its answer was lost.
    edges, unknown = batch.find_parents(lines) if keep_going or not stored else ([], {})
    if unknown and not keep_going:
        at = min(unknown)
        raise _make_line_problem(lines[at], unknown[at], len(parsed))
    refused |= {lines[at]: problem for at, problem in unknown.items()}
    if not stored:
        edges = batch.drop_tasks(unknown, edges) if unknown else edges
        if not batch.rows:
            n, problem = min(refused.items(), default=(0, None))
            raise Usage(
                f"line {n}: {problem}"
                if problem
                else "there is no task to submit: no line holds one."
            )
        batch.store(edges)
    return {
        "numbers": transitions.find_numbers(c, [row["uuid"] for row in batch.rows]),
        "refused": [
            {"line": n, "message": str(problem).replace(f" {NOT_SUBMITTED}", "")}
            for n, problem in sorted(refused.items())
        ],
    }


def _fill_from_lines(
    c: Connection,
    parsed: Sequence[tuple[int, TaskSpec | Problem]],
    origin: Origin,
    first: str,
    keep_going: bool,
) -> tuple[SubmitBatch, list[int], dict[int, Problem]]:
    """Return the batch of valid lines, their numbers, and the problems by line.

    Raise the first problem unless `keep_going`.
    """
    batch, lines, refused = SubmitBatch(c, origin, first), list[int](), dict[int, Problem]()
    for n, spec in parsed:
        try:
            if isinstance(spec, Problem):
                raise spec
            batch.add(spec)
            lines.append(n)
        except Problem as problem:
            if not keep_going:
                raise _make_line_problem(n, problem, len(parsed)) from None
            refused[n] = problem
    return batch, lines, refused


def _make_line_problem(n: int, problem: Problem, total: int) -> Problem:
    """Return a problem with its line number."""
    none = "It was not stored" if total == 1 else f"None of the {total:,} lines was stored"
    said = f"line {n}: {str(problem).replace(' Nothing was submitted.', '')}".rstrip(".")
    kind = type(problem) if isinstance(problem, (Usage, NotFound, Conflict)) else Usage
    return kind(f"{said}. {none}; --keep-going stores the good ones.")
