"""Line wrapping in terminal cells: at spaces, and between wide characters, which have none."""

from __future__ import annotations

from app.core.text.sanitize import measure_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NEVER_FIRST = frozenset("，。、；：？！）》」』】〉％…”’,.;:?!)%")
"""Characters that begin no line."""
_NEVER_LAST = frozenset("（《「『【〈“‘(")
"""Characters that end no line."""


def wrap_words(text: str, cells: int) -> str:
    """Wrap a sanitized line to `cells`; a longer word stays whole."""
    if measure_width(text) <= cells:
        return text
    lines: list[str] = []
    for gap, piece in _iterate_pieces(text):
        if lines and measure_width(lines[-1]) + len(gap) + measure_width(piece) <= cells:
            lines[-1] += gap + piece
        else:
            lines.append(piece)
    return "\n".join(lines)


def _iterate_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield the pieces that stay whole, each with the gap before it: a space or ""."""
    for word in text.split(" "):
        gap, begin = " ", 0
        for at in range(1, 0 if word.isascii() else len(word)):
            if _can_break(word[at - 1], word[at]):
                yield gap, word[begin:at]
                gap, begin = "", at
        yield gap, word[begin:]


def _can_break(before: str, after: str) -> bool:
    is_wide = measure_width(before) == 2 or measure_width(after) == 2
    return is_wide and before not in _NEVER_LAST and after not in _NEVER_FIRST
