"""Field `resources` of forms: named resources as typed, and what is free of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from app.core.board import Board, PoolEntry, ResourceUse
from app.core.scheduling.resources import CPU, MEMORY, format_named_option, parse_named
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr

EXAMPLE = "gpu=2, license.matlab=1"
_SIGN = re.compile(r"\s*[=:]\s*|\s+(?=\d+(?:[\s,]|$))")
"""Sign between name and amount: `gpu=2`, `gpu: 2`, `gpu 2`."""


def parse_resources(text: str) -> dict[str, int]:
    """Parse `gpu=2, license.matlab=1`, or raise ValueError with the rest of a sentence."""
    found: dict[str, int] = {}
    for part in re.split(r"[\s,]+", _SIGN.sub("=", text.strip())):
        name = part.partition("=")[0]
        if name.lower() in (CPU, MEMORY):
            raise ValueError(tr("must not name {name}, which has a field of its own", name=name))
        if name in found:
            raise ValueError(tr("must name {name} once", name=sanitize(name)))
        if part:
            try:
                found |= [parse_named(part)]
            except ValueError:
                raise ValueError(
                    tr(
                        "must be like {example}, not {part}",
                        example=EXAMPLE,
                        part=units.quote(part),
                    )
                ) from None
    return found


def parse_kept(text: str) -> dict[str, int]:
    """Parse resources of which an amount of 0 is none."""
    return {name: amount for name, amount in parse_resources(text).items() if amount}


def format_resources(amounts: Mapping[str, int] | str | None) -> str:
    """Format named resources as a field takes them."""
    found = amounts if isinstance(amounts, Mapping) else {}
    return ", ".join(f"{sanitize(name)}={found[name]}" for name in sorted(found))


def make_change(
    amounts: Mapping[str, int] | str | None, *before: Mapping[str, int] | str | None
) -> dict[str, int]:
    """Return amounts as a verb takes them: a name that was there before and is gone gets 0."""
    gone = {name: 0 for old in before if isinstance(old, Mapping) for name in old}
    return gone | dict(amounts if isinstance(amounts, Mapping) else {})


def list_options(amounts: Mapping[str, int]) -> list[str]:
    """Return the options of a command for these amounts."""
    return [
        word
        for name, amount in sorted(amounts.items())
        for word in format_named_option(name, amount).split()
    ]


def has_named_resources(board: Board | None) -> bool:
    """Return True if a pool has named resources, or if pools share some."""
    return board is not None and (
        bool(board.resources) or any(pool.resources for pool in board.pools)
    )


def find_uses(board: Board, pool: PoolEntry, name: str) -> list[ResourceUse]:
    """Return the use of a resource of a pool, and of the shared one of the same name."""
    return [one for one in (*pool.resources, *board.resources) if one.name == name]


def describe_free(board: Board, pool: PoolEntry) -> str:
    """Describe what is free for a task: `gpu 2 of 4 free`; "" without named resources."""
    names = sorted({one.name for one in (*pool.resources, *board.resources)})
    parts = [_describe_uses(find_uses(board, pool, name)) for name in names]
    return tr("{parts} free", parts=", ".join(parts)) if parts else ""


def _describe_uses(uses: Sequence[ResourceUse]) -> str:
    least = min(uses, key=lambda one: one.total - one.used)
    return tr(
        "{name} {free} of {total}",
        name=sanitize(least.name),
        free=max(0, least.total - least.used),
        total=least.total,
    )
