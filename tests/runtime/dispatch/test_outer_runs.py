"""Runs of Slurm pools in the dispatcher: who gets which order, and what is stored of a job."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.core.slurm.settings import SlurmSettings
from app.outer.slurm.commands import SlurmPool
from app.outer.slurm.facts import ClusterFacts, JobFacts
from app.outer.slurm.rows import NodeRow
from app.outer.spool import Spool
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.dispatch.outer_runs import CONNECTING
from app.runtime.duties.periodic import Duties
from app.service import outer
from app.service.board import show_board
from app.service.context import Call
from app.service.database.outer_journal import read_identity
from app.service.definitions import queues
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.tasks.inspection.detail import read_detail
from db.queries.tasks.outer_runs import list_active_outer
from tests.runtime.conftest import FakeKeeper, make_ended_event, make_started_event
from tests.runtime_process import TIMEOUT
from tests.service.calls import execute_sql, submit_task


class FakeSlurm(FakeKeeper):
    """A client of Slurm that records the orders it gets."""

    connected, trouble, task = True, None, None
    spool_identity = ""

    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, JobFacts] = {}
        self.cluster = ClusterFacts([NodeRow("n1", "idle", ""), NodeRow("n2", "drained", "disk")])

    def spawn(self, run: dict[str, Any], pool: SlurmPool) -> None:  # type: ignore[override]
        self.orders.append(("spawn", run))
        self.orders.append(("pool", pool))

    def resume(self, runs: Any) -> None:
        self.orders.append(("resume", *(run.runid for run in runs)))

    async def close(self) -> None:
        self.orders.append(("close",))


@pytest.fixture
async def slurm(
    call: Call, dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FakeSlurm:
    """Return the client of a dispatcher with a Slurm pool, whose queue is `sims`."""
    for name in ("_trouble", "_source"):
        monkeypatch.setattr(outer, name, None)
    fake = FakeSlurm()
    dispatcher.outer.attach(fake, tmp_path / "spool", ())  # type: ignore[arg-type]
    options = {"partition": "long", "options": ["--exclusive"]}
    await queues.pool_create(call, name="big", kind="slurm", **options)
    await queues.queue_create(call, name="sims", pool="big")
    return fake


async def hand_over(call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, **spec: Any) -> str:
    """Submit a task and return the id of its run, which Slurm got."""
    await submit_task(call, queue="sims", **spec)
    await dispatcher.run_round()
    return slurm.spawned_runs[-1]


def write_log(dispatcher: Dispatcher, tmp_path: Path, runid: str, text: str) -> None:
    path = tmp_path / "spool" / "runs" / runid[-2:] / f"{runid}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


async def test_a_run_of_a_slurm_pool_goes_to_slurm_with_its_requests(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, fake_keeper: FakeKeeper, tmp_path: Path
):
    asked = {"cpu": 64, "memory": "100G", "resources": {"gpu": 2}, "priority": -3}

    runid = await hand_over(call, dispatcher, slurm, **asked)

    ((order,), (pool,)) = slurm.get_orders("spawn")[0], slurm.get_orders("pool")[0]
    assert pool == SlurmPool("big", "long", None, None, ("--exclusive",))
    assert {key: order[key] for key in ("cpu", "memory", "gpus", "rank", "argv")} == {
        "cpu": 64, "memory": 102400, "gpus": 2, "rank": 3, "argv": ["true"]
    }  # fmt: skip
    assert order["log"] == f"{tmp_path}/spool/runs/{runid[-2:]}/{runid}.log"
    assert "CUDA_VISIBLE_DEVICES" not in order["env"]
    assert fake_keeper.spawned_runs == []


async def test_job_node_log_and_end_of_a_run_are_stored(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, fake_keeper: FakeKeeper, tmp_path: Path
):
    runid = await hand_over(call, dispatcher, slurm)
    place = {"job": "812", "node": "n3"}
    dispatcher.handle_event(make_started_event(runid, pid=0, ticks=0, **place))
    await dispatcher.run_round()
    write_log(dispatcher, tmp_path, runid, "one\n")
    await dispatcher.outer.follow_logs()
    write_log(dispatcher, tmp_path, runid, "two\n")

    dispatcher.outer.take_event(make_ended_event(runid, 3, **place))
    await dispatcher.run_round()
    assert (await views.show(call, id=1))["status"] == "running"  # until the log is here
    await dispatcher.outer.follow_logs()
    await dispatcher.run_round()

    task = await views.show(call, id=1)
    (run,) = task["instances"]
    assert (task["status"], run["exit_code"], run["pid"]) == ("failed", 3, None)
    assert await execute_sql(call, "SELECT outer_job, node FROM instances") == [("812", "n3")]
    assert Path(paths.get_log_path(call.home, runid)).read_text() == "one\ntwo\n"
    assert slurm.get_orders("forget") == [(runid,)]
    assert runid not in [one for order in fake_keeper.get_orders("forget") for one in order]


async def test_a_keeper_that_does_not_know_a_run_of_slurm_leaves_it_alone(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, fake_keeper: FakeKeeper, tmp_path: Path
):
    runid = await hand_over(call, dispatcher, slurm)
    dispatcher.handle_event(make_started_event(runid, pid=0, job="1", node="n1"))
    await dispatcher.run_round()
    waiting = await hand_over(call, dispatcher, slurm)

    again = Dispatcher(dispatcher.db, dispatcher.home)
    again.keeper = fake_keeper  # type: ignore[assignment]
    await again.outer.load()
    again.handle_event({"is": "hello", "runs": []})
    await again.run_round()
    active = await call.db.read(list_active_outer)
    again.outer.attach(slurm, tmp_path / "spool", active)  # type: ignore[arg-type]

    assert {row.runid for row in active} == {runid, waiting}
    assert {*slurm.get_orders("resume")[-1]} == {runid, waiting}
    assert fake_keeper.get_orders("refuse") == []


async def test_a_run_that_waits_in_slurm_is_told_apart_with_the_reason(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm
):
    runid = await hand_over(call, dispatcher, slurm)
    slurm.facts[runid] = JobFacts("812", "PENDING", "held in Slurm by you", "scontrol release 812")

    (why,) = await views.explain(call, ids=[1])
    board = await show_board(call)
    listed = await views.ls(call, brief=True)

    assert why["reasons"][0]["text"] == (
        "job 812 in Slurm; held in Slurm by you: scontrol release 812"
    )
    assert (await read_detail(call, id=1))["why"]["reasons"] == why["reasons"]
    (entry,) = board["running"]
    assert (entry["status"], entry["note"]) == ("in slurm", "held in Slurm by you")
    assert [[*note[:2]] for note in listed["notes"].values()] == [
        ["in slurm", "held in Slurm by you"]
    ]
    pool = next(one for one in board["pools"] if one["name"] == "big")
    use = {"running": 0, "waiting": 1, "usable": 1, "nodes": 2, "trouble": ""}
    assert pool["outer"] == use | {"words": ("--partition=long", "--option=--exclusive")}


async def test_a_run_on_a_node_names_the_node(call: Call, dispatcher: Dispatcher, slurm: FakeSlurm):
    runid = await hand_over(call, dispatcher, slurm)
    dispatcher.handle_event(make_started_event(runid, pid=0, job="812", node="n1"))
    await dispatcher.run_round()

    (why,) = await views.explain(call, ids=[1])
    (entry,) = (await show_board(call))["running"]

    assert why["reasons"][0]["text"] == "running, attempt 1; job 812 in Slurm on n1"
    assert (entry["status"], entry["output"]) == ("running", "n1")


async def test_stops_and_pauses_of_a_run_go_to_slurm(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, fake_keeper: FakeKeeper
):
    runid = await hand_over(call, dispatcher, slurm)
    dispatcher.handle_event(make_started_event(runid, pid=0))
    await dispatcher.run_round()

    await actions.pause(call, ids=[1])
    await dispatcher.run_round()
    await actions.resume(call, ids=[1])
    await dispatcher.run_round()
    await actions.cancel(call, ids=[1])
    await dispatcher.run_round()

    assert [number for _, number in slurm.get_orders("signal")] == [19, 18]
    assert slurm.get_orders("stop") == [(runid, "cancel", 5.0)]
    assert fake_keeper.get_orders("stop") == fake_keeper.get_orders("signal") == []


async def test_a_stop_reaches_the_next_client_too(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, fake_keeper: FakeKeeper, tmp_path: Path
):
    runid = await hand_over(call, dispatcher, slurm)
    await dispatcher.outer.close()
    await dispatcher.outer.look(SlurmSettings())
    assert dispatcher.outer.find_alert() == outer.NOT_SET_UP  # a run waits in Slurm
    await actions.cancel(call, ids=[1])
    await dispatcher.run_round()
    assert slurm.get_orders("stop") == fake_keeper.get_orders("stop") == []

    for _ in range(2):
        dispatcher.outer.attach(FakeSlurm(), tmp_path / "spool", ())  # type: ignore[arg-type]
        await dispatcher.run_round()
        await dispatcher.run_round()
        client = dispatcher.outer.client
        assert isinstance(client, FakeSlurm)
        assert client.get_orders("stop") == [(runid, "cancel", 5.0)]


async def test_an_end_in_slurm_tells_who_ended_the_run(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm
):
    runid = await hand_over(call, dispatcher, slurm, retries=2)
    end = {"by": "slurm", "stop": "cancel", "reason": "cancelled in Slurm"}

    dispatcher.handle_event(make_ended_event(runid, None, **end))
    await dispatcher.run_round()

    task = await views.show(call, id=1)
    assert (task["status"], task["reason"]) == ("cancelled", "cancelled in Slurm")


async def test_a_run_that_slurm_refused_waits_again_without_an_attempt(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm
):
    runid = await hand_over(call, dispatcher, slurm)

    dispatcher.handle_event({"is": "refused", "run": runid})
    await dispatcher.run_round()

    assert len(slurm.spawned_runs) == 2
    assert (await views.show(call, id=1))["instances"][0]["attempt"] == 1


async def test_a_stop_of_a_run_that_slurm_just_refused_does_not_go_to_the_keeper(
    call: Call,
    dispatcher: Dispatcher,
    slurm: FakeSlurm,
    fake_keeper: FakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
):
    runid = await hand_over(call, dispatcher, slurm)
    await actions.cancel(call, ids=[1])
    refusal = {"is": "refused", "run": runid}
    monkeypatch.setattr(slurm, "spawn", lambda run, pool: dispatcher.handle_event(refusal))

    await submit_task(call, queue="sims")
    await dispatcher.run_round()  # its orders were made before the refusal came
    await dispatcher.run_round()

    assert (await views.show(call, id=1))["status"] == "cancelled"
    assert not dispatcher.outer.has(runid)
    assert [runid for (runid, *_) in slurm.get_orders("stop")] == [runid]
    assert fake_keeper.get_orders("stop") == []


async def test_a_task_with_an_input_that_was_moved_to_slurm_fails_with_the_reason(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm
):
    await submit_task(call, queue="default", hold=True, stdin=True)
    await execute_sql(call, "UPDATE tasks SET queue = 'sims'")
    await actions.release(call, ids=[1])

    await dispatcher.run_round()
    await dispatcher.run_round()

    task = await views.show(call, id=1)
    assert (task["status"], slurm.spawned_runs) == ("failed", [])
    assert "a Slurm pool has no --stdin, --split or --error" in task["reason"]


async def test_a_run_in_the_spool_that_a_replaced_database_lacks_goes_back_to_its_task(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, tmp_path: Path
):
    runid = await hand_over(call, dispatcher, slurm)
    refused = await hand_over(call, dispatcher, slurm)
    stored = await hand_over(call, dispatcher, slurm)
    spool, commands = Spool(tmp_path / "spool"), tmp_path / "bin"
    commands.mkdir()
    identity = spool.prepare()
    for (order,) in slurm.get_orders("spawn"):
        spool.write_order(order["run"], order)
    spool.refuse(refused)
    dispatcher.handle_event(make_ended_event(stored, 0))
    await dispatcher.run_round()
    write_log(dispatcher, tmp_path, stored, "said\n")
    await execute_sql(call, f"DELETE FROM instances WHERE runid <> '{stored}'")
    await execute_sql(call, "UPDATE tasks SET status = 'queued', attempts = 0 WHERE number < 3")

    again = Dispatcher(dispatcher.db, dispatcher.home)
    settings = SlurmSettings(f"{spool.root}", os.fspath(commands))
    async with asyncio.timeout(TIMEOUT):
        while read_identity(call.home) != identity:
            assert again.outer.find_trouble() is not None  # nothing is handed over before
            await again.outer.look(settings)
            await asyncio.sleep(0.01)
    await again.outer.close()

    rows = await execute_sql(call, "SELECT runid, status, outer_job FROM instances ORDER BY runid")
    assert rows == [(runid, "starting", ""), (stored, "succeeded", "")]
    tasks = await execute_sql(call, "SELECT number, status FROM tasks ORDER BY number")
    assert tasks == [(1, "running"), (2, "queued"), (3, "succeeded")]
    assert spool.list_runs() == {runid}
    assert Path(paths.get_log_path(call.home, stored)).read_text() == "said\n"


async def test_trouble_follows_the_settings_and_the_client(
    dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outer, "_trouble", None)
    runs = dispatcher.outer
    await runs.look(SlurmSettings())
    assert outer.get_trouble() == outer.NOT_SET_UP and runs.find_alert() is None

    empty = tmp_path / "bin"
    empty.mkdir()
    settings = SlurmSettings(os.fspath(tmp_path / "spool"), os.fspath(empty), poll=0.5)
    await runs.look(settings)
    async with asyncio.timeout(TIMEOUT):
        while outer.get_trouble() == CONNECTING:
            await asyncio.sleep(0.01)
            await runs.look(settings)
    await runs.close()
    assert "squeue was not found" in (outer.get_trouble() or "")


async def test_a_log_over_its_limit_stops_the_job(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, duties: Duties
):
    runid = await hand_over(call, dispatcher, slurm, log_limit="1M")
    dispatcher.handle_event(make_started_event(runid, pid=0))
    await dispatcher.run_round()
    path = Path(paths.get_log_path(call.home, runid))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * (1 << 20) + b"y")

    await duties.measure()
    await dispatcher.run_round()

    assert slurm.get_orders("stop") == [(runid, "log limit", 5.0)]


async def test_nothing_is_kept_of_runs_of_this_machine_and_of_ended_jobs(
    call: Call, dispatcher: Dispatcher, slurm: FakeSlurm, fake_keeper: FakeKeeper
):
    runid = await hand_over(call, dispatcher, slurm)
    await submit_task(call)
    await dispatcher.run_round()
    for run in (runid, *fake_keeper.spawned_runs):
        dispatcher.handle_event(make_started_event(run))
    await dispatcher.run_round()
    assert dispatcher.outer.list_begun() == [runid]

    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()

    assert not dispatcher.outer.has(runid) and not dispatcher.outer.list_begun()
