"""Options for named resources: of tasks, templates, schedules and pools."""

from __future__ import annotations

import argparse

from app.cli.parser import make_type
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.parser import Args

DEST = "resources"


def _parse_named(text: str) -> list[tuple[str, int]]:
    from app.core.scheduling.resources import parse_named

    return [parse_named(text)]


def _parse_gpus(text: str) -> list[tuple[str, int]]:
    from app.core.scheduling.resources import GPU, MAX_AMOUNT
    from app.core.text.units import parse_int

    return [(GPU, parse_int(text, 0, MAX_AMOUNT))]


def _parse_gres(text: str) -> list[tuple[str, int]]:
    """Parse Slurm's `gpu:a100:2,tape`, and note that the type is left out."""
    from app.cli import output
    from app.core.slurm import values

    found = values.parse_gres(text)
    pairs = [pair for name, n in found.amounts.items() for pair in _parse_named(f"{name}={n}")]
    if found.types:
        output.print_note(f"--gres {text}: {values.describe_types(found.types)}")
    return pairs


def add_resource_options(
    add: Callable[..., Any], use: str = tr_noop("reserve"), more: str = ""
) -> None:
    """Add `--gpu` and `--resource`, and Slurm's words for them."""
    named = tr(
        "named resource to {use}: license.matlab=1; repeatable{more}", use=tr(use), more=tr(more)
    )
    for option, kind, text in (
        ("--gpu", _parse_gpus, tr("GPUs to {use}", use=tr(use))),
        ("--gpus", _parse_gpus, argparse.SUPPRESS),
        ("--gres", _parse_gres, argparse.SUPPRESS),
        ("--resource", _parse_named, named),
    ):
        metavar = "NAME=N" if option == "--resource" else "N"
        add(option, dest=DEST, action="extend", type=make_type(kind), metavar=metavar, help=text)


def collect_resources(args: Args) -> dict[str, dict[str, int]]:
    """Return {"resources": {name: amount}} of the options, {} without any."""
    pairs = getattr(args, DEST)
    return {DEST: dict(pairs)} if pairs else {}
