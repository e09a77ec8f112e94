"""Pools of queues as places for tasks: whether a pool can ever hold what a task asks for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

from app.core.scheduling.amounts import Amounts, can_fit
from app.core.scheduling.forecasts.run_stats import format_exact_memory
from app.core.scheduling.limits import Limits
from app.core.scheduling.resources import (
    CPU,
    GPU,
    MEMORY,
    format_amount,
    format_named_option,
    get_most,
    make_amounts,
)
from app.core.task_spec import TaskSpec
from app.core.text.joining import join_and
from app.core.text.sanitize import find_nearest, sanitize
from app.errors import NOT_SUBMITTED, Refused
from app.service import gpus, machine
from app.service.scheduling.limit_view import to_limits
from app.translation import tr, tr_noop
from db.engine import Connection
from db.queries import reads
from db.queries.scheduling import resources
from db.queries.scheduling.resources import BookingRow, parse_named
from db.rows import PoolRow


class Place(NamedTuple):
    """A pool: what it has of its own, what all pools share, and the limits of tags.

    `is_outer` marks a pool of Slurm, whose amounts only Slurm knows.
    """

    pool: str
    own: Amounts
    shared: Amounts
    limits: Limits = MappingProxyType({})
    is_outer: bool = False


def get_totals(row: PoolRow) -> Amounts:
    """Return what a pool has of its own."""
    return make_amounts(row.total_cpu, row.total_memory, parse_named(row.resources))


class SharedBounds(NamedTuple):
    """Amounts that all pools share, own ones of pools that say no more, limits, and bookings."""

    shared: Amounts
    least: Amounts
    limits: Limits
    bookings: Sequence[BookingRow]


def read_shared(c: Connection) -> SharedBounds:
    """Return what bounds the tasks of all pools together, such as the GPUs of the machine."""
    found, devices = resources.read_bounds(c), gpus.get_devices()
    limits = to_limits(found.limits, found.groups) if found.limits or found.groups else {}
    if devices is None:
        return SharedBounds(found.shared, {}, limits, found.bookings)
    shared = found.shared
    bound = min(len(devices), shared.get(GPU, len(devices)))
    least = {} if GPU in shared else {GPU: 0}
    return SharedBounds({**shared, GPU: bound}, least, limits, found.bookings)


def read_places(c: Connection) -> dict[str, Place]:
    """Return {queue: its pool as a place}."""
    shared, least, limits, _ = read_shared(c)
    pools = {
        row.name: Place(
            row.name, {**least, **get_totals(row)}, shared, limits, row.kind is not None
        )
        for row in reads.list_pools(c)
    }
    return {row.name: pools[row.pool] for row in reads.list_queues(c)}


def require_fit(place: Place, needs: Amounts, undone: str = NOT_SUBMITTED) -> None:
    """Raise Refused if a pool can never hold the request, naming all shortages."""
    if place.is_outer:
        return _require_known_resources(place, needs, undone)
    _require_shared(place.shared, needs, undone)
    totals = {name: place.own.get(name, place.shared.get(name, 0.0)) for name in _order(needs)}
    lacking = [name for name, total in totals.items() if needs[name] > total + 1e-6]
    if lacking:
        told = " and ".join(f"{format_amount(name, needs[name])} {name}" for name in lacking)
        has = " and ".join(format_amount(name, totals[name]) for name in lacking)
        pool = sanitize(place.pool)
        options = " ".join(_format_option(name, needs[name]) for name in lacking)
        excess = _describe_excess({name: needs[name] for name in lacking}, totals)
        raise Refused(
            "needs {told}, but pool {pool} has {has} in all: it could never start. {undone}",
            _BEYOND_MACHINE
            if excess
            else "{advice}Ask for less, or: taskdeck pool set {word} {options}",
            told=told,
            pool=pool,
            has=has,
            undone=tr(undone),
            advice=_suggest_name(place, lacking),
            options=options,
            word=shlex.quote(pool),
            **excess,
        )


_BEYOND_MACHINE = tr_noop(
    "The task cannot run on this machine, which has {machine} in all. Ask for less: {fits}"
)


def _require_known_resources(place: Place, needs: Amounts, undone: str) -> None:
    """Raise Refused for a named resource that has no option of sbatch."""
    others = sorted(name for name, need in needs.items() if need and name not in _SLURM_AMOUNTS)
    if others:
        pool, names = sanitize(place.pool), sanitize(", ".join(others))
        raise Refused(
            "pool {pool} hands its tasks over to Slurm, which does not know the resource"
            " {names}. {undone}",
            "Only --cpu, --memory and --gpu are handed over. For all tasks of the pool:"
            " taskdeck pool set {word} --option=--gres=…",
            pool=pool,
            names=names,
            undone=tr(undone),
            word=shlex.quote(pool),
        )


def require_plain_streams(place: Place, spec: TaskSpec) -> None:
    """Raise Refused for a task of an outer pool that needs the keeper for its streams."""
    given = {
        "--stdin": spec.stdin, "--split": spec.split, "--error": spec.error is not None,
    }  # fmt: skip
    if wrong := next((option for option, is_given in given.items() if is_given), None):
        raise Refused(
            f"{wrong} needs the keeper of this machine, but pool {sanitize(place.pool)} hands its"
            f" tasks over to Slurm. {NOT_SUBMITTED}",
            "Read a file instead: sh -c './run.sh < input.txt'"
            if wrong == "--stdin"
            else "Separate the streams in the command: sh -c './run.sh 2> errors.txt'",
        )


_SLURM_AMOUNTS = frozenset({CPU, MEMORY, GPU})


def _suggest_name(place: Place, lacking: Sequence[str]) -> str:
    """Return the known resource that is nearest to one that the pool lacks, as a hint."""
    known = {*place.own, *place.shared}
    for name in (name for name in lacking if name not in known):
        if near := find_nearest(name, known):
            return f"Nearest: {sanitize(near)}. "
    return ""


def _require_shared(shared: Amounts, needs: Amounts, undone: str) -> None:
    """Raise Refused if the pools together can never hold the request."""
    for name in sorted(needs.keys() & shared.keys()):
        if needs[name] > shared[name]:
            is_all = name == GPU and shared[name] == len(gpus.get_devices() or ())
            excess = _describe_excess({name: needs[name]}, shared)
            raise Refused(
                "needs {asked} {name}, but this machine has {total}: it could never start. {undone}"
                if is_all
                else "needs {asked} {name}, but all pools together have {total}: it could never"
                " start. {undone}",
                "Ask for less."
                if is_all
                else _BEYOND_MACHINE
                if excess
                else "Ask for less, or raise its total: taskdeck resource set {name} --total"
                " {more}",
                asked=format_amount(name, needs[name]),
                name=sanitize(name),
                total=format_amount(name, shared[name]),
                undone=tr(undone),
                more=f"{needs[name]:.0f}",
                **excess,
            )


def _order(needs: Amounts) -> list[str]:
    named = sorted(needs.keys() - {CPU, MEMORY})
    return [name for name in (MEMORY, CPU) if name in needs] + named


def _format_option(name: str, amount: float) -> str:
    if name in (CPU, MEMORY):
        return f"--{name} {format_amount(name, amount)}"
    return format_named_option(name, amount)


def _format_fit(name: str, amount: float) -> str:
    """Return the option that asks for no more than an amount, without rounding up."""
    if name == MEMORY:
        return f"--{name} {format_exact_memory(amount)}"
    return _format_option(name, amount)


def _describe_excess(needs: Amounts, totals: Amounts) -> dict[str, str]:
    """Return what the machine has and what fits, if a request is more than the machine has."""
    known = machine.read_amounts()
    most = {name: get_most(name, known, totals) for name in needs}
    beyond = [name for name, need in needs.items() if not can_fit(need, most[name])]
    if not beyond:
        return {}
    fits = {name: min(totals.get(name, 0.0), most[name]) for name in needs}
    return {
        "machine": join_and(f"{format_amount(name, most[name])} {name}" for name in beyond),
        "fits": " ".join(_format_fit(name, amount) for name, amount in fits.items()),
    }
