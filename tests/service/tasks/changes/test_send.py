"""Tests of the input of tasks, with a real runtime."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from app.errors import Conflict, Remote
from tests.runtime_process import RuntimeProcess, wait_until

pytestmark = pytest.mark.process
READER = ("sh", "-c", 'while read -r line; do echo "got $line"; done; echo end')


def wait_for_log(runtime: RuntimeProcess, task: str, text: str) -> None:
    (run,) = runtime.call("log", id=task)["runs"]
    wait_until(lambda: Path(run["path"]).read_text() == text, text)


def get_refusal(runtime: RuntimeProcess, task: str, **more: object) -> str:
    with pytest.raises((Conflict, Remote)) as caught:
        runtime.call("send", id=task, **{"text": "x\n", **more})
    return str(caught.value)


def test_a_task_gets_what_is_sent_at_once_and_after_a_crash(runtime: RuntimeProcess):
    task = runtime.submit(*READER, stdin=True)
    assert runtime.call("send", id=task, text="one\n")["taken"] == 4
    runtime.kill(signal.SIGKILL)

    more = {"id": task, "text": "t\udcffo\n", "eof": True}
    answer = runtime.open_client().call("send", more)

    assert (answer["number"], answer["taken"], answer["closed"]) == (int(task), 4, True)
    assert runtime.wait_for_end(task)[0]["status"] == "succeeded"
    (run,) = runtime.call("log", id=task)["runs"]
    assert Path(run["path"]).read_bytes() == b"got one\ngot t\xffo\nend\n"
    assert get_refusal(runtime, task) == f"#{task} has ended. Nothing was sent."


def test_an_attempt_has_an_input_of_its_own(shared_runtime: RuntimeProcess):
    task = shared_runtime.submit("sh", "-c", "read -r code; exit $code", stdin=True, retries=1,
                                 retry_delay=0)  # fmt: skip
    shared_runtime.call("send", id=task, text="3\n")
    shared_runtime.wait_for_status(task, "running")
    wait_until(lambda: len(shared_runtime.show(task)["instances"]) == 2, "the second attempt")

    shared_runtime.call("send", id=task, text="0\n")

    assert shared_runtime.wait_for_end(task)[0]["status"] == "succeeded"


def test_a_group_gets_a_text_in_all_running_tasks(shared_runtime: RuntimeProcess):
    reads = {"argv": ["head", "-n1"], "stdin": True}
    places = shared_runtime.call("submit", tasks=[reads, reads | {"hold": True}], env={},
                                 group={"argv": ["head"]})  # fmt: skip
    group, first = places[0]["group"], str(places[0]["number"])
    shared_runtime.wait_for_status(first, "running")

    answer = shared_runtime.call("send", id=group, text="x\n")

    assert [row["number"] for row in answer["done"]] == [int(first)] and not answer["refused"]
    assert shared_runtime.wait_for_end(first)[0]["status"] == "succeeded"
    assert f"no task of {group} runs" in get_refusal(shared_runtime, group)
    shared_runtime.call("cancel", ids=[group])


def test_an_input_that_is_not_open_is_refused_with_the_reason(shared_runtime: RuntimeProcess):
    plain, held = (
        shared_runtime.submit("sleep", "60"),
        shared_runtime.submit("true", stdin=True, hold=True),
    )
    closed = shared_runtime.submit("sleep", "60", stdin=True)
    shared_runtime.call("send", id=closed, eof=True)

    assert "submitted without --stdin" in get_refusal(shared_runtime, plain)
    assert "its input opens when it starts" in get_refusal(shared_runtime, held)
    assert get_refusal(shared_runtime, closed).endswith(f"#{closed} is closed. Nothing was sent.")
    assert "65,536 are sent at once" in get_refusal(shared_runtime, closed, text="x" * 65537)
    shared_runtime.call("cancel", ids=[plain, held, closed])


def test_a_full_input_keeps_nothing_waiting(shared_runtime: RuntimeProcess):
    task = shared_runtime.submit("sleep", "60", stdin=True)
    shared_runtime.call("send", id=task, text="x" * 65536)

    answer = shared_runtime.call("send", id=task, text="y\n", eof=True)

    assert (answer["taken"], answer["unread"], answer["closed"]) == (0, 65536, False)
    full = f"the input of #{task} is full: 64 KiB wait unread. Nothing was sent."
    assert full in get_refusal(shared_runtime, task, whole=True)
    shared_runtime.call("cancel", ids=[task])
