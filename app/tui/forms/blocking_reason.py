"""Fields that would help a waiting task, found in the words of its reason in any language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.translation import tr_noop
from app.tui.board_words import ANY, NUMBER, find_text

if TYPE_CHECKING:
    from collections.abc import Iterable

AMOUNTS = ("memory", "cpu")
"""Amounts with a field of their own."""
_LACKS = (
    tr_noop("needs {needs}{unit} of pool {pool}, {free} free"),
    tr_noop("needs {needs}{unit}, but pool {pool} has {total} in all: it can never start"),
)
_LACKS_SHARED = (
    tr_noop("needs {needs}{unit}, {free} free"),
    tr_noop("needs {needs}{unit}, but all pools together have {total} in all: it can never start"),
)
_NO_QUEUE = (
    tr_noop("queue {queue} is full ({load} of {capacity})"),
    tr_noop("queue {queue} has capacity 0"),
    tr_noop("queue {queue} is paused"),
    tr_noop("queue {queue} is paused by {user}"),
    tr_noop("queue {queue} is paused since {since}"),
    tr_noop("queue {queue} is paused by {user} since {since}"),
    tr_noop("queue {queue} is draining"),
    tr_noop("pool {pool} is {state}"),
)
_BEHIND = (
    tr_noop("behind #{number}"),
    tr_noop("behind #{number}, which has reserved pool {pool}"),
    tr_noop("waits behind #{number}, which has reserved {what}{when}"),
    tr_noop("{position} in queue {queue}"),
)


def find_lack(why: str) -> str:
    """Return the field of the first amount that a pool lacks, or ""."""
    return _find_first(_find_lacks(why))


def find_blocking_field(why: str) -> str:
    """Return the field of the first reason that a change of the task would end, or ""."""
    words = [(text, "queue") for text in _NO_QUEUE] + [(text, "priority") for text in _BEHIND]
    found = [(find_text(text, why), field) for text, field in words]
    return _find_first([*_find_lacks(why), *found])


def _find_lacks(why: str) -> list[tuple[int | None, str]]:
    others = (*_LACKS, *_LACKS_SHARED)
    return [
        *((find_text(text, why, unit=f" {name}"), name) for name in AMOUNTS for text in _LACKS),
        *((find_text(text, why, needs=NUMBER, unit=f" {ANY}"), "resources") for text in others),
    ]


def _find_first(found: Iterable[tuple[int | None, str]]) -> str:
    """Return the field with the first index; among equal ones, the one named first."""
    places = [(at, field) for at, field in found if at is not None]
    return min(places, key=lambda place: place[0], default=(0, ""))[1]
