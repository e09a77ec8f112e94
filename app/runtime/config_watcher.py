"""The user's config.toml as the runtime has it: read again when it changed. What is wrong in it is told, and ends nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from app import config
from app.config import Reading
from app.core.maintenance_settings import Upkeep
from app.core.text.sanitize import clean


class Settings:
    """What `path` says now; the defaults as long as there is no file. Of a section that is wrong holds what it said before, as far as
    this runtime has seen it, else what is well in it. While it may be about how long things are kept, nothing is removed; and while it was
    never known where backups go, none is taken: it would lie where nobody looks for it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._upkeep = Upkeep()
        self._before: dict[str, Any] = {}
        """The sections as they were when they were well, by name."""
        self.problem: str | None = None
        """What is wrong in the file and what holds instead, as of the last look."""
        self.mild = False
        """Whether that is about no data: a theme, say."""

    @property
    def upkeep(self) -> Upkeep:
        """How the data is to be looked after."""
        mark = self._mark()
        if mark != self._seen:
            self._seen = mark
            self._read()
        return self._upkeep

    def _mark(self) -> tuple[int, ...]:
        """Another one for whatever may be read otherwise; the time of the change, since that of the text is not new after a chmod."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            return (error.errno or 0,)
        return found.st_ino, found.st_ctime_ns, found.st_size

    def _read(self) -> None:
        found = config.read(self._path)
        upkeep = found.upkeep
        sections = {name: getattr(upkeep, name) for name in config.UPKEEP}
        again = {name: self._before[name] for name in sorted(found.in_doubt & self._before.keys())}
        self._before |= {name: section for name, section in sections.items() if name not in found.in_doubt}
        lost = bool(found.lost) and "backup" not in again
        if lost:
            sections["backup"] = replace(upkeep.backup, enabled=False)
        self._upkeep = _with(upkeep, sections | again)
        self.problem = _problem(found, list(again), lost) if found.wrong else None
        self.mild = not found.doubt


def _with(upkeep: Upkeep, sections: dict[str, Any]) -> Upkeep:
    """The same with these sections; nothing is removed by them either while there is a doubt."""
    made = Upkeep(**sections)
    return made.keeping_all(upkeep.doubt) if upkeep.doubt else made


def _problem(found: Reading, again: list[str], lost: bool) -> str:
    """What is wrong, and what holds; `lost`: it is not known where backups go."""
    removed = " Nothing is removed until it is mended." if found.doubt else ""
    removed += " No backup is taken, as it is not known where to." if lost else ""
    sections = " and ".join(f"[{name}]" for name in again)
    holds = f" As before: {sections}." if again else " For what is wrong the defaults hold."
    return f"{found.briefly(found.said)}{removed}{holds} The file: {clean(found.path)}"
