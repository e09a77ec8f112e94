"""Tests of the control-socket client: autostart, reads without a runtime, and lost answers."""

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
from app.core.ids import make_uuid7
from app.errors import Conflict, NotFound, Problem, Usage, problem_to_dict
from app.health import procfs
from app.service.registry import VERBS
from app.version import PROTOCOL, VERSION
from tests.runtime_process import RuntimeProcess

GREETING = {"taskdeck": VERSION, "protocol": PROTOCOL, "pid": 1}


class ScriptedRuntime:
    """Scripted runtime: greets each client, sends the answers of `answer`, and hangs up."""

    def __init__(
        self,
        home: Path,
        answer: Callable[[dict[str, Any], int], list[dict[str, Any]]],
        greeting: dict[str, Any],
    ) -> None:
        self.answer, self.greeting, self.requests = answer, greeting, list[dict[str, Any]]()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(os.fspath(home / "run" / paths.CONTROL_SOCKET))
        self.server.listen()

    def serve(self) -> None:
        """Accept connections until the socket is closed."""
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
            self.requests.append(json.loads(text))
            lines = self.answer(self.requests[-1], len(self.requests))
            file.write(b"".join(json.dumps(one).encode() + b"\n" for one in lines))
            file.flush()
            if not lines:
                return


@contextmanager
def run_scripted_runtime(
    home: Path,
    answer: Callable[[dict[str, Any], int], list[dict[str, Any]]],
    greeting: dict[str, Any] = GREETING,
) -> Iterator[ScriptedRuntime]:
    """Run a runtime that gives these answers."""
    script = ScriptedRuntime(home, answer, greeting)
    thread = threading.Thread(target=script.serve)
    thread.start()
    try:
        yield script
    finally:
        script.server.shutdown(socket.SHUT_RDWR)
        script.server.close()
        thread.join()


def test_reading_verbs_need_no_runtime_and_start_none(lazy_runtime: RuntimeProcess):
    for verb in (
        "ls",
        "status",
        "board",
        "queue.ls",
        "pool.ls",
        "why",
        "instances",
        "export",
        "doctor",
    ):
        assert lazy_runtime.call(verb) is not None, verb
    assert [done["object"] for done in lazy_runtime.call("operations")] == [
        "queue default",
        "pool default",
    ]

    assert not lazy_runtime.client.is_runtime_up()
    assert list(lazy_runtime.list_processes()) == []
    assert not (lazy_runtime.home / paths.DATABASE).exists()


