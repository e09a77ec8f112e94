"""Verbs that change tasks: what they ask for, say, and exit with."""

from __future__ import annotations

import json

import pytest

from tests.cli.on_terminal import on_terminal


def done(*numbers, refused=(), notes=()):
    """What a verb on several answers."""
    rows = [{"number": n, "uuid": f"u{n}", "name": "x", "status": "cancelled"} for n in numbers]
    return {"done": rows, "refused": list(refused), "notes": list(notes)}


def refusal(code, message):
    return {"id": "9", "number": None, "code": "x", "exit_code": code, "message": message}


def test_each_task_gets_a_line(answering, cli):
    runtime = answering(cancel=done(1, 2))

    assert cli("cancel", "1", "#2") == (0, "#1 x: cancelled\n#2 x: cancelled\n", "")
    assert runtime.args("cancel") == {"ids": ["1", "#2"], "signal": None, "grace": None}


def test_nothing_to_do_is_said(answering, cli):
    answering(alert__ack=done())

    assert cli("alert", "ack", "late") == (0, "", "taskdeck: there was nothing to do.\n")


def test_many_tasks_get_twenty_lines_and_a_count(answering, cli):
    answering(hold=done(*range(1000)))

    lines = cli("hold", "--queue", "q", "--yes").out.splitlines()

    assert len(lines) == 21 and lines[-1] == "and 980 more"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (done(1), 0),
        (done(notes=["#1 has ended (succeeded, 3h ago); there is nothing to cancel."]), 0),
        (done(refused=[refusal(3, "no task 9")]), 3),
        (done(refused=[refusal(3, "no task 9"), refusal(3, "no task 8")]), 3),
        (done(refused=[refusal(3, "no task 9"), refusal(4, "it runs")]), 1),
        (done(1, refused=[refusal(3, "no task 9")]), 1),
    ],
)
def test_the_exit_code_tells_whether_all_was_done(answering, cli, answer, code):
    answering(cancel=answer)

    said = cli("cancel", "1")

    told = [*answer["notes"], *(one["message"] for one in answer["refused"])]
    assert said.code == code and said.err == "".join(f"taskdeck: {text}\n" for text in told)


def test_the_whole_answer_is_there_as_json(answering, cli):
    answering(rm=done(1, refused=[refusal(4, "it runs")]))

    said = cli("rm", "1", "2", "--json")

    assert said.code == 1 and json.loads(said.out)["refused"][0]["message"] == "it runs"


def test_filters_in_a_pipe_need_a_yes(answering, cli):
    runtime = answering(ls={"tasks": [], "total": 14, "of": 99}, cancel=done(1))

    said = cli("cancel", "--queue", "media", "--status", "queued")
    assert (said.code, said.err) == (2, "taskdeck: this would cancel 14 tasks. Nothing was changed. To do it: --yes\n")
    assert [verb for verb, _ in runtime.asked] == ["ls"]

    assert cli("cancel", "--queue", "media", "--status", "queued", "--yes").code == 0
    assert runtime.args("cancel")["select"] == {"status": ["queued"], "queue": "media"}


def test_filters_and_ids_do_not_go_together(answering, cli):
    answering()

    assert "not both" in cli("retry", "1", "--status", "failed").err


def test_set_sends_what_is_new(answering, cli):
    runtime = answering(set=done(1))

    cli("set", "1", "--priority", "-3", "--memory", "11G", "--retry-delay", "1m", "--in-queue", "gpu")
    assert runtime.asked == []
    cli("set", "1", "--priority", "-3", "--memory", "11G", "--retry-delay", "1m")
    assert runtime.args("set") == {"ids": ["1"], "fields": {"priority": -3, "memory": 11264, "retry_delay": 60}}
    cli("set", "--in-queue", "gpu", "--queue", "media", "--yes")
    assert runtime.args("set") == {"select": {"queue": "gpu"}, "fields": {"queue": "media"}}


@pytest.mark.parametrize(("typed", "number"), [("KILL", 9), ("SIGTERM", 15), ("usr1", 10), ("2", 2)])
def test_a_signal_is_a_name_or_a_number(answering, cli, typed, number):
    runtime = answering(cancel=done(1))

    cli("cancel", "-s", typed, "1")

    assert runtime.args("cancel")["signal"] == number


def test_retry_of_what_succeeded_is_asked_for(answering, cli):
    runtime = answering(retry=done(1))

    cli("retry", "--again", "1")

    assert runtime.args("retry") == {"ids": ["1"], "again": True}


def test_wait_exits_with_the_first_code_that_is_not_0_in_the_order_given(answering, cli):
    ends = [
        {"number": n, "name": "x", "status": "failed", "exit_code": c, "signal": None, "reason": None, "code": c}
        for n, c in ((1, 0), (2, 9), (3, 7))
    ]
    runtime = answering(wait=ends)

    assert cli("wait", "1", "2", "3", "--timeout", "2h").code == 9
    assert runtime.args("wait") == {"ids": ["1", "2", "3"], "timeout": 7200}


def test_a_question_on_a_terminal_is_answered_there(answering, home):
    runtime = answering(ls={"tasks": [], "total": 2, "of": 2}, front=done(1, 2))

    out = on_terminal(home, "front", "--queue", "media", typed=b"n\n")
    assert b"Front 2 tasks? [y/N]" in out and b"nothing was changed" in out
    on_terminal(home, "front", "--queue", "media", typed=b"y\n")
    assert runtime.args("front") == {"select": {"queue": "media"}}
