"""The runtime's line to its keepers; those of the previous protocol apart."""

import asyncio
import errno
import os
import signal
import subprocess
import uuid

import pytest

from app.runtime.keepers import Keepers
from app.runtime.keeping import NoKeeper


class Events:
    """Collects what the line passes on, and can be waited for."""

    def __init__(self):
        self.seen, self.news = [], asyncio.Event()

    def __call__(self, event):
        self.seen.append(event)
        self.news.set()

    async def of(self, what, run=None, after=0):
        """The first such event after so many events."""
        async with asyncio.timeout(20):
            while True:
                for event in self.seen[after:]:
                    if event["is"] == what and (run is None or event["run"] == run):
                        return event
                self.news.clear()
                await self.news.wait()


def a_run(home, *argv, run=None):
    """What the runtime says of a run."""
    run = run or str(uuid.uuid4())
    home.runs.append(run)
    env = {"PATH": os.environ["PATH"], "TASKDECK_RUNID": run}
    about = {"run": run, "argv": argv, "cwd": "/", "env": env, "umask": 0o022, "log": str(home.log(run))}
    return about | {"timeout": None, "grace": 1.0}


@pytest.fixture
async def line(empty_home):
    """An open line and its events."""
    events = Events()
    keeping = await Keepers.open(empty_home.path, events)
    await events.of("hello")
    yield keeping, events
    await keeping.close(bye=False)


async def test_opening_brings_up_a_keeper_and_the_hello_comes_first(line):
    keeping, events = line

    hello = await events.of("hello")

    assert events.seen[0] == hello
    assert (hello["pid"], hello["guard"]) == (keeping.pid, keeping.guard_pid)


async def test_a_run_is_started_and_its_end_told(line, empty_home):
    keeping, events = line
    fifo = empty_home.path / "fifo"
    os.mkfifo(fifo)
    run = a_run(empty_home, "sh", "-c", f"read line < {fifo}; exit 3")

    keeping.spawn(run)
    await events.of("started", run["run"])
    await asyncio.to_thread(fifo.write_text, "go\n")

    assert (await events.of("ended", run["run"]))["code"] == 3
    assert [event["is"] for event in events.seen] == ["hello", "started", "ended"]


async def test_of_a_run_that_is_over_at_once_the_end_is_enough(line, empty_home):
    keeping, events = line
    run = a_run(empty_home, "no-such-program")

    keeping.spawn(run)

    assert (await events.of("ended", run["run"]))["code"] == 127
    assert [event["is"] for event in events.seen] == ["hello", "ended"]


async def test_a_run_can_be_signalled_stopped_refused_and_forgotten(line, empty_home):
    keeping, events = line
    run, never = a_run(empty_home, "sleep", "60"), str(uuid.uuid4())
    keeping.spawn(run)
    await events.of("started", run["run"])

    keeping.signal(run["run"], signal.SIGSTOP)
    keeping.stop(run["run"], "cancel", 5.0)
    keeping.refuse(never)
    assert (await events.of("ended", run["run"]))["stop"] == "cancel"
    await events.of("refused", never)
    keeping.forget([run["run"], never])
    keeping.stop("unknown", "cancel", 1.0)
    await events.of("error", "unknown")
    os.kill(keeping.pid, signal.SIGKILL)

    assert (await events.of("hello", after=1))["runs"] == []


@pytest.mark.parametrize("who", ["pid", "guard_pid"])
async def test_a_killed_keeper_or_guard_is_followed_by_another_hello(line, empty_home, who):
    keeping, events = line
    run = a_run(empty_home, "sleep", "60")
    keeping.spawn(run)
    await events.of("started", run["run"])

    seen, killed = len(events.seen), getattr(keeping, who)
    os.kill(killed, signal.SIGKILL)
    hello = await events.of("hello", after=seen)
    keeping.stop(run["run"], "cancel", 1.0)

    assert [event["run"] for event in hello["runs"]] == [run["run"]]
    assert killed not in (keeping.pid, keeping.guard_pid)
    assert (await events.of("ended", run["run"]))["lost"] is False


async def test_both_killed_a_new_pair_is_brought_up_and_does_what_was_said_meanwhile_but_starts_nothing(
    line, empty_home
):
    keeping, events = line
    await events.of("hello")
    os.kill(keeping.guard_pid, signal.SIGSTOP)
    os.kill(keeping.pid, signal.SIGKILL)
    os.kill(keeping.guard_pid, signal.SIGKILL)
    while keeping.connected:
        await asyncio.sleep(0)

    run = a_run(empty_home, "sh", "-c", "exit 4")
    keeping.spawn(run)
    keeping.refuse(run["run"])

    await events.of("refused", run["run"])
    assert [event["is"] for event in events.seen] == ["hello", "hello", "refused"]


