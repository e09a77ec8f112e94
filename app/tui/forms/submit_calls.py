"""What the form for a new task asks of the runtime, each a function for a thread that has a client."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.core import shell_context
from app.core.filter_query import quote_word
from app.core.schema import parameters
from app.errors import NOT_SUBMITTED, Problem


def capture_context() -> dict[str, Any]:
    """`cwd`, `umask` and `env` as the verb `submit` takes them."""
    return {"cwd": _get_directory(), "umask": shell_context.read_umask(), "env": shell_context.read_environment()}


def _get_directory() -> str:
    """The directory that the deck was opened in; the root when it no longer exists."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


if TYPE_CHECKING:
    from app.client import Client


DISK_FULL = "disk-full"
"""The code of the problem that a full disk is."""
SHELL_HINT = "Add: -p "
"""How an advice begins that means the command line; in a form the fields stand there."""


def read_templates(client: Client) -> Sequence[Mapping[str, Any]]:
    """All templates; what checks their parameters is loaded here, in the thread that asks."""
    rows = client.call("template.ls", {})
    for row in rows[:1]:
        parameters.find_faults(row.get("parameters") or {}, {})
    return rows


def find_last_task(client: Client, template: str) -> Mapping[str, Any] | None:
    """The newest task of a template, as the verb `show` answers it."""
    page = client.call("browse", {"filter": f"template:{quote_word(template)}", "limit": 1})
    rows = [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]
    return client.call("show", {"id": rows[0]["uuid"]}) if rows else None


def check_submission(client: Client, args: Mapping[str, Any], home: str) -> tuple[str, str]:
    """Why the runtime would refuse this submission ("" when it would not), and the name that the task would have."""
    try:
        return "", str(client.call("submit", dict(args))[0]["name"])
    except Problem as problem:
        return _format_problem(problem, home), ""


def submit(client: Client, args: Mapping[str, Any], home: str) -> Any:
    """Submit; what the runtime answers. Raises the Problem it ends with."""
    try:
        return client.call("submit", dict(args))
    except Problem as problem:
        raise Problem(_format_problem(problem, home)) from problem


def _format_problem(problem: Problem, home: str) -> str:
    """Why, and what to do about it. That nothing was submitted is plain in a form that stands there still."""
    if problem.code != DISK_FULL:
        hint = "" if problem.hint.startswith(SHELL_HINT) else problem.hint
        return f"{problem.message.replace(NOT_SUBMITTED, '').strip()} {hint}".strip()
    return f"the disk is full and a task must be on disk to be accepted. Free space in {home}, then ctrl+j."
