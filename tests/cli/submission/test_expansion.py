"""Tests of the tasks that `--each`, `--array` and sweeps make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLACE = {"uuid": "u", "number": 7, "name": "x", "group": "g2"}


@pytest.fixture
def submit(fake_runtime: Any, cli: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that runs `submit` and returns the arguments of the verb."""

    def run(*words: str, feed: bytes = b"") -> dict[str, Any]:
        runtime = fake_runtime(submit=[PLACE, PLACE])
        said = cli("submit", *words, feed=feed)
        assert (said.code, said.out, said.err) == (0, "7\n7\n", "g2: 2 tasks\n")
        return runtime.get_last_args("submit")

    return run


def list_argv(asked: dict[str, Any]) -> list[str]:
    return [" ".join(task["argv"]) for task in asked["tasks"]]


def test_an_array_has_one_task_per_index(submit):
    asked = submit("--array", "3,5", "-n", "s{index}", "--", "run", "{index}", "{}")

    assert list_argv(asked) == ["run 3 {}", "run 5 {}"]
    assert [task["name"] for task in asked["tasks"]] == ["s3", "s5"]
    assert asked["group"] == {
        "name": "s{index}",
        "argv": ["run", "{index}", "{}"],
        "indexes": [3, 5],
    }


def test_an_array_can_limit_how_many_run_at_once(submit):
    assert submit("--array", "1-2%8", "--", "x")["group"] == {
        "argv": ["x"],
        "indexes": [1, 2],
        "max_running": 8,
    }


def test_any_group_can_limit_how_many_run_at_once(submit):
    swept = submit("--sweep", "a=1,2", "--max-running", "6", "--", "x", "{a}")
    listed = submit("--each", "--max-running", "6", "--", "x", feed=b"1\n2\n")

    assert swept["group"]["max_running"] == listed["group"]["max_running"] == 6


def test_a_sweep_tells_that_a_percent_sign_limits_nothing(fake_runtime, cli):
    fake_runtime(submit=[PLACE, PLACE])

    said = cli("submit", "--sweep", "a=1,2%6", "--", "x", "{a}")

    assert "--sweep a ends with the value 2%6. To run 6 at once: --max-running 6" in said.err


def test_columns_of_lines_have_placeholders(submit):
    feed = b"a 1\nb\t2\n"

    assert list_argv(submit("--each", "--", "x", "{2}-{1}", feed=feed)) == ["x 1-a", "x 2-b"]


@pytest.mark.parametrize(
    ("words", "feed", "note"),
    [
        (
            ["--each", "--", "x", "{9}"],
            b"a 1\nb 2\n",
            "no item has a column 9: {9} stays as it is.",
        ),
        (
            ["--sweep", "rate=1,2", "--", "x", "{rate}", "{Rate}"],
            b"",
            "{Rate} stays as it is. Nearest: {rate}",
        ),
        (["--array", "1-2", "--", "x", "{indx}"], b"", "{indx} stays as it is. Nearest: {index}"),
    ],
)
def test_a_mistyped_placeholder_is_noted(fake_runtime, cli, words, feed, note):
    runtime = fake_runtime(submit=[PLACE, PLACE])

    said = cli("submit", *words, feed=feed)

    assert said.code == 0 and f"taskdeck: {note}\n" in said.err
    assert words[-1] in runtime.get_last_args("submit")["tasks"][0]["argv"]


def test_a_sweep_fills_every_text_of_a_task(submit):
    asked = submit(
        *("--sweep", "lr=1,2", "-n", "t-{lr}", "--tag", "lr={lr}", "--output", "o-{lr}-{number}"),
        *("--", "sh", "-c", "x {lr} ${lr} {bs}"),
    )

    assert list_argv(asked) == ["sh -c x 1 ${lr} {bs}", "sh -c x 2 ${lr} {bs}"]
    (_, second) = asked["tasks"]
    assert (second["name"], second["tags"], second["output"]) == (
        "t-2",
        {"lr": "2"},
        "o-2-{number}",
    )
    assert asked["group"]["sweep"] == {"names": ["lr"], "values": [["1"], ["2"]]}


def test_a_sweep_tells_that_a_range_is_one_value(fake_runtime, cli):
    fake_runtime(submit=[PLACE])

    said = cli("submit", "--sweep", "seed=1-3", "--sweep", "x=a-b", "--", "true")

    assert "--sweep seed has one value, 1-3. Each by itself: seed=1,…,3" in said.err
    assert said.err.count("one value") == 1
    said = cli("submit", "--sweep", "lr=0.1,1,1", "--", "true")
    assert "--sweep lr=1 is given more than once" in said.err