def test_data_of_a_stopped_runtime_is_readable(shared_runtime: RuntimeProcess):
    number = shared_runtime.submit("true")
    shared_runtime.wait_for_end(number)
    shared_runtime.kill()

    with closing(shared_runtime.open_client()) as other:
        assert other.call("show", {"id": number})["status"] == "succeeded"
        with pytest.raises(NotFound):
            other.call("show", {"id": 99})
    assert not [
        pid
        for pid in shared_runtime.list_processes()
        if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("verb", sorted(client.READ_ONLY_VERBS))
def test_every_reading_verb_is_a_verb(verb: str):
    assert verb in VERBS


def test_a_writing_verb_starts_a_runtime_that_the_next_one_uses(lazy_runtime: RuntimeProcess):
    first = lazy_runtime.submit("true")
    pid = lazy_runtime.pid
    second = lazy_runtime.submit("true")

    assert (first, second, lazy_runtime.pid) == ("1", "2", pid)


def test_a_runtime_that_went_away_between_two_verbs_is_started_again(
    shared_runtime: RuntimeProcess,
):
    pid, before = shared_runtime.pid, shared_runtime.call("ls")["total"]
    shared_runtime.kill()

    assert int(shared_runtime.submit("true")) == before + 1
    assert shared_runtime.pid != pid


def test_problems_keep_their_code_message_and_hint(shared_runtime: RuntimeProcess):
    with pytest.raises(Problem) as caught:
        shared_runtime.call("queue.show", name="defualt")

    assert (caught.value.code, caught.value.exit_code) == ("not-found", 3)
    assert (
        str(caught.value)
        == 'there is no queue "defualt". Nearest: default. List: taskdeck queue ls'
    )


def test_watch_yields_at_once_after_changes_and_ends_with_the_runtime(
    shared_runtime: RuntimeProcess,
):
    watching = shared_runtime.open_client().watch()
    next(watching)
    shared_runtime.submit("true")
    next(watching)

    shared_runtime.kill()

    assert sum(1 for _ in watching) < 100


def test_close_from_another_thread_ends_a_watch(shared_runtime: RuntimeProcess):
    other = shared_runtime.open_client()
    watching = other.watch()
    next(watching)
    thread = threading.Thread(target=lambda: [None for _ in watching])
    thread.start()

    other.close()

    thread.join(20)
    assert not thread.is_alive()


def test_watch_without_a_runtime_yields_nothing(lazy_runtime: RuntimeProcess):
    assert list(lazy_runtime.open_client().watch()) == []


def test_notes_reach_the_caller(home: Path):
    with (
        run_scripted_runtime(
            home, lambda ask, n: [{"note": "one"}, {"note": "two"}, {"result": 5}]
        ),
        closing(Client(home)) as caller,
    ):
        notes: list[str] = []
        assert (caller.call("ls", {}, notes.append), notes) == (5, ["one", "two"])


def test_waiting_for_the_database_is_a_note_unless_a_callback_is_set(home: Path):
    lines = [{"note": "it waits", "waits": "it waits"}, {"waits": "it waits"}, {"result": 5}]
    with run_scripted_runtime(home, lambda ask, n: lines), closing(Client(home)) as caller:
        notes, heard = list[str](), list[str]()
        assert (caller.call("ls", {}, notes.append), notes) == (5, ["it waits"])
        caller.on_wait = heard.append
        assert (caller.call("ls", {}, notes.append), notes, heard) == (
            5,
            ["it waits"],
            ["it waits", "it waits"],
        )


def test_a_submission_with_a_lost_answer_is_resent_with_the_same_id(home: Path):
    with (
        run_scripted_runtime(
            home, lambda ask, n: [] if n == 1 else [{"result": [{"number": 7}]}]
        ) as script,
        closing(Client(home)) as caller,
    ):
        assert caller.call("submit", {"tasks": [{"argv": ["true"]}], "uuid": make_uuid7()}) == [
            {"number": 7}
        ]

    assert len(script.requests) == 2 and script.requests[0] == script.requests[1]


@pytest.mark.parametrize("verb", ["submit", "submit.lines"])
def test_a_submission_without_an_identifier_gets_one_before_it_is_sent(home: Path, verb: str):
    with (
        run_scripted_runtime(home, lambda ask, n: [] if n == 1 else [{"result": []}]) as script,
        closing(Client(home)) as caller,
    ):
        caller.call(verb, {"tasks": []})

    first, second = (ask["args"].get("uuid") for ask in script.requests)
    assert first is not None and first == second


@pytest.mark.parametrize("verb", sorted(client.UNREPEATABLE_VERBS))
def test_unrepeatable_verbs_are_not_resent(home: Path, verb: str):
    with (
        run_scripted_runtime(home, lambda ask, n: []) as script,
        closing(Client(home)) as caller,
        pytest.raises(Problem) as caught,
    ):
        caller.call(verb, {})

    assert len(script.requests) == 1
    assert f"{verb} may or may not have been done" in str(
        caught.value
    ) and "taskdeck operations" in str(caught.value)


def test_repeatedly_ending_runtimes_are_reported(home: Path):
    with (
        run_scripted_runtime(home, lambda ask, n: []) as script,
        closing(Client(home)) as caller,
        pytest.raises(Problem, match="may or may not have been done"),
    ):
        caller.call("cancel", {"ids": ["1"]})

    assert len(script.requests) == client.MAX_ATTEMPTS


def test_a_signal_with_a_lost_answer_is_not_resent(home: Path):
    with (
        run_scripted_runtime(home, lambda ask, n: []) as script,
        closing(Client(home)) as caller,
        pytest.raises(Problem, match="may or may not have been done"),
    ):
        caller.call("cancel", {"ids": ["1"], "signal": 10})

    assert len(script.requests) == 1


def test_a_wait_survives_runtime_restarts_within_its_timeout(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "STABLE_LIFETIME", 0.0)
    with (
        run_scripted_runtime(
            home, lambda ask, n: [] if n <= 2 * client.MAX_ATTEMPTS else [{"result": []}]
        ) as script,
        closing(Client(home)) as caller,
    ):
        assert caller.call("wait", {"ids": ["1"], "timeout": 60.0}) == []

    left = [ask["args"]["timeout"] for ask in script.requests]
    assert left == sorted(left, reverse=True) and left[-1] < left[0] == 60.0


@pytest.mark.parametrize("outdated", [True, False])
def test_an_unknown_verb_of_an_older_runtime_has_a_hint(
    home: Path, monkeypatch: pytest.MonkeyPatch, outdated: bool
):
    monkeypatch.setattr(procfs, "is_outdated", lambda pid: outdated)
    error = problem_to_dict(Usage('there is no verb "resource.ls".'))
    with (
        run_scripted_runtime(home, lambda ask, n: [{"error": error}]),
        closing(Client(home)) as caller,
        pytest.raises(Problem, match="no verb") as caught,
    ):
        caller.call("resource.ls")

    assert caught.value.hint.endswith("taskdeck serve --replace --detach" if outdated else "")
    assert bool(caught.value.hint) is outdated


@pytest.mark.parametrize(
    "greeting", [GREETING | {"taskdeck": "9.9"}, GREETING | {"protocol": 99}, {}]
)
def test_a_runtime_of_another_version_is_refused_with_a_hint(home: Path, greeting: dict[str, Any]):
    with (
        run_scripted_runtime(home, lambda ask, n: [{"result": 1}], greeting) as script,
        closing(Client(home)) as caller,
        pytest.raises(Conflict) as caught,
    ):
        caller.call("submit", {"tasks": []})

    assert script.requests == []
    assert "Nothing was done" in str(caught.value) and "taskdeck serve --replace" in str(
        caught.value
    )


def test_a_silent_runtime_is_reported_with_a_hint(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "GREETING_TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(home / "run" / paths.CONTROL_SOCKET))
        silent.listen()
        with pytest.raises(Problem) as caught:
            Client(home).call("submit", {"tasks": []})

    assert "Nothing was done" in caught.value.message and caught.value.hint.endswith(
        f"kill -CONT {os.getpid()}"
    )


def test_a_socket_without_listener_means_no_runtime(home: Path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(home / "run" / paths.CONTROL_SOCKET))

    assert client.connect(os.fspath(home)) is None


def test_a_missing_home_means_no_runtime(home: Path):
    assert client.connect(os.fspath(home / "nowhere")) is None


def test_clients_in_three_threads_see_the_same_data(shared_runtime: RuntimeProcess):
    before = shared_runtime.call("ls")["total"]
    numbers = [
        shared_runtime.open_client().call(
            "submit", {"tasks": [{"argv": ["true"]}], "env": {"PATH": os.environ["PATH"]}}
        )[0]["number"]
        for _ in range(3)
    ]

    assert [task["status"] for task in shared_runtime.wait_for_end(*map(str, numbers))] == [
        "succeeded"
    ] * 3
    assert [shared_runtime.open_client().call("ls")["total"] for _ in numbers] == [before + 3] * 3
