"""Settings of the tasks of a schedule, in words."""

from __future__ import annotations

from app.core.scheduling.resources import format_named
from app.core.text import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "name": str,
    "queue": str,
    "priority": str,
    "timeout": units.format_duration_setting,
    "cpu": units.format_number,
    "memory": units.format_memory,
    "resources": format_named,
    "retries": str,
    "retry_delay": units.format_duration_setting,
    "grace": units.format_duration_setting,
    "log_limit": units.format_memory,
    "signal": str,
    "output": str,
    "error": str,
    "retry_on_oom": str,
    "notify": str,
    "notify_on": str,
}


def list_settings(task: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings that differ from the defaults, such as `timeout 2h`, unsanitized."""
    for name, show in _FORMATS.items():
        if task.get(name) is not None:
            yield f"{name.replace('_', ' ')} {show(task[name])}"
    tags: Mapping[str, str] = task.get("tags") or {}
    for key, value in tags.items():
        yield f"tag {key}={value}"
