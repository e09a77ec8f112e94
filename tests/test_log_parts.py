"""Tests of the parts of a log that are error output."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from app.log_parts import ErrorIndex, LogPart, find_known_end, list_pieces, read_index

pytestmark = pytest.mark.unit
INDEX = ErrorIndex([2, 6], [4, 9])


def list_all(part: LogPart, index: ErrorIndex, at: int, size: int) -> list[range]:
    return list(list_pieces(part, index, at, size))


def test_the_pieces_of_output_and_error_output_are_the_whole_log():
    assert list_all(LogPart.ERROR, INDEX, 0, 12) == [range(2, 4), range(6, 9)]
    assert list_all(LogPart.OUTPUT, INDEX, 0, 12) == [range(2), range(4, 6), range(9, 12)]
    assert list_all(LogPart.ALL, INDEX, 3, 12) == [range(3, 12)]


@pytest.mark.parametrize("at", range(13))
@pytest.mark.parametrize("size", range(13))
def test_every_byte_belongs_to_one_part(at: int, size: int):
    found = [n for part in (LogPart.OUTPUT, LogPart.ERROR)
             for piece in list_all(part, INDEX, at, size) for n in piece]  # fmt: skip

    assert sorted(found) == list(range(at, size))
    errors = [n for piece in list_all(LogPart.ERROR, INDEX, at, size) for n in piece]
    assert all(INDEX.has(n) for n in errors)


def test_what_is_not_known_yet_belongs_to_no_part():
    index = INDEX._replace(limit=10)

    assert list_all(LogPart.OUTPUT, index, 4, 12) == [range(4, 6), range(9, 10)]
    assert find_known_end(LogPart.OUTPUT, index, 12) == 10
    assert find_known_end(LogPart.OUTPUT, INDEX, 12) == 12
    assert find_known_end(LogPart.ALL, index, 12) == 12


def test_an_index_is_read_up_to_its_last_whole_pair(tmp_path: Path):
    log = str(tmp_path / "a.log")
    assert read_index(log) == ErrorIndex()
    (tmp_path / "a.err").write_bytes(array("Q", [2, 2, 6, 3, 10, 0]).tobytes() + b"torn")

    found = read_index(log)

    assert (list(found.starts), list(found.ends), found.limit) == ([2, 6], [4, 9], 10)
