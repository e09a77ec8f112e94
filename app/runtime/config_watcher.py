"""Watcher of config.toml: reloads the file when it changes.

Faults are reported and stop nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app import config
from app.config import LoadedConfig
from app.core.maintenance_settings import MaintenanceSettings
from app.core.notifications.channels import NotificationSettings
from app.core.notifications.hooks import Hook
from app.core.slurm.settings import SlurmSettings
from app.core.text.sanitize import sanitize
from app.translation import tr


class ConfigWatcher:
    """Current settings of the file `path`, or the defaults without a file.

    A faulty section keeps its last valid state, if this runtime has seen one, else its valid
    settings. While retention settings are in doubt, nothing is removed. Until the backup folder is
    known, no backup is taken, because nobody would look for a backup elsewhere.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._last_mark: tuple[int, ...] = ()
        self._maintenance = MaintenanceSettings()
        self._notifications = NotificationSettings()
        self._slurm = SlurmSettings()
        self._hooks: Mapping[str, Hook] = {}
        self._valid_sections: dict[str, Any] = {}
        """Last valid sections by name."""
        self.problem: str | None = None
        """Faults of the file and settings in effect, as of the last check."""
        self.is_mild = False
        """True if the faults do not concern data, but a theme, for example."""

    @property
    def maintenance(self) -> MaintenanceSettings:
        """Current maintenance settings."""
        self._reload_if_changed()
        return self._maintenance

    @property
    def notifications(self) -> NotificationSettings:
        """Current settings of notifications; a faulty channel is left out."""
        self._reload_if_changed()
        return self._notifications

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """Current hooks by name; a faulty one is left out."""
        self._reload_if_changed()
        return self._hooks

    @property
    def slurm(self) -> SlurmSettings:
        """Current settings of Slurm pools; the last ones while a faulty file names no spool."""
        self._reload_if_changed()
        return self._slurm

    def _reload_if_changed(self) -> None:
        mark = self._read_mark()
        if mark != self._last_mark:
            self._last_mark = mark
            self._reload()

    def _read_mark(self) -> tuple[int, ...]:
        """Return a value that changes with the file.

        The value uses ctime, because mtime misses a chmod.
        """
        try:
            found = os.stat(self._path)
        except OSError as error:
            return (error.errno or 0,)
        return found.st_ino, found.st_ctime_ns, found.st_size

    def _reload(self) -> None:
        found = config.read(self._path)
        upkeep = found.maintenance
        self._notifications, self._hooks = found.notifications, found.hooks
        if found.slurm.spool or not found.faults:
            self._slurm = found.slurm
        sections = {name: getattr(upkeep, name) for name in config.MAINTENANCE_SECTIONS}
        kept_sections = {
            name: self._valid_sections[name]
            for name in sorted(found.doubtful_sections & self._valid_sections.keys())
        }
        self._valid_sections |= {
            name: section
            for name, section in sections.items()
            if name not in found.doubtful_sections
        }
        is_folder_unknown = bool(found.folder_fault) and "backup" not in kept_sections
        if is_folder_unknown:
            sections["backup"] = replace(upkeep.backup, enabled=False)
        self._maintenance = _combine_sections(upkeep, sections | kept_sections)
        self.problem = (
            _describe_problem(found, list(kept_sections), is_folder_unknown)
            if found.faults
            else None
        )
        self.is_mild = not found.retention_fault


def _combine_sections(upkeep: MaintenanceSettings, sections: dict[str, Any]) -> MaintenanceSettings:
    """Return settings of these sections, with removal suspended while in doubt."""
    settings = MaintenanceSettings(**sections)
    return settings.suspend_removal(upkeep.retention_fault) if upkeep.retention_fault else settings


def _describe_problem(
    found: LoadedConfig, kept_sections: list[str], is_folder_unknown: bool
) -> str:
    """Describe the faults and the settings in effect.

    `is_folder_unknown`: the backup folder is unknown.
    """
    removed = " Nothing is removed until it is fixed." if found.retention_fault else ""
    removed += " No backup is taken, as the backup folder is unknown." if is_folder_unknown else ""
    sections = " and ".join(f"[{name}]" for name in kept_sections)
    holds = (
        tr(" Unchanged: {sections}.", sections=sections)
        if kept_sections
        else tr(" Faulty settings have their defaults.")
    )
    return tr(
        "{faults}{removed}{holds} The file: {path}",
        faults=found.shorten_path(found.fault_summary),
        removed=removed,
        holds=holds,
        path=sanitize(found.path),
    )
