"""The user's config.toml as the runtime has it: read again when it changed. What is wrong in it is told, and ends nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from app import config
from app.config import LoadedConfig
from app.core.maintenance_settings import MaintenanceSettings
from app.core.text.sanitize import sanitize


class ConfigWatcher:
    """What `path` says now; the defaults as long as there is no file. Of a section that is wrong holds what it said before, as far as
    this runtime has seen it, else what is well in it. While it may be about how long things are kept, nothing is removed; and while it was
    never known where backups go, none is taken: it would lie where nobody looks for it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._last_mark: tuple[int, ...] = ()
        self._maintenance = MaintenanceSettings()
        self._valid_sections: dict[str, Any] = {}
        """The sections as they were when they were well, by name."""
        self.problem: str | None = None
        """What is wrong in the file and what holds instead, as of the last look."""
        self.is_mild = False
        """Whether that is about no data: a theme, say."""

    @property
    def maintenance(self) -> MaintenanceSettings:
        """How the data is to be looked after."""
        mark = self._read_mark()
        if mark != self._last_mark:
            self._last_mark = mark
            self._reload()
        return self._maintenance

    def _read_mark(self) -> tuple[int, ...]:
        """Another one for whatever may be read otherwise; the time of the change, since that of the text is not new after a chmod."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            return (error.errno or 0,)
        return found.st_ino, found.st_ctime_ns, found.st_size

    def _reload(self) -> None:
        found = config.read(self._path)
        upkeep = found.maintenance
        sections = {name: getattr(upkeep, name) for name in config.MAINTENANCE_SECTIONS}
        again = {name: self._valid_sections[name] for name in sorted(found.doubtful_sections & self._valid_sections.keys())}
        self._valid_sections |= {name: section for name, section in sections.items() if name not in found.doubtful_sections}
        lost = bool(found.folder_fault) and "backup" not in again
        if lost:
            sections["backup"] = replace(upkeep.backup, enabled=False)
        self._maintenance = _combine_sections(upkeep, sections | again)
        self.problem = _describe_problem(found, list(again), lost) if found.faults else None
        self.is_mild = not found.retention_fault


def _combine_sections(upkeep: MaintenanceSettings, sections: dict[str, Any]) -> MaintenanceSettings:
    """The same with these sections; nothing is removed by them either while there is a doubt."""
    made = MaintenanceSettings(**sections)
    return made.suspend_removal(upkeep.doubt) if upkeep.doubt else made


def _describe_problem(found: LoadedConfig, again: list[str], lost: bool) -> str:
    """What is wrong, and what holds; `lost`: it is not known where backups go."""
    removed = " Nothing is removed until it is mended." if found.retention_fault else ""
    removed += " No backup is taken, as it is not known where to." if lost else ""
    sections = " and ".join(f"[{name}]" for name in again)
    holds = f" As before: {sections}." if again else " For what is wrong the defaults hold."
    return f"{found.shorten_path(found.fault_summary)}{removed}{holds} The file: {sanitize(found.path)}"
