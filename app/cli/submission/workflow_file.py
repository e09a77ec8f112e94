"""Workflow files of `submit --from FILE.toml`."""

from __future__ import annotations

import os
from contextlib import contextmanager

from app.cli import output
from app.core.dependency_kinds import AFTER_FIELDS, describe_wait
from app.core.text.sanitize import find_name_error, sanitize, truncate
from app.errors import NOT_SUBMITTED, NotFound, Problem, Refused, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from app.cli.parser import Args


def read_tasks(file: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the specifications of a workflow, parents first. Raise Problem with file and line."""
    from app.core.workflow import parse_workflow

    text = _read_text(file)
    with name_places(file):
        found = parse_workflow(text, values)
    for note in found.notes:
        output.print_note(f"{_show(file)}: {note}")
    return found.tasks


def make_group(file: str) -> dict[str, Any]:
    """Return the group of a workflow, which has the name of its file."""
    name = os.path.basename(file).removesuffix(".toml")
    return {"name": name if name and not find_name_error(name) else "workflow"}


@contextmanager
def name_places(file: str) -> Iterator[None]:
    """Add the file, and the line of the value that a problem quotes, to the problem."""
    try:
        yield
    except Problem as problem:
        if problem.exit_code in (Usage.exit_code, NotFound.exit_code, Refused.exit_code):
            is_placed = problem.message.startswith("line ")
            place = "" if is_placed else _find_place(file, problem.message)
            between = " " if is_placed or place else ": "
            problem.message = f"{_show(file)}{between}{place}{problem.message}"
        raise


def _find_place(file: str, message: str) -> str:
    """Return `line 4: ` for the only place of a quoted value or of a task, else nothing."""
    from app.core.definitions.fault_location import locate_fault, locate_quoted

    text, name = _read_text(file), message.partition('" ')[0].removeprefix('"')
    found = locate_quoted(text, message)
    if found is None and message.startswith('"'):
        found = locate_fault(text, f"tasks.{name}: ")
    return f"line {found[0]}: " if found else ""


def _read_text(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return opened.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(
            "{show} does not exist. {not_submitted}",
            show=_show(file),
            not_submitted=tr(NOT_SUBMITTED),
        ) from None
    except UnicodeDecodeError:
        raise Usage(
            "{show} is not UTF-8. {not_submitted}",
            show=_show(file),
            not_submitted=tr(NOT_SUBMITTED),
        ) from None
    except OSError as error:
        said = (error.strerror or "unknown").lower()
        raise Usage(
            "{show} cannot be read: {said}. {not_submitted}",
            show=_show(file),
            said=said,
            not_submitted=tr(NOT_SUBMITTED),
        ) from None


def _show(file: str) -> str:
    return truncate(sanitize(file), 200)


def print_dry_run(
    args: Args, tasks: Sequence[dict[str, Any]], stored: Sequence[dict[str, Any]]
) -> int:
    """Print the tasks of a workflow with what they wait for."""
    from shlex import join

    if args.json or args.jsonl:
        output.print_json(
            [row | _list_parents(task) for task, row in zip(tasks, stored, strict=True)], args.jsonl
        )
        return 0
    for task, row in zip(tasks, stored, strict=True):
        launch = row["launch"]
        waits = [
            describe_wait(kind, sanitize(parent))
            for field, kind in AFTER_FIELDS.items()
            for parent in task.get(field, ())
        ]
        line = join(launch["argv"]) if "argv" in launch else launch["script"].strip()
        output.print_line(
            f"{sanitize(row['name'])}  {''.join(f'{wait}  ' for wait in waits)}queue"
            f" {sanitize(row['queue'])}  {truncate(sanitize(line), 200)}"
        )
    many = "1 task" if len(tasks) == 1 else f"{len(tasks):,} tasks"
    output.print_message(
        tr(
            "taskdeck: dry run: {lines}. {not_submitted}",
            lines=many,
            not_submitted=tr(NOT_SUBMITTED),
        )
    )
    return 0


def _list_parents(task: dict[str, Any]) -> dict[str, Any]:
    return {field: task[field] for field in AFTER_FIELDS if field in task}
