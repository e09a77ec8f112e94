"""Lookup of tasks by what users type: `42`, `#42`, a uuid or its prefix, a unique name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from app.core import task_groups
from app.core.text.sanitize import find_name_error, find_nearest, sanitize, truncate
from app.errors import Conflict, NotFound, Problem, Refused, Usage, problem_to_dict
from app.service.arguments import check_value, parse_since
from app.service.tasks import filters as filter_lines
from app.translation import tr
from db.engine import Connection
from db.queries import counters, definitions, reads, schedules
from db.queries.tasks import groups
from db.queries.tasks.task_numbers import SUBMISSIONS
from db.rows import GroupRow, TaskRow, TaskStateRow
from db.search import pagination
from db.states import TaskStatus

AnyTask = TaskRow | TaskStateRow
"""A task with the columns that verbs check and change."""
Task = TypeVar("Task", TaskRow, TaskStateRow)
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")
_NUMBER_LIST = re.compile(r"#?[0-9]{1,7}((,|-|:|\.\.)#?[0-9]{1,7})+")
"""`21,22` or `21-23`, as other queue managers accept."""
_LARGEST = 2**63 - 1
_SELECTORS: dict[str, Any] = {
    "status": Sequence[str] | str, "group": Sequence[str] | str, "queue": str, "name": str,
    "tag": dict[str, str], "since": float | str, "filter": Any, "as_of": Any,
}  # fmt: skip
"""Types of the conditions of a selection. `Any` is checked where the value is used."""


def find_task(c: Connection, ident: str | int) -> TaskRow:
    """Return the task that an id refers to.

    Raise NotFound, or Conflict if several tasks have the name.
    """
    return find_tasks(c, [ident])[0]


def find_tasks(c: Connection, idents: Sequence[str | int]) -> list[TaskRow]:
    """Return the tasks that ids refer to. Raise the first problem, as `find_task` does."""
    found = look_up(c, idents)
    for row in found:
        if isinstance(row, Problem):
            raise row
    return [row for row in found if not isinstance(row, Problem)]


def find_all(c: Connection, idents: Sequence[str | int]) -> list[str]:
    """Return the uuids of the tasks that ids of tasks and groups refer to.

    Raise the first problem.
    """
    found = dict[str, None]()
    for word, part in _split_groups(c, idents):
        if isinstance(part, Problem):
            raise part
        uuids = (
            groups.list_uuids(c, part.number)
            if isinstance(part, GroupRow)
            else [row.uuid for row in find_tasks(c, part)]
        )
        if not uuids:
            raise NotFound("{word} has no tasks any more.", "List: taskdeck ls --groups", word=word)
        found |= dict.fromkeys(uuids)
    return [*found]


def find_group(c: Connection, word: str | int) -> GroupRow | None:
    """Return the group that a word such as `g12` names, or None for any other word.

    Raise NotFound, or Conflict if a task has this name, too.
    """
    number = task_groups.parse_group(str(word))
    if number is None:
        return None
    found = groups.map_groups(c, [number]).get(number)
    named = reads.find_by_name(c, str(word).strip(), 1)
    if found and named:
        raise Conflict(
            '"{word}" is a group and the name of task #{number}.',
            "Give the number, or for the group: --filter group:{word}",
            word=word,
            number=named[0].number,
        )
    if found is None and not named:
        raise _make_no_group(word)
    return found


def _make_no_group(word: str | int) -> NotFound:
    return NotFound('there is no group "{word}".', "List: taskdeck ls --groups", word=word)


def has_groups(idents: Sequence[str | int]) -> bool:
    """Return True if one of the words may name a group."""
    return any(task_groups.parse_group(str(ident)) is not None for ident in idents)


def _split_groups(
    c: Connection, idents: Sequence[str | int]
) -> Iterator[tuple[str | int, list[str | int] | GroupRow | Problem]]:
    """Yield each group with its word, or why there is none, and lists of the ids between them."""
    others: list[str | int] = []
    for ident in idents:
        try:
            found = find_group(c, ident)
        except Problem as problem:
            found = problem
        if found is None:
            others.append(ident)
            continue
        if others:
            yield "", others
        others = []
        yield ident, found
    if others:
        yield "", others


def look_up(c: Connection, idents: Sequence[str | int]) -> list[TaskRow | Problem]:
    """Return the task of each id, or the problem of `find_task`, from few queries."""
    words = [str(ident).strip() for ident in idents]
    numbers = {word: number for word in words if (number := _parse_number(word)) is not None}
    by_number = reads.map_by_number(c, [*numbers.values()]) if numbers else {}
    names = [word for word in words if word and word not in numbers and _is_encodable(word)]
    by_word = reads.map_by_name(c, names)
    prefixes = [word for word in names if word not in by_word and _PREFIX.fullmatch(word.lower())]
    by_word |= reads.map_by_prefix(c, prefixes)
    uuids = [uuid for uuid, _ in by_word.values()]
    known = {row.uuid: row for row in reads.list_by_uuid(c, uuids)} if uuids else {}
    return [
        by_number.get(numbers[word]) or _make_not_found(word)
        if word in numbers
        else _choose(c, word, known, *by_word.get(word, ("", True)))
        for word in words
    ]


def _choose(
    c: Connection, word: str, known: Mapping[str, TaskRow], uuid: str, is_only: bool
) -> TaskRow | Problem:
    if not uuid and task_groups.parse_group(word) is not None:
        return _refuse_group(c, word)
    if not is_only:
        found = reads.find_by_name(c, word) or reads.find_by_prefix(c, word.lower())
        return Conflict(_describe_ambiguity(word, found), "Give the number.")
    return known.get(uuid) or _make_not_found(word)


def _refuse_group(c: Connection, word: str) -> Problem:
    """Return the problem of a group where a single task is expected."""
    try:
        find_group(c, word)
    except Problem as problem:
        return problem
    hint = tr("Its tasks: taskdeck ls {word}", word=word)
    return Conflict(f"{word} is a group, and this takes a single task.", hint)


def _make_not_found(word: str) -> NotFound:
    if task_groups.is_similar(word):
        return NotFound(
            'there is no task "{word}". Groups are written as g12.',
            "List: taskdeck ls --groups",
            word=truncate(sanitize(word), 60),
        )
    hint = (
        tr("Give several numbers one by one (--after may repeat). ")
        if _NUMBER_LIST.fullmatch(word)
        else ""
    )
    return NotFound(
        'there is no task "{word}".',
        "{advice}List: taskdeck ls",
        word=truncate(sanitize(word), 60),
        advice=hint,
    )


def _parse_number(word: str) -> int | None:
    """Return the number that a word such as `42` or `#42` means, 0 if too large, or None."""
    digits = word.strip().removeprefix("#")
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits) if len(digits) < 20 else 0
    return number if number <= _LARGEST else 0


def _is_encodable(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe_ambiguity(word: str, found: Sequence[TaskRow]) -> str:
    numbers = ", ".join(f"#{row.number}" for row in found[:10])
    return tr(
        '"{word}" is the name of {n} tasks: {numbers}.',
        word=truncate(sanitize(word), 60),
        n=len(found),
        numbers=numbers,
    )


@dataclass(frozen=True, slots=True)
class ResolvedTasks:
    """The tasks of a verb, and refusals for ids that were not found."""

    tasks: tuple[TaskRow, ...]
    refused: tuple[dict[str, Any], ...]


def resolve(
    c: Connection, ids: Sequence[str | int] | None, select: dict[str, Any] | None
) -> ResolvedTasks:
    """Resolve ids, without duplicates and in order, or a selection to tasks.

    Raise Usage if both are empty, which never means all tasks.
    """
    selection, as_of = _parse_selection(select or {})
    if selection:
        return ResolvedTasks(_drop_changed(c, _list_selected(c, selection), as_of), ())
    if not ids:
        raise Usage("which tasks? Give numbers, or a selection such as --status or --queue.")
    idents = [ids] if isinstance(ids, (str, int)) else ids
    if has_groups(idents):
        uuids, problems = resolve_uuids(c, idents, None)
        return ResolvedTasks(tuple(_fetch_in_order(c, uuids)), problems)
    return _resolve_tasks(c, idents)


def _resolve_tasks(c: Connection, idents: Sequence[str | int]) -> ResolvedTasks:
    """Resolve ids of tasks, without duplicates and in order."""
    tasks: dict[str, TaskRow] = {}
    refused = []
    for ident, row in zip(idents, look_up(c, idents), strict=True):
        if isinstance(row, Problem):
            refused.append(make_refusal(row, ident))
        else:
            tasks.setdefault(row.uuid, row)
    return ResolvedTasks(tuple(tasks.values()), tuple(refused))


def resolve_uuids(
    c: Connection,
    ids: Sequence[str | int] | None,
    select: dict[str, Any] | None,
    states: Sequence[str] = (),
) -> tuple[list[str], tuple[dict[str, Any], ...]]:
    """Resolve ids or a selection to uuids.

    The uuids of a million tasks fit into memory. Tasks changed since `as_of` are included;
    `recheck` drops them. Of a group only tasks in one of `states` are included; a group of which
    tasks are still to be stored is refused then, since the action would miss them.
    """
    selection, _ = _parse_selection(select or {})
    if "filter" in selection:
        return pagination.list_uuids(
            c, pagination.list_matching(c, _read_selection_filter(c, selection))
        ), ()
    if selection:
        query = to_list_arguments(selection)
        for group in require_known(c, query) if states else ():
            _require_complete(c, group)
        return reads.list_uuids(c, **query), ()
    idents = [ids] if isinstance(ids, (str, int)) else ids or ()
    if not has_groups(idents):
        found = resolve(c, ids, select)
        return [row.uuid for row in found.tasks], found.refused
    uuids, refused = dict[str, None](), list[dict[str, Any]]()
    for word, part in _split_groups(c, idents):
        if isinstance(part, Problem):
            refused.append(make_refusal(part, word))
        elif isinstance(part, GroupRow):
            try:
                if states:
                    _require_complete(c, part)
            except Conflict as problem:
                refused.append(make_refusal(problem, word))
                continue
            uuids |= dict.fromkeys(groups.list_uuids(c, part.number, states))
        else:
            resolved = _resolve_tasks(c, part)
            uuids |= dict.fromkeys(row.uuid for row in resolved.tasks)
            refused += resolved.refused
    return [*uuids], tuple(refused)


def _require_complete(c: Connection, group: GroupRow) -> None:
    """Raise Conflict if tasks of a group are still to be stored."""
    if any(name.startswith(group.uuid) for name in counters.map_values(c, SUBMISSIONS)):
        word = task_groups.format_group(group.number)
        raise Conflict("{word} is still being stored. Nothing was done.", "Try again.", word=word)


def _list_selected(c: Connection, selection: dict[str, Any]) -> list[TaskRow]:
    if "filter" in selection:
        return _fetch_in_order(
            c,
            pagination.list_uuids(
                c, pagination.list_matching(c, _read_selection_filter(c, selection))
            ),
        )
    query = to_list_arguments(selection)
    require_known(c, query)
    return reads.list_tasks(c, **query)


def _fetch_in_order(c: Connection, uuids: Sequence[str]) -> list[TaskRow]:
    rows = {row.uuid: row for row in reads.list_by_uuid(c, uuids)}
    return [rows[uuid] for uuid in uuids if uuid in rows]


def _read_selection_filter(c: Connection, selection: dict[str, Any]) -> pagination.TaskSelection:
    """Return the filter of a selection, which must be its only condition."""
    if len(selection) > 1 or not isinstance(selection["filter"], str):
        raise Usage(
            "a filter must be text and cannot be combined with other selections. Nothing was done."
        )
    return parse_selection_filter(c, selection["filter"])


def parse_selection_filter(c: Connection, text: str) -> pagination.TaskSelection:
    """Parse a filter that selects tasks. Refuse an empty filter, which would match all."""
    found = parse_filter(c, text)
    if not found.conditions:
        raise Usage("the filter is empty and would select every task. Nothing was done.")
    return found


def parse_filter(c: Connection, text: str) -> pagination.TaskSelection:
    """Parse a filter line.

    Raise Usage for an invalid line, and NotFound for an unknown queue or group.
    """
    query = filter_lines.parse_line(text)
    for name in filter_lines.get_queue_names(query):
        require_queue(c, name)
    _require_groups(c, {number for term in query.terms for number in term.numbers})
    return filter_lines.to_conditions(query)


def recheck(
    c: Connection, uuids: Sequence[str], select: dict[str, Any] | None
) -> Sequence[TaskStateRow]:
    """Return the tasks that still have the selected states, or still match the filter.

    The order of `uuids` is kept.
    """
    selection, as_of = _parse_selection(select or {})
    states: Sequence[str] = ()
    if "filter" in selection:
        uuids = pagination.filter_matching_uuids(c, _read_selection_filter(c, selection), uuids)
    else:
        states = to_list_arguments(selection)["statuses"]
    known = reads.map_states(c, uuids)
    found = [known[uuid] for uuid in uuids if uuid in known]
    if states:
        found = [row for row in found if row.status in states]
    return _drop_changed(c, found, as_of)


def _drop_changed(c: Connection, rows: Sequence[Task], as_of: int | None) -> tuple[Task, ...]:
    """Drop tasks that changed since the user confirmed."""
    changed = reads.find_changed(c, [row.uuid for row in rows], as_of) if as_of is not None else ()
    return tuple(row for row in rows if row.uuid not in changed)


def require_queue(c: Connection, name: str | None) -> None:
    """Raise NotFound, with the nearest name, if the queue does not exist."""
    if name is not None and name not in (known := [row.name for row in reads.list_queues(c)]):
        raise make_unknown_name("queue", name, known)


def _require_groups(c: Connection, numbers: Collection[int]) -> Collection[GroupRow]:
    """Return the groups with these numbers. Raise NotFound for an unknown one."""
    known = groups.map_groups(c, numbers) if numbers else {}
    for number in sorted({*numbers} - known.keys()):
        raise _make_no_group(task_groups.format_group(number))
    return known.values()


def require_known(c: Connection, query: dict[str, Any]) -> Collection[GroupRow]:
    """Return the groups of arguments of `reads.list_tasks`.

    Raise NotFound for an unknown queue or group.
    """
    require_queue(c, query["queue"])
    return _require_groups(c, query["groups"])


def _parse_selection(select: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Return the conditions of a selection that are set, and its `as_of`.

    Raise Usage for an unknown key, as ignoring the key would select more tasks than intended.
    """
    for word in select:
        if word not in _SELECTORS:
            near = find_nearest(word, _SELECTORS)
            raise Usage(
                f'tasks cannot be chosen by "{truncate(sanitize(word), 40)}".'
                + (f" Nearest: {near}." if near else "")
            )
    selection = {
        word: value
        for word, value in select.items()
        if value is not None and value not in ([], (), {})
    }
    for word, value in selection.items():
        check_value(word, value, _SELECTORS[word])
    as_of = selection.pop("as_of", None)
    if as_of is not None and type(as_of) is not int:
        raise Usage("as_of must be an event number from `review` or `ls`. Nothing was done.")
    return selection, as_of


