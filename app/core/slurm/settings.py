"""Section `slurm` of config.toml: the shared folder and the commands of Slurm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.json_types import is_object
from app.core.maintenance_settings import SettingFault, format_unknown_setting
from app.core.text import units
from app.translation import tr

LEAST_POLL = 0.5
"""Least seconds between two questions to Slurm."""


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """Settings of Slurm pools.

    `spool` is the folder that all nodes see; None while Slurm pools are not set up. `commands`
    is the folder of sbatch and its companions, None for the PATH. `conf` is the SLURM_CONF of the
    commands. `poll` is the seconds between two questions while something is handed over.
    """

    spool: str | None = None
    commands: str | None = None
    conf: str | None = None
    poll: float = 2.0


def parse_slurm(values: Any) -> tuple[SlurmSettings, list[SettingFault]]:
    """Parse the section; return defaults for invalid settings, and all faults."""
    if not is_object(values):
        return SlurmSettings(), [SettingFault(("slurm",), tr("slurm: must be a table."))]
    faults: list[SettingFault] = []
    found: dict[str, Any] = {}
    for name, value in values.items():
        where, parse = ("slurm", name), _PARSERS.get(name)
        if parse is None:
            faults.append(SettingFault(where, f"slurm: {format_unknown_setting(name, _PARSERS)}"))
            continue
        try:
            found[name] = parse(value)
        except ValueError as error:
            faults.append(SettingFault(where, f"slurm.{name}: {error}."))
    return SlurmSettings(**found), faults


def _parse_path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(tr("must be an absolute path in quotes"))
    return value.rstrip("/") or "/"


def _parse_poll(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(tr("must be a duration such as 2s"))
    seconds = units.parse_duration(str(value))
    if not LEAST_POLL <= seconds <= 3600:
        raise ValueError(tr("must be between {least_poll}s and 1h", least_poll=LEAST_POLL))
    return seconds


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "spool": _parse_path, "commands": _parse_path, "conf": _parse_path, "poll": _parse_poll,
}  # fmt: skip
