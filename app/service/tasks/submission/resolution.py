"""Parameters and launches of tasks, resolved outside of the writer.

The check of one task's parameters may take 0.1 s. It runs on one thread for all callers, by turns,
so neither a transaction nor the event loop waits for it. The transaction that stores the tasks
compares the templates; if one has changed meanwhile, its tasks are resolved again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app import engines
from app.core.schema import parameters
from app.core.task_spec import TaskSpec
from app.errors import NOT_SUBMITTED, Conflict, Problem
from app.service.tasks.inspection import views
from app.translation import tr
from db.engine import Connection, Database
from db.queries import definitions
from db.rows import TemplateRow

TURN_SECONDS = 0.02
"""Seconds after which the tasks of another caller get their turn."""
MAX_TRIES = 5

_thread = ThreadPoolExecutor(1, "taskdeck-resolve")
_T = TypeVar("_T")


class TemplateChangedError(Exception):
    """A template differs from the one by which tasks were resolved."""


@dataclass(frozen=True, slots=True)
class ResolvedTask:
    """Parameters, launch and type of a task."""

    parameters: dict[str, Any]
    launch: dict[str, Any]
    kind: str


@dataclass(slots=True)
class Resolutions:
    """Tasks of one submission, resolved by their templates as they were."""

    templates: dict[str, TemplateRow]
    found: dict[str, ResolvedTask | Problem] = field(default_factory=dict)
    """Results by `_make_key`: tasks that differ in other things share one."""

    def get(self, spec: TaskSpec, template: TemplateRow) -> ResolvedTask:
        """Return the result for a task. Raise its Problem, or TemplateChangedError."""
        found = self.found.get(_make_key(spec))
        if found is None or self.templates.get(template.name) != template:
            raise TemplateChangedError
        if isinstance(found, Problem):
            raise found.with_traceback(None)
        return found


def _make_key(spec: TaskSpec) -> str:
    """Return a text that is equal for tasks with the same template and parameters."""
    try:
        return json.dumps([spec.template, spec.parameters, spec.parameter_texts])
    except RecursionError:
        return f"{id(spec)}"


async def run_resolved(
    db: Database,
    specs: Sequence[TaskSpec],
    run: Callable[[Resolutions], Coroutine[Any, Any, _T] | asyncio.Future[_T]],
) -> _T:
    """Resolve tasks, then run a transaction with the results.

    Repeat both while templates change. Raise Conflict if one changes all the time.
    """
    for _ in range(MAX_TRIES):
        try:
            return await run(await resolve(db, specs))
        except TemplateChangedError:
            continue
    raise Conflict(
        "a template changes all the time. {not_submitted}",
        "Try again.",
        not_submitted=tr(NOT_SUBMITTED),
    )


async def resolve(db: Database, specs: Sequence[TaskSpec]) -> Resolutions:
    """Resolve tasks by the templates of the moment."""
    names = {spec.template for spec in specs if spec.template is not None}
    if not names:
        return Resolutions({})
    resolutions = Resolutions(await db.read(_read_templates, names))
    pending = iter(specs)
    while await asyncio.get_running_loop().run_in_executor(
        _thread, _resolve_some, pending, resolutions
    ):
        pass
    return resolutions


def _read_templates(c: Connection, names: set[str]) -> dict[str, TemplateRow]:
    rows = (definitions.find_template(c, name) for name in names)
    return {row.name: row for row in rows if row is not None}


def _resolve_some(pending: Iterator[TaskSpec], resolutions: Resolutions) -> bool:
    """Resolve tasks for a turn; return True if some may be left."""
    end = time.monotonic() + TURN_SECONDS
    for spec in pending:
        template = resolutions.templates.get(spec.template or "")
        if template is not None and (key := _make_key(spec)) not in resolutions.found:
            try:
                resolutions.found[key] = resolve_task(spec, template)
            except Problem as problem:
                resolutions.found[key] = problem
        if time.monotonic() > end:
            return True
    return False


def resolve_task(spec: TaskSpec, template: TemplateRow | None) -> ResolvedTask:
    """Return the parameters, the launch and the type of a task. Raise Problem."""
    if template is not None:
        given = _resolve_parameters(spec, template)
        launch = engines.make_launch(template.engine, template.schema, given, template.parameters)
        return ResolvedTask(given, views.add_masks(launch, template, given), template.type)
    if spec.script is not None:
        launch = engines.make_launch("shell", {"script": spec.script}, {})
        return ResolvedTask({}, {**launch, "script": spec.script}, "shell")
    return ResolvedTask({}, {"argv": spec.argv}, "exec")


def _resolve_parameters(spec: TaskSpec, template: TemplateRow) -> dict[str, Any]:
    given: Mapping[str, Any] = spec.parameters or {}
    if spec.parameter_texts:
        pairs = [(name, text) for name, text in spec.parameter_texts]
        given = {**given, **parameters.convert_texts(pairs, template.parameters)}
    return parameters.resolve_values(template.parameters, given, template.name)
