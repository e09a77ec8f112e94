"""Translation of OS errors into problems of the home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import Storage
from app.home.restore_advice import add_restore_advice


@contextmanager
def translate_os_errors(home: str) -> Iterator[None]:
    """Raise Storage for errors of the operating system, with advice on damage."""
    try:
        with add_restore_advice(Path(home)):
            yield
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise Storage(
            "the home {home} cannot be used: {why}. Nothing was done.",
            "Choose another: --home DIR",
            home=home,
            why=why,
        ) from None
