"""The control socket: valid and invalid requests, hang-ups, and change notifications."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.paths import get_user_name
from app.runtime import lock_notice
from app.runtime.change_feed import ChangeFeed
from app.runtime.control_server import ControlServer
from app.service import registry
from app.service.context import Call
from app.version import PROTOCOL, VERSION
from db.engine import Database
from tests.database_lock import hold_write_lock
from tests.runtime.random_requests import make_requests
from tests.service.calls import submit_task
from tests.service.conftest import FakeRuntimeHandle

TIMEOUT = 60.0
RANDOM_REQUESTS = 1500


class SocketClient:
    """A greeted connection to the control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.greeting: dict[str, Any] = {}

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_message(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT):
            line = await self.reader.readline()
        assert line.endswith(b"\n"), "the runtime hung up"
        return json.loads(line)

    async def ask(self, verb: Any, args: Any = None) -> dict[str, Any]:
        await self.send(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
        return await self.read_message()

    async def read_to_end(self) -> bytes:
        """Return the bytes received before the runtime hung up."""
        async with asyncio.timeout(TIMEOUT):
            return await self.reader.read()


class ControlHarness:
    """A control server and connections to it."""

    def __init__(self, home: Path, feed: ChangeFeed, control: ControlServer) -> None:
        self.home, self.feed, self.control = home, feed, control

    @asynccontextmanager
    async def open_client(self) -> AsyncIterator[SocketClient]:
        reader, writer = await asyncio.open_unix_connection(
            self.home / "run" / paths.CONTROL_SOCKET, limit=1 << 26
        )
        line = SocketClient(reader, writer)
        line.greeting = await line.read_message()
        try:
            yield line
        finally:
            writer.close()

    async def ask(self, verb: Any, args: Any = None) -> dict[str, Any]:
        async with self.open_client() as line:
            return await line.ask(verb, args)


@pytest.fixture
async def control_harness(
    home: Path, db: Database, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[ControlHarness]:
    """Yield a control server on a real database.

    Caller errors must not reach asyncio's own error log.
    """
    feed = ChangeFeed()
    db.after_commit(feed.wake)
    control = ControlServer(home, Call(db, "", home, FakeRuntimeHandle(feed)), feed)
    await control.start()
    yield ControlHarness(home, feed, control)
    await control.close()
    feed.close()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_the_greeting_has_version_protocol_and_pid(control_harness: ControlHarness):
    async with control_harness.open_client() as line:
        assert line.greeting == {"taskdeck": VERSION, "protocol": PROTOCOL, "pid": os.getpid()}


async def test_the_socket_is_private(control_harness: ControlHarness):
    mode = (control_harness.home / "run" / paths.CONTROL_SOCKET).stat().st_mode

    assert (stat.S_ISSOCK(mode), mode & 0o777) == (True, 0o600)


async def test_a_connection_answers_one_request_after_the_other(control_harness: ControlHarness):
    async with control_harness.open_client() as line:
        assert (await line.ask("ls"))["result"]["tasks"] == []
        assert (await line.ask("submit", {"tasks": [{"argv": ["true"]}]}))["result"][0][
            "number"
        ] == 1
        assert len((await line.ask("ls", {}))["result"]["tasks"]) == 1


async def test_pipelined_requests_are_answered_in_order(control_harness: ControlHarness):
    async with control_harness.open_client() as line:
        await line.send(
            b"".join(
                json.dumps({"verb": "submit", "args": {"tasks": [{"argv": ["true"]}]}}).encode()
                + b"\n"
                for _ in range(20)
            )
        )

        assert [(await line.read_message())["result"][0]["number"] for _ in range(20)] == list(
            range(1, 21)
        )


async def test_the_caller_is_identified_by_the_kernel(control_harness: ControlHarness):
    await control_harness.ask("submit", {"tasks": [{"argv": ["true"]}]})

    (operation,) = (await control_harness.ask("operations", {"limit": 1}))["result"]

    assert operation["by"] == get_user_name(os.getuid())
    assert (await control_harness.ask("submit", {"tasks": [{"argv": ["true"]}], "by": "root"}))[
        "error"
    ]["code"] == "usage"


@pytest.mark.parametrize(
    ("verb", "args", "said"),
    [
        ("submti", {}, 'there is no verb "submti". Nearest: submit'),
        ("", {}, "there is no verb"),
        (None, {}, "there is no verb"),
        (5, {}, "there is no verb"),
        (["ls"], {}, "there is no verb"),
        ("\x1b]52;c;A\x07", {}, "there is no verb"),
        ("x" * 100_000, {}, "there is no verb"),
        ("__class__", {}, "there is no verb"),
        ("show", {}, "show:"),
        ("show", {"id": 1, "colour": "red"}, "show:"),
        ("ls", [1, 2], "ls:"),
        ("ls", "all", "ls:"),
        ("ls", 7, "ls:"),
        ("ls", {"call": 1}, "ls:"),
        ("queue.set", {"name": "default", "cpu": 4}, "cpu"),
        ("queue.set", {"name": "default", "colour": "red"}, "colour"),
        ("pool.set", {"name": "default", "capacity": 4}, "capacity"),
        ("cancel", {"ids": {"a": 1}}, "ids must be a list"),
        ("pool.pause", {"name": 1.0}, "pool.pause: name must be text"),
        ("ls", {"limit": 10**30}, "ls: limit must be a whole number"),
        ("away", {"since": 1e12}, "away: since must be a number"),
        ("hold", {"select": {"tag": "x"}}, "tag must be an object"),
        ("hold", {"select": {"name": [1]}}, "name must be text"),
        ("pool.create", {"name": "p", "cpu": 1, "memory": [1]}, "memory must be"),
        ("ls", {"name": "\udcff"}, "not UTF-8 text"),
        ("ls", {"tag": {"k": "\udcff"}}, "not UTF-8 text"),
        ("submit", {"tasks": [{"template": "\udcff"}]}, "not UTF-8 text"),
        ("queue.create", {"name": "q", "description": "\udcff"}, "not UTF-8 text"),
    ],
)
async def test_an_invalid_request_is_a_usage_error_and_the_connection_stays_open(
    control_harness: ControlHarness, verb: Any, args: Any, said: str
):
    async with control_harness.open_client() as line:
        answer = await line.ask(verb, args)

        if said:
            assert answer["error"]["exit_code"] == 2 and answer["error"]["code"] == "usage"
            assert said in answer["error"]["message"] and len(answer["error"]["message"]) < 300
            assert "\x1b" not in answer["error"]["message"]
        assert "result" in await line.ask("ls")


@pytest.mark.parametrize(
    "data",
    [b"\n", b"garbage\n", b"\xff\xfe\x00\n", b"[]\n", b"5\n", b"null\n", b'"ls"\n', b"{\n",
    b"[" * 100_000 + b"\n",
     b'{"verb": "ls"}garbage\n',
     b"GET / HTTP/1.1\r\n\r\n", b'{"verb": "ls", "args": ' + b"9" * 10_000 + b"}\n",
     b"\x00" * 1000 + b"\n"],
)  # fmt: skip
async def test_garbage_closes_only_its_own_connection(control_harness: ControlHarness, data: bytes):
    async with control_harness.open_client() as other:
        async with control_harness.open_client() as line:
            await line.send(data)
            line.writer.write_eof()
            said = await line.read_to_end()
        assert b"Traceback" not in said

        assert "result" in await other.ask("ls")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[1]\n", "not a JSON object"),
        (b'"ls"\n', "not a JSON object"),
        (b"[" * 5000 + b"]" * 5000 + b"\n", "nested too deeply"),
        (b'{"verb": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "nested too deeply"),
        (b'{"verb": ' + b"[" * 500 + b"]" * 500 + b"}\n", "nested too deeply"),
        (b'{"verb": ' + b"[" * 499 + b"]" * 499 + b"}\n", "there is no verb"),
        (b'"' + b"[" * 5000 + b'"\n', "not a JSON object"),
        (b"garbage\n", "not JSON"),
        (b"\xff\n", "not JSON"),
    ],
)
async def test_an_invalid_line_is_a_usage_error_and_the_connection_stays_open(
    control_harness: ControlHarness, data: bytes, said: str
):
    async with control_harness.open_client() as line:
        await line.send(data)
        error = (await line.read_message())["error"]

        assert error["code"] == "usage" and said in error["message"]
        assert "result" in await line.ask("ls")


async def test_an_incomplete_request_is_dropped(control_harness: ControlHarness):
    async with control_harness.open_client() as line:
        await line.send(b'{"verb": "submit", "args": {"tasks": [{"argv": ["true"]}]}}')
        line.writer.write_eof()
        await line.read_to_end()

    assert "result" in await control_harness.ask("ls")


async def test_a_huge_request_is_answered(control_harness: ControlHarness):
    answer = await control_harness.ask("show", {"id": "x" * 20_000_000})

    assert answer["error"]["exit_code"] == 3 and len(answer["error"]["message"]) < 200


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2500])
async def test_a_long_list_is_encoded_like_a_short_one(
    control_harness: ControlHarness, monkeypatch: pytest.MonkeyPatch, count: int
):
    rows = [{"number": n, "name": 'ü"\\\n[,]'} for n in range(count)]
    said = {"done": rows, "notes": ["a", "b"], "more": {"rows": rows}, "none": None}

    async def answer(*_args: Any) -> Any:
        return said

    monkeypatch.setattr(registry, "call_verb", answer)

    assert await control_harness.ask("anything") == {"result": said}


