"""Section `mcp` of config.toml: the limits of the clients of `taskdeck mcp`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.core.json_types import is_object
from app.core.maintenance_settings import SettingFault, format_unknown_setting
from app.core.text import units
from app.core.text.sanitize import find_name_error, sanitize
from app.translation import tr

CLIENT_TAG = "client"
"""Key of the tag that each task of a client has; its value is the name of the client."""
DEFAULT_CLIENT = "agent"
DEFAULT_TASKS = 100
MAX_TASKS = 10_000
MAX_RUNNING = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Limits of a client.

    `queue` is the only queue for its tasks, None for any. `cpu` (cores), `memory` (MiB) and
    `running` bound its running tasks together; None is no limit. `tasks` bounds the tasks that wait
    or run. A client with `read_only` changes nothing. A client with `all_logs` reads the output of
    all tasks, not only of its own.
    """

    queue: str | None = None
    cpu: float | None = None
    memory: float | None = None
    running: int | None = None
    tasks: int = DEFAULT_TASKS
    read_only: bool = False
    all_logs: bool = False


@dataclass(frozen=True, slots=True)
class McpSettings:
    """Settings of clients by name, and those of all others."""

    defaults: AgentSettings = AgentSettings()
    clients: Mapping[str, AgentSettings] = field(default_factory=dict[str, AgentSettings])

    def get_client(self, name: str) -> AgentSettings:
        """Return the settings of a client."""
        return self.clients.get(name, self.defaults)


def is_client_name(name: str) -> bool:
    """Return True for letters, digits, dots, dashes and underscores, 40 at most."""
    return _NAME.fullmatch(name) is not None


def parse_mcp(values: Any) -> tuple[McpSettings, list[SettingFault]]:
    """Parse the section; leave out invalid settings, and return all faults."""
    faults: list[SettingFault] = []
    if not is_object(values):
        return McpSettings(), [SettingFault(("mcp",), tr("mcp: must be a table."))]
    for name in values.keys() - {"defaults", "clients"}:
        unknown = format_unknown_setting(name, ("defaults", "clients"))
        faults.append(SettingFault(("mcp", name), f"mcp: {unknown}"))
    usual = dict(_parse_client(("mcp", "defaults"), values.get("defaults", {}), faults))
    clients = values.get("clients", {})
    if not is_object(clients):
        faults.append(SettingFault(("mcp", "clients"), tr("mcp.clients: must be a table.")))
        return McpSettings(AgentSettings(**usual)), faults
    found: dict[str, AgentSettings] = {}
    for name, table in clients.items():
        where = ("mcp", "clients", str(name))
        if not is_client_name(str(name)):
            told = tr(
                '"{name}" is no name of a client: letters, digits and ._- only.',
                name=sanitize(str(name)),
            )
            faults.append(SettingFault(where, f"mcp.clients: {told}"))
            continue
        own = dict(_parse_client(where, table, faults))
        found[str(name)] = AgentSettings(**(usual | own))
    return McpSettings(AgentSettings(**usual), found), faults


def _parse_client(
    where: tuple[str, ...], values: Any, faults: list[SettingFault]
) -> Iterator[tuple[str, Any]]:
    """Yield the valid settings of a table."""
    path = ".".join(where)
    if not is_object(values):
        faults.append(SettingFault(where, tr("{path}: must be a table.", path=path)))
        return
    for name, value in values.items():
        parse = _PARSERS.get(name)
        if parse is None:
            unknown = format_unknown_setting(name, _PARSERS)
            faults.append(SettingFault((*where, name), f"{path}: {unknown}"))
            continue
        try:
            yield name, parse(value)
        except ValueError as error:
            faults.append(SettingFault((*where, name), f"{path}.{name}: {error}."))


def _parse_queue(value: Any) -> str:
    if not isinstance(value, str) or find_name_error(value):
        raise ValueError(tr("must be the name of a queue in quotes"))
    return value


def _parse_amount(parse: Callable[[str], float]) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        found = parse(str(value)) if _is_text_or_number(value) else 0.0
        if found <= 0:
            raise ValueError(tr("must be an amount above 0, such as 4 cores or 8G"))
        return found

    return read


def _is_text_or_number(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _parse_count(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(
                tr("must be a whole number from {low:,} to {high:,}", low=low, high=high)
            )
        return value

    return read


def _parse_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(tr("must be true or false"))
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "queue": _parse_queue,
    "cpu": _parse_amount(units.parse_cpu),
    "memory": _parse_amount(units.parse_size),
    "running": _parse_count(1, MAX_RUNNING),
    "tasks": _parse_count(0, MAX_TASKS),
    "read_only": _parse_bool,
    "all_logs": _parse_bool,
}
