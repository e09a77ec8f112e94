"""Pages of a log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotFound
from app.http.log_pages import read_page


def make_answer(path: Path | str, status: str = "succeeded", logs: str | None = None) -> Any:
    run = {"runid": "r", "attempt": 1, "status": status, "path": os.fspath(path), "logs": logs}
    return {"number": 7, "runs": [run]}


@pytest.mark.parametrize(
    ("offset", "limit", "data", "begin", "next_"),
    [
        (0, 4, b"0123", 0, 4),
        (4, 4, b"4567", 4, 8),
        (8, 4, b"89", 8, None),
        (99, 4, b"", 10, None),
        (-3, 9, b"789", 7, None),
        (-99, 2, b"01", 0, 2),
    ],
)
def test_a_page_begins_at_an_offset(
    tmp_path: Path, offset: int, limit: int, data: bytes, begin: int, next_: int | None
):
    (tmp_path / "log").write_bytes(b"0123456789")

    page = read_page(make_answer(tmp_path / "log"), offset, limit)

    assert (page["data"], page["offset"], page["next"], page["size"]) == (data, begin, next_, 10)


def test_the_log_of_a_run_that_goes_on_has_a_next_page(tmp_path: Path):
    (tmp_path / "log").write_bytes(b"0123")

    assert read_page(make_answer(tmp_path / "log", "running"), 0, 9)["next"] == 4


def test_the_stored_end_takes_the_place_of_a_missing_file(tmp_path: Path):
    page = read_page(make_answer(tmp_path / "none", logs="the end\n"), -4, 9)

    assert (page["data"], page["size"]) == (b"end\n", 8)


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "log").symlink_to(tmp_path / "secret")

    assert read_page(make_answer(tmp_path / "log"), 0, 9)["data"] == b""


def test_a_task_that_has_not_started_has_no_log():
    with pytest.raises(NotFound, match="#7 has not started yet, so it has no log."):
        read_page({"number": 7, "runs": []}, 0, 9)