def make_refusal(problem: Problem, ident: str | int, number: int | None = None) -> dict[str, Any]:
    """Return a problem with one of several tasks, as sent to clients."""
    return {"id": str(ident), "number": number, **problem_to_dict(problem), "message": str(problem)}


def to_list_arguments(select: dict[str, Any]) -> dict[str, Any]:
    """Convert a selection to the arguments of `reads.list_tasks`.

    `since` is a past time.
    """
    statuses = [
        word.replace("-", "_").replace(" ", "_") for word in _to_list(select.get("status", ()))
    ]
    for word in statuses:
        if word not in set(TaskStatus):
            near = find_nearest(word, set(TaskStatus))
            raise Usage(
                f'there is no state "{sanitize(word)}".' + (f" Nearest: {near}." if near else ""),
                f"States: {', '.join(TaskStatus)}",
            )
    return {
        "statuses": statuses,
        "groups": [*map(_parse_group, _to_list(select.get("group", ())))],
        "queue": select.get("queue"),
        "name": select.get("name"),
        "tags": select.get("tag"),
        "since": parse_since(select.get("since")),
    }


def _to_list(words: Sequence[str] | str) -> Sequence[str]:
    return [words] if isinstance(words, str) else words


def _parse_group(word: str) -> int:
    number = task_groups.parse_group(word)
    if number is None:
        raise _make_no_group(truncate(sanitize(word), 60))
    return number


