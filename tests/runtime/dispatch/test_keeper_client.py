"""The keeper client, against real keepers."""

import asyncio
import errno
import fcntl
import json
import os
import signal
import subprocess
import uuid

import pytest

from app.errors import Problem
from app.home.setup import prepare_database
from app.keeper import wire
from app.runtime.dispatch import keeper_client
from app.runtime.dispatch.keeper_client import KeeperClient, KeeperUnavailableError
from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import is_alive, wait_until


class EventCollector:
    """Collects keeper events and waits for them."""

    def __init__(self):
        self.seen, self.news = [], asyncio.Event()

    def __call__(self, event):
        self.seen.append(event)
        self.news.set()

    async def wait_for(self, what, run=None, after=0):
        """Return the first such event after `after` events."""
        async with asyncio.timeout(20):
            while True:
                for event in self.seen[after:]:
                    if event["is"] == what and (run is None or event["run"] == run):
                        return event
                self.news.clear()
                await self.news.wait()


def make_run(home, *argv, run=None):
    """Return the spawn request of a run."""
    run = run or str(uuid.uuid4())
    home.runs.append(run)
    env = {"PATH": os.environ["PATH"], "TASKDECK_RUNID": run}
    about = {
        "run": run,
        "argv": argv,
        "cwd": "/",
        "env": env,
        "umask": 0o022,
        "log": str(home.get_log_path(run)),
    }
    return about | {"timeout": None, "grace": 1.0}


@pytest.fixture
def empty_home(tmp_path):
    home = KeeperHome(tmp_path / "home")
    try:
        yield home
    finally:
        home.kill_all()


@pytest.fixture
async def client_and_events(empty_home):
    """Yield a connected client and its events."""
    events = EventCollector()
    client = await KeeperClient.open(empty_home.path, events)
    await events.wait_for("hello")
    yield client, events
    await client.close(bye=False)


async def test_opening_starts_a_keeper_and_hello_comes_first(client_and_events):
    client, events = client_and_events

    hello = await events.wait_for("hello")

    assert events.seen[0] == hello
    assert (hello["pid"], hello["guard"]) == (client.pid, client.guard_pid)


async def test_a_run_starts_and_its_end_is_reported(client_and_events, empty_home):
    client, events = client_and_events
    fifo = empty_home.path / "fifo"
    os.mkfifo(fifo)
    run = make_run(empty_home, "sh", "-c", f"read line < {fifo}; exit 3")

    client.spawn(run)
    await events.wait_for("started", run["run"])
    await asyncio.to_thread(fifo.write_text, "go\n")

    assert (await events.wait_for("ended", run["run"]))["code"] == 3
    assert [event["is"] for event in events.seen] == ["hello", "started", "ended"]


async def test_an_immediate_exit_needs_only_an_end_event(client_and_events, empty_home):
    client, events = client_and_events
    run = make_run(empty_home, "no-such-program")

    client.spawn(run)

    assert (await events.wait_for("ended", run["run"]))["code"] == 127
    assert [event["is"] for event in events.seen] == ["hello", "ended"]


async def test_a_run_can_be_signalled_stopped_refused_and_forgotten(client_and_events, empty_home):
    client, events = client_and_events
    run, never = make_run(empty_home, "sleep", "60"), str(uuid.uuid4())
    client.spawn(run)
    await events.wait_for("started", run["run"])

    client.signal(run["run"], signal.SIGSTOP)
    client.stop(run["run"], "cancel", 5.0)
    client.refuse(never)
    assert (await events.wait_for("ended", run["run"]))["stop"] == "cancel"
    await events.wait_for("refused", never)
    client.forget([run["run"], never])
    client.stop("unknown", "cancel", 1.0)
    await events.wait_for("error", "unknown")
    os.kill(client.pid, signal.SIGKILL)

    assert (await events.wait_for("hello", after=1))["runs"] == []


