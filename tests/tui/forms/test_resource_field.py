"""Named resources as typed into a form."""

from __future__ import annotations

import pytest

from app.core.board import Board, PoolEntry, ResourceUse
from app.tui.forms.resource_field import (
    describe_free,
    format_resources,
    list_options,
    make_change,
    parse_kept,
    parse_resources,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu=2, license.matlab=1", {"gpu": 2, "license.matlab": 1}),
        ("gpu 2,tape:1", {"gpu": 2, "tape": 1}),
        ("gpu", {"gpu": 1}),
        ("tape=0 gpu = 3", {"tape": 0, "gpu": 3}),
    ],
)
def test_resources_are_read_as_people_write_them(text: str, found: dict[str, int]):
    assert parse_resources(text) == found
    assert parse_kept(format_resources(found)) == {n: a for n, a in found.items() if a}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("gpu=x", 'must be like gpu=2, license.matlab=1, not "gpu=x"'),
        ("gpu=-1", "must be like"),
        ("memory=4", "must not name memory, which has a field of its own"),
        ("gpu=1 gpu=2", "must name gpu once"),
    ],
)
def test_other_text_is_refused(text: str, error: str):
    with pytest.raises(ValueError, match=error):
        parse_resources(text)


def test_a_removed_name_is_sent_as_zero():
    found = make_change({"gpu": 1}, {"gpu": 2, "tape": 1}, None)
    assert found == {"gpu": 1, "tape": 0}
    assert list_options(found) == ["--gpu", "1", "--resource", "tape=0"]


def test_the_scarcer_of_pool_and_shared_amount_is_free():
    pool = PoolEntry(
        "p", 8, 8, 0, 0, "active", resources=(ResourceUse("gpu", 4, 1), ResourceUse("lic", 1, 0))
    )
    board = Board(pools=(pool,), resources=(ResourceUse("lic", 2, 2),))
    assert describe_free(board, pool) == "gpu 3 of 4, lic 0 of 2 free"