def require_unused(c: Connection, kind: str, name: str, users: dict[str, int]) -> None:
    """Raise Refused if a definition is in use.

    `users` counts the objects that refer to it, by kind.
    """
    if counters.find_first_name(c, SUBMISSIONS):
        raise Conflict("a large submission is being stored. Nothing was removed.", "Try again.")
    who = _find_users(c, kind, name) if any(users.values()) else {}
    said = [
        f"{n} {word}{'s' if n > 1 else ''}{_format_names(who.get(word, []))}"
        for word, n in users.items()
        if n
    ]
    if said:
        verb = "refers" if sum(users.values()) == 1 else "refer"
        hint = (
            tr("Ended tasks count until they are removed: taskdeck rm, or after 30 days.")
            if users.get("task")
            else ""
        )
        raise Refused(
            f"{' and '.join(said)} {verb} to {kind} {sanitize(name)}. It was not removed.", hint
        )


def _find_users(c: Connection, kind: str, name: str) -> dict[str, list[str]]:
    """Return the names of the definitions that refer to a definition, by kind."""
    key = kind.lower()
    found = {
        "rule": [
            row.name
            for row in definitions.list_slas(c)
            if row.conditions.get("match", {}).get(key) == name
        ]
    }
    found["schedule"] = schedules.list_users(c, key, name)
    if key == "queue":
        found["template"] = [row.name for row in definitions.list_templates(c) if row.queue == name]
    if key == "pool":
        found["queue"] = [row.name for row in reads.list_queues(c) if row.pool == name]
    if key == "rule":
        rule = definitions.find_sla(c, name)
        found["pool"] = [row.name for row in reads.list_pools(c) if rule and row.sla_id == rule.id]
    return found


