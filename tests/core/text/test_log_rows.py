"""Lines that a program rewrites by moving the cursor up become the rows that a terminal shows."""

from app.core.text.log_rows import find_group_starts, split_rows

BARS = b"a 1\nb 1\n\x1b[2Aa 2\nb 2\n"


def test_rewritten_lines_are_one_group():
    assert find_group_starts(b"x\n" + BARS + b"y\nz\n") == [0, 2, 24, 26]


def test_a_group_has_the_rows_of_a_terminal():
    rows = split_rows(BARS.removesuffix(b"\n"))
    assert [row.rpartition(b"\r")[2] for row in rows] == [b"a 2", b"b 2"]
