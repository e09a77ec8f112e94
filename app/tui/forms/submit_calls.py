"""Requests of the submit form, to be run in a thread with a client."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.core import shell_context
from app.core.filter_query import quote_word
from app.core.schema import parameters
from app.errors import NOT_SUBMITTED, Problem
from app.translation import tr, tr_noop


def capture_context() -> dict[str, Any]:
    """Return `cwd`, `umask` and `env` as verb `submit` takes them."""
    return {
        "cwd": _get_directory(),
        "umask": shell_context.read_umask(),
        "env": shell_context.read_environment(),
    }


def _get_directory() -> str:
    """Return the deck's directory, or / if it no longer exists."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


if TYPE_CHECKING:
    from app.client import Client


DISK_FULL = "disk-full"
"""Error code of a full disk."""
SHELL_HINTS = ("Add: -p ", tr_noop("Give one: --timeout 2h"),
               tr_noop("Raise its max: --retry-on-oom 1.5,max=64G"))  # fmt: skip
"""Starts of hints that refer to the command line; the form has fields instead."""


def read_queues_and_channels(client: Client) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the answers of `queue.ls` and `notify.ls`."""
    return client.call("queue.ls"), client.call("notify.ls")


def read_templates(client: Client) -> Sequence[Mapping[str, Any]]:
    """Return all templates.

    Also imports the parameter validation, in the calling thread.
    """
    rows = client.call("template.ls", {})
    for row in rows[:1]:
        parameters.find_faults(row.get("parameters") or {}, {})
    return rows


def find_last_task(client: Client, template: str) -> Mapping[str, Any] | None:
    """Return the newest task of a template in the form of `show`, or None."""
    page = client.call("browse", {"filter": f"template:{quote_word(template)}", "limit": 1})
    rows = [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]
    return client.call("show", {"id": rows[0]["uuid"]}) if rows else None


def check_submission(client: Client, args: Mapping[str, Any], home: str) -> tuple[str, str]:
    """Return the refusal of a submission ("" if accepted) and the task's name."""
    try:
        return "", str(client.call("submit", dict(args))[0]["name"])
    except Problem as problem:
        return _format_problem(problem, home), ""


def submit(client: Client, args: Mapping[str, Any], home: str) -> Any:
    """Submit and return the reply. Raise Problem."""
    try:
        return client.call("submit", dict(args))
    except Problem as problem:
        raise Problem(_format_problem(problem, home)) from problem


def _format_problem(problem: Problem, home: str) -> str:
    """Return the reason and the advice.

    The open form shows that nothing was submitted.
    """
    if problem.code != DISK_FULL:
        hint = "" if problem.hint.startswith(tuple(map(tr, SHELL_HINTS))) else problem.hint
        return f"{problem.message.replace(tr(NOT_SUBMITTED), '').strip()} {hint}".strip()
    return tr(
        "the disk is full and a task must be on disk to be accepted. Free space in {home},"
        " then ctrl+j.",
        home=home,
    )
