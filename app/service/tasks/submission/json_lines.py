"""Lines of `submit --from`: their parsing, and problems that name a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from app.core.task_spec import TaskSpec, describe_error
from app.core.text import units
from app.errors import NOT_SUBMITTED, Conflict, NotFound, Problem, Usage
from app.translation import tr, tr_noop


def number_lines(lines: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the lines that are not blank, with their numbers."""
    return ((n, line) for n, line in enumerate(lines, 1) if line and not line.isspace())


def list_refused(refused: Mapping[int, Problem]) -> list[dict[str, Any]]:
    """Return the refused lines as sent to clients, in order."""
    return [
        {"line": n, "message": str(problem).replace(f" {NOT_SUBMITTED}", "")}
        for n, problem in sorted(refused.items())
    ]


def parse_line(line: str | bytes) -> TaskSpec | Problem:
    """Return the task of a line, or why it is none."""
    data = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
    try:
        spec = TaskSpec.model_validate_json(data)
    except ValidationError as error:
        return Usage(describe_error(error) if _is_utf8(data) else "is not UTF-8")
    # One colon follows each key. More colons belong to texts, or a key appears twice.
    keys = len(spec.model_fields_set) + len(spec.tags) + len(spec.env)
    twice = _find_duplicate_key(line) if data.count(b":") != keys else None
    return spec if twice is None else Usage("{twice} appears twice", twice=units.quote(twice))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _find_duplicate_key(line: str | bytes) -> str | None:
    """Return a key that occurs twice in an object of valid JSON; pydantic takes the last value."""
    found: list[str] = []

    def check_keys(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            found.extend(key for key in keys if keys.count(key) > 1)

    json.loads(line, object_pairs_hook=check_keys, parse_int=str)  # int() refuses long numbers
    return found[0] if found else None


def make_empty_problem(refused: Mapping[int, Problem]) -> Usage:
    """Return the problem of a submission without a good task."""
    n, problem = min(refused.items(), default=(0, None))
    if problem is None:
        return Usage("there is no task to submit: all lines are blank.")
    return Usage("line {line}: {problem}", line=n, problem=problem)


_NAME_HINT = tr_noop(
    'Another line is named by its name: {"name": "a", …}, then {"after": ["a"], …}'
)


def make_line_problem(n: int, problem: Problem, total: int) -> Problem:
    """Return a problem with its line number."""
    undone = tr(NOT_SUBMITTED)
    said = str(problem).replace(f" {undone}", "").replace(undone, "").rstrip(".。")
    kind = type(problem) if isinstance(problem, (Usage, NotFound, Conflict)) else Usage
    hint = tr(_NAME_HINT) if problem.message.startswith(tr('there is no task "')) else ""
    if total == 1:
        text = tr(
            "line {line}: {problem}. This line was not stored; --keep-going stores the good lines.",
            line=n,
            problem=said,
        )
    else:
        text = tr(
            "line {line}: {problem}. None of the {total:,} lines was stored; --keep-going stores"
            " the good lines.",
            line=n,
            problem=said,
            total=total,
        )
    return kind(text, hint)
