"""Allow-list of the escape sequences that may reach a terminal."""

from __future__ import annotations

import re
import unicodedata

ALLOWED = {
    "colours and attributes": r"\x1b\[[0-9;:]*m",
    "cursor to a place": r"\x1b\[(?:\d+(?:;\d+)?)?H",
    "cursor by steps": r"\x1b\[\d*[ABCDGd]",
    "erase in display or line": r"\x1b\[[012]?[JK]",
    "where is the cursor": r"\x1b\[6n",
    "alternate screen, cursor shown, wrap": r"\x1b\[\?(?:1049|25|7)[hl]",
    "mouse clicks, their form, focus, paste": r"\x1b\[\?(?:1000|1006|1004|2004)[hl]",
    "synchronized output, and whether there is any": r"\x1b\[\?2026(?:[hl]|\$p)",
    "keyboard modes on and off": r"\x1b\[(?:>\d+|<\d*)u",
    "pointer shape": r"\x1b\]22;[a-z-]*\x07",
}
_ALLOWED = re.compile("|".join(ALLOWED.values()))
_WHOLE_STRING = re.compile(
    r"\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b.?", re.DOTALL
)
_CONTROLS = frozenset("\r\n")
# Every font draws U+034F and similar marks as nothing; the characters below change how the rest of
# a line is read.
_HIDDEN = re.compile(
    "[\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def find_faults(raw: bytes) -> list[str]:
    """Return the forbidden parts of terminal output. Invalid UTF-8 is forbidden too."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"invalid UTF-8 at {error.start}: {raw[error.start : error.start + 8]!r}"]
    strange = [
        found[0] for found in _WHOLE_STRING.finditer(text) if not _ALLOWED.fullmatch(found[0])
    ]
    plain = _WHOLE_STRING.sub("", text)
    return [
        *map(repr, strange),
        *(f"U+{ord(c):04X}" for c in sorted(set(plain)) if _is_dangerous(c)),
    ]


def _is_dangerous(c: str) -> bool:
    return (unicodedata.category(c) == "Cc" and c not in _CONTROLS) or _HIDDEN.match(c) is not None
