"""Tests of `taskdeck what-if`."""

from __future__ import annotations

import json
from typing import Any

TIMES = {"start": 0.0, "end": 7200.0, "start_at_most": False, "end_at_most": True}
LATE = {"start": 5400.0, "end": None, "start_at_most": True, "end_at_most": False}
ROW = {"number": 12, "name": "exp", "queue": "q", "is_running": False, "change": "set",
       "group_index": 3, "before": LATE, "after": TIMES}  # fmt: skip
SUM = {
    "tasks": 2, "unknown": 0, "mean_wait": 60.0, "longest_wait": 120.0, "drained_in": None,
    "missed": [{"rule": "nightly", "number": 12}],
    "hours": {"cpu": 4.0, "memory": 9.0}, "use": {"p": {"cpu": 0.5, "memory": None}},
}  # fmt: skip
STEP = {
    "verb": "pool.set", "args": {"name": "p", "cpu": 2.0}, "command": ["taskdeck", "pool", "x"],
}  # fmt: skip


def make_answer(**also: Any) -> dict[str, Any]:
    return {
        "now": "2026-05-20T12:00:00.000000Z", "halted": None, "waiting": 2, "simulated": 2,
        "held": 0, "tasks": [ROW, ROW | {"number": None, "before": None, "change": "new"}],
        "before": SUM, "after": SUM | {"mean_wait": 30.0, "missed": []}, "steps": [STEP],
    } | also  # fmt: skip


def test_the_table_compares_starts_and_ends(fake_runtime, cli):
    runtime = fake_runtime(forecast=make_answer())

    said = cli("what-if", "--set", "pool.p.cpu=2", "--cancel", "13", "14")

    asked = runtime.get_last_args("forecast")
    assert (asked["settings"], asked["cancel"]) == (["pool.p.cpu=2"], ["13", "14"])
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines[:4] == [
        "TASK NAME QUEUE STARTS IN ENDS IN CHANGE",
        "#12 exp [3] q <1h30m → now – → <2h set",
        "new exp [3] q → now → <2h new",
        "",
    ]
    assert lines[4:] == [
        "mean wait 1m → 30s",
        "longest wait 2m → 2m",
        "all done in – → –",
        "cpu hours 4.0 → 4.0",
        "missed nightly: 1 → 0 tasks",
        "in use pool p: cpu 50 % → 50 %",
    ]
    assert said.err == ""


def test_what_is_left_out_is_said_on_stderr(fake_runtime, cli):
    answer = make_answer(waiting=900, held=1, halted="draining", after=SUM | {"unknown": 1})
    fake_runtime(forecast=answer)

    said = cli("what-if", "--cancel", "13", "--limit", "1")

    for words in ("1 more task", "first 2 of 900", "1 task has no", "1 new task", "draining"):
        assert words in said.err
    assert json.loads(cli("what-if", "--cancel", "13", "--json").out) == answer


def test_apply_makes_the_changes_with_the_usual_verbs(fake_runtime, cli, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"argv": ["true"]}\n')
    runtime = fake_runtime(
        **{"forecast": make_answer(), "pool.set": {}, "submit.lines": {"numbers": [7]}}
    )

    said = cli("what-if", "--set", "pool.p.cpu=2", "--submit", str(file), "--apply")

    assert said.code == 0 and "applied: pool x\n" in said.err and "(1 task)" in said.err
    assert runtime.get_last_args("pool.set") == {"name": "p", "cpu": 2.0}
    assert runtime.get_last_args("submit.lines")["text"] == '{"argv": ["true"]}\n'
    assert runtime.get_last_args("forecast")["lines"] == '{"argv": ["true"]}\n'


def test_the_first_refusal_tells_what_was_applied(fake_runtime, cli):
    refused = {"done": [], "refused": [{"message": "#9 has ended.", "hint": "Look."}]}
    steps = [STEP, {"verb": "set", "args": {"ids": ["9"]}, "command": ["taskdeck", "set", "9"]}]
    fake_runtime(**{"forecast": make_answer(steps=steps), "pool.set": {}, "set": refused})

    said = cli("what-if", "--set", "task.9.cpu=2", "--apply")

    assert said.code != 0
    assert "#9 has ended. Applied before: pool x. Look." in " ".join(said.err.split())


def test_files_that_cannot_be_read_are_refused(fake_runtime, cli, tmp_path):
    fake_runtime(forecast=make_answer())

    assert cli("what-if").err.startswith("taskdeck: no change was given")
    assert cli("what-if", "--submit", str(tmp_path / "no")).code == 3
    assert cli("what-if", "--submit", str(tmp_path)).code == 2
    assert "not standard input" in cli("what-if", "--submit", "-", "--apply").err
