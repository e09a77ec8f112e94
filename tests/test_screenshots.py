"""Tests that the README's screenshots match the deck."""

from __future__ import annotations

import re

import pytest

from tests.data_model import PICTURE
from tests.screenshots import FOLDER, SCENES, draw_scene


@pytest.mark.parametrize("name", SCENES)
async def test_the_committed_screenshot_matches_the_deck(name):
    drawn = await draw_scene(name)

    assert (FOLDER / f"{name}.svg").read_text("utf-8") == drawn, (
        "stale: python -m tests.screenshots"
    )
    assert set(re.findall(r"https?://[^\"' )]+", drawn)) == {"http://www.w3.org/2000/svg"}


def test_every_screenshot_file_has_a_scene():
    assert {path.stem for path in FOLDER.iterdir()} == {*SCENES, PICTURE.stem}
