"""Tests of the rows of squeue and sinfo, with recorded output."""

from __future__ import annotations

import pytest

from app.outer.slurm import rows
from app.outer.slurm.rows import JobRow, NodeRow

pytestmark = pytest.mark.unit

RUN = "0193812e-5f3a-7c1d-8e2f-00a1b2c3d4e5"
OTHER = "0193812e-5f3a-7c1d-8e2f-00a1b2c3d4e6"
SQUEUE = f"""\
td-{RUN}|7|PENDING||1796078864|Resources
someone's job|8|RUNNING|n1|1796077063|None
td-{OTHER}|4|RUNNING|n1|1796077064|None
td-{RUN}|5|CANCELLED|n2|1796077064|None
"""
SINFO = """\
n1|mixed|none
n1|mixed|none
n2|drained|bad | disk
n3|down*|Not responding
"""


def test_lines_are_grouped_by_run_and_foreign_jobs_left_out() -> None:
    found = rows.group_lines(SQUEUE)
    assert {runid: len(lines) for runid, lines in found.items()} == {RUN: 2, OTHER: 1}


def test_jobs_of_a_run_are_parsed() -> None:
    first, second = rows.parse_jobs(rows.group_lines(SQUEUE)[RUN])
    assert first == JobRow("7", "PENDING", "", 1796078864.0, "Resources")
    assert second == JobRow("5", "CANCELLED", "n2", 1796077064.0, "None")


def test_a_start_that_is_unknown_is_none() -> None:
    (row,) = rows.parse_jobs([f"td-{RUN}|7|PENDING||N/A|Priority"])
    assert row.start is None


@pytest.mark.parametrize("line", ["td-x", "td-x|1_[2-3]|PENDING||N/A|None", "td-x|٣|R|n|1|x"])
def test_lines_of_another_form_are_skipped(line: str) -> None:
    assert rows.parse_jobs([line]) == ()


def test_a_reason_may_hold_the_separator_and_is_made_safe() -> None:
    (row,) = rows.parse_jobs([f"td-x|7|PENDING|n1|N/A|a|b \x1b[31m{'x' * 900}"])
    assert row.reason.startswith("a|b ␛[31mxxx") and len(row.reason) <= 300


def test_nodes_count_once_with_their_reasons() -> None:
    assert rows.parse_nodes(SINFO) == (
        NodeRow("n1", "mixed", ""),
        NodeRow("n2", "drained", "bad | disk"),
        NodeRow("n3", "down", "Not responding", responds=False),
    )


def test_a_node_with_an_odd_name_is_left_out() -> None:
    assert rows.parse_nodes("n1;reboot|idle|none\n") == ()