def test_unused_parameters_of_a_sweep_are_noted(fake_runtime, cli):
    """The program may read the variables, so the sweep is no mistake for sure."""
    fake_runtime(submit=[PLACE] * 4)
    sweep = ["submit", "--sweep", "a=1,2", "--sweep", "b=3,4", "--"]

    for words, unused in [
        (["x"], "{a}, {b}: it gets the value only as TASKDECK_PARAM_a."),
        (["x", "{index}", "{a}"], "{b}: it gets the value only as TASKDECK_PARAM_b."),
    ]:
        said = cli(*sweep, *words)
        assert said.code == 0 and f"the command has no {unused}" in said.err
    assert "the command has no" not in cli(*sweep, "sh", "-c", "x $TASKDECK_PARAM_b", "{a}").err


def test_a_template_gets_the_swept_parameters_that_it_is_not_given(submit):
    asked = submit("train", "--sweep", "lr=1,2", "--sweep", "bs=8", "-p", "batch={bs}")

    assert [task["parameter_texts"] for task in asked["tasks"]] == [
        [["batch", "8"], ["lr", "1"]],
        [["batch", "8"], ["lr", "2"]],
    ]


def test_a_script_gets_values_as_variables_only(submit):
    asked = submit("--sweep", "lr=1,2", "-c", 'x "$TASKDECK_PARAM_lr" ${lr}')

    assert asked["tasks"] == [{"script": 'x "$TASKDECK_PARAM_lr" ${lr}'}] * 2


def test_a_grid_comes_from_a_file_or_stdin(submit, tmp_path: Path):
    (tmp_path / "g.csv").write_text("lr\n1\n2\n")

    for words, feed in (([str(tmp_path / "g.csv")], b""), (["-"], b"lr\n1\n2\n")):
        asked = submit("--sweep-file", *words, "--", "x", "{lr}", feed=feed)
        assert list_argv(asked) == ["x 1", "x 2"]


def test_follow_shows_the_output_of_the_whole_group(fake_runtime, cli, tmp_path):
    (tmp_path / "7.log").write_bytes(b"hi\n")
    run = {"runid": "r", "status": "succeeded", "path": str(tmp_path / "7.log"), "logs": ""}
    logs = {"tasks": [{"number": 7, "runs": [run]}], "after": None, "more": False, "left": 0}
    end = {"number": 7, "name": "x", "status": "failed", "code": 3, "reason": "exit 3"}
    runtime = fake_runtime(submit=[PLACE, PLACE], logs=logs, wait=[end, end])

    said = cli("submit", "--array", "1-2", "--follow", "--", "true")

    assert (said.code, said.out) == (3, "7\n7\n#7 | hi\n")
    assert runtime.get_last_args("logs")["ids"] == ["g2"]


def test_json_names_the_group_of_each_task(fake_runtime, cli):
    fake_runtime(submit=[PLACE, PLACE])

    said = cli("submit", "--array", "1-2", "--json", "--", "true")

    assert json.loads(said.out) == [{"uuid": "u", "number": 7, "group": "g2"}] * 2


@pytest.mark.parametrize(
    ("words", "feed", "said"),
    [
        (["--array", "5-1", "--", "x"], b"", '--array ends before it begins: "5-1"'),
        (["--array", "1-1000000", "--", "x"], b"", "--array has more than 100,000 indexes"),
        (["--each", "--", "x"], b"a\n" * 100_001, "--each read 100,001 items; at most 100,000"),
        (["--sweep", "lr", "--", "x"], b"", "--sweep must be NAME=VALUE,VALUE"),
        (["--array", "1-2", "--sweep", "a=1", "--", "x"], b"", "cannot be combined"),
        (["--sweep", "a=1", "--sweep", "a=2", "--", "x"], b"", '--sweep names "a" twice'),
        (["--sweep", "a=1", "-c", "x {a}"], b"", 'Use the variable: "$TASKDECK_PARAM_a"'),
        (["--sweep", "a=1,2", "--", "x", "{b}"], b"", "{b} is no parameter of the sweep."),
        (["--array", "1", "-c", "x {index}"], b"", 'Use the variable: "$TASKDECK_ARRAY_INDEX"'),
        (["--each", "--", "x", "{2}"], b"a 1\nb\n", '--each: "b" has no column 2 for {2}'),
        (["--sweep-file", "-", "--", "x"], b"a\n", "--sweep-file - has no row below its header"),
        (["--sweep-file", "/", "--", "x"], b"", "/ cannot be read: is a directory"),
        (["--from", "-", "--array", "1"], b"", "--from cannot be combined"),
        (["--max-running", "2", "--", "x"], b"", "--max-running requires --array, a sweep or"),
        (["--array", "1-9%2", "--max-running", "2", "--", "x"], b"", "--max-running say the same"),
    ],
)
def test_what_makes_no_group_is_refused_before_any_request(fake_runtime, cli, words, feed, said):
    runtime = fake_runtime()

    found = cli("submit", *words, feed=feed)

    assert (found.code, found.out) == (2, "") and said in found.err
    assert runtime.asked == []
