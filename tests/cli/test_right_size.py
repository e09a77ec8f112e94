"""Tests of `taskdeck set --right-size`."""

from __future__ import annotations

from typing import Any

from tests.cli.fake_control_server import AnswerSequence

FOUND: dict[str, Any] = {
    "tasks": [
        {"number": 7, "uuid": "u7", "name": "lr-7", "runs": 9, "cpu": [1.0, 2.5],
         "memory": [4096.0, 1228.8]},
        {"number": 8, "uuid": "u8", "name": "lr-8", "runs": 9, "cpu": [2.5, 2.5],
         "memory": [1228.8, 1228.8]},
    ],
    "refused": [],
}  # fmt: skip
DONE = {
    "done": [{"number": 7, "name": "lr-7", "status": "held", "changes": {"cpu": [1.0, 2.5]}}],
    "refused": [],
    "notes": [],
}


def test_the_sizes_are_shown_and_set_with_yes(fake_runtime, cli):
    runtime = fake_runtime(right_size=FOUND, set__sizes=DONE)

    done = cli("set", "--tag", "exp=lr", "--right-size", "--yes")

    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()] == [
        ["TASK", "NAME", "MEMORY", "NEW", "CPU", "NEW", "RUNS"],
        ["#7", "lr-7", "4.0G", "1.2G", "1", "2.5", "9"],
        ["#7", "lr-7:", "cpu", "1.0", "→", "2.5"],
    ]
    select = runtime.get_last_args("right_size")["select"]
    assert select["tag"] == {"exp": "lr"} and "running" not in select["status"]
    sizes = {"u7": {"cpu": 2.5, "memory": 1228.8}}
    assert runtime.get_last_args("set.sizes") == {"sizes": sizes}


def test_one_size_alone_is_set(fake_runtime, cli):
    runtime = fake_runtime(right_size=FOUND, set__sizes=DONE)

    cli("set", "7", "8", "--right-size-memory", "--yes")

    assert runtime.get_last_args("right_size") == {"ids": ["7", "8"]}
    assert runtime.get_last_args("set.sizes") == {"sizes": {"u7": {"memory": 1228.8}}}


def test_nothing_is_set_without_a_confirmation(fake_runtime, cli):
    runtime = fake_runtime(right_size=FOUND)

    done = cli("set", "7", "--right-size")

    assert done.code == 2 and "nothing was changed. Confirm: --yes" in done.err
    assert "#7" in done.out
    assert [verb for verb, _ in runtime.asked] == ["right_size"]


def test_tasks_without_enough_runs_are_named(fake_runtime, cli):
    said = "#7 has 3 similar runs that succeeded, but 5 are needed."
    refusal = {"message": said, "exit_code": 4}
    missing = {"message": 'there is no group "g99".', "exit_code": 3}
    fake_runtime(
        right_size=AnswerSequence(
            {"tasks": [], "refused": refused}
            for refused in ([refusal], [missing], [refusal, missing])
        )
    )

    done = cli("set", "7", "--right-size", "--yes")

    assert done.code == 4
    assert cli("set", "g99", "--right-size").code == 3
    assert cli("set", "7", "g99", "--right-size").code == 4
    assert "#7 has 3 similar runs" in done.err and "Nothing was changed." in done.err


def test_right_size_takes_no_other_setting_and_needs_tasks(fake_runtime, cli):
    fake_runtime(right_size=FOUND)

    assert "takes no other settings" in cli("set", "7", "--right-size", "--memory", "1G").err
    assert "size which tasks?" in cli("set", "--right-size").err
