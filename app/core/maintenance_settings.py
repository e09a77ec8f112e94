"""Maintenance settings: the sections `backup`, `retention` and `slow` of config.toml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from app.core.json_types import is_array, is_object
from app.core.text import units
from app.core.text.sanitize import find_nearest, sanitize
from app.translation import tr

DAY = 86400.0
MAX_RUNS = 10**9
"""Maximum number of runs to keep, far below the integer range of SQLite."""


class SettingFault(NamedTuple):
    """An invalid setting.

    `where` is the path of the setting from its section on, () for the file. `message` starts with
    the path: `retention.keep: must be …`. `advice` is a possible fix.
    """

    where: tuple[str, ...]
    message: str
    advice: str = ""


class SettingError(ValueError):
    """The first invalid setting, worded as `SettingFault.said`."""


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Backup settings.

    `full` and `increment` are intervals in seconds. `keep` is in seconds, None for unlimited.
    `folder` is the destination, None for `backups` in the home. `after` is a program with
    arguments, run after each good backup with the folder as last argument.
    """

    full: float = DAY
    increment: float = 3600.0
    keep: float | None = 30 * DAY
    folder: str | None = None
    after: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Limits for ended work; None is unlimited.

    `keep` is in seconds, `runs` is a number of runs, `logs` is in MiB of their logs.
    """

    keep: float | None = None
    runs: int | None = None
    logs: float | None = None


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Retention rules.

    `queues` and `templates` hold rules by name, which override `all`. `operations` is in seconds.
    """

    all: RetentionRule = RetentionRule(keep=30 * DAY)
    queues: Mapping[str, RetentionRule] = field(default_factory=dict[str, RetentionRule])
    templates: Mapping[str, RetentionRule] = field(default_factory=dict[str, RetentionRule])
    operations: float = 400 * DAY

    @property
    def time_limits(self) -> list[float]:
        """Time limits of all rules in seconds."""
        rules = (self.all, *self.queues.values(), *self.templates.values())
        return [self.operations, *(rule.keep for rule in rules if rule.keep)]


@dataclass(frozen=True, slots=True)
class SlowSettings:
    """Slow-statement settings. `threshold` is in seconds."""

    threshold: float = 0.05


@dataclass(frozen=True, slots=True)
class MaintenanceSettings:
    """All maintenance settings.

    While `retention_fault` names invalid settings, nothing may be removed.
    """

    backup: BackupSettings = BackupSettings()
    retention: RetentionSettings = RetentionSettings()
    slow: SlowSettings = SlowSettings()
    retention_fault: str = ""

    def suspend_removal(self, doubt: str) -> MaintenanceSettings:
        """Return the settings with all removal suspended, also of backups."""
        return replace(self, backup=replace(self.backup, keep=None), retention_fault=doubt)


def parse_settings(sections: Mapping[str, Any]) -> MaintenanceSettings:
    """Parse the sections of a TOML document. Raise SettingError."""
    settings, faults = parse_lenient(sections)
    if faults:
        raise SettingError(faults[0].message)
    return settings


def parse_lenient(sections: Mapping[str, Any]) -> tuple[MaintenanceSettings, list[SettingFault]]:
    """Parse the sections; return defaults for invalid settings, and all faults."""
    faults: list[SettingFault] = []
    made: dict[str, Any] = {
        name: _SECTION_PARSERS[name](_require_table((name,), value, faults), faults)
        for name, value in sections.items()
    }
    return MaintenanceSettings(**made), faults


def add_fault(
    faults: list[SettingFault], where: tuple[str, ...], message: str, advice: str = ""
) -> None:
    """Add a fault, whose message gets the path of the setting in front."""
    faults.append(SettingFault(where, f"{'.'.join(map(sanitize, where))}: {message}", advice))


def format_unknown_setting(name: str, known: Iterable[str]) -> str:
    """Format the fault of an unknown setting, with the known ones."""
    names = tuple(known)
    near = find_nearest(name, names)
    return (
        tr('there is no setting "{name}".', name=sanitize(name))
        + (f" Nearest: {near}." if near else "")
        + tr(" There are: {names}.", names=", ".join(names))
    )


def _parse_backup(values: Mapping[str, Any], faults: list[SettingFault]) -> BackupSettings:
    return BackupSettings(**_parse_table(("backup",), values, _BACKUP_PARSERS, faults))


