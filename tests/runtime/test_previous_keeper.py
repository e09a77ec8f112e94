"""After an upgrade the keeper of the previous protocol looks after its runs to their end, beside the one that starts the new ones."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app import paths
from app.errors import Problem
from app.runtime.dispatcher import Dispatcher
from app.runtime.fresh import prepare
from app.service import queues, tasks, views
from app.service.call import Call
from db.writer import write_engine
from tests.db.making import Made
from tests.keeper.homes import HomeBefore
from tests.living import MARK, Living, alive, until
from tests.runtime.conftest import Told, started
from tests.runtime.test_dispatcher import running
from tests.service.ready import submitted


class Upgraded:
    """A home whose database has runs that a keeper of the previous protocol started; no runtime is up yet."""

    def __init__(self, living: Living) -> None:
        self.living, self.old = living, HomeBefore(living.home)
        self.gate, self.ran = living.home / "gate", living.home / "ran"
        prepare(living.home)
        self.write(lambda c: c.exec_driver_sql("UPDATE queues SET capacity = 9"))
        assert self.old.up() == 0
        self.old.greet()

    @property
    def pair(self) -> list[int]:
        """Keeper and guard of the previous protocol, as they were at first."""
        return [self.old.hello["pid"], self.old.hello["guard"]]

    def claim(self, **more: Any) -> tuple[str, str]:
        """A task with a run that no keeper has heard of; uuid and runid."""
        env = {"PATH": os.environ["PATH"], MARK: os.fspath(self.living.home)}

        def claimed(c: Connection) -> tuple[str, str]:
            made = Made(c)
            uuid = made.task(env=env, cpu=0, **more)
            return uuid, made.claim(uuid)[0]

        return self.write(claimed)

    def write(self, change: Callable[[Connection], Any]) -> Any:
        """One transaction."""
        engine = write_engine(self.living.home / "taskdeck.db")
        with engine.begin() as c:
            done = change(c)
        engine.dispose()
        return done

    def start(self, script: str, wait: bool = True, **more: Any) -> str:
        """A task whose run the old keeper has started; its uuid."""
        launch = {"argv": ["sh", "-c", f"echo ran >> {self.ran}; {script}"]}
        uuid, runid = self.claim(launch=launch, **more)
        self.old.spawn(
            *launch["argv"], run=runid, wait=wait, log=paths.log_path(self.living.home, runid),
            env={MARK: os.fspath(self.living.home)}, timeout=more.get("timeout"), grace=more.get("grace", 5.0),
        )  # fmt: skip
        return uuid

    def gated(self, code: int, **more: Any) -> str:
        """The same, of a run that ends with this code once the gate is there."""
        return self.start(f"echo waits; until [ -e {self.gate} ]; do sleep 0.05; done; echo ends; exit {code}", **more)

    def runs(self) -> int:
        """How often an old run has begun."""
        return len(self.ran.read_text().splitlines())

    def kill(self, *pids: int) -> None:
        """SIGKILL these, so that none can follow another."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        until(lambda: not any(map(alive, pids)), "they are dead")

    def left(self) -> bool:
        """Is the old pair gone, whoever it is by now, and nothing in its journal?"""
        with open(self.living.home / "run" / "keeper.lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return not written(self)


@pytest.fixture
def upgraded(living: Living) -> Iterator[Upgraded]:
    """A home with the keeper of the previous protocol up."""
    upgraded = Upgraded(living)
    yield upgraded
    upgraded.old.sock.close()


def new_pair(living: Living) -> list[int]:
    """Keeper and guard as `status` tells them."""
    keeper = living.call("status")["keeper"]
    return [keeper["pid"], keeper["guard_pid"]]


def works(living: Living, code: int = 6) -> bool:
    """Does a new task run at once, to its end?"""
    return living.ended(living.submit("sh", "-c", f"exit {code}", cpu=0))[0]["code"] == code


def test_old_runs_and_one_never_told_of_go_on_beside_new_ones_and_the_old_pair_leaves_last(upgraded: Upgraded, living: Living, td):
    first, last = upgraded.gated(3), upgraded.start(f"until [ -e {upgraded.gate}2 ]; do sleep 0.05; done; exit 4")
    never_told, _ = upgraded.claim(launch={"argv": ["sh", "-c", f"echo ran >> {upgraded.ran}.once; exit 5"]})

    living.start()

    assert living.ended(never_told)[0]["code"] == 5 and Path(f"{upgraded.ran}.once").read_text() == "ran\n"

    assert [living.reach(task, "running")["status"] for task in (first, last)] == ["running"] * 2
    assert works(living)
    assert all(map(alive, new_pair(living))) and not set(new_pair(living)) & set(upgraded.pair)
    upgraded.gate.touch()
    assert living.ended(first)[0]["code"] == 3
    assert td("logs", first).stdout == "waits\nends\n"
    assert all(map(alive, upgraded.pair)) and living.show(last)["status"] == "running"
    Path(f"{upgraded.gate}2").touch()
    assert living.ended(last)[0]["code"] == 4
    until(upgraded.left, "the old pair has left")
    assert works(living) and upgraded.runs() == 2


def test_an_old_run_can_be_cancelled_paused_and_resumed_and_its_timeout_holds(upgraded: Upgraded, living: Living):
    cancelled = upgraded.start("sleep 60 & wait", grace=1.0)
    overdue = upgraded.start("sleep 60 & wait", timeout=1.0, grace=0.5)
    paused = upgraded.gated(5)
    living.start()
    job = living.reach(paused, "running")["instances"][0]["pid"]

    living.call("pause", ids=[paused])
    until(lambda: stat(job) in "TD", "it stands still")
    living.call("cancel", ids=[cancelled])
    ends = {uuid: end["status"] for uuid in (cancelled, overdue) for end in living.ended(uuid)}
    upgraded.gate.touch()
    living.call("resume", ids=[paused])

    assert ends == {cancelled: "cancelled", overdue: "timed_out"}
    assert living.ended(paused)[0]["code"] == 5
    until(upgraded.left, "the old pair has left")


@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "guard"])
def test_one_of_the_old_pair_is_killed_and_the_other_goes_on(upgraded: Upgraded, living: Living, who: int):
    old, stopped = upgraded.gated(7), upgraded.start("sleep 60 & wait", grace=1.0)
    living.start()
    living.reach(old, "running")

    os.kill(upgraded.pair[who], signal.SIGKILL)
    living.call("cancel", ids=[stopped])

    assert living.ended(stopped)[0]["status"] == "cancelled"
    assert works(living)
    upgraded.gate.touch()
    assert living.ended(old)[0]["code"] == 7
    until(upgraded.left, "the old pair has left")
    assert upgraded.runs() == 2


