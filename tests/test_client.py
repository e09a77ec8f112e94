"""The client's side of the control socket: starts what is not up, reads without it, and is honest about answers that were lost."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app import client, paths
from app.client import Client
from app.core.ids import uuid7
from app.errors import Conflict, NotFound, Problem
from app.service.registry import VERBS
from app.version import PROTOCOL, VERSION
from tests.runtime_process import Living

GREETING = {"taskdeck": VERSION, "protocol": PROTOCOL, "pid": 1}


class Script:
    """A runtime that plays its part: per connection the greeting, then what `answer` says, then it hangs up."""

    def __init__(
        self, home: Path, answer: Callable[[dict[str, Any], int], list[dict[str, Any]]], greeting: dict[str, Any]
    ) -> None:
        self.answer, self.greeting, self.heard = answer, greeting, list[dict[str, Any]]()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(os.fspath(home / "run" / paths.CONTROL))
        self.server.listen()

    def play(self) -> None:
        """Until the socket is closed."""
        while True:
            try:
                line, _ = self.server.accept()
            except OSError:
                return
            with line, line.makefile("rwb") as file:
                self._talk(file)

    def _talk(self, file: Any) -> None:
        file.write(json.dumps(self.greeting).encode() + b"\n")
        file.flush()
        for text in file:
            self.heard.append(json.loads(text))
            said = self.answer(self.heard[-1], len(self.heard))
            file.write(b"".join(json.dumps(one).encode() + b"\n" for one in said))
            file.flush()
            if not said:
                return


@contextmanager
def runtime_that(
    home: Path, answer: Callable[[dict[str, Any], int], list[dict[str, Any]]], greeting: dict[str, Any] = GREETING
) -> Iterator[Script]:
    """A runtime that answers so."""
    script = Script(home, answer, greeting)
    thread = threading.Thread(target=script.play)
    thread.start()
    try:
        yield script
    finally:
        script.server.shutdown(socket.SHUT_RDWR)
        script.server.close()
        thread.join()


def test_reading_verbs_need_no_runtime_and_start_none(living: Living):
    for verb in ("ls", "status", "board", "queue.ls", "pool.ls", "why", "instances", "export", "doctor"):
        assert living.call(verb) is not None, verb
    assert [done["object"] for done in living.call("operations")] == ["queue default", "pool default"]

    assert not living.client.runtime_up()
    assert list(living.processes()) == []
    assert not (living.home / paths.DATABASE).exists()


def test_what_a_runtime_left_is_read_without_it(up: Living):
    number = up.submit("true")
    up.ended(number)
    up.kill()

    with closing(up.another()) as other:
        assert other.call("show", {"id": number})["status"] == "succeeded"
        with pytest.raises(NotFound):
            other.call("show", {"id": 99})
    assert not [pid for pid in up.processes() if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("verb", sorted(client.READING))
def test_every_reading_verb_is_a_verb(verb: str):
    assert verb in VERBS


def test_a_writing_verb_starts_a_runtime_that_the_next_one_uses(living: Living):
    first = living.submit("true")
    pid = living.pid
    second = living.submit("true")

    assert (first, second, living.pid) == ("1", "2", pid)


def test_a_runtime_that_went_away_between_two_verbs_is_started_again(up: Living):
    pid, before = up.pid, up.call("ls")["total"]
    up.kill()

    assert int(up.submit("true")) == before + 1
    assert up.pid != pid


def test_problems_keep_their_code_message_and_hint(up: Living):
    with pytest.raises(Problem) as told:
        up.call("queue.show", name="defualt")

    assert (told.value.code, told.value.exit_code) == ("not-found", 3)
    assert str(told.value) == 'no queue "defualt". Nearest: default. List: taskdeck queue ls'


def test_watch_gives_one_item_at_once_one_after_a_change_and_ends_with_the_runtime(up: Living):
    watching = up.another().watch()
    next(watching)
    up.submit("true")
    next(watching)

    up.kill()

    assert sum(1 for _ in watching) < 100


def test_close_from_another_thread_ends_a_watch(up: Living):
    other = up.another()
    watching = other.watch()
    next(watching)
    thread = threading.Thread(target=lambda: [None for _ in watching])
    thread.start()

    other.close()

    thread.join(20)
    assert not thread.is_alive()


def test_watching_without_a_runtime_gives_nothing(living: Living):
    assert list(living.another().watch()) == []


def test_notes_reach_the_caller(home: Path):
    with (
        runtime_that(home, lambda ask, n: [{"note": "one"}, {"note": "two"}, {"result": 5}]),
        closing(Client(home)) as caller,
    ):
        notes: list[str] = []
        assert (caller.call("ls", {}, notes.append), notes) == (5, ["one", "two"])


def test_that_a_verb_waits_for_the_database_is_a_note_unless_somebody_wants_to_hear_it_each_time(home: Path):
    said = [{"note": "it waits", "waits": "it waits"}, {"waits": "it waits"}, {"result": 5}]
    with runtime_that(home, lambda ask, n: said), closing(Client(home)) as caller:
        notes, heard = list[str](), list[str]()
        assert (caller.call("ls", {}, notes.append), notes) == (5, ["it waits"])
        caller.waits = heard.append
        assert (caller.call("ls", {}, notes.append), notes, heard) == (5, ["it waits"], ["it waits", "it waits"])


def test_a_submission_whose_answer_was_lost_is_sent_again_as_the_same(home: Path):
    with (
        runtime_that(home, lambda ask, n: [] if n == 1 else [{"result": [{"number": 7}]}]) as script,
        closing(Client(home)) as caller,
    ):
        assert caller.call("submit", {"tasks": [{"argv": ["true"]}], "uuid": uuid7()}) == [{"number": 7}]

    assert len(script.heard) == 2 and script.heard[0] == script.heard[1]


@pytest.mark.parametrize("verb", ["submit", "submit.lines"])
def test_a_submission_without_an_identifier_gets_one_before_it_is_sent(home: Path, verb: str):
    with (
        runtime_that(home, lambda ask, n: [] if n == 1 else [{"result": []}]) as script,
        closing(Client(home)) as caller,
    ):
        caller.call(verb, {"tasks": []})

    first, second = (ask["args"].get("uuid") for ask in script.heard)
    assert first is not None and first == second


@pytest.mark.parametrize("verb", sorted(client.UNREPEATABLE))
def test_what_may_not_be_done_twice_is_not_sent_twice(home: Path, verb: str):
    with (
        runtime_that(home, lambda ask, n: []) as script,
        closing(Client(home)) as caller,
        pytest.raises(Problem) as told,
    ):
        caller.call(verb, {})

    assert len(script.heard) == 1
    assert f"whether {verb} was done is not known" in str(told.value) and "taskdeck operations" in str(told.value)


def test_runtimes_that_end_one_after_the_other_in_the_middle_are_told(home: Path):
    with (
        runtime_that(home, lambda ask, n: []) as script,
        closing(Client(home)) as caller,
        pytest.raises(Problem, match="is not known"),
    ):
        caller.call("cancel", {"ids": ["1"]})

    assert len(script.heard) == client.TRIES


def test_a_signal_whose_answer_was_lost_is_not_sent_again(home: Path):
    with (
        runtime_that(home, lambda ask, n: []) as script,
        closing(Client(home)) as caller,
        pytest.raises(Problem, match="is not known"),
    ):
        caller.call("cancel", {"ids": ["1"], "signal": 10})

    assert len(script.heard) == 1


def test_a_wait_outlives_the_runtimes_and_waits_no_longer_for_it(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "LASTING", 0.0)
    with (
        runtime_that(home, lambda ask, n: [] if n <= 2 * client.TRIES else [{"result": []}]) as script,
        closing(Client(home)) as caller,
    ):
        assert caller.call("wait", {"ids": ["1"], "timeout": 60.0}) == []

    left = [ask["args"]["timeout"] for ask in script.heard]
    assert left == sorted(left, reverse=True) and left[-1] < left[0] == 60.0


@pytest.mark.parametrize("greeting", [GREETING | {"taskdeck": "9.9"}, GREETING | {"protocol": 99}, {}])
def test_a_runtime_of_another_version_is_refused_with_what_to_do(home: Path, greeting: dict[str, Any]):
    with (
        runtime_that(home, lambda ask, n: [{"result": 1}], greeting) as script,
        closing(Client(home)) as caller,
        pytest.raises(Conflict) as told,
    ):
        caller.call("submit", {"tasks": []})

    assert script.heard == []
    assert "Nothing was done" in str(told.value) and "taskdeck serve --replace" in str(told.value)


def test_a_runtime_that_does_not_greet_is_named_with_what_wakes_it(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(home / "run" / paths.CONTROL))
        silent.listen()
        with pytest.raises(Problem) as told:
            Client(home).call("submit", {"tasks": []})

    assert "Nothing was done" in told.value.message and told.value.hint.endswith(f"kill -CONT {os.getpid()}")


def test_a_socket_that_nobody_listens_on_is_no_runtime(home: Path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(home / "run" / paths.CONTROL))

    assert client.connect(os.fspath(home)) is None


def test_a_home_that_is_not_there_is_no_runtime(home: Path):
    assert client.connect(os.fspath(home / "nowhere")) is None


def test_clients_of_three_threads_see_the_same(up: Living):
    before = up.call("ls")["total"]
    numbers = [
        up.another().call("submit", {"tasks": [{"argv": ["true"]}], "env": {"PATH": os.environ["PATH"]}})[0][
            "number"
        ]
        for _ in range(3)
    ]

    assert [task["status"] for task in up.ended(*map(str, numbers))] == ["succeeded"] * 3
    assert [up.another().call("ls")["total"] for _ in numbers] == [before + 3] * 3
