"""Values of sbatch options in the words of Taskdeck. Each function raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from app.core.scheduling.resources import GPU
from app.core.text.joining import join_and
from app.core.text.units import quote
from app.translation import tr, tr_n

_UNLIMITED = ("infinite", "unlimited", "-1", "0")
_SIZE = re.compile(r"([0-9]+)([KMGT]?)B?", re.IGNORECASE)
_MIB = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}
_COUNT = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?[0-9]+[KMGTP]?", re.IGNORECASE)
"""Amount, such as 2K or -1, which is no type of a device."""
_TASK_OR_GROUP = re.compile(r"g?[0-9]{1,9}")
_NOW = re.compile(r"now(?:\+([0-9]+)(second|minute|hour|day|week)?s?)?", re.IGNORECASE)
_UNITS = {"": "s", "second": "s", "minute": "m", "hour": "h", "day": "d"}
_TIMES = {"midnight": "00:00", "noon": "12:00", "fika": "15:00", "teatime": "16:00"}
_PATTERN = re.compile(r"%([0-9]*)(.?)")
_KINDS = {
    "after": "after_start", "afterany": "after_any", "afterok": "after",
    "afternotok": "after_failure",
}  # fmt: skip


def parse_time(text: str) -> float | None:
    """Return the seconds of a time limit, None for no limit.

    The forms are M, M:S, H:M:S, D-H, D-H:M and D-H:M:S.
    """
    if text.lower() in _UNLIMITED:
        return None
    days, sign, rest = text.rpartition("-")
    parts = rest.split(":")
    if (
        not all(map(_COUNT.fullmatch, [*parts, days or "0"]))
        or len(parts) > 3
        or (sign and not days)
    ):
        raise ValueError(
            tr("must be a time such as 90, 1:30:00 or 2-12, not {said}", said=quote(text))
        )
    numbers = [int(part) for part in parts]
    if days or len(numbers) == 3:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    else:
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60.0 + seconds or None


def parse_mib(text: str) -> int:
    """Return an amount of memory in MiB; a bare number is in MiB."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(tr("must be memory such as 4000 or 4G, not {said}", said=quote(text)))
    if not int(match[1]):
        raise ValueError(tr("asks for all memory of a node: give an amount"))
    return ceil(int(match[1]) * _MIB[match[2].upper()])


def parse_count(text: str) -> int:
    """Return a whole number above 0; that of a range is its begin."""
    first = text.split("-")[0]
    if not _COUNT.fullmatch(first) or not int(first):
        raise ValueError(tr("must be a whole number above 0, not {said}", said=quote(text)))
    return int(first)


def parse_integer(text: str) -> int:
    """Return a whole number, maybe below 0."""
    if not re.fullmatch("[+-]?[0-9]{1,9}", text):
        raise ValueError(tr("must be a whole number, not {said}", said=quote(text)))
    return int(text)


class Gres(NamedTuple):
    """Amounts by name, and the types of devices, which resources do not have."""

    amounts: dict[str, int]
    types: list[str]


def parse_gpus(text: str) -> Gres:
    """Return the GPUs of `2`, `a100:2`, `a100` or `a100:2,v100:1`."""
    try:
        return parse_gres(",".join(f"{GPU}:{part}" for part in text.split(",")))
    except ValueError:
        raise ValueError(
            tr("must be a number of GPUs such as 2 or a100:2, not {said}", said=quote(text))
        ) from None


def parse_gres(text: str) -> Gres:
    """Return the amounts and types of `gpu:a100:2,tape`; an amount that is not there is 1."""
    found = Gres({}, [])
    for part in text.split(","):
        name, *kinds = part.split(":")
        amount = int(kinds.pop()) if kinds and _COUNT.fullmatch(kinds[-1]) else None
        is_wrong_amount = amount is None and kinds and _NUMBER.fullmatch(kinds[-1])
        if not name or len(kinds) > 1 or "" in kinds or is_wrong_amount:
            raise ValueError(tr("must be resources such as gpu:2, not {said}", said=quote(text)))
        found.amounts[name] = found.amounts.get(name, 0) + (1 if amount is None else amount)
        found.types.extend(kind for kind in kinds if kind not in found.types)
    return found


