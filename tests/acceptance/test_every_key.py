"""Acceptance tests of every key of the daily screens; `every_key` covers all screens."""

from __future__ import annotations

import pytest
from textual._xterm_parser import XTermParser
from textual.events import Key

from app.tui.app import TaskdeckApp
from app.tui.keymap import list_binding_classes
from app.tui.screens.deck.screen import DeckScreen
from tests.acceptance.every_key import (
    FOCUS_REPORT,
    VISITS,
    DeckDriver,
    encode_key,
    open_deck,
    press_all,
)

DAILY_PLACES = (
    "the work",
    "all tasks",
    "a task that runs",
    "the log of what runs",
    "alerts and rules",
    "the templates",
)
"""The queues are left out: their keys are those of the work, on the same screen and table."""


@pytest.fixture(scope="module")
def deck():
    """Yield one home and one deck for all keys."""
    with open_deck() as found:
        yield found


@pytest.mark.parametrize(
    "visit",
    [visit for visit in VISITS if visit.name in DAILY_PLACES],
    ids=lambda visit: visit.name.replace(" ", "-"),
)
def test_every_key_keeps_the_deck_alive_and_its_screen_intact(deck: DeckDriver, visit):
    # one of several keys bound to the same action is enough
    press_all(deck, visit, once=visit.screen is not DeckScreen)


def test_the_daily_places_exist():
    assert set(DAILY_PLACES) <= {visit.name for visit in VISITS}


def test_no_screen_with_keys_is_left_out():
    visited = {node for visit in VISITS for node in (visit.screen, visit.focus)}
    inner = {base for node in visited if node for base in node.__mro__[1:]}

    left_out = {
        node.__name__
        for node in list_binding_classes()
        if node not in visited | inner | {TaskdeckApp}
    }

    assert left_out == {"WhileAwayScreen"}  # only a new start leads there


@pytest.mark.parametrize("key", sorted({key for visit in VISITS for key in visit.find_bindings()}))
def test_keys_are_encoded_as_the_deck_reads_them(key: str):
    read = [
        event
        for event in XTermParser().feed(encode_key(key) + FOCUS_REPORT)
        if isinstance(event, Key)
    ]

    assert [event.key for event in read] == [key] or key in read[0].aliases
