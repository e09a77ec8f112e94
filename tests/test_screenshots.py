"""The pictures in the README are what the deck draws now."""

from __future__ import annotations

import re

import pytest

from tests.screenshots import FOLDER, SCENES, draw


@pytest.mark.parametrize("name", SCENES)
async def test_the_committed_picture_is_what_the_deck_draws_now(name):
    drawn = await draw(name)

    assert (FOLDER / f"{name}.svg").read_text("utf-8") == drawn, "stale: python -m tests.screenshots"
    assert set(re.findall(r"https?://[^\"' )]+", drawn)) == {"http://www.w3.org/2000/svg"}


def test_there_is_no_picture_that_nothing_draws():
    assert {path.stem for path in FOLDER.iterdir()} == set(SCENES)
