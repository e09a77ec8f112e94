"""Checks of tasks against the limits of their tags."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from app.core.scheduling.amounts import Amounts, can_fit
from app.core.scheduling.limits import RUNNING, Limits, find_name, list_excess
from app.core.scheduling.resources import CPU, MEMORY, format_amount, format_named_option, get_most
from app.core.text.sanitize import sanitize
from app.errors import NOT_SUBMITTED, Refused
from app.service import machine
from app.translation import tr


def require_within_limits(
    limits: Limits, tags: Mapping[str, str], needs: Amounts, undone: str = NOT_SUBMITTED
) -> None:
    """Raise Refused if a task asks for more than a limit of its tags can ever give."""
    for key, total in list_excess(limits, tags, needs) if limits and tags else ():
        name = find_name(limits, key.subject) or key.subject
        need = 1.0 if key.resource == RUNNING else needs[key.resource]
        most = get_most(key.resource, machine.read_amounts(), {})
        asked, has = (format_amount(key.resource, amount) for amount in (need, total))
        what = "" if key.resource == MEMORY else f" {sanitize(key.resource)}"
        if key.resource == RUNNING:
            asked, what = tr("to run"), ""
            has = tr("{amount} running tasks", amount=has)
        raise Refused(
            "needs {asked}{what}, but limit {name} gives at most {has} in all: it could"
            " never start. {undone}",
            "Ask for less, or: taskdeck limit set {word} {option}"
            if can_fit(need, most)
            else "The task cannot run on this machine. Ask for less: {fits}",
            asked=asked,
            what=what,
            name=sanitize(name),
            has=has,
            undone=tr(undone),
            option=format_limit_option(key.resource, need),
            fits=format_limit_option(key.resource, min(total, most)),
            word=shlex.quote(sanitize(name)),
        )


def format_limit_option(resource: str, amount: float) -> str:
    """Format the option that sets an amount of a limit: `--running 4`, `--gpu 2`."""
    if resource == RUNNING:
        return f"--running {format_amount(resource, amount)}"
    if resource in (CPU, MEMORY):
        return f"--{resource} {format_amount(resource, amount)}"
    return format_named_option(resource, amount)