def test_a_run_both_of_whose_old_supervisors_were_killed_is_lost_when_it_ends_and_runs_once(upgraded: Upgraded, living: Living):
    lives, stopped = upgraded.gated(0), upgraded.start("sleep 60 & wait", grace=1.0)
    living.start()
    job = living.reach(lives, "running")["instances"][0]["pid"]

    upgraded.kill(*upgraded.pair)
    assert works(living)
    pid = living.reach(stopped, "running")["instances"][0]["pid"]
    living.call("cancel", ids=[stopped])
    assert living.ended(stopped)[0]["status"] == "lost" and not alive(pid)
    assert alive(job) and living.show(lives)["status"] == "running"
    upgraded.gate.touch()

    ((end),) = living.ended(lives)
    assert (end["status"], end["reason"]) == ("lost", "supervisors killed")
    assert upgraded.runs() == 2


def test_runtimes_may_come_and_go_while_an_old_run_lives_and_an_end_without_one_is_recorded(upgraded: Upgraded, living: Living, td):
    old, meanwhile = upgraded.gated(3), upgraded.start(f"until [ -e {upgraded.gate}2 ]; do sleep 0.05; done; exit 8")
    living.start()
    before = living.reach(old, "running")["instances"]
    living.reach(meanwhile, "running")
    assert td("serve", "--detach", "--replace").returncode == 0
    assert works(living)
    living.kill()
    said = td("status").stdout
    assert "2 jobs" in said and "go on under it" in said
    Path(f"{upgraded.gate}2").touch()
    until(lambda: b'"code":8' in written(upgraded), "its end is written")
    assert td("serve", "--detach").returncode == 0

    assert [end["code"] for end in living.ended(meanwhile)] == [8]
    assert works(living)
    assert [(run["runid"], run["pid"]) for run in living.show(old)["instances"]] == [(before[0]["runid"], before[0]["pid"])]
    upgraded.gate.touch()
    assert living.ended(old)[0]["code"] == 3
    until(upgraded.left, "the old pair has left")
    assert upgraded.runs() == 2