async def test_a_caller_that_hangs_up_during_a_wait_is_not_waited_for(
    control_harness: ControlHarness,
):
    async with control_harness.open_client() as line:
        await line.ask("submit", {"tasks": [{"argv": ["true"]}]})
        await line.send(b'{"verb": "wait", "args": {"ids": [1]}}\n')
        while not control_harness.feed._events:
            await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT):
        while control_harness.feed._events or control_harness.control._connections:
            await asyncio.sleep(0)

    assert "result" in await control_harness.ask("ls")


async def test_notes_precede_the_answer_of_their_verb(control_harness: ControlHarness):
    async with control_harness.open_client() as line:
        await line.ask("submit", {"tasks": [{"argv": ["true"], "hold": True}]})
        await line.send(b'{"verb": "wait", "args": {"ids": [1]}}\n')
        note = await line.read_message()
        await control_harness.ask("cancel", {"ids": [1]})
        answer = await line.read_message()

    assert "#1 is held" in note["note"]
    assert answer["result"][0]["code"] == 125


async def test_a_verb_blocked_by_the_database_repeatedly_reports_the_holder(
    control_harness: ControlHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock_notice, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(lock_notice, "REPEAT_DELAY", 0.05)
    async with control_harness.open_client() as line:
        with hold_write_lock(paths.get_database_path(control_harness.home)) as pid:
            first = await line.ask("submit", {"tasks": [{"argv": ["true"]}]})
            again = await line.read_message()
            assert "result" in await control_harness.ask("ls"), "what is read waits for nobody"
        while "waits" in (answer := await line.read_message()):
            pass

    said = first["waits"]
    assert said.startswith(
        "waiting for the database, which another program holds (python"
    ) and said.endswith(f", pid {pid})")
    assert (first["note"], again) == (said, {"waits": said}), "a note once"
    assert answer["result"][0]["number"] == 1


async def test_a_slow_verb_does_not_blame_the_database(
    control_harness: ControlHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock_notice, "FIRST_DELAY", 0.05)
    async with control_harness.open_client() as submitting, control_harness.open_client() as line:
        await line.ask("submit", {"tasks": [{"argv": ["true"], "hold": True}]})
        await line.send(b'{"verb": "wait", "args": {"ids": [1], "timeout": 2}}\n')
        assert "is held" in (await line.read_message())["note"]
        with hold_write_lock(paths.get_database_path(control_harness.home)):
            await submitting.ask("submit", {"tasks": [{"argv": ["true"]}]})
            assert (await line.read_message())["error"]["code"] == "wait-timeout"


async def test_an_internal_error_is_answered_without_traceback_and_logged(
    control_harness: ControlHarness,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    async def broken(call: Call) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setitem(registry.VERBS, "broken", registry.Verb(broken))
    with caplog.at_level(logging.ERROR):
        error = (await control_harness.ask("broken"))["error"]

    assert (error["code"], error["exit_code"]) == ("internal", 1)
    assert "Traceback" not in error["message"] and "secret detail" not in error["message"]
    assert paths.get_runtime_log_path(control_harness.home) in error["message"]
    assert "ZeroDivisionError: secret detail" in caplog.text


async def test_watch_wakes_at_once_and_after_each_change(
    control_harness: ControlHarness, db: Database
):
    async with control_harness.open_client() as line:
        await line.send(b'{"verb": "watch"}\n')
        assert await line.read_message() == {"wake": 1}
        await submit_task(Call(db, "ann", control_harness.home))

        assert await line.read_message() == {"wake": 1}


async def test_a_burst_of_changes_causes_few_wakes(control_harness: ControlHarness, db: Database):
    async with control_harness.open_client() as line:
        await line.send(b'{"verb": "watch"}\n')
        await line.read_message()
        call = Call(db, "ann", control_harness.home)
        for _ in range(200):
            await submit_task(call)
        await control_harness.control.close()
        said = await line.read_to_end()

    assert 1 <= said.count(b"wake") < 100


async def test_watchers_are_released_when_the_runtime_ends(control_harness: ControlHarness):
    async with control_harness.open_client() as line:
        await line.send(b'{"verb": "watch"}\n')
        await line.read_message()
        await control_harness.control.close()

        await line.read_to_end()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"source": "deck", "origin": "pts/3 41 7"}, ("deck", "pts/3 41 7")),
        ({"source": "root", "origin": "\x1b[2J" + "x" * 500}, ("cli", "␛[2J" + "x" * 60)),
        ({"source": ["deck"], "origin": None}, ("cli", None)), ("deck", ("cli", None)),
        (None, ("cli", None)), ([1], ("cli", None)),
    ],
)  # fmt: skip
async def test_the_origin_of_a_call_is_recorded_as_a_word(
    control_harness: ControlHarness, db: Database, said: Any, kept: tuple[str, Any]
):
    async with control_harness.open_client() as line:
        line.writer.write(
            json.dumps({"verb": "queue.pause", "args": {"name": "default"}, "from": said}).encode()
            + b"\n"
        )
        assert "result" in await line.read_message()

    assert (
        await db.read(
            lambda c: c.exec_driver_sql(
                "SELECT source, origin FROM operations ORDER BY id DESC LIMIT 1"
            ).one()
        )
        == kept
    )


