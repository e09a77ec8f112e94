"""Common beginning of texts."""

from __future__ import annotations

import pytest

from app.core.text.prefix import find_common_prefix


@pytest.mark.parametrize(
    ("texts", "common"),
    [
        ([], ""),
        (["run"], "run"),
        (["runs", "run", "runner"], "run"),
        (["status:paused ", "status:pending "], "status:p"),
        (["a", "b"], ""),
        (["", "b"], ""),
    ],
)
def test_the_longest_common_beginning_is_found(texts: list[str], common: str):
    assert find_common_prefix(texts) == common
