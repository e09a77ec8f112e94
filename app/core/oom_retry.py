"""The retry of a task with more memory, once, after a run that was killed for memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.core.text import units
from app.translation import tr, tr_noop

NEAR = 0.8
"""Share of its reservation from which a killed run is taken as out of memory."""
KILLED_CODES = frozenset({137})
"""Exit codes of a shell whose program was killed."""
KILL = 9
_RETRIED = "retried with "
_FORM = tr_noop("must be FACTOR or FACTOR,max=SIZE, such as 1.5,max=64G")


class OomRetry(NamedTuple):
    """Factor of the memory of the retry, and its limit in MiB."""

    factor: float
    most: float | None = None

    def __str__(self) -> str:
        """Return the stored and typed form, such as `1.5,max=64G`."""
        limit = "" if self.most is None else f",max={_format_exact_size(self.most)}"
        return f"{units.format_number(self.factor)}{limit}"


def _format_exact_size(mib: float) -> str:
    is_gib = mib >= 1024 and not mib % 1024
    return f"{units.format_number(mib / 1024)}G" if is_gib else f"{units.format_number(mib)}M"


def parse_oom_retry(text: str) -> OomRetry:
    """Parse `1.5` or `1.5,max=64G`. Raise ValueError with the rest of a sentence."""
    factor, comma, limit = text.strip().partition(",")
    name, sign, size = limit.partition("=")
    try:
        found = float(factor)
    except ValueError:
        raise ValueError(tr("{form}, not {said}", form=tr(_FORM), said=units.quote(text))) from None
    if comma and (name.strip() != "max" or not sign):
        raise ValueError(tr("{form}, not {said}", form=tr(_FORM), said=units.quote(text)))
    if not 1 < found <= 100:
        raise ValueError(
            tr("must have a factor above 1 and up to 100, not {factor}", factor=units.quote(factor))
        )
    return OomRetry(round(found, 2), units.parse_size(size) if sign else None)


def find_conflict(text: str | None, memory: float) -> str:
    """Return why a rule never gives a task with this memory more, as a sentence, or ""."""
    most = parse_oom_retry(text).most if text else None
    if most is None or most > memory:
        return ""
    limit, has = units.format_memory(most), units.format_memory(memory)
    return tr("retry_on_oom allows at most {limit}, and the task has {has}.", limit=limit, has=has)


def widen(text: str, memory: float) -> str:
    """Return a rule whose limit gives a task with this memory its factor once."""
    factor = parse_oom_retry(text).factor
    return str(OomRetry(factor, float(round(memory * factor))))


def normalize(value: Any) -> str | None:
    """Return the stored form of a text, a number or {factor, max}. Raise ValueError."""
    if value is None or value == "none":
        return None
    if isinstance(value, dict):
        if not {"factor"} <= value.keys() <= {"factor", "max"}:
            raise ValueError(tr("must have the keys factor and maybe max"))
        limit = f",max={value['max']}" if "max" in value else ""
        return str(parse_oom_retry(f"{value['factor']}{limit}"))
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(tr("{form}, not {value}", form=tr(_FORM), value=units.quote(str(value))))
    return str(parse_oom_retry(str(value)))


def is_out_of_memory(end: dict[str, Any], reserved: float, is_stopped: bool) -> bool:
    """Return True if a run was killed for memory: by the kernel's count, or near its reservation.

    `end` is the keeper's record; `oom_kill` in it says that the kernel killed a process meanwhile.
    `oom` is there if the run had a cgroup, and is sure: the kernel killed one of its own, or none.
    """
    if is_stopped or not (end.get("signal") == KILL or end.get("code") in KILLED_CODES):
        return False
    if (sure := end.get("oom")) is not None:
        return sure
    used = (end.get("maxrss") or 0) / 1024
    return bool(end.get("oom_kill")) or (reserved > 0 and used >= NEAR * reserved)


def describe_kill(end: dict[str, Any], reserved: float) -> str:
    """Return what is likely or sure of a run that was killed for memory, and what helps."""
    used = units.format_memory((end.get("maxrss") or 0) / 1024)
    certainty = "out of memory, says the kernel" if end.get("oom") else "probably out of memory"
    return (
        f"{certainty}: {used} used, {units.format_memory(reserved)} reserved (retry"
        " --memory, or set --retry-on-oom)"
    )


def choose_memory(
    rule: OomRetry, reserved: float, used: float, pool_memory: float | None
) -> float | None:
    """Return the MiB of the retry, or None if limit or pool allow no more than the run had."""
    base = max(reserved, used)
    limits = [limit for limit in (rule.most, pool_memory) if limit is not None]
    found = min([float(round(base * rule.factor)), *limits])
    return found if found > base else None


def describe_retry(before: float, after: float) -> str:
    """Return the note on the retry of a run that was killed for memory."""
    new, old = units.format_memory(after), units.format_memory(before)
    return f"{_RETRIED}{new} after running out of {old}"


def find_note(reason: str | None) -> str:
    """Return the note of `describe_retry` in the reason of a task, or ""."""
    _, found, rest = (reason or "").partition(_RETRIED)
    return found + rest
