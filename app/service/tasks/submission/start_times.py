"""Start times of tasks: as stored, and notes on those in the past."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from app.core.task_spec import TaskSpec
from app.core.text import units
from app.errors import Usage
from app.service.context import Call
from app.translation import tr
from db import timestamps


def parse_start_time(at: str | int | float) -> str:
    """Return a start time as stored. Raise Usage."""
    try:
        return timestamps.format_time(units.parse_time(str(at), timestamps.utcnow()))
    except (ValueError, OverflowError) as error:
        raise Usage("at {error}", error=error) from None


PAST_TOLERANCE = 5.0
"""Seconds by which a start time may be past without a note: it lay in the future when typed."""


def note_past(call: Call, specs: Sequence[TaskSpec]) -> None:
    """Note start times in the past.

    Such tasks are stored all the same, because scripts use past times.
    """
    past = {at: get_seconds_since(at) for at in {spec.at for spec in specs} if at is not None}
    excess = [
        (spec, past[spec.at])
        for spec in specs
        if spec.at is not None and past[spec.at] > PAST_TOLERANCE
    ]
    if len(specs) > 1 and excess:
        return note_many_past(call, len(excess))
    for spec, seconds in excess:
        then = tr("it is ignored") if spec.hold or spec.has_references else tr("starting now")
        call.note(
            tr("start time is {age} in the past: {then}.", age=units.format_age(seconds), then=then)
        )


def note_many_past(call: Call, count: int) -> None:
    """Note that many start times are in the past."""
    call.note(
        tr("the start time of {n:,} of these tasks is past: they do not wait for it.", n=count)
    )


def get_seconds_since(at: str | int | float) -> float:
    """Return the seconds since a start time, 0 for an invalid one."""
    now = timestamps.utcnow()
    with suppress(ValueError, OverflowError):
        return (now - units.parse_time(str(at), now)).total_seconds()
    return 0.0
