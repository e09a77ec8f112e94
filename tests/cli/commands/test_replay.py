"""Tests of `taskdeck replay`: files, output, errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

JOBS = ["1 0 -1 100 4", "2 5 -1 50 4", "3 6 -1 0 1", "4 7 -1 10 9"]
TRACE = "; MaxProcs: 4\n" + "".join(f"{job} -1 -1 -1 -1 -1{' -1' * 8}\n" for job in JOBS)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Return the path of a compressed trace of two jobs that run and two that cannot."""
    path = tmp_path / "small.swf.gz"
    path.write_bytes(gzip.compress(TRACE.encode()))
    return str(path)


def test_a_replay_prints_its_figures_and_touches_no_home(cli, home, trace):
    before = sorted(home.rglob("*"))

    said = cli("--read-only", "replay", trace)

    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[2:] == [
        "  jobs         2 in 2m30s",
        "  machine      4 cores",
        "  policy       priority, users' estimates",
        "               the trace has no priorities, so tasks start in order of submission",
        "               2 jobs have no estimate; their run time takes its place",
        "  mean wait    47s",
        "  p95 wait     1m35s",
        "  longest wait 1m35s, job 2",
        "  slowdown     1.95 (mean of bounded slowdowns)",
        "  utilisation  100.0 % of cores",
        "  skipped      1 never ran, first in line 4",
        "               1 needed more than the machine has, first in line 5",
    ]
    assert sorted(home.rglob("*")) == before


def test_json_has_seconds_and_reasons(cli, trace):
    options = ("--policy", "shortest", "--estimates", "perfect", "--no-backfill", "--cpu", "8",
               "--ageing", "7d")  # fmt: skip

    answer = json.loads(cli("replay", trace, *options, "--gpu", "2", "--json").out)

    assert answer == {
        "file": trace,
        "policy": "shortest",
        "estimates": "perfect",
        "backfill": False,
        "ageing": 604800,
        "machine": {"cpu": 8, "gpu": 2},
        "jobs": 2,
        "mean_wait": 0,
        "p95_wait": 0,
        "longest_wait": 0,
        "longest_wait_job": 1,
        "mean_bounded_slowdown": 1,
        "makespan": 100,
        "utilisation": {"cpu": 0.75, "gpu": 0},
        "without_estimate": 2,
        "has_priorities": False,
        "skipped": [
            {"reason": "never ran", "jobs": 1, "first_line": 4},
            {"reason": "needed more than the machine has", "jobs": 1, "first_line": 5},
        ],
    }


PACKED = gzip.compress(TRACE.encode())


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (TRACE.replace("2 5", "2 x").encode(), ', line 3: column 2 must be a number, not "x".'),
        (PACKED[:-8], ", line 6: the file is cut off."),
        (PACKED[:12] + b"x" * 40, ", line 1: the file is damaged."),
        (b"", ": the file has no jobs."),
        (
            TRACE.partition("\n")[2].encode(),
            " does not say how many processors the machine has; the largest job has 9."
            " Give them: taskdeck replay --cpu N TRACE",
        ),
        (
            TRACE.replace("MaxProcs: 4", "MaxProcs: 1").encode(),
            " has no job to replay: 1 never ran, first in line 4;"
            " 3 needed more than the machine has, first in line 2.",
        ),
    ],
    ids=["number", "cut off", "damaged", "empty", "processors", "too large"],
)
def test_a_bad_trace_is_refused_with_its_line(cli, feed: bytes, message: str):
    said = cli("replay", "-", feed=feed)

    assert (said.code, said.out, said.err) == (2, "", f"taskdeck: standard input{message}\n")


def test_a_missing_or_unreadable_file_is_named(cli, tmp_path):
    assert cli("replay", f"{tmp_path}/none").code == 3
    assert "cannot be read: is a directory" in cli("replay", str(tmp_path)).err
    assert "cannot be read" in cli("replay", "a\0b").err
    assert "replay which file?" in cli("replay").err


def test_a_long_replay_shows_progress_on_a_terminal(cli, trace, monkeypatch):
    monkeypatch.setattr("app.cli.commands.replay.FIRST_SHOWN", 0.0)
    monkeypatch.setattr("app.cli.output.is_stderr_terminal", lambda: True)

    said = cli("replay", trace)

    assert said.err.endswith("\rreplayed 1 of 2 jobs\x1b[K\r\x1b[K\r")