def describe_types(types: Sequence[str]) -> str:
    """Return a clause that names types as left out."""
    return tr_n(
        len(types),
        "the type {types} is left out: resources have no types",
        "the types {types} are left out: resources have no types",
        types=join_and(types),
    )


def parse_licenses(text: str) -> dict[str, int]:
    """Return {license.NAME: amount} of `matlab@server:2,ansys`."""
    found: dict[str, int] = {}
    for part in re.split("[,;]", text):
        name, _, amount = part.partition(":")
        name = name.partition("@")[0]
        if not name or (amount and not _COUNT.fullmatch(amount)):
            raise ValueError(tr("must be licences such as matlab:2, not {said}", said=quote(text)))
        found[f"license.{name}"] = int(amount or 1)
    return found


def parse_dependency(text: str) -> dict[str, list[str]]:
    """Return {field: numbers and groups} of `afterok:12:g7,afterany:14`."""
    if "?" in text:
        raise ValueError(
            tr("waits for one of several with ?, which is not possible: all must be met")
        )
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        kind, *named = part.split(":")
        if kind not in _KINDS:
            raise ValueError(
                tr(
                    "has no counterpart for {kind}. Known: {kinds}",
                    kind=quote(kind),
                    kinds=", ".join(_KINDS),
                )
            )
        if not named or not all(map(_TASK_OR_GROUP.fullmatch, named)):
            raise ValueError(
                tr("must name tasks by number or group, such as {kind}:12:g7", kind=kind)
            )
        found.setdefault(_KINDS[kind], []).extend(named)
    return found


def parse_begin(text: str) -> str:
    """Return a start time as `--at` takes it; "" for now."""
    match = _NOW.fullmatch(text)
    if match is None:
        return _TIMES.get(text.lower(), text)
    if match[1] is None:
        return ""
    unit = (match[2] or "").lower()
    return f"{int(match[1]) * 7}d" if unit == "week" else f"{match[1]}{_UNITS[unit]}"


def parse_signal(text: str) -> str:
    """Return `USR1@300s` for `B:USR1@300`; the time is in seconds."""
    flag, sign, rest = text.rpartition(":")
    if sign and flag != "B":
        raise ValueError(tr("must be such as USR1@300, not {said}", said=quote(text)))
    name, sign, seconds = rest.partition("@")
    if sign and not _COUNT.fullmatch(seconds):
        raise ValueError(tr("must be such as USR1@300, not {said}", said=quote(text)))
    return f"{name}@{seconds}s" if sign else name


def translate_pattern(text: str, user: str) -> str:
    """Return the name of an output file with the placeholders of Taskdeck."""
    known = {
        "j": "{number}", "J": "{number}", "A": "{first}", "x": "{name}", "a": "{index}",
        "u": user, "%": "%", "n": "0", "t": "0", "s": "0",
    }  # fmt: skip

    def replace(found: re.Match[str]) -> str:
        if found[2] not in known:
            raise ValueError(tr("has no counterpart for {found}", found=quote(found[0])))
        return known[found[2]]

    return _PATTERN.sub(replace, text.replace("\\\\", ""))


def parse_mail_types(text: str) -> str | None:
    """Return who hears of ends: failed, ended or never; None for no end."""
    types = {word.split("_")[0] for word in text.upper().split(",")}
    if types & {"END", "ALL", "ARRAY"}:
        return "ended"
    return "failed" if types & {"FAIL", "INVALID"} else "never" if "NONE" in types else None


def parse_export(text: str) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the variables to keep, as `--keep-env` takes them, and those to set."""
    words = text.split(",")
    pairs = [(name, value) for name, sign, value in (w.partition("=") for w in words) if sign]
    names = [word for word in words if "=" not in word and word]
    if "ALL" in names or not text:
        return None, pairs
    return ("none" if not names or names in (["NONE"], ["NIL"]) else ",".join(names)), pairs
