"""The user's settings: whether all that config.toml says can be, and whether it says what was meant."""

from __future__ import annotations

import os

from app import config
from app.core.text.sanitize import clean
from app.health.finding import Finding, quote
from app.paths import config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def settings(keys: Callable[[Mapping[str, str], str], str] | None = None) -> Iterator[Finding]:
    """What is wrong there; nothing where there is no file, which is well. `keys`: see `look`; it takes long to ask."""
    path = config_file()
    found, cure = config.read(path), f'"${{EDITOR:-vi}}" {quote(path)}'
    removed = "; nothing is removed until it is mended" if found.doubt else ""
    for one in found.wrong:
        yield Finding("config", f"{one.said} That was passed over{removed}", "broken", cure)
    odd = keys(found.settings.keys, path) if keys and found.settings.keys else ""
    if odd:
        yield Finding("config", odd, "broken", cure)
    if not found.wrong and not odd and os.path.exists(path):
        yield Finding("config", clean(path))
    for text in config.brief(found.upkeep):
        yield Finding("config", text, "hint", cure)