@pytest.mark.parametrize("who", ["pid", "guard_pid"])
async def test_a_killed_keeper_or_guard_is_followed_by_another_hello(
    client_and_events, empty_home, who
):
    client, events = client_and_events
    run = make_run(empty_home, "sleep", "60")
    client.spawn(run)
    await events.wait_for("started", run["run"])

    seen, killed = len(events.seen), getattr(client, who)
    os.kill(killed, signal.SIGKILL)
    hello = await events.wait_for("hello", after=seen)
    client.stop(run["run"], "cancel", 1.0)

    assert [event["run"] for event in hello["runs"]] == [run["run"]]
    assert killed not in (client.pid, client.guard_pid)
    assert (await events.wait_for("ended", run["run"]))["lost"] is False


async def test_a_new_pair_handles_pending_orders_but_starts_nothing(client_and_events, empty_home):
    client, events = client_and_events
    await events.wait_for("hello")
    os.kill(client.guard_pid, signal.SIGSTOP)
    os.kill(client.pid, signal.SIGKILL)
    os.kill(client.guard_pid, signal.SIGKILL)
    while client.connected:
        await asyncio.sleep(0)

    run = make_run(empty_home, "sh", "-c", "exit 4")
    client.spawn(run)
    client.refuse(run["run"])

    await events.wait_for("refused", run["run"])
    assert [event["is"] for event in events.seen] == ["hello", "hello", "refused"]


async def test_orders_given_on_hello_precede_pending_ones(empty_home):
    events, run = EventCollector(), make_run(empty_home, "true")

    def handler(event):
        if event["is"] == "hello":
            client.spawn(run)
        events(event)

    client = await KeeperClient.open(empty_home.path, handler)
    client.refuse(run["run"])
    await events.wait_for("ended", run["run"])
    await client.close()

    assert events.seen[1]["is"] in ("started", "ended")


async def test_a_failing_handler_does_not_stop_the_events(empty_home):
    events, reported = EventCollector(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: reported.append(about))

    def handler(event):
        events(event)
        raise RuntimeError(event["is"])

    client = await KeeperClient.open(empty_home.path, handler)
    await events.wait_for("hello")
    run = make_run(empty_home, "true")
    client.spawn(run)
    await events.wait_for("ended", run["run"])
    await client.close()

    assert len(reported) == len(events.seen) >= 2


async def test_closing_with_bye_ends_an_idle_pair(empty_home):
    client = await KeeperClient.open(empty_home.path, EventCollector())

    await client.close()

    wait_until(lambda: not is_alive(client.pid) and not is_alive(client.guard_pid), "both gone")
    again = await KeeperClient.open(empty_home.path, EventCollector())
    await again.close()
    assert again.pid != client.pid


async def test_closing_leaves_running_jobs_running(empty_home):
    events = EventCollector()
    client = await KeeperClient.open(empty_home.path, events)
    await events.wait_for("hello")
    run = make_run(empty_home, "sleep", "60")
    client.spawn(run)
    started = await events.wait_for("started", run["run"])

    await client.close()

    assert is_alive(started["pid"]) and is_alive(client.pid) and is_alive(client.guard_pid)


