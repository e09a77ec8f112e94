"""What a deck remembers from one time to the next: `deck.json` of the home. Layout, columns, saved views, when one last looked.

Nothing depends on it: a file that cannot be read counts as none, one that cannot be written is not written, and a value of the
wrong shape is the default again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from app.paths import find_foreign_owner

T = TypeVar("T")
MAX_BYTES = 256 * 1024
"""Bytes of the file that are read."""


class Preferences:
    """Values by name. Without a home, or where nothing may be written, what is put lasts as long as the deck."""

    def __init__(self, home: Path | None = None, *, read_only: bool = False) -> None:
        self._path = home / "deck.json" if home else None
        self._values = self._read_file()
        if read_only:
            self._path = None

    def get(self, name: str, default: T) -> T:
        """What was put there last, when it has the type of `default`."""
        value = self._values.get(name, default)
        return value if isinstance(value, type(default)) else default

    def get_latest(self, name: str, default: T) -> T:
        """As `get`, with what another deck of this home put there since."""
        found = self._read_file()
        if name in found:
            self._values[name] = found[name]
        return self.get(name, default)

    def update(self, name: str, default: T, change: Callable[[T], T]) -> None:
        """Remember what `change` makes of the latest: what other decks of this home added to a list stays in it."""
        self.put(name, change(self.get_latest(name, default)))

    def put(self, name: str, value: Any) -> None:
        """Remember a JSON-able value. What other decks of this home put meanwhile stays."""
        if self._values.get(name) == value:
            return
        self._values = {**self._values, **self._read_file(), name: value}
        if self._path is not None and find_foreign_owner(self._path.parent) is None:
            with suppress(OSError):
                self._write_file(self._path)

    def _read_file(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_file(self, path: Path) -> None:
        part = path.with_name(f"deck.json.{os.getpid()}.part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
                json.dump(self._values, file, ensure_ascii=True, indent=1)
            os.replace(part, path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
