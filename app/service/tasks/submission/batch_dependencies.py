"""Dependencies between the tasks of one submission, and on stored tasks.

A reference names another task of the submission, or else a stored one, which the caller looks up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from app.core.dependency_kinds import FAILURES, ON_FAILURE
from app.core.task_spec import TaskSpec
from app.core.text.sanitize import sanitize
from app.errors import NOT_SUBMITTED, Conflict, NotFound, Problem, Usage
from app.translation import tr

MAX_NAMED_ERRORS = 10
"""Maximum number of errors named in one refusal."""
MAX_EDGES = 1_000_000
"""Maximum number of dependencies of a batch.

A reference to a name that many tasks share adds one dependency for each of these tasks.
"""
MAX_PARENTS = 5_000
"""Maximum number of tasks that a task waits for; storing them takes some 40 ms."""
_NUMBER = re.compile(r"#?[0-9]+")

FindTasks = Callable[[str | int], list[str]]
"""Function that returns the uuids of a stored task, or of the tasks of a group.

Raises Problem.
"""


class DependencyEdge(NamedTuple):
    """A dependency of a batch task.

    `task` is a position in the batch. `parent` is a position in the batch, or the uuid of an
    existing task.
    """

    task: int
    parent: int | str
    kind: str


class Dependent(NamedTuple):
    """A batch task with dependencies: position, name, references by kind, and line number or 0."""

    at: int
    name: str
    references: tuple[tuple[str, str | int], ...]
    line: int = 0

    @classmethod
    def make(cls, at: int, name: str, spec: TaskSpec, line: int) -> Dependent:
        """Return the dependent of a specification."""
        return cls(at, name, tuple(spec.references), line)


def is_name(reference: str | int) -> bool:
    """Return True if a reference may name a batch task. Digits never do."""
    return isinstance(reference, str) and not _NUMBER.fullmatch(reference)


def find_dependencies(
    dependents: Sequence[Dependent],
    positions_by_name: Mapping[str, Sequence[int]],
    find_tasks: FindTasks,
) -> tuple[list[DependencyEdge], dict[int, Problem]]:
    """Return the dependencies, and the problems by task position.

    Unknown parents and cycles are problems. A parent may be a batch task given by name, unless that
    task has a problem itself. Raise Usage for too many dependencies.
    """
    by_position = {one.at: one for one in dependents}
    good = dict[str, Sequence[int]](positions_by_name)
    found, children = dict[int, list[DependencyEdge]](), dict[int, list[int]]()
    unknown: dict[int, Problem] = {}
    pending, many = list(by_position), 0
    while True:  # Tasks that depend on a rejected task are checked again.
        rejected = list[int]()
        for at in pending:
            edges, missing = _find_edges(
                by_position[at], positions_by_name, good, unknown, find_tasks
            )
            if len(edges) > MAX_PARENTS:
                raise _make_too_many_parents(by_position[at], len(edges))
            many += len(edges) - len(found.get(at, ()))
            if many > MAX_EDGES:
                raise _make_too_many_edges(positions_by_name, by_position[at])
            found[at] = edges
            for edge in edges:
                if isinstance(edge.parent, int):
                    children.setdefault(edge.parent, []).append(at)
            if missing:
                unknown[at] = combine_errors(missing)
                rejected.append(at)
        for cycle in () if rejected else find_cycles(found, unknown):
            unknown |= dict.fromkeys(cycle, _make_cycle_problem([by_position[at] for at in cycle]))
            rejected += cycle
        if not rejected:
            return [
                edge for at, edges in found.items() if at not in unknown for edge in edges
            ], unknown
        pending = list(
            dict.fromkeys(
                child for at in rejected for child in children.pop(at, ()) if child not in unknown
            )
        )


def _find_edges(
    task: Dependent,
    positions_by_name: Mapping[str, Sequence[int]],
    good: dict[str, Sequence[int]],
    rejected: Container[int],
    find_tasks: FindTasks,
) -> tuple[list[DependencyEdge], list[Problem]]:
    """Return the dependencies of one task, and the problems of its unknown parents.

    Remove rejected tasks from `good`, the positions by name, so that later references to the same
    name do not examine them again.
    """
    edges, missing = list[DependencyEdge](), list[Problem]()
    for kind, reference in task.references:
        inner = _find_in_batch(positions_by_name, good, reference, task.at, find_tasks)
        if any(at in rejected for at in inner):
            kept = [at for at in good[str(reference)] if at not in rejected]
            good[str(reference)], inner = kept, [at for at in kept if at != task.at]
        parents = inner or find_parents(find_tasks, reference, missing)
        named = FAILURES if kind == "failure" and len(parents) > 1 else kind
        edges += [DependencyEdge(task.at, parent, named) for parent in parents]
    return (_merge_edges(task, edges, missing) if len(task.references) > 1 else edges), missing


_WEAKEST_FIRST = ("start", "any", FAILURES, "failure", "success")


def _merge_edges(
    task: Dependent, edges: Sequence[DependencyEdge], problems: list[Problem]
) -> list[DependencyEdge]:
    """Return one dependency for each parent: the strictest. Append contradictions to `problems`."""
    found = dict[int | str, DependencyEdge]()
    for edge in edges:
        known = found.setdefault(edge.parent, edge)
        if "success" in (pair := {known.kind, edge.kind}) and pair & {*ON_FAILURE}:
            problems.append(
                Usage(
                    '"{name}" would wait for both the success and the failure of one task,'
                    " so it would never run. {not_submitted}",
                    name=sanitize(task.name),
                    not_submitted=tr(NOT_SUBMITTED),
                )
            )
        elif _WEAKEST_FIRST.index(edge.kind) > _WEAKEST_FIRST.index(known.kind):
            found[edge.parent] = edge
    return list(found.values())


def _find_in_batch(
    positions_by_name: Mapping[str, Sequence[int]],
    good: Mapping[str, Sequence[int]],
    reference: str | int,
    at: int,
    find_tasks: FindTasks,
) -> Sequence[int]:
    """Return the batch tasks that a reference names.

    A task's own name refers to a stored task of that name if there is one.
    """
    if not is_name(reference):
        return []
    named = positions_by_name.get(str(reference), ())
    if not named or len(named) > 1 or named[0] != at:
        return [i for i in good.get(str(reference), ()) if i != at]
    try:
        find_tasks(reference)
    except NotFound:
        return named
    except Problem:
        pass
    return []


def find_parents(find_tasks: FindTasks, reference: str | int, missing: list[Problem]) -> list[str]:
    """Return the uuids of the referenced stored tasks; append a problem to `missing`."""
    try:
        return find_tasks(reference)
    except Problem as problem:
        missing.append(problem)
        return []


def _make_cycle_problem(cycle: Sequence[Dependent]) -> Conflict:
    """Return the problem of a dependency cycle."""
    names = [
        f'"{sanitize(one.name)}"{f" (line {one.line})" if one.line else ""}'
        for one in cycle[:MAX_NAMED_ERRORS]
    ]
    more = (
        [tr("{more:,} more", more=len(cycle) - MAX_NAMED_ERRORS)]
        if len(cycle) > MAX_NAMED_ERRORS
        else []
    )
    return Conflict(
        "{names}: a cycle. {not_submitted}",
        names=" would wait for ".join([*names, *more, names[0]]),
        not_submitted=tr(NOT_SUBMITTED),
    )


def _make_too_many_parents(task: Dependent, count: int) -> Usage:
    line = tr(" (line {line})", line=task.line) if task.line else ""
    named = f'"{sanitize(task.name)}"{line}'
    return Usage(
        "{named} would wait for {n:,} tasks, more than {max_parents:,}. {not_submitted}",
        "Let tasks between them collect some thousands each.",
        named=named,
        n=count,
        max_parents=MAX_PARENTS,
        not_submitted=tr(NOT_SUBMITTED),
    )


def _make_too_many_edges(positions_by_name: Mapping[str, Sequence[int]], task: Dependent) -> Usage:
    """Return the problem of too many dependencies.

    A name refers to every task that has it.
    """
    several = max(
        (str(reference) for _, reference in task.references),
        key=lambda reference: len(positions_by_name.get(reference, ())),
    )
    count = len(positions_by_name.get(several, ()))
    named = tr('"{several}" names {n:,} of these tasks', several=sanitize(several), n=count)
    return Usage(
        "these tasks wait for one another in more than {max_edges:,} ways: {named}."
        " {not_submitted}",
        "Give those tasks names of their own.",
        max_edges=MAX_EDGES,
        named=named,
        not_submitted=tr(NOT_SUBMITTED),
    )


def combine_errors(problems: Sequence[Problem]) -> Problem:
    """Combine problems into one problem of the type of the first."""
    first, *others = problems
    if not others:
        return first
    said = list(
        dict.fromkeys(
            problem.message.replace(NOT_SUBMITTED, "").rstrip(". ") for problem in problems
        )
    )
    rest = (
        [tr("and {more:,} more like these", more=len(said) - MAX_NAMED_ERRORS)]
        if len(said) > MAX_NAMED_ERRORS
        else []
    )
    return type(first)(
        f"{'; '.join([*said[:MAX_NAMED_ERRORS], *rest])}. {NOT_SUBMITTED}", first.hint
    )


def find_cycles(
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
                # The other parents of these tasks are searched when the loop starts from them.
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


def iterate_parents_first(
    count: int, parents: Mapping[int, Sequence[DependencyEdge]]
) -> Iterator[int]:
    """Yield all positions below `count`, each after its parents in the batch.

    Parents that follow their child move right before the child. There must be no cycle.
    """
    done = set[int]()
    for start in range(count):
        stack = [start]
        while stack:
            at = stack[-1]
            missing = [
                edge.parent
                for edge in (parents.get(at, ()) if at not in done else ())
                if isinstance(edge.parent, int) and edge.parent not in done
            ]
            if missing:
                stack += missing
                continue
            stack.pop()
            if at not in done:
                done.add(at)
                yield at


def list_rows(
    edges: Sequence[DependencyEdge], get_uuid: Callable[[int], str]
) -> list[dict[str, Any]]:
    """Return the rows of dependencies."""
    return [
        {
            "task_id": get_uuid(e.task),
            "parent_id": get_uuid(e.parent) if isinstance(e.parent, int) else e.parent,
            "kind": e.kind,
        }
        for e in edges
    ]