async def test_the_socket_of_a_dead_runtime_is_replaced(home: Path, db: Database):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(home / "run" / paths.CONTROL_SOCKET))
    feed = ChangeFeed()
    control = ControlServer(home, Call(db, "", home, FakeRuntimeHandle(feed)), feed)
    await control.start()
    try:
        assert "result" in await ControlHarness(home, feed, control).ask("ls")
    finally:
        await control.close()


async def test_every_documented_verb_is_registered():
    promised = (
        "submit submit.lines ls show why instances log cancel pause resume hold release retry rm"
        " front set wait queue.ls queue.show queue.create queue.set queue.rm queue.pause"
        " queue.resume queue.drain pool.ls pool.show pool.create pool.set pool.rm pool.pause"
        " pool.resume pool.drain template.ls template.show template.create template.set template.rm"
        " sla.ls sla.show sla.create sla.rm alert.ls alert.ack apply export status operations board"
        " stop db.check"
    )

    assert set(promised.split()) <= registry.VERBS.keys()


async def test_random_requests_cause_no_internal_error(
    control_harness: ControlHarness, caplog: pytest.LogCaptureFixture
):
    async with control_harness.open_client() as line:
        for verb, args in make_requests(seed=1, count=RANDOM_REQUESTS):
            answer = await line.ask(verb, args)
            while "note" in answer or "waits" in answer:
                answer = await line.read_message()
            error = answer.get("error", {})
            assert error.get("code") != "internal", (verb, args, caplog.text[-3000:])
