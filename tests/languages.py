"""The language of a test. The catalogue is made of the .po files, so no compiled one is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from gettext import GNUTranslations
from io import BytesIO
from unittest.mock import patch

from babel.messages.mofile import write_mo

from app import translation
from app.translation import ENGLISH, get_language, use_language
from tests.catalogues import join_catalogues


@contextmanager
def speak(language: str) -> Iterator[None]:
    """Set the language of this process, and restore the one before."""
    before = get_language()
    known = {} if language == ENGLISH else {language: _read_catalogue()}
    use_language(language)
    try:
        with patch.dict(translation._catalogues, known):
            yield
    finally:
        use_language(before)


@cache
def _read_catalogue() -> GNUTranslations:
    compiled = BytesIO()
    write_mo(compiled, join_catalogues())
    compiled.seek(0)
    return GNUTranslations(compiled)
