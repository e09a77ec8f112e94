"""How the data of a home is looked after: the sections `backup`, `retention` and `slow` of config.toml, each with its defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.sanitize import clean, nearest

DAY = 86400.0
MOST = 10**9
"""Runs that may be kept at most, far below what SQLite can count."""


class Wrong(NamedTuple):
    """What cannot be: the names that lead to the setting, from the section on (none: the file itself); what is wrong, beginning with
    it: `retention.keep: must be …`; and how it could be, where that helps."""

    where: tuple[str, ...]
    said: str
    advice: str = ""


class BadSetting(ValueError):
    """The first thing that is wrong, as `Wrong.said`."""


@dataclass(frozen=True, slots=True)
class Backup:
    """`full` and `increment`: seconds from one to the next; `keep`: seconds, None: for good; `folder`: where to, None for `backups` in
    the home; `after`: a program with its arguments that is run after each good one, with the folder as its last argument."""

    full: float = DAY
    increment: float = 3600.0
    keep: float | None = 30 * DAY
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

    @property
    def keeps(self) -> list[float]:
        """The seconds that each of the rules keeps, of those that go by time."""
        rules = (self.all, *self.queues.values(), *self.templates.values())
        return [self.operations, *(rule.keep for rule in rules if rule.keep)]


@dataclass(frozen=True, slots=True)
class Slow:
    """`threshold`: seconds from which on a statement is written down."""

    threshold: float = 0.05


@dataclass(frozen=True, slots=True)
class Upkeep:
    """All of it. `doubt`: what is wrong in the settings, so that nothing may be removed by them; empty when nothing is."""

    backup: Backup = Backup()
    retention: Retention = Retention()
    slow: Slow = Slow()
    doubt: str = ""

    def keeping_all(self, doubt: str) -> Upkeep:
        """The same while it is not known what may be removed, which is nothing then, backups neither."""
        return replace(self, backup=replace(self.backup, keep=None), doubt=doubt)


def parse(found: Mapping[str, Any]) -> Upkeep:
    """The sections as TOML gives them. Raises BadSetting."""
    upkeep, wrong = taken(found)
    if wrong:
        raise BadSetting(wrong[0].said)
    return upkeep


def taken(found: Mapping[str, Any]) -> tuple[Upkeep, list[Wrong]]:
    """The sections with the default of each setting that is wrong, and what is wrong."""
    wrong: list[Wrong] = []
    made: dict[str, Any] = {name: _SECTIONS[name](_table((name,), value, wrong), wrong) for name, value in found.items()}
    return Upkeep(**made), wrong


def no_such(name: str, known: Iterable[str]) -> str:
    """That there is no such setting, and which there are."""
    names = tuple(known)
    near = nearest(name, names)
    return f'there is no setting "{clean(name)}".' + (f" Nearest: {near}." if near else "") + f" There are: {', '.join(names)}."


def _backup(given: Mapping[str, Any], wrong: list[Wrong]) -> Backup:
    return Backup(**_settings(("backup",), given, _BACKUP, wrong))


def _slow(given: Mapping[str, Any], wrong: list[Wrong]) -> Slow:
    return Slow(**_settings(("slow",), given, {"threshold": _some_time}, wrong))


def _retention(given: Mapping[str, Any], wrong: list[Wrong]) -> Retention:
    rest = {name: value for name, value in given.items() if name not in ("queue", "template")}
    found = _settings(("retention",), {"keep": "30d"} | rest, {**_RULE, "operations": _span}, wrong, ("queue", "template"))
    operations = {"operations": found.pop("operations")} if "operations" in found else {}
    queues, templates = (_named(kind, given.get(kind, {}), wrong) for kind in ("queue", "template"))
    return Retention(Rule(**found), queues, templates, **operations)


def _named(kind: str, given: Any, wrong: list[Wrong]) -> dict[str, Rule]:
    """The rules of queues or templates by their names."""
    rules = {}
    for name, value in _table(("retention", kind), given, wrong).items():
        where = ("retention", kind, name)
        rules[name] = Rule(**_settings(where, _table(where, value, wrong), _RULE, wrong))
    return rules


def _settings(
    where: tuple[str, ...], given: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]], wrong: list[Wrong],
    beside: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """What is well of one table; `beside` are names of tables in it."""
    found = {}
    for name, value in given.items():
        if name not in known:
            wrong.append(Wrong((*where, name), f"{_path(where)}: {no_such(name, (*known, *beside))}"))
            continue
        try:
            found[name] = known[name](value)
        except ValueError as error:
            wrong.append(Wrong((*where, name), f"{_path((*where, name))}: {error}."))
    return found


def _table(where: tuple[str, ...], value: Any, wrong: list[Wrong]) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    wrong.append(Wrong(where, f"{_path(where)}: must be a table."))
    return {}


def _path(where: tuple[str, ...]) -> str:
    return ".".join(map(clean, where))


def _time(value: Any) -> float:
    return units.parse_duration(_text(value, "a duration such as 30s, 5m or 1h30m"))


def _some_time(value: Any) -> float:
    if not (seconds := _time(value)):
        raise ValueError("must be longer than nothing")
    return seconds


def _span(value: Any) -> float:
    """A time that people mean in days: a bare number, which would be seconds, is refused."""
    text = _text(value, "a duration such as 30d or 12h")
    if text.strip()[-1:].isdigit():
        raise ValueError(f"needs a unit, such as 30d or 12h, not {units.quoted(text)}")
    return _some_time(text)


def _size(value: Any) -> float:
    return units.parse_size(_text(value, "a size such as 512M or 1.5G"))


def _text(value: Any, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be {what}")
    return str(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise ValueError(f"must be a whole number from 1 to {MOST:,}")
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


_RULE: Mapping[str, Callable[[Any], Any]] = {"keep": _span, "runs": _count, "logs": _size}
_BACKUP: Mapping[str, Callable[[Any], Any]] = {
    "full": _span, "increment": _span, "keep": _span, "folder": _folder, "after": _argv, "enabled": _switch,
}  # fmt: skip
_SECTIONS: Mapping[str, Callable[[Mapping[str, Any], list[Wrong]], Any]] = {"backup": _backup, "retention": _retention, "slow": _slow}
