"""A quarter of a minute of keys at random on a real terminal; `monkey` types for longer."""

from __future__ import annotations

import random

from tests.acceptance.every_key import a_deck
from tests.acceptance.monkey import torment


def test_keys_at_random_on_a_deck_that_stumbles_fail_nowhere():
    with a_deck() as deck:
        assert torment(deck, random.Random(1), lambda typed: typed < 30) == 30
