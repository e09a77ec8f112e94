"""Section titles: the texts that fit beside title and headings, in the longest wording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from app.core.text.sanitize import measure_width
from app.translation import tr, tr_noop
from app.tui.style import Look

Wordings = Sequence[str]
"""Wordings of one text, longest first, sanitized."""
_BEFORE_TITLE, _BETWEEN, _AFTER_TAIL = 2, "  ", 3
MIN_FILTER_CELLS = 8
"""Minimum cells of a filter in a title; `/` shows all of the filter."""


def fit_title(
    title: str,
    heads: Sequence[tuple[int, str]],
    says: Sequence[Wordings],
    must: Sequence[Wordings],
    room: int,
) -> tuple[str, str]:
    """Return the title and the tail of a title rule of `room` cells with these headings.

    Texts go to the right end, in shorter wordings if necessary. A text without room there follows
    the title if it hides no heading. The texts of `must` are shown whatever they hide.
    """
    optional_texts = [thing for thing in (*says, *must) if thing]
    end = max(
        (at + measure_width(head) for at, head in heads),
        default=_BEFORE_TITLE + measure_width(title),
    )
    words = next(
        chosen
        for chosen in _list_wordings(optional_texts)
        if _has_room(_join_words(chosen), end, room)
    )
    for thing, wording in zip(optional_texts, words, strict=True):
        if not wording:
            title = _append_to_title(title, thing, heads, thing in must)
    return title, _join_words(words)


def add_filter(
    title: str,
    filter_text: str,
    marks: str,
    note: str,
    heads: Sequence[tuple[int, str]],
    room: int,
    look: Look,
) -> str:
    """Return the title with marks, filter and note.

    Cut the filter so that it hides no heading; leave out the marks if it needs their room. Always
    show the note, such as the age of old rows.
    """
    end = min((at for at, _ in heads), default=room) - _BEFORE_TITLE
    least = min(measure_width(filter_text), MIN_FILTER_CELLS)
    begin = ""
    for some in (marks, ""):
        begin = f"{title}{some} /" if filter_text else f"{title}{some}"
        if end - measure_width(f"{begin}{note} ") >= least:
            break
    cells = max(least, end - measure_width(f"{begin}{note} "))
    return f"{begin}{look.cut(filter_text, cells)}{note}"


def has_tail_room(text: str, heads: Sequence[tuple[int, str]], room: int) -> bool:
    """Return True if the text fits at the right end of the rule, behind the headings."""
    end = max((at + measure_width(head) for at, head in heads), default=room)
    return _has_room(text, end, room)


def format_hidden_columns(left: int, right: int, look: Look) -> str:
    """Return the number of columns out of view: `‹3 2›`."""
    if look.plain:
        parts = [
            tr(words, count=count)
            for count, words in (
                (left, tr_noop("{count} to the left")),
                (right, tr_noop("{count} to the right")),
            )
            if count
        ]
        return tr("columns: {parts}", parts=", ".join(parts)) if parts else ""
    parts = [f"‹{left}" if left else "", f"{right}›" if right else ""]
    return " ".join(filter(None, parts))


def _list_wordings(optional_texts: Sequence[Wordings]) -> list[tuple[str, ...]]:
    """Return all combinations of wordings, complete ones first; the last one is empty."""
    return sorted(
        product(*((*thing, "") for thing in optional_texts)), key=lambda chosen: chosen.count("")
    )


def _join_words(words: Sequence[str]) -> str:
    return _BETWEEN.join(filter(None, words))


def _has_room(tail: str, end: int, room: int) -> bool:
    """Return True if the tail fits; the same rule as in `Look.draw_rule`."""
    return not tail or room - measure_width(tail) - _AFTER_TAIL > end


def _append_to_title(
    title: str, thing: Wordings, heads: Sequence[tuple[int, str]], must: bool
) -> str:
    """Return the title followed by the text, if it fits before the first heading."""
    first = min((at for at, _ in heads), default=0)
    longer = [_join_words((title, words)) for words in thing]
    fit = (text for text in longer if _BEFORE_TITLE + measure_width(text) + 1 < first)
    return next(fit, longer[-1] if must else title)
