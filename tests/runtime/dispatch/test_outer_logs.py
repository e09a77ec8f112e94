"""Logs of runs on other hosts, fetched from the spool."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import paths
from app.runtime.dispatch.outer_logs import LogFetcher

RUN = "0198c0de-0000-7000-8000-0000000000ab"


@pytest.fixture
def fetcher(tmp_path: Path) -> LogFetcher:
    (tmp_path / "spool/runs/ab").mkdir(parents=True)
    return LogFetcher(tmp_path / "home", tmp_path / "spool")


def read_home(tmp_path: Path) -> bytes:
    return Path(paths.get_log_path(tmp_path / "home", RUN)).read_bytes()


def test_only_what_is_new_is_appended(fetcher: LogFetcher, tmp_path: Path):
    source = Path(fetcher.get_path(RUN))
    assert fetcher.fetch([RUN]) == []  # nothing is written yet
    source.write_bytes(b"a" * 10)
    assert fetcher.fetch([RUN], most=4) == [] and read_home(tmp_path) == b"aaaa"
    assert fetcher.fetch([RUN]) == [] and read_home(tmp_path) == b"a" * 10
    with source.open("ab") as file:
        file.write(b"bb")
    fetcher.fetch([RUN])
    fetcher.fetch([RUN])

    assert read_home(tmp_path) == b"a" * 10 + b"bb"


def test_a_log_that_is_no_file_is_not_followed(fetcher: LogFetcher, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    Path(fetcher.get_path(RUN)).symlink_to(tmp_path / "secret")

    assert fetcher.fetch([RUN]) == [RUN]
    assert not Path(paths.get_log_path(tmp_path / "home", RUN)).exists()
