"""Tests of `taskdeck usage`."""

from __future__ import annotations

import json

ROW = {
    "name": "lr", "tasks": 1200, "runs": 1300, "failed": 100, "run_hours": 10.0, "cpu_hours": 40.25,
    "cpu_used_hours": 31.04, "memory_gib_hours": 80.0, "gpu_hours": 20.0, "mean_wait": 75.0,
    "longest_wait": 7200.0, "resource_hours": {},
}  # fmt: skip
NAMED = {"gpu_hours": 0.0222, "resource_hours": {"license.matlab": 1.254, "tape": 12.0}}
NONE = ROW | {"name": None, "mean_wait": None, "longest_wait": None}


def test_usage_prints_a_line_for_each_group_and_the_sum(fake_runtime, cli):
    runtime = fake_runtime(
        usage={"by": "tag:exp", "complete_since": None, "rows": [ROW, NONE], "total": ROW}
    )

    lines = cli("usage", "--by", "tag:exp", "--since", "7d").out.splitlines()

    assert runtime.get_last_args("usage")["by"] == "tag:exp"
    heading, first, second = (" ".join(line.split()) for line in lines[:3])
    assert heading == "EXP TASKS RUNS FAILED CPU H USED H MEM GIB H GPU H WAIT LONGEST"
    assert first == "lr 1,200 1,300 100 40.2 31.0 80.0 20.0 1m15s 2h"
    assert second.startswith("– ") and lines[3].startswith("all ")


def test_hours_of_other_resources_have_a_column(fake_runtime, cli):
    total = ROW | NAMED
    runtime = fake_runtime(
        usage={"by": "group", "complete_since": None, "rows": [ROW, ROW | NAMED], "total": total}
    )

    lines = [" ".join(line.split()) for line in cli("usage", "--by", "group").out.splitlines()]

    assert runtime.get_last_args("usage") == {"by": "group"} and lines[0].endswith(" OTHER H")
    assert lines[1].endswith(" 20.0 1m15s 2h –")
    assert lines[2].endswith(" 0.02 1m15s 2h 1.25 license.matlab, 12.0 tape")


def test_usage_prints_rows_for_programs(fake_runtime, cli):
    answer = {
        "by": "queue",
        "complete_since": "2026-05-19T10:00:00.000000Z",
        "rows": [ROW],
        "total": ROW,
    }
    fake_runtime(usage=answer)

    assert json.loads(cli("usage", "--json").out) == answer
    assert cli("usage", "-o", "tsv").out.splitlines()[1].split("\t")[:3] == ["lr", "1200", "1300"]
    said = cli("usage", "--by", "queue")
    assert said.out.count("all ") == 0
    assert "complete since" in said.err and "cleanup removed older runs" in said.err


def test_usage_without_runs_says_so(fake_runtime, cli):
    fake_runtime(usage={"by": "queue", "complete_since": None, "rows": [], "total": ROW})

    assert cli("usage").err == "no runs in this time\n"