def _format_names(names: Sequence[str]) -> str:
    """Return a list of names in parentheses: ` (encode, thumbs, etl, …)`."""
    return (
        f" ({', '.join([sanitize(name) for name in names[:3]] + ['…'] * (len(names) > 3))})"
        if names
        else ""
    )


def make_unknown_queue(name: str, known: Sequence[str]) -> NotFound:
    """Return the problem of an unknown queue.

    Suggest creating the queue unless the name looks like a typing error.
    """
    if not known:
        return NotFound(
            'there is no queue "{name}", nor any other queue.',
            "Create the default one: taskdeck db check --repair",
            name=truncate(sanitize(name), 60),
        )
    if find_nearest(name, known) or find_name_error(name):
        return make_unknown_name("queue", name, known)
    make = tr("Create it: taskdeck queue create {name}", name=shlex.quote(name))
    return NotFound(
        'there is no queue "{name}".',
        "List: taskdeck queue ls. {make}",
        name=truncate(sanitize(name), 60),
        make=make,
    )


def make_unknown_name(kind: str, name: str, known: Sequence[str]) -> NotFound:
    """Return the problem of an unknown name, with the nearest existing one."""
    near, word = find_nearest(name, known), "rule" if kind == "sla" else kind
    group = "reserve" if kind == "reservation" else kind
    return NotFound(
        'there is no {kind} "{name}". Nearest: {meant}.'
        if near
        else 'there is no {kind} "{name}".',
        "List: taskdeck {group} ls",
        kind=tr(word),
        name=truncate(sanitize(name), 60),
        meant=near,
        group=group,
    )
