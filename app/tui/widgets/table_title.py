"""What the rule of a part says beside its title and its heads: as much as there is room for, in the longest words that fit. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from app.core.text.sanitize import measure_width
from app.tui.style import Look

Wordings = Sequence[str]
"""One thing to say: its wordings, the longest first. Safe text."""
_BEFORE_TITLE, _BETWEEN, _AFTER_TAIL = 2, "  ", 3
MIN_FILTER_CELLS = 16
"""Cells that a filter keeps in a title at least, though it hides a head (`status:succeeded`); `/` shows all of it."""


def fit_title(title: str, heads: Sequence[tuple[int, str]], says: Sequence[Wordings], must: Sequence[Wordings], room: int) -> tuple[str, str]:
    """The title and the tail of a rule of `room` cells with these heads.

    All that fits at its right end goes there, rather in short words than not at all; what does not goes behind the title, where
    that hides no head. `must` is said whatever it hides.
    """
    things = [thing for thing in (*says, *must) if thing]
    end = max((at + measure_width(head) for at, head in heads), default=_BEFORE_TITLE + measure_width(title))
    words = next(chosen for chosen in _list_wordings(things) if _has_room(_join_words(chosen), end, room))
    for thing, said in zip(things, words, strict=True):
        if not said:
            title = _append_to_title(title, thing, heads, thing in must)
    return title, _join_words(words)


def add_filter(title: str, kept: str, note: str, heads: Sequence[tuple[int, str]], room: int, look: Look) -> str:
    """The title with the filter in it, if there is one, and what is noted behind it. A long filter is cut and leaves the heads alone, but
    for those that would leave it too little."""
    if not kept:
        return title + note
    begin = _BEFORE_TITLE + measure_width(f"{title} /{note}") + 1
    least = min(measure_width(kept), MIN_FILTER_CELLS)
    cells = next((at - begin for at, _ in heads if at - begin >= least), room - begin)
    return f"{title} /{look.cut(kept, max(1, cells))}{note}"


def format_hidden_columns(left: int, right: int, look: Look) -> str:
    """What is said of so many columns that are out of sight: `‹3 2›`."""
    if look.plain:
        told = [f"{count} to the {way}" for count, way in ((left, "left"), (right, "right")) if count]
        return f"columns: {', '.join(told)}" if told else ""
    told = [f"‹{left}" if left else "", f"{right}›" if right else ""]
    return " ".join(filter(None, told))


def _list_wordings(things: Sequence[Wordings]) -> list[tuple[str, ...]]:
    """All ways to say all of them, then those that leave something out; the last one says nothing."""
    return sorted(product(*((*thing, "") for thing in things)), key=lambda chosen: chosen.count(""))


def _join_words(words: Sequence[str]) -> str:
    return _BETWEEN.join(filter(None, words))


def _has_room(tail: str, end: int, room: int) -> bool:
    """As `Look.rule` has it."""
    return not tail or room - measure_width(tail) - _AFTER_TAIL > end


def _append_to_title(title: str, thing: Wordings, heads: Sequence[tuple[int, str]], must: bool) -> str:
    """The title with it, between it and the first head."""
    first = min((at for at, _ in heads), default=0)
    longer = [f"{title}{_BETWEEN}{words}" for words in thing]
    fit = (text for text in longer if _BEFORE_TITLE + measure_width(text) + 1 < first)
    return next(fit, longer[-1] if must else title)
