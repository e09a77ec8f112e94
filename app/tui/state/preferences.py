"""Deck preferences in `deck.json` of the home: layout, columns, saved views, last visit.

Nothing depends on them: an unreadable file counts as empty, a file that cannot be written is
skipped, and a value of the wrong type is replaced with its default.
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
"""Maximum bytes read from the file."""


class Preferences:
    """Values by name. Without a home, or read-only, they last as long as the deck."""

    def __init__(self, home: Path | None = None, *, read_only: bool = False) -> None:
        self._path = home / "deck.json" if home else None
        self._values = self._read_file()
        if read_only:
            self._path = None

    def get(self, name: str, default: T) -> T:
        """Return the stored value if it has the type of `default`."""
        value = self._values.get(name, default)
        return value if isinstance(value, type(default)) else default

    def get_latest(self, name: str, default: T) -> T:
        """Return the stored value, including changes by other decks of the home."""
        found = self._read_file()
        if name in found:
            self._values[name] = found[name]
        return self.get(name, default)

    def update(self, name: str, default: T, change: Callable[[T], T]) -> None:
        """Store the result of `change` on the latest value, keeping additions by other decks."""
        self.put(name, change(self.get_latest(name, default)))

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value, keeping other values written by other decks."""
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
            with open(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600),
                "w",
                encoding="utf-8",
            ) as file:
                json.dump(self._values, file, ensure_ascii=True, indent=1)
            os.replace(part, path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
