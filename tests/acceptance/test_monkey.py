"""Short monkey test; `monkey` runs for longer."""

from __future__ import annotations

import random

from tests.acceptance.every_key import open_deck
from tests.acceptance.monkey import type_randomly


def test_random_keys_on_a_stalling_deck_never_fail():
    with open_deck() as deck:
        assert type_randomly(deck, random.Random(1), lambda typed: typed < 30) == 30
