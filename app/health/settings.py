"""The user's settings: whether all that config.toml says can be, and whether it says what was meant."""

from __future__ import annotations

import os

from app import config
from app.core.clean import clean
from app.health.finding import Finding, quote
from app.paths import config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def settings() -> Iterator[Finding]:
    """What is wrong there; nothing where there is no file, which is well."""
    path = config_file()
    found, cure = config.read(path), f'"${{EDITOR:-vi}}" {quote(path)}'
    removed = "; nothing is removed until it is mended" if found.doubt else ""
    for one in found.wrong:
        yield Finding("config", f"{one.said} That was passed over{removed}", "broken", cure)
    if not found.wrong and os.path.exists(path):
        yield Finding("config", clean(path))
    for text in config.brief(found.upkeep):
        yield Finding("config", text, "hint", cure)
