"""JSON as typed by people: a key that appears twice is a mistake.

The parser of Python keeps the last value, so one of the two would be ignored without a word.
"""

from __future__ import annotations

from app.core.text.units import quote
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DuplicateKeyError(ValueError):
    """A key that an object has twice; the text is a sentence."""


def load_json(text: str) -> Any:
    """Parse JSON. Raise DuplicateKeyError, ValueError or RecursionError."""
    import json

    return json.loads(text, object_pairs_hook=_make_object)


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        left = set(found)
        for key, _ in pairs:
            if key not in left:
                raise DuplicateKeyError(tr("{key} appears twice in one object.", key=quote(key)))
            left.remove(key)
    return found