def test_the_new_pair_may_die_beside_an_old_run_and_an_old_pair_that_stands_still_holds_up_no_new_work(upgraded: Upgraded, living: Living):
    old = upgraded.gated(3)
    living.start()
    living.reach(old, "running")

    for who in ("keeper", "guard", "both"):
        gate = upgraded.living.home / who
        young = living.submit("sh", "-c", f"until [ -e {gate} ]; do sleep 0.05; done; exit 2", cpu=0)
        living.reach(young, "running")
        pair = new_pair(living)
        upgraded.kill(*(pair if who == "both" else [pair[who == "guard"]]))
        until(lambda pair=pair: all(map(alive, new_pair(living))) and set(pair) != set(new_pair(living)), "a new pair")

        assert works(living)
        assert living.show(old)["status"] == living.show(young)["status"] == "running"
        gate.touch()
        ((end),) = living.ended(young)
        assert end["code"] == 2 if who != "both" else end["reason"] == "supervisors killed"

    for pid in upgraded.pair:
        os.kill(pid, signal.SIGSTOP)
    os.kill(new_pair(living)[0], signal.SIGKILL)
    assert works(living)
    upgraded.gate.touch()
    assert living.show(old)["status"] == "running"
    for pid in upgraded.pair:
        os.kill(pid, signal.SIGCONT)
    assert living.ended(old)[0]["code"] == 3
    until(upgraded.left, "the old pair has left")


def test_all_five_die_and_each_run_is_told_what_became_of_it(upgraded: Upgraded, living: Living):
    ended, lives = upgraded.start("exit 9", wait=False), upgraded.gated(0)
    until(lambda: b'"code":9' in written(upgraded), "its end is written")
    living.start()
    living.reach(lives, "running")

    upgraded.kill(living.pid, *new_pair(living), *upgraded.pair)
    upgraded.gate.touch()
    living.start()

    assert living.ended(ended)[0]["code"] == 9
    ((end),) = living.ended(lives)
    assert (end["status"], end["reason"]) == ("lost", "supervisors killed")
    assert works(living) and upgraded.runs() == 2


def test_an_end_written_before_both_were_killed_is_recorded_and_a_keeper_of_a_protocol_that_is_not_spoken_here_is_refused(
    upgraded: Upgraded, living: Living
):
    uuid, _ = upgraded.claim()
    over = upgraded.start("exit 9", wait=False)
    until(lambda: b'"code":9' in written(upgraded), "its end is written")
    upgraded.kill(*upgraded.pair)
    run = living.home / "run"
    (run / "journal3").mkdir()
    refused = "a keeper of protocol 3 has runs in this home.*use the version that started them"
    with open(run / "keeper3.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it lives
        with pytest.raises(Problem, match=refused):
            living.start()

    (run / "journal3" / "00000001.log").touch()  # it left an end
    with pytest.raises(Problem, match=refused):
        living.start()

    (run / "journal3" / "00000001.log").unlink()
    living.start()
    assert [end["code"] for end in living.ended(over, uuid)] == [9, 0], "no run of theirs is lost"
    assert upgraded.left() and works(living)


async def test_a_hello_of_one_keeper_leaves_alone_what_the_other_has(call: Call, dispatcher: Dispatcher, told: Told):
    await queues.queue_create(call, name="q", capacity=9)
    (ours, mine), (theirs, other) = [await running(call, dispatcher, told, queue="q", cpu=0) for _ in range(2)]
    await tasks.cancel(call, ids=[ours, theirs])
    await submitted(call, queue="q", cpu=0)
    await dispatcher.round()
    under_way = told.spawned[-1]
    told.orders.clear()

    dispatcher.hear({"is": "hello", "runs": [started(other)], "elsewhere": {mine, under_way}})
    await dispatcher.round()

    assert [runid for runid, *_ in told.of("stop")] == [other]
    assert told.of("refuse") == []
    dispatcher.hear({"is": "hello", "runs": [started(mine)], "elsewhere": set()})
    await dispatcher.round()
    assert told.of("refuse") == [(under_way,)]
    assert (await views.show(call, id=theirs))["status"] == "lost"
    dispatcher.hear({"is": "hello", "runs": [], "elsewhere": {mine}})
    await dispatcher.round()
    assert (await views.show(call, id=ours))["status"] == "running"


def written(upgraded: Upgraded) -> bytes:
    """All that the old pair has written down."""
    return b"".join(path.read_bytes() for path in upgraded.old.journal.glob("*.log"))


def stat(pid: int) -> str:
    """The state letter of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