def _parse_slow(values: Mapping[str, Any], faults: list[SettingFault]) -> SlowSettings:
    return SlowSettings(
        **_parse_table(("slow",), values, {"threshold": _parse_positive_time}, faults)
    )


def _parse_retention(values: Mapping[str, Any], faults: list[SettingFault]) -> RetentionSettings:
    rest = {name: value for name, value in values.items() if name not in ("queue", "template")}
    found = _parse_table(
        ("retention",),
        {"keep": "30d"} | rest,
        {**_RULE_PARSERS, "operations": _parse_span},
        faults,
        ("queue", "template"),
    )
    operations = {"operations": found.pop("operations")} if "operations" in found else {}
    queues, templates = (
        _parse_named_rules(kind, values.get(kind, {}), faults) for kind in ("queue", "template")
    )
    return RetentionSettings(RetentionRule(**found), queues, templates, **operations)


def _parse_named_rules(
    kind: str, values: Any, faults: list[SettingFault]
) -> dict[str, RetentionRule]:
    """Return the rules of queues or templates by name."""
    rules: dict[str, RetentionRule] = {}
    for name, value in _require_table(("retention", kind), values, faults).items():
        where = ("retention", kind, name)
        rules[name] = RetentionRule(
            **_parse_table(where, _require_table(where, value, faults), _RULE_PARSERS, faults)
        )
    return rules


def _parse_table(
    where: tuple[str, ...], values: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]],
    faults: list[SettingFault],
    subtables: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return the valid settings of one table. Skip `subtables`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            faults.append(
                SettingFault(
                    (*where, name),
                    f"{_format_path(where)}: {format_unknown_setting(name, (*known, *subtables))}",
                )
            )
            continue
        try:
            found[name] = known[name](value)
        except ValueError as error:
            faults.append(SettingFault((*where, name), f"{_format_path((*where, name))}: {error}."))
    return found


def _require_table(
    where: tuple[str, ...], value: Any, faults: list[SettingFault]
) -> Mapping[str, Any]:
    if is_object(value):
        return value
    faults.append(SettingFault(where, tr("{path}: must be a table.", path=_format_path(where))))
    return {}


def _format_path(where: tuple[str, ...]) -> str:
    return ".".join(map(sanitize, where))


def _parse_time(value: Any) -> float:
    return units.parse_duration(_require_text(value, tr("a duration such as 30s, 5m or 1h30m")))


def _parse_positive_time(value: Any) -> float:
    if not (seconds := _parse_time(value)):
        raise ValueError(tr("must be more than 0"))
    return seconds


def _parse_span(value: Any) -> float:
    """Parse a duration that is usually in days.

    A bare number, meaning seconds, is rejected.
    """
    text = _require_text(value, tr("a duration such as 30d or 12h"))
    if text.strip()[-1:].isdigit():
        raise ValueError(tr("needs a unit, such as 30d or 12h, not {said}", said=units.quote(text)))
    return _parse_positive_time(text)


def _parse_size(value: Any) -> float:
    return units.parse_size(_require_text(value, tr("a size such as 512M or 1.5G")))


def _require_text(value: Any, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(tr("must be {what}", what=what))
    return str(value)


def _parse_count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_RUNS:
        raise ValueError(tr("must be a whole number from 1 to {max_runs:,}", max_runs=MAX_RUNS))
    return value


def _parse_folder(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(tr("must be an absolute path"))
    return value


def _parse_argv(value: Any) -> tuple[str, ...]:
    if (
        not is_array(value)
        or not value
        or not all(isinstance(word, str) and word and "\0" not in word for word in value)
    ):
        raise ValueError(
            tr('must be a program with its arguments, such as ["rsync", "-a", "--delete"]')
        )
    return tuple(value)


def _parse_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(tr("must be true or false"))
    return value


_RULE_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "keep": _parse_span,
    "runs": _parse_count,
    "logs": _parse_size,
}
_BACKUP_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "full": _parse_span, "increment": _parse_span, "keep": _parse_span, "folder": _parse_folder,
    "after": _parse_argv, "enabled": _parse_switch,
}  # fmt: skip
_SECTION_PARSERS: Mapping[str, Callable[[Mapping[str, Any], list[SettingFault]], Any]] = {
    "backup": _parse_backup,
    "retention": _parse_retention,
    "slow": _parse_slow,
}
