"""Resource names and amounts: CPU and memory, and the named resources beside them.

A named resource is counted in whole units: GPUs, licences, tape drives.
"""

from __future__ import annotations

import re
from math import inf

from app.core.json_types import is_object
from app.core.text.sanitize import sanitize
from app.core.text.units import format_memory, format_number
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from app.core.scheduling.plan import Amounts

CPU, MEMORY, GPU = "cpu", "memory", "gpu"
MAX_AMOUNT = 1_000_000
_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*", re.IGNORECASE)
MAX_NAME = 64


def make_amounts(cpu: float, memory: float, named: Mapping[str, float] | None) -> Amounts:
    """Return the amounts of all resources that a task, a run or a pool has."""
    return {CPU: cpu, MEMORY: memory, **(named or {})}


def get_most(name: str, machine: Amounts, given: Amounts) -> float:
    """Return how much the machine has of a resource, inf for one that is no part of a machine.

    An unknown amount is the one that is given out already, if any.
    """
    if name not in (CPU, MEMORY, GPU):
        return inf
    return machine.get(name, given.get(name) or inf)


def get_named(amounts: Amounts) -> dict[str, int]:
    """Return the named resources among amounts."""
    return {name: int(n) for name, n in amounts.items() if name not in (CPU, MEMORY)}


def check_named(amounts: Any) -> dict[str, int]:
    """Return {named resource: amount}, or raise ValueError."""
    if not is_object(amounts):
        raise ValueError(tr("must be a table of names and amounts, such as { gpu = 2 }"))
    found = {check_name(name): _check_amount(name, amount) for name, amount in amounts.items()}
    return dict(sorted(found.items()))


def check_name(name: Any) -> str:
    """Return the name of a named resource, or raise ValueError."""
    text = str(name)
    if text.lower() in (CPU, MEMORY):
        raise ValueError(
            tr(
                "{said} is no named resource: give {reason} by itself",
                said=text,
                reason=text.lower(),
            )
        )
    if len(text) > MAX_NAME or not _NAME.fullmatch(text):
        raise ValueError(
            tr(
                '"{said}" is no name of a resource: use letters, digits, "-", "_" and ".", such'
                " as license.matlab",
                said=sanitize(text[:MAX_NAME]),
            )
        )
    return text


def _check_amount(name: Any, amount: Any) -> int:
    is_whole = isinstance(amount, int | float) and not isinstance(amount, bool)
    if not (is_whole and 0 <= amount <= MAX_AMOUNT and amount == int(amount)):
        raise ValueError(
            tr(
                "{name} must be a whole number from 0 to {max_amount:,}",
                name=sanitize(str(name)),
                max_amount=MAX_AMOUNT,
            )
        )
    return int(amount)


def parse_named(text: str) -> tuple[str, int]:
    """Return name and amount of `gpu=2` or `gpu`, or raise ValueError."""
    name, is_given, amount = text.partition("=")
    if not is_given:
        return check_name(name), 1
    if not amount.isascii() or not amount.isdigit():
        raise ValueError(
            tr('"{said}" is no amount of a resource: write NAME=2', said=sanitize(text))
        )
    return check_name(name), _check_amount(name, int(amount))


def format_amount(name: str, amount: float) -> str:
    """Format an amount without its name: `12.0G`, `2`."""
    return format_memory(amount) if name == MEMORY else format_number(amount)


def choose_format(name: str, *amounts: float) -> Callable[[float], str]:
    """Return a format for these amounts of a resource, an exact one if some would look equal."""
    if name != MEMORY:
        return format_number
    is_exact = len({format_memory(mib) for mib in amounts}) < len(set(amounts))
    return _format_exact_memory if is_exact else format_memory


def _format_exact_memory(mib: float) -> str:
    return f"{format_number(mib)}M"


def format_named(amounts: Mapping[str, float] | None) -> str:
    """Format named resources: `gpu 2, license.matlab 1`; "" for none."""
    return ", ".join(list_named(amounts))


def list_named(amounts: Mapping[str, float] | None) -> list[str]:
    """Return the parts of `format_named`."""
    found = amounts or {}
    return [f"{sanitize(name)} {format_number(found[name])}" for name in sorted(found)]


def format_amounts(amounts: Amounts) -> str:
    """Format amounts before their names: `8 cpu, 4 gpu, 16.0G memory`."""
    return ", ".join(
        f"{format_amount(name, amount)} {sanitize(name)}"
        for name, amount in sorted(amounts.items())
    )


def format_use(name: str, used: float, total: float) -> str:
    """Format what is reserved of a named resource: `gpu 2/4`."""
    return f"{sanitize(name)} {format_number(used)}/{format_number(total)}"


def format_named_option(name: str, amount: float) -> str:
    """Format the option that asks for a named resource: `--gpu 2`, `--resource tape=1`."""
    number = format_number(amount)
    return f"--{GPU} {number}" if name == GPU else f"--resource {name}={number}"
