"""Tests of `taskdeck attach`: the output of a task, and its input from a terminal or a pipe."""

from __future__ import annotations

from typing import Any

import pytest

from app.cli.commands.tasks import attach
from app.errors import Conflict, Refused
from tests.cli.commands.tasks.test_logs import make_log_answer
from tests.cli.terminal_command import run_on_terminal
from tests.runtime_process import RuntimeProcess, run_command

READER = ("sh", "-c", 'echo up; while read -r line; do echo "got $line"; done; echo end')


def feed(text: str) -> dict[str, Any]:
    return {"stdin": None, "input": text}


@pytest.mark.process
def test_a_pipe_is_sent_and_the_output_followed_until_the_end(lazy_runtime: RuntimeProcess):
    task = lazy_runtime.submit(*READER, stdin=True)

    done = run_command(lazy_runtime.home, "attach", task, "--eof", **feed("one\ntwo\n"))

    assert (done.returncode, done.stdout) == (0, "up\ngot one\ngot two\nend\n")
    assert lazy_runtime.show(task)["status"] == "succeeded"
    again = run_command(lazy_runtime.home, "attach", task, **feed(""))
    assert again.stdout == done.stdout and "has ended" in again.stderr


@pytest.mark.process
def test_a_terminal_sends_lines_and_closes_the_input_with_control_d(runtime: RuntimeProcess):
    task = runtime.submit(*READER, stdin=True)

    shown = run_on_terminal(runtime.home, "attach", task, typed=b"hello\n\x04").decode()

    assert "each line is sent. ^D closes the input, ^C detaches." in shown
    assert "got hello\r\n" in shown and "end\r\n" in shown
    assert f"the input of {task} is closed." in shown


def test_a_task_without_input_is_only_followed(fake_runtime, cli, tmp_path):
    (tmp_path / "log").write_text("out\n")
    fake_runtime(
        send=Refused("#7 has no input: it was submitted without --stdin. Nothing was sent."),
        log=make_log_answer("succeeded", (1, tmp_path / "log")),
    )

    done = cli("attach", "7", feed=b"typed")

    assert (done.code, done.out) == (0, "out\n")
    assert "#7 has no input" in done.err


def test_an_interrupt_detaches(fake_runtime, cli, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    fake_runtime(send=Conflict("the input of #7 is closed. Nothing was sent."))
    monkeypatch.setattr(attach, "follow", interrupt)

    done = cli("attach", "7")

    assert done.code == 0
    assert "#7 is closed" in done.err and "detached; the task continues." in done.err


def test_text_for_a_task_that_waits_is_sent_when_it_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attach, "POLL_INTERVAL", 0)
    waits = Conflict("#7 waits")
    waits.code = "not-started"
    answers: list[Any] = [waits, waits, None]

    def send() -> None:
        if answer := answers.pop(0):
            raise answer

    attach._repeat_until_started(send)

    assert not answers


def test_attach_needs_one_task(cli):
    assert "attach to which task?" in cli("attach").err
