"""How the data of a home is looked after: the sections `backup`, `retention` and `slow` of config.toml, each with its defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.core import amounts
from app.core.clean import clean, nearest

DAY = 86400.0


class BadSetting(ValueError):
    """What is wrong, beginning with the setting: `retention.keep: must be …`."""


@dataclass(frozen=True, slots=True)
class Backup:
    """`full` and `increment`: seconds from one to the next; `keep`: seconds; `folder`: where to, None for `backups` in the home;
    `after`: a program with its arguments that is run after each good one, with the folder as its last argument."""

    full: float = DAY
    increment: float = 3600.0
    keep: float = 30 * DAY
    folder: str | None = None
    after: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """What is kept of ended work: `keep` seconds, at most `runs` runs, at most `logs` MiB of their logs; None: no such limit."""

    keep: float | None = None
    runs: int | None = None
    logs: float | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """The rule for all, those of queues and templates by name, which go before it, and the seconds that operations are kept."""

    all: Rule = Rule(keep=30 * DAY)
    queues: Mapping[str, Rule] = field(default_factory=dict)
    templates: Mapping[str, Rule] = field(default_factory=dict)
    operations: float = 400 * DAY


@dataclass(frozen=True, slots=True)
class Slow:
    """`threshold`: seconds from which on a statement is written down."""

    threshold: float = 0.05


@dataclass(frozen=True, slots=True)
class Upkeep:
    """All of it."""

    backup: Backup = Backup()
    retention: Retention = Retention()
    slow: Slow = Slow()


def parse(found: Mapping[str, Any]) -> Upkeep:
    """The sections as TOML gives them. Raises BadSetting."""
    made: dict[str, Any] = {name: _SECTIONS[name](_table(name, value)) for name, value in found.items()}
    return Upkeep(**made)


def _backup(given: Mapping[str, Any]) -> Backup:
    return Backup(**_taken("backup", given, _BACKUP))


def _slow(given: Mapping[str, Any]) -> Slow:
    return Slow(**_taken("slow", given, {"threshold": _some_time}))


def _retention(given: Mapping[str, Any]) -> Retention:
    rest = {name: value for name, value in given.items() if name not in ("queue", "template", "operations")}
    rule = _rule("retention", {"keep": "30d"} | rest, ("queue", "template", "operations"))
    named = {
        f"{kind}s": {name: _rule(f"retention.{kind}.{clean(name)}", _table(f"retention.{kind}.{clean(name)}", value)) for name, value in
                     _table(f"retention.{kind}", given.get(kind, {})).items()}
        for kind in ("queue", "template")
    }  # fmt: skip
    operations = _taken("retention", {name: given[name] for name in ("operations",) if name in given}, {"operations": _some_time})
    return Retention(all=rule, **named, **operations)


def _rule(where: str, given: Mapping[str, Any], beside: tuple[str, ...] = ()) -> Rule:
    return Rule(**_taken(where, given, {"keep": _some_time, "runs": _count, "logs": _size}, beside))


def _taken(where: str, given: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]], beside: tuple[str, ...] = ()) -> dict[str, Any]:
    taken = {}
    for name, value in given.items():
        if name not in known:
            near = nearest(name, (*known, *beside))
            raise BadSetting(f'{where}: there is no setting "{clean(name)}".' + (f" Nearest: {near}." if near else ""))
        try:
            taken[name] = known[name](value)
        except ValueError as error:
            raise BadSetting(f"{where}.{name}: {error}.") from None
    return taken


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadSetting(f"{where}: must be a table.")
    return value


def _time(value: Any) -> float:
    return amounts.parse_duration(_text(value, "a duration such as 30s, 5m or 1h30m"))


def _some_time(value: Any) -> float:
    if not (seconds := _time(value)):
        raise ValueError("must be longer than nothing")
    return seconds


def _size(value: Any) -> float:
    return amounts.parse_size(_text(value, "a size such as 512M or 1.5G"))


def _text(value: Any, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be {what}")
    return str(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number from 1 on")
    return value


def _folder(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path")
    return value


def _argv(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word and "\0" not in word for word in value):
        raise ValueError('must be a program with its arguments, such as ["rsync", "-a", "--delete"]')
    return tuple(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_BACKUP: Mapping[str, Callable[[Any], Any]] = {
    "full": _some_time, "increment": _some_time, "keep": _some_time, "folder": _folder, "after": _argv, "enabled": _switch,
}  # fmt: skip
_SECTIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {"backup": _backup, "retention": _retention, "slow": _slow}
