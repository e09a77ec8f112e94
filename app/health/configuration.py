"""The user's settings: whether all that config.toml says can be, and whether it says what was meant."""

from __future__ import annotations

import os

from app import config
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, quote_word
from app.paths import get_config_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def check_settings(keys: Callable[[Mapping[str, str], str], str] | None = None) -> Iterator[Finding]:
    """What is wrong there; nothing where there is no file, which is well. `keys`: see `look`; it takes long to ask."""
    path = get_config_path()
    found, cure = config.read(path), f'"${{EDITOR:-vi}}" {quote_word(path)}'
    removed = "; nothing is removed until it is mended" if found.retention_fault else ""
    for one in found.faults:
        yield Finding("config", f"{one.said} That was passed over{removed}", "broken", cure)
    odd = keys(found.settings.keys, path) if keys and found.settings.keys else ""
    if odd:
        yield Finding("config", odd, "broken", cure)
    if not found.faults and not odd and os.path.exists(path):
        yield Finding("config", sanitize(path))
    for text in config.find_short_retention(found.maintenance):
        yield Finding("config", text, "hint", cure)
