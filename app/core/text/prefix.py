"""Common beginning of texts, for completion.

Python 3.15 deprecates its own function for it, which `os.path` has for texts of any kind.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def find_common_prefix(texts: Sequence[str]) -> str:
    """Return the longest text with which all texts begin."""
    if not texts:
        return ""
    first, last = min(texts), max(texts)
    return first[: next((at for at, c in enumerate(first) if last[at] != c), len(first))]
