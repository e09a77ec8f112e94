"""The user's config.toml as the runtime has it: read again when it changed; one that is wrong leaves what held before, and is told."""

from __future__ import annotations

import os

from app import config
from app.core.upkeep import Upkeep
from app.errors import Problem


class Settings:
    """What `path` says now; the defaults as long as there is no file, or none that was ever right."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._upkeep = Upkeep()
        self.problem: str | None = None
        """What is wrong in the file, as of the last look."""

    @property
    def upkeep(self) -> Upkeep:
        """How the data is to be looked after."""
        mark = self._mark()
        if mark != self._seen:
            self._seen = mark
            self._read()
        return self._upkeep

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> None:
        try:
            self._upkeep, self.problem = config.load(self._path).upkeep, None
        except Problem as problem:
            self.problem = str(problem)