async def test_the_keeper_inherits_no_descriptors_of_the_runtime(empty_home, tmp_path):
    mark = os.open(tmp_path / "mark", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(mark, True)

    client = await KeeperClient.open(empty_home.path, EventCollector())
    os.close(mark)

    for pid in (client.pid, client.guard_pid):
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert str(tmp_path / "mark") not in held
    await client.close()


async def test_a_home_path_of_arbitrary_bytes_works(tmp_path):
    home = KeeperHome(tmp_path / os.fsdecode(b"caf\xe9 \xff\n"))
    events = EventCollector()
    try:
        client = await KeeperClient.open(home.path, events)
        await events.wait_for("hello")
        run = make_run(home, "sh", "-c", "exit 3")
        client.spawn(run)
        assert (await events.wait_for("ended", run["run"]))["code"] == 3
        await client.close()
    finally:
        home.kill_all()


async def test_an_unusable_home_is_a_clear_error(empty_home):
    empty_home.path.write_text("a file")

    with pytest.raises(KeeperUnavailableError, match="cannot start: .*cannot use"):
        await KeeperClient.open(empty_home.path, EventCollector())


async def test_a_refusal_is_dropped_when_no_longer_needed(client_and_events):
    client, events = client_and_events
    never = str(uuid.uuid4())

    client.refuse(never)
    await events.wait_for("refused", never)
    client.stop("unknown", "cancel", 1.0)
    await events.wait_for("error", "unknown")
    os.kill(client.pid, signal.SIGKILL)

    assert (await events.wait_for("hello", after=1))["runs"] == []


async def test_a_brief_lack_of_processes_does_not_break_the_connection(
    client_and_events, monkeypatch
):
    client, events = client_and_events
    tried, run = [], subprocess.run

    def none_left(*args, **more):
        tried.append(args)
        if len(tried) == 1:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return run(*args, **more)

    monkeypatch.setattr(subprocess, "run", none_left)
    seen = len(events.seen)
    # otherwise the keeper may start another guard before it is killed
    os.kill(client.pid, signal.SIGSTOP)
    os.kill(client.guard_pid, signal.SIGKILL)
    os.kill(client.pid, signal.SIGKILL)
    await events.wait_for("hello", after=seen)

    assert len(tried) == 2
    assert client.connected and not client.task.done()


def test_client_and_keeper_agree_on_protocol_and_socket():
    assert keeper_client.PROTOCOL == wire.PROTOCOL
    assert keeper_client.SOCKET == wire.SOCKET


async def test_a_keeper_that_does_not_answer_is_a_clear_error(empty_home, monkeypatch):
    monkeypatch.setattr(keeper_client, "CONNECT_TIMEOUT", 0.5)
    assert empty_home.start_keeper() == 0
    empty_home.greet()
    for pid in (empty_home.hello["pid"], empty_home.hello["guard"]):
        os.kill(pid, signal.SIGSTOP)

    with pytest.raises(KeeperUnavailableError, match="the keeper does not answer"):
        await KeeperClient.open(empty_home.path, EventCollector())


async def test_a_hello_of_another_protocol_is_a_clear_error(empty_home):
    served = asyncio.Event()

    async def answer(reader, writer):
        await reader.readline()
        writer.write(json.dumps({"is": "hello", "protocol": 9}).encode() + b"\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        served.set()

    (empty_home.path / "run").mkdir(parents=True)
    async with await asyncio.start_unix_server(answer, empty_home.socket):
        with pytest.raises(KeeperUnavailableError, match="the keeper speaks protocol 9, not 2"):
            await KeeperClient.open(empty_home.path, EventCollector())
        await served.wait()


@pytest.mark.parametrize(("number", "suffix"), [(1, ""), (3, "3")])
async def test_a_keeper_of_another_protocol_with_runs_is_refused(empty_home, number, suffix):
    run = empty_home.path / "run"
    lock, journal = run / f"keeper{suffix}.lock", run / f"journal{suffix}"
    journal.mkdir(parents=True)
    refused = (
        f"a keeper of protocol {number} has runs in this home, and this Taskdeck speaks 2: "
        "until they have ended, use the version that started them"
    )
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the keeper is alive
        with pytest.raises(KeeperUnavailableError, match=refused):
            await KeeperClient.open(empty_home.path, EventCollector())

    (journal / "00000001.log").touch()  # the keeper left an unreported end
    with pytest.raises(KeeperUnavailableError, match=refused):
        await KeeperClient.open(empty_home.path, EventCollector())

    (journal / "00000001.log").unlink()
    client = await KeeperClient.open(empty_home.path, EventCollector())
    await client.close()


def test_a_runtime_does_not_start_beside_a_keeper_of_another_protocol(lazy_runtime):
    prepare_database(lazy_runtime.home)
    journal = lazy_runtime.home / "run" / "journal3"
    journal.mkdir()
    (lazy_runtime.home / "run" / "keeper3.lock").touch()
    (journal / "00000001.log").touch()

    with pytest.raises(
        Problem, match=r"a keeper of protocol 3 has runs in this home.*started them\.$"
    ):
        lazy_runtime.start()

    (journal / "00000001.log").unlink()
    lazy_runtime.start()
