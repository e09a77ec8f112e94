"""Deck error log: failures of the deck, written to `run/deck.log` of the home."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

MAX_BYTES = 256 * 1024
"""Size in bytes from which the file is truncated before writing."""


def log_error(home: Path | None, error: BaseException) -> None:
    """Append an error with its traceback; ignore a home that is not writable."""
    if home is None:
        return
    path = home / "run" / "deck.log"
    text = "".join(traceback.format_exception(error))
    try:
        flags = (
            os.O_WRONLY
            | os.O_CREAT
            | os.O_CLOEXEC
            | (os.O_APPEND if _get_size(path) < MAX_BYTES else os.O_TRUNC)
        )
        with open(
            os.open(path, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace"
        ) as log:
            log.write(text)
    except OSError:
        return


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
