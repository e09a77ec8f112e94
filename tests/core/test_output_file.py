"""Tests of patterns of output files."""

from __future__ import annotations

import pytest

from app.core.output_file import check_pattern, expand_pattern

pytestmark = pytest.mark.unit


def test_a_pattern_is_filled_below_the_working_directory():
    filled = expand_pattern("out/{name}-{number}.{attempt}.log", "/srv", 42, "train", 2)

    assert filled == "/srv/out/train-42.2.log"
    assert expand_pattern("{first}.log", "/srv", 42, "train", 2, 40) == "/srv/40.log"
    assert expand_pattern("{first}.log", "/srv", 42, "train", 2) == "/srv/42.log"
    assert expand_pattern("/tmp/all.log", "/srv", 42, "train", 2) == "/tmp/all.log"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "must name a file"),
        ("logs/", "must name a file"),
        ("{nmae}.log", "Nearest: {name}"),
        ("{}.log", "has no placeholder"),
        ("a\udcff", "must be UTF-8"),
    ],
)
def test_a_pattern_without_a_meaning_is_refused(pattern: str, said: str):
    with pytest.raises(ValueError, match=said):
        check_pattern(pattern)
