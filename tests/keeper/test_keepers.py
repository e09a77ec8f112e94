"""Two keepers behind one line: what concerns a run goes to the one that knows it."""

import asyncio
import os
import signal

import pytest

from app.runtime import keeping
from app.runtime.keepers import Keepers
from app.runtime.keeping import NoKeeper
from tests.keeper.homes import alive, until
from tests.keeper.test_keeping import Events, a_run

TRAPPED = "trap 'echo usr1 > {0}; exit 3' USR1; while :; do sleep 0.01; done"


@pytest.fixture
async def opened(before, empty_home):
    """Opens a line to both, and gives it with its events, once both hellos were passed on."""
    lines = []

    async def open_both():
        events = Events()
        lines.append(await Keepers.open(empty_home.path, events))
        await events.of("hello", after=1)
        return lines[-1], events

    yield open_both
    for line in lines:
        await line.close(bye=False)


def told(hello):
    """The runs that a hello names."""
    return [run["run"] for run in hello["runs"]]


async def test_each_hello_names_what_the_other_knows(before, empty_home, opened):
    old, new = before.spawn("sleep", "60"), a_run(empty_home, "sleep", "60")
    keepers, events = await opened()
    keepers.spawn(new)
    await events.of("started", new["run"])

    first, second = [event for event in events.seen if event["is"] == "hello"]
    seen = len(events.seen)
    os.kill(before.hello["pid"], signal.SIGKILL)
    of_old = await events.of("hello", after=seen)
    seen = len(events.seen)
    os.kill(keepers.pid, signal.SIGKILL)
    of_new = await events.of("hello", after=seen)

    assert [(told(hello), hello["elsewhere"]) for hello in (first, second)] == [([old], set()), ([], {old})]
    assert (told(of_old), of_old["elsewhere"]) == ([old], {new["run"]})
    assert (told(of_new), of_new["elsewhere"]) == ([new["run"]], {old})


async def test_what_is_said_of_a_run_while_its_keepers_are_dead_is_done_by_the_one_that_inherits_it(before, opened, tmp_path):
    run = before.spawn("sh", "-c", TRAPPED.format(tmp_path / "got"))
    keepers, events = await opened()
    seen, elder = len(events.seen), keepers._elder
    before.kill_both()
    while elder.connected:
        await asyncio.sleep(0)

    keepers.signal(run, signal.SIGUSR1)
    hello = await events.of("hello", after=seen)

    assert (told(hello), hello["elsewhere"]) == ([run], set())
    assert (await events.of("ended", run))["lost"]
    assert (tmp_path / "got").read_text() == "usr1\n"


async def test_an_old_pair_is_sent_away_when_its_last_end_is_stored(before, opened):
    done = before.run("sh", "-c", "exit 5")["run"]
    keepers, events = await opened()
    seen = len(events.seen)
    assert [run["code"] for run in events.seen[0]["runs"]] == [5] and alive(before.hello["pid"])

    keepers.forget([done])
    hello = await events.of("hello", after=seen)

    assert (told(hello), hello["elsewhere"]) == ([], set())
    until(lambda: not alive(before.hello["guard"]), "the old pair has left")


async def test_an_old_keeper_that_does_not_answer_is_a_clear_error(before, empty_home, monkeypatch):
    monkeypatch.setattr(keeping, "PATIENCE", 1.0)
    for pid in (before.hello["pid"], before.hello["guard"]):
        os.kill(pid, signal.SIGSTOP)

    with pytest.raises(NoKeeper, match="a keeper of protocol 1 does not answer"):
        await Keepers.open(empty_home.path, Events())


async def test_a_home_that_was_never_upgraded_knows_of_no_other(empty_home):
    events = Events()
    keepers = await Keepers.open(empty_home.path, events)

    hello = await events.of("hello")
    await keepers.close()

    assert (hello["previous"], hello["elsewhere"]) == (False, set())
    assert not list((empty_home.path / "run").glob("keeper.*"))