async def test_what_a_handler_says_to_a_hello_goes_out_before_what_was_held(empty_home):
    events, run = Events(), a_run(empty_home, "true")

    def handler(event):
        if event["is"] == "hello":
            keeping.spawn(run)
        events(event)

    keeping = await Keepers.open(empty_home.path, handler)
    keeping.refuse(run["run"])
    await events.of("ended", run["run"])
    await keeping.close()

    assert events.seen[1]["is"] in ("started", "ended")


async def test_an_event_that_cannot_be_handled_does_not_silence_the_line(empty_home):
    events, reported = Events(), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: reported.append(about))

    def handler(event):
        events(event)
        raise RuntimeError(event["is"])

    keeping = await Keepers.open(empty_home.path, handler)
    await events.of("hello")
    run = a_run(empty_home, "true")
    keeping.spawn(run)
    await events.of("ended", run["run"])
    await keeping.close()

    assert len(reported) == len(events.seen) >= 2


async def test_closing_with_bye_ends_an_idle_pair(empty_home, wait_until, is_alive):
    keeping = await Keepers.open(empty_home.path, Events())

    await keeping.close()

    wait_until(lambda: not is_alive(keeping.pid) and not is_alive(keeping.guard_pid), "both gone")
    again = await Keepers.open(empty_home.path, Events())
    await again.close()
    assert again.pid != keeping.pid


async def test_closing_leaves_running_jobs_running(empty_home, is_alive):
    events = Events()
    keeping = await Keepers.open(empty_home.path, events)
    await events.of("hello")
    run = a_run(empty_home, "sleep", "60")
    keeping.spawn(run)
    started = await events.of("started", run["run"])

    await keeping.close()

    assert is_alive(started["pid"]) and is_alive(keeping.pid) and is_alive(keeping.guard_pid)


async def test_the_keeper_holds_none_of_the_runtimes_descriptors(empty_home, tmp_path):
    mark = os.open(tmp_path / "mark", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(mark, True)

    keeping = await Keepers.open(empty_home.path, Events())
    os.close(mark)

    for pid in (keeping.pid, keeping.guard_pid):
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert str(tmp_path / "mark") not in held
    await keeping.close()


async def test_a_home_of_any_bytes_can_be_kept(tmp_path, empty_home):
    home = type(empty_home)(tmp_path / os.fsdecode(b"caf\xe9 \xff\n"))
    events = Events()
    try:
        keeping = await Keepers.open(home.path, events)
        await events.of("hello")
        run = a_run(home, "sh", "-c", "exit 3")
        keeping.spawn(run)
        assert (await events.of("ended", run["run"]))["code"] == 3
        await keeping.close()
    finally:
        home.end()


async def test_a_home_that_cannot_be_used_is_a_clear_error(empty_home):
    empty_home.path.write_text("a file")

    with pytest.raises(NoKeeper, match="cannot start: .*cannot use"):
        await Keepers.open(empty_home.path, Events())


async def test_a_refusal_is_not_remembered_longer_than_the_runtime_needs_it(line):
    keeping, events = line
    never = str(uuid.uuid4())

    keeping.refuse(never)
    await events.of("refused", never)
    keeping.stop("unknown", "cancel", 1.0)
    await events.of("error", "unknown")
    os.kill(keeping.pid, signal.SIGKILL)

    assert (await events.of("hello", after=1))["runs"] == []


async def test_a_moment_without_a_process_to_give_costs_the_line_nothing(line, monkeypatch):
    keeping_line, events = line
    tried, run = [], subprocess.run

    def none_left(*args, **more):
        tried.append(args)
        if len(tried) == 1:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return run(*args, **more)

    monkeypatch.setattr(subprocess, "run", none_left)
    seen = len(events.seen)
    os.kill(keeping_line.pid, signal.SIGSTOP)  # else it may have another guard before it is killed itself
    os.kill(keeping_line.guard_pid, signal.SIGKILL)
    os.kill(keeping_line.pid, signal.SIGKILL)
    await events.of("hello", after=seen)

    assert len(tried) == 2
    assert keeping_line.connected and not keeping_line.task.done()
