"""Dispatcher rounds: stored changes, orders to the keeper, and retries after disk errors."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.core.ids import make_uuid7
from app.core.scheduling import open_times
from app.runtime.dispatch.dispatcher import GRACE, KEPT_LOG_BYTES, MAX_ENVIRONMENTS, Dispatcher
from app.service import enforced_limits
from app.service.context import Call
from app.service.database import journal
from app.service.definitions import queues, templates
from app.service.tasks.changes import actions
from app.service.tasks.inspection import group_views, views
from app.service.tasks.submission import number_file, submit
from db import timestamps
from db.engine import Database
from db.errors import DiskFull
from db.queries import reads
from db.queries.tasks import run_outputs, transitions
from tests.runtime.conftest import FakeKeeper, make_ended_event, make_started_event
from tests.runtime_process import TIMEOUT, wait_until
from tests.service.calls import execute_sql, submit_task


async def start_task(
    call: Call, dispatcher: Dispatcher, told: FakeKeeper, **spec: Any
) -> tuple[int, str]:
    """Start a task and report its start; return its number and run id."""
    number = (await submit_task(call, **spec))["number"]
    await dispatcher.run_round()
    runid = told.spawned_runs[-1]
    dispatcher.handle_event(make_started_event(runid))
    await dispatcher.run_round()
    return number, runid


async def claim_retryable_task(
    call: Call, dispatcher: Dispatcher, told: FakeKeeper, seen: bool = True
) -> tuple[int, str]:
    """Order the start of a retryable task; return its number and run id.

    With `seen` the keeper has reported the start.
    """
    number = (await submit_task(call, retries=5, retry_delay=0))["number"]
    await dispatcher.run_round()
    (runid,) = told.spawned_runs
    if seen:
        dispatcher.handle_event(make_started_event(runid))
        await dispatcher.run_round()
    return number, runid


def make_next_dispatcher(dispatcher: Dispatcher, told: FakeKeeper) -> Dispatcher:
    """Return the dispatcher of the next runtime, with the same home and keeper."""
    again = Dispatcher(dispatcher.db, dispatcher.home)
    again.keeper = told  # type: ignore[assignment]
    return again


async def show_task(call: Call, number: int) -> dict[str, Any]:
    return await views.show(call, id=number)


async def test_a_round_starts_only_tasks_that_fit(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await queues.pool_create(call, name="p", cpu=2, memory="1G")
    await queues.queue_create(call, name="q", pool="p", capacity=10)
    for _ in range(5):
        await submit_task(call, queue="q")

    await dispatcher.run_round()
    await dispatcher.run_round()

    assert [(await show_task(call, n))["status"] for n in range(1, 6)] == ["running"] * 2 + [
        "queued"
    ] * 3
    assert len(fake_keeper.spawned_runs) == 2


async def test_a_closed_queue_starts_its_tasks_once_it_opens(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(open_times, "get_local_zone_name", lambda: "UTC")
    now = datetime(2026, 11, 30, 21, 59, tzinfo=UTC)
    monkeypatch.setattr(timestamps, "utcnow", lambda: now)
    wakes: list[float | None] = []
    monkeypatch.setattr(dispatcher, "_schedule_wake", wakes.append)
    await queues.queue_set(call, name="default", open="22:00-06:00")
    await submit_task(call)

    await dispatcher.run_round()
    assert (fake_keeper.spawned_runs, wakes) == ([], [now.timestamp() + 60])
    (row,) = await queues.queue_ls(call)
    assert row["opens_at"] == "2026-11-30T22:00:00.000000Z"
    assert row["word"].startswith("opens ")

    now += timedelta(minutes=1)
    await dispatcher.run_round()
    assert len(fake_keeper.spawned_runs) == 1


async def test_the_order_contains_everything_the_keeper_needs(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path
):
    spec = {"argv": ["echo", "hi"], "env": {"B": "3", "C": "4"}, "timeout": 9, "grace": 2}
    shell = {"A": "1", "B": "2", "PWD": "/elsewhere"}
    await submit.submit(
        call, tasks=[spec | {"signal": "USR1@2s"}], cwd="/srv", umask=0o027, env=shell
    )

    await dispatcher.run_round()

    ((order,),) = fake_keeper.get_orders("spawn")
    runid = order["run"]
    assert order == {
        "run": runid, "argv": ["echo", "hi"], "cwd": "/srv", "umask": 0o027, "timeout": 9.0,
        "grace": 2.0, "early": [signal.SIGUSR1, 2.0],
        "log": paths.get_log_path(home, runid),
        "env": {"A": "1", "B": "3", "C": "4", "PWD": "/srv", "TASKDECK_RUNID": runid,
        "TASKDECK_TASK": "1", "TASKDECK_ATTEMPT": "1",
                "TASKDECK_HOME": os.fspath(home)},
    }  # fmt: skip


async def test_a_run_of_a_group_gets_its_place_and_parameters(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    group = {"argv": ["x"], "indexes": [4], "sweep": {"names": ["lr"], "values": [["0.1"]]}}
    await submit.submit(call, tasks=[{"argv": ["x"]}], env={}, group=group)

    await dispatcher.run_round()

    ((order,),) = fake_keeper.get_orders("spawn")
    names = ("TASKDECK_GROUP", "TASKDECK_ARRAY_INDEX", "TASKDECK_PARAM_lr")
    assert [order["env"][name] for name in names] == ["g1", "4", "0.1"]


async def test_a_task_without_its_lost_group_runs_with_its_place(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    group = {"argv": ["x"], "indexes": [4], "sweep": {"names": ["lr"], "values": [["0.1"]]}}
    await submit.submit(call, tasks=[{"argv": ["x"]}], env={}, group=group)
    await execute_sql(call, "UPDATE tasks SET group_number = NULL")

    await dispatcher.run_round()

    ((order,),) = fake_keeper.get_orders("spawn")
    names = ("TASKDECK_ARRAY_INDEX", "TASKDECK_PARAM_lr")
    assert [order["env"][name] for name in names] == ["4", "0.1"]
    assert "TASKDECK_GROUP" not in order["env"]


async def test_the_runs_of_a_batch_script_get_the_variables_of_slurm(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await queues.queue_set(call, name="default", capacity=8)
    await queues.pool_set(call, name="default", cpu=8)
    task = {"argv": ["x"], "output": "{first}.log"}
    script = task | {"env": {"SLURM_JOB_NAME": "sim", "SLURM_JOB_PARTITION": "mine"}}
    await submit.submit(call, tasks=[task], env={}, cwd="/srv")
    group = {"argv": ["x"], "indexes": [4, 6]}
    await submit.submit(call, tasks=[script] * 2, env={}, cwd="/srv", group=group)

    await dispatcher.run_round()

    names = ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "JOB_PARTITION")
    found = [
        [order["env"].get(f"SLURM_{name}") for name in names]
        for (order,) in fake_keeper.get_orders("spawn")
    ]
    assert found == [[None] * 4, ["2", "2", "4", "mine"], ["3", "2", "6", "mine"]]
    copies = await call.db.read(run_outputs.list_copies)
    assert sorted(copy.path for copy in copies) == ["/srv/1.log", "/srv/2.log", "/srv/2.log"]


@pytest.mark.parametrize("count", [4, 260])
async def test_only_some_tasks_of_a_group_run_at_once(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, count: int
):
    await queues.queue_set(call, name="default", capacity=8)
    await queues.pool_set(call, name="default", cpu=8)
    group = {"argv": ["x"], "max_running": 2}
    await submit.submit(call, tasks=[{"argv": ["x"]}] * count, env={}, group=group)
    await submit_task(call)

    await dispatcher.run_round()
    await dispatcher.run_round()
    started = [order["env"]["TASKDECK_TASK"] for (order,) in fake_keeper.get_orders("spawn")]
    assert started == ["1", "2", str(count + 1)]
    (answer,) = await views.explain(call, ids=[3])
    assert any("group g1: 2 of 2 running" in reason["text"] for reason in answer["reasons"])

    await group_views.set_(call, id="g1", max_running=3)
    await dispatcher.run_round()
    assert len(fake_keeper.get_orders("spawn")) == 4
    await group_views.set_(call, id="g1", max_running=None)
    await dispatcher.run_round()
    assert len(fake_keeper.get_orders("spawn")) == min(8, count + 1)


async def test_a_run_is_committed_before_the_keeper_is_ordered(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, database_path: Path
):
    seen: list[Any] = []
    spawn = fake_keeper.spawn

    def look(run: dict[str, Any]) -> None:
        with closing(sqlite3.connect(f"file:{database_path}?mode=ro", uri=True)) as other:
            seen.extend(
                other.execute("SELECT status FROM instances WHERE runid = ?", (run["run"],))
            )
        spawn(run)

    fake_keeper.spawn = look  # type: ignore[method-assign]
    await submit_task(call)
    await dispatcher.run_round()

    assert seen == [("starting",)]


async def test_the_keeper_forgets_ends_once_they_are_stored(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    dispatcher.handle_event(make_ended_event(runid, 3))
    await dispatcher.run_round()

    assert (await show_task(call, number))["status"] == "failed"
    assert fake_keeper.get_orders("forget") == [(runid,)]


async def test_no_state_remains_of_ended_runs(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    _, runid = await start_task(call, dispatcher, fake_keeper)
    assert dispatcher._spawned == {runid} and runid in dispatcher._started_at

    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()

    assert not (dispatcher._spawned or dispatcher._started_at or dispatcher._sent_signals)


async def test_ends_of_unknown_runs_are_forgotten_and_their_starts_harmless(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    unknown = make_uuid7()
    dispatcher.handle_event(make_started_event(unknown))
    dispatcher.handle_event(make_ended_event(unknown))

    await dispatcher.run_round()

    assert fake_keeper.get_orders("forget") == [(unknown,)]


async def test_events_refused_by_the_disk_are_written_in_the_next_round(
    call: Call,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    waiting = (await submit_task(call))["number"]
    write = db.write_except

    async def full(*args: Any) -> Any:
        raise DiskFull("the disk is full.")

    monkeypatch.setattr(db, "write_except", full)
    dispatcher.handle_event(make_ended_event(runid, 5))
    await dispatcher.run_round()
    assert fake_keeper.get_orders("forget") == []
    assert dispatcher.halted is not None and dispatcher.halted.startswith("disk full since ")

    monkeypatch.setattr(db, "write_except", write)
    await dispatcher.run_round()
    assert ((await show_task(call, number))["status"], fake_keeper.get_orders("forget")) == (
        "failed",
        [(runid,)],
    )
    assert (await show_task(call, waiting))["status"] == "queued"

    dispatcher.halted = None
    await dispatcher.run_round()
    assert (await show_task(call, waiting))["status"] == "running"


async def test_a_keeper_failure_halts_starting_unless_a_reason_is_known(dispatcher: Dispatcher):
    full = {"is": "error", "run": "r", "code": "no-space", "message": "cannot write log x"}
    dispatcher.handle_event(full)
    assert re.fullmatch(
        r"the keeper cannot start processes \(cannot write log x\) since \d\d:\d\d",
        dispatcher.halted or "",
    )

    dispatcher.halted = "disk full since 10:31"
    dispatcher.handle_event(full)
    assert dispatcher.halted == "disk full since 10:31"


@pytest.mark.parametrize("enforce", ["memory,cpu", "memory"])
async def test_a_run_without_its_limits_goes_back_and_its_pool_waits(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, enforce: str
):
    await queues.pool_set(call, name="default", enforce=enforce)
    number = (await submit_task(call, cpu=2, memory="64M"))["number"]
    divided = {"root": "/x", "controllers": ["memory", "cpu"], "why": ""}
    dispatcher.handle_event({"is": "hello", "runs": [], "cgroups": divided})
    await dispatcher.run_round()
    ((order,),) = fake_keeper.get_orders("spawn")

    message = {"is": "error", "run": order["run"], "code": "no-cgroup", "message": "no folder"}
    dispatcher.handle_event(message)
    for _ in range(2):
        await dispatcher.run_round()

    assert order["limits"] == {"memory": 65536, "cpu": 2}
    shown = await show_task(call, number)
    assert (shown["status"], shown["attempts"], dispatcher.halted) == ("queued", 0, None)
    assert len(fake_keeper.get_orders("spawn")) == 1
    enforced_limits.set_cgroups(None)


async def test_nothing_is_claimed_while_halted_or_draining(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await submit_task(call)
    for word in ("halted", "draining"):
        setattr(dispatcher, word, "disk nearly full" if word == "halted" else True)
        await dispatcher.run_round()
        assert fake_keeper.spawned_runs == []
        setattr(dispatcher, word, None)

    await dispatcher.run_round()
    assert len(fake_keeper.spawned_runs) == 1


def set_clock(monkeypatch: pytest.MonkeyPatch, hours: float, seconds: float = 0.0) -> None:
    """Set the clock of stored times, relative to the machine's."""
    ahead = timedelta(hours=hours, seconds=seconds)
    monkeypatch.setattr(timestamps, "utcnow", lambda: datetime.now(UTC) + ahead)


async def fail_retryable_task(call: Call, dispatcher: Dispatcher, told: FakeKeeper) -> int:
    """Run and fail a task that is retried after 60 seconds; return its number."""
    number, runid = await start_task(call, dispatcher, told, retries=1, retry_delay=60)
    dispatcher.handle_event(make_ended_event(runid, 1))
    await dispatcher.run_round()
    assert (await show_task(call, number))["status"] == "retrying"
    return number


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_set_back_extends_a_retry_delay_at_most_once(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper,
    monkeypatch: pytest.MonkeyPatch, restarted: bool,
):  # fmt: skip
    number = await fail_retryable_task(call, dispatcher, fake_keeper)
    if restarted:
        dispatcher = make_next_dispatcher(dispatcher, fake_keeper)

    set_clock(monkeypatch, hours=-2)
    await dispatcher.run_round()
    assert (await show_task(call, number))["status"] == "retrying"

    set_clock(monkeypatch, hours=-2, seconds=61)
    await dispatcher.run_round()
    assert (await show_task(call, number))["status"] == "running"


async def test_a_clock_set_back_does_not_delay_a_held_retry(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
):
    number = await fail_retryable_task(call, dispatcher, fake_keeper)
    await actions.hold(call, ids=[number])
    set_clock(monkeypatch, hours=-2)
    await dispatcher.run_round()
    set_clock(monkeypatch, hours=-2, seconds=61)

    await actions.release(call, ids=[number])
    await dispatcher.run_round()

    assert (await show_task(call, number))["status"] == "running"


async def test_a_retry_delay_is_not_extended_by_rounds(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
):
    number = await fail_retryable_task(call, dispatcher, fake_keeper)
    due = (await show_task(call, number))["retry_at"]
    await dispatcher.run_round()
    assert (await show_task(call, number))["retry_at"] == due


async def test_the_keeper_is_ordered_to_cancel_once(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper, grace=3)
    await actions.cancel(call, ids=[number])

    for _ in range(3):
        await dispatcher.run_round()

    assert fake_keeper.get_orders("stop") == [(runid, "cancel", 3.0)]


async def test_a_second_cancel_with_less_grace_reaches_the_keeper(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    for grace in (None, None, 0.5):
        await actions.cancel(call, ids=[number], grace=grace)
        await dispatcher.run_round()

    assert fake_keeper.get_orders("stop") == [(runid, "cancel", 5.0), (runid, "cancel", 0.5)]


async def test_the_keeper_gets_one_order_per_pause_and_resume(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    for verb in (actions.pause, actions.resume, actions.pause):
        await verb(call, ids=[number])
        await dispatcher.run_round()
        await dispatcher.run_round()

    assert fake_keeper.get_orders("signal") == [
        (runid, signal.SIGSTOP),
        (runid, signal.SIGCONT),
        (runid, signal.SIGSTOP),
    ]


async def test_a_new_keeper_gets_orders_that_the_old_one_may_have_lost(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    await actions.cancel(call, ids=[number])
    await dispatcher.run_round()
    fake_keeper.orders.clear()

    dispatcher.handle_event({"is": "hello", "runs": [make_started_event(runid)]})
    await dispatcher.run_round()

    assert [order[:2] for order in fake_keeper.get_orders("stop")] == [(runid, "cancel")]


async def test_a_resume_possibly_lost_by_a_keeper_is_sent_to_the_next(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    for verb in (actions.pause, actions.resume):
        await verb(call, ids=[number])
        await dispatcher.run_round()
    fake_keeper.orders.clear()

    dispatcher.handle_event({"is": "hello", "runs": [make_started_event(runid)]})
    await dispatcher.run_round()
    await dispatcher.run_round()

    assert fake_keeper.get_orders("signal") == [(runid, signal.SIGCONT)]


async def test_a_claimed_run_unknown_to_the_keeper_is_refused(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number = (await submit_task(call))["number"]
    await dispatcher.run_round()
    (runid,) = fake_keeper.spawned_runs
    dispatcher.handle_event({"is": "hello", "runs": []})
    await dispatcher.run_round()
    assert fake_keeper.get_orders("refuse") == [(runid,)]
    assert (await show_task(call, number))["status"] == "running"

    dispatcher.handle_event({"is": "refused", "run": runid})
    await dispatcher.run_round()

    assert [run["runid"] for run in (await show_task(call, number))["instances"]] == [
        fake_keeper.spawned_runs[-1]
    ]
    assert len(fake_keeper.spawned_runs) == 2


async def test_a_run_known_to_the_new_keeper_is_not_refused(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number = (await submit_task(call))["number"]
    await dispatcher.run_round()
    (runid,) = fake_keeper.spawned_runs

    dispatcher.handle_event({"is": "hello", "runs": [make_started_event(runid)]})
    await dispatcher.run_round()

    assert fake_keeper.get_orders("refuse") == []
    assert (await show_task(call, number))["instances"][0]["status"] == "running"


async def test_a_running_run_without_a_row_becomes_a_cancellable_task(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):  # fmt: skip
    await submit_task(call)
    job, runid = (
        subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": "7", "TASKDECK_ATTEMPT": "1"}),
        make_uuid7(),
    )
    try:
        wait_until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        word = make_started_event(runid, pid=job.pid, ticks=journal._read_start_ticks(job.pid))
        for _ in range(2):  # a repeated hello changes nothing
            dispatcher.handle_event(
                {
                    "is": "hello",
                    "runs": [
                        word,
                        make_started_event(make_uuid7(), pid=0),
                        make_ended_event(make_uuid7()),
                    ],
                }
            )
            await dispatcher.run_round()
    finally:
        job.kill()
        job.wait()

    row = await show_task(call, 7)
    assert (row["status"], row["name"], row["instances"][0]["pid"], row["submitted_by"]) == (
        "running",
        "sleep 300",
        job.pid,
        "taskdeck",
    )
    assert (await submit_task(call))["number"] == 8
    await actions.cancel(call, ids=[7])
    await dispatcher.run_round()
    assert [order[:2] for order in fake_keeper.get_orders("stop")] == [(runid, "cancel")]
    dispatcher.handle_event(make_ended_event(runid, None, signal=15, stop="cancel"))
    await dispatcher.run_round()
    assert (await show_task(call, 7))["status"] == "cancelled"


async def test_an_older_database_reuses_no_assigned_number(
    call: Call, dispatcher: Dispatcher, home: Path
):
    await submit_task(call)
    await number_file.raise_mark(
        home, 7
    )  # as in the number file; the database lacks tasks #2 to #7

    dispatcher.handle_event({"is": "hello", "runs": []})
    await dispatcher.run_round()

    assert (await submit_task(call))["number"] == 8


@pytest.mark.parametrize("seen", [True, False])
async def test_a_started_run_unknown_to_any_keeper_is_lost_and_not_retried(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path, seen: bool
):  # fmt: skip
    number, runid = await claim_retryable_task(call, dispatcher, fake_keeper, seen)
    if not seen:
        log = Path(paths.get_log_path(home, runid))
        log.parent.mkdir(parents=True)
        log.write_text("it began\n")
    again = make_next_dispatcher(dispatcher, fake_keeper)

    again.handle_event({"is": "hello", "runs": []})
    await again.run_round()

    assert (await show_task(call, number))["status"] == "lost"
    assert fake_keeper.spawned_runs == [runid] and fake_keeper.get_orders("refuse") == []


async def test_a_run_lost_in_a_power_failure_is_retried(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path
):  # fmt: skip
    dispatcher.handle_event({"is": "hello", "runs": [], "boot": "one"})
    number, _ = await claim_retryable_task(call, dispatcher, fake_keeper)
    again = make_next_dispatcher(dispatcher, fake_keeper)

    again.handle_event({"is": "hello", "runs": [], "boot": "two"})
    await again.run_round()

    runs = {
        run["attempt"]: (run["status"], run["reason"])
        for run in (await show_task(call, number))["instances"]
    }
    assert runs == {1: ("lost", "host restarted"), 2: ("starting", None)}


@pytest.mark.parametrize("seen", [True, False])
async def test_a_run_with_a_lost_stored_end_ends_as_in_the_journal(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path, seen: bool
):  # fmt: skip
    number, runid = await claim_retryable_task(call, dispatcher, fake_keeper, seen)
    end = {
        "e": runid,
        "code": 0,
        "signal": None,
        "at": time.time(),
        "seconds": 2.5,
        "cpu": 0.5,
        "rss": 2048,
    }
    records = [
        {"i": runid, "at": end["at"] - 2.5},
        {"p": runid, "pid": 1, "ticks": 0},
        end,
        {"f": [runid]},
    ]
    (home / "run" / "journal2").mkdir()
    (home / "run" / "journal2" / "1.log").write_text(
        "".join(f"{json.dumps(record)}\n" for record in records)
    )
    again = make_next_dispatcher(dispatcher, fake_keeper)

    again.handle_event({"is": "hello", "runs": []})
    await again.run_round()

    (run,) = (await show_task(call, number))["instances"]
    assert (run["status"], run["exit_code"], run["run_seconds"]) == ("succeeded", 0, 2.5)
    assert fake_keeper.spawned_runs == [runid] and fake_keeper.get_orders("refuse") == []


@pytest.mark.parametrize("seen", [True, False])
async def test_an_earlier_run_does_not_end_the_task_of_a_running_one(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path, seen: bool
):  # fmt: skip
    number, first = await claim_retryable_task(call, dispatcher, fake_keeper, seen)
    job, runid = (
        subprocess.Popen(
            ["sleep", "300"], env={"TASKDECK_TASK": f"{number}", "TASKDECK_ATTEMPT": "2"}
        ),
        make_uuid7(),
    )
    again = make_next_dispatcher(dispatcher, fake_keeper)
    try:
        wait_until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        again.handle_event(
            {
                "is": "hello",
                "runs": [
                    make_started_event(runid, pid=job.pid, ticks=journal._read_start_ticks(job.pid))
                ],
            }
        )
        await again.run_round()
    finally:
        job.kill()
        job.wait()
    for refused in fake_keeper.get_orders("refuse"):
        again.handle_event({"is": "refused", "run": refused[0]})
    await again.run_round()

    row = await show_task(call, number)
    assert (row["status"], fake_keeper.spawned_runs) == ("running", [first])
    assert [(run["runid"], run["status"]) for run in row["instances"]] == [
        *([(first, "lost")] if seen else []),
        (runid, "running"),
    ]
    again.handle_event(make_ended_event(runid))
    await again.run_round()
    assert (await show_task(call, number))["status"] == "succeeded"


async def test_a_timeout_reported_by_the_keeper_is_recorded(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper, timeout=5)
    dispatcher.handle_event({"is": "stopping", "run": runid, "reason": "timeout"})
    await dispatcher.run_round()
    assert (await show_task(call, number))["instances"][0]["status"] == "stopping"

    dispatcher.handle_event(make_ended_event(runid, None, signal=15, stop="timeout"))
    await dispatcher.run_round()

    row = await show_task(call, number)
    assert (row["status"], row["reason"]) == ("timed_out", "limit 5.0s")


async def test_runs_past_their_deadline_are_stopped(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper, timeout=5)
    dispatcher.handle_event(
        make_started_event(runid, boot_at=time.clock_gettime(time.CLOCK_BOOTTIME) - 6)
    )

    await dispatcher.stop_overdue()
    await dispatcher.run_round()

    assert [order[:2] for order in fake_keeper.get_orders("stop")] == [(runid, "timeout")]
    assert (await show_task(call, number))["instances"][0]["status"] == "stopping"


async def test_a_shorter_timeout_brings_the_early_signal_forward(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper, timeout="2h", signal="USR1@5m")
    began = time.clock_gettime(time.CLOCK_BOOTTIME) - 600
    dispatcher.handle_event(make_started_event(runid, boot_at=began))
    await dispatcher.stop_overdue()
    assert fake_keeper.get_orders("early") == []

    await actions.set_(call, ids=[number], fields={"timeout": "14m"})
    for _ in range(2):
        await dispatcher.stop_overdue()

    assert fake_keeper.get_orders("early") == [(runid,)]


async def test_a_timeout_set_while_a_task_runs_stops_the_run(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    dispatcher.handle_event(
        make_started_event(runid, boot_at=time.clock_gettime(time.CLOCK_BOOTTIME) - 600)
    )
    await dispatcher.stop_overdue()
    await actions.set_(call, ids=[number], fields={"timeout": 500})

    await dispatcher.stop_overdue()
    await dispatcher.run_round()
    dispatcher.handle_event(make_ended_event(runid, None, signal=15, stop="timeout"))
    await dispatcher.run_round()

    assert [order[:2] for order in fake_keeper.get_orders("stop")] == [(runid, "timeout")]
    assert (await show_task(call, number))["reason"] == "limit 8m20s"


async def test_a_clock_set_forward_ends_no_run_early(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    _, runid = await start_task(call, dispatcher, fake_keeper, timeout=5)
    dispatcher.handle_event(
        make_started_event(runid, boot_at=time.clock_gettime(time.CLOCK_BOOTTIME))
    )
    await execute_sql(
        call,
        "UPDATE instances SET start_time = '2000-01-01T00:00:00.000000Z', deadline ="
        " '2000-01-01T00:00:05.000000Z'",
    )

    await dispatcher.stop_overdue()
    await dispatcher.run_round()

    assert fake_keeper.get_orders("stop") == []


async def test_small_logs_are_stored_whole_and_large_ones_by_their_tail(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path
):
    texts = {"small": b"one\0\xff\n", "large": b"x" * 40_000 + b"end\n"}
    for text in texts.values():
        _, runid = await start_task(call, dispatcher, fake_keeper)
        path = Path(paths.get_log_path(home, runid))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        dispatcher.handle_event(make_ended_event(runid))
        await dispatcher.run_round()

    small, large = [(await views.find_logs(call, id=number))["runs"][0] for number in (1, 2)]

    assert (small["logs"], small["log_bytes"]) == ("one␀\ufffd\n", 6)
    assert (len(large["logs"]), large["logs"][-4:], large["log_bytes"]) == (
        KEPT_LOG_BYTES,
        "end\n",
        40_004,
    )


async def test_a_missing_log_does_not_prevent_the_end(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()

    assert (await show_task(call, number))["status"] == "succeeded"


async def test_a_misplaced_secret_fails_the_run_with_a_reason(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, home: Path
):
    schema = {"script": "echo hi"}
    parameters = {"type": "object", "properties": {"key": {"type": "string", "secret": True}}}
    await templates.create(call, name="push", engine="shell", schema=schema, parameters=parameters)
    done = await submit_task(call, template="push", parameters={"key": f"file:{home}/nowhere"})
    await dispatcher.run_round()
    await dispatcher.run_round()

    row = await show_task(call, done["number"])
    assert (row["status"], row["instances"][0]["exit_code"], fake_keeper.spawned_runs) in (
        ("failed", 126, []),
        ("running", None, [row["instances"][0]["runid"]]),
    )


async def test_undecodable_bytes_reach_the_keeper_unchanged(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    odd = os.fsdecode(b"caf\xe9")
    await submit_task(call, argv=["cat", odd], env={"X": odd}, cwd=os.fsdecode(b"/srv/\xff"))

    await dispatcher.run_round()

    ((order,),) = fake_keeper.get_orders("spawn")
    assert (order["argv"][1], order["env"]["X"], order["cwd"]) == (
        odd,
        odd,
        os.fsdecode(b"/srv/\xff"),
    )
    json.dumps(order).encode("ascii")


async def test_a_reason_of_arbitrary_bytes_ends_only_the_run(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    dispatcher.handle_event({**make_ended_event(runid, 127), "reason": 'no program "p\udcff"'})
    await dispatcher.run_round()

    assert (await show_task(call, number))["reason"] == 'exit 127: no program "p�"'


async def test_an_unrecordable_end_does_not_block_other_ends(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await queues.pool_create(call, name="p", cpu=4, memory="1G")
    await queues.queue_create(call, name="q", pool="p", capacity=4)
    first, bad = await start_task(call, dispatcher, fake_keeper, queue="q")
    second, good = await start_task(call, dispatcher, fake_keeper, queue="q")
    dispatcher.handle_event(make_ended_event(bad, 3, cpu={"no": "number"}))
    dispatcher.handle_event(make_ended_event(good, 0))

    await dispatcher.run_round()

    assert [(await show_task(call, n))["status"] for n in (first, second)] == [
        "failed",
        "succeeded",
    ]
    (run,) = (await show_task(call, first))["instances"]
    assert (run["exit_code"], run["reason"]) == (3, "exit 3: its end could not be stored in full")
    assert dispatcher.internal_error is not None
    await dispatcher.run_round()
    assert dispatcher.internal_error is None
    assert sorted(word for words in fake_keeper.get_orders("forget") for word in words) == sorted(
        [bad, good]
    )


async def test_front_and_priority_decide_the_start_order(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await queues.queue_set(call, name="default", capacity=1)
    for priority in (0, 5, 0):
        await submit_task(call, priority=priority)
    await actions.front(call, ids=[3])

    order = []
    for _ in range(3):
        await dispatcher.run_round()
        order.append(int(fake_keeper.get_orders("spawn")[-1][0]["env"]["TASKDECK_TASK"]))
        dispatcher.handle_event(make_ended_event(fake_keeper.spawned_runs[-1]))
    await dispatcher.run_round()

    assert order == [3, 2, 1]
    assert await call.db.read(reads.count_by_status) == {"succeeded": 3}


async def test_a_paused_queue_or_pool_starts_nothing(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await submit_task(call)
    for pause, resume in (
        (queues.queue_pause, queues.queue_resume),
        (queues.pool_pause, queues.pool_resume),
        (queues.queue_drain, queues.queue_resume),
    ):
        await pause(call, name="default")
        await dispatcher.run_round()
        assert fake_keeper.spawned_runs == []
        await resume(call, name="default")

    await dispatcher.run_round()
    assert len(fake_keeper.spawned_runs) == 1


async def test_a_run_that_began_and_ended_between_rounds_is_written_once(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number = (await submit_task(call))["number"]
    await dispatcher.run_round()
    (runid,) = fake_keeper.spawned_runs
    dispatcher.handle_event(make_started_event(runid))
    dispatcher.handle_event(make_ended_event(runid, 0))
    await dispatcher.run_round()

    found = await show_task(call, number)
    (run,) = found["instances"]
    assert (found["status"], run["status"]) == ("succeeded", "succeeded")
    assert found["started_at"] == run["start_time"] is not None
    assert [e["status"] for e in found["events"] if e["runid"]] == ["starting", "succeeded"]


@pytest.mark.parametrize(
    ("left", "note"),
    [
        (1, "1 process of the run keeps running"),
        (3, "3 processes of the run keep running"),
        (0, None),
    ],
)
async def test_processes_left_by_a_run_are_reported(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, left: int, note: str | None
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    dispatcher.handle_event(make_ended_event(runid, 0, left=left))
    await dispatcher.run_round()

    assert [
        e["note"]
        for e in (await show_task(call, number))["events"]
        if e["runid"] and e["status"] == "succeeded"
    ] == [note]


def fail_next_rounds(monkeypatch: pytest.MonkeyPatch, *faults: Exception) -> None:
    """Make the next rounds fail with these errors."""
    left, promote = list(faults), transitions.queue_due_tasks

    def once_more(c: Any) -> None:
        if left:
            raise left.pop(0)
        promote(c)

    monkeypatch.setattr(transitions, "queue_due_tasks", once_more)


async def test_no_end_is_lost_between_an_internal_error_and_a_full_disk(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
):
    number, runid = await start_task(call, dispatcher, fake_keeper)
    fail_next_rounds(monkeypatch, ValueError("ours"), DiskFull("full"), DiskFull("full"))

    dispatcher.handle_event(make_ended_event(runid))
    for _ in range(3):
        await dispatcher.run_round()

    assert (await show_task(call, number))["status"] == "succeeded"
    assert fake_keeper.get_orders("forget") == [(runid,)]


async def test_a_rolled_back_round_counts_in_no_sample(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monkeypatch: pytest.MonkeyPatch
):
    _, runid = await start_task(call, dispatcher, fake_keeper)
    fail_next_rounds(monkeypatch, *[DiskFull("full")] * 5)

    dispatcher.handle_event(make_ended_event(runid, 1))
    for _ in range(6):
        await dispatcher.run_round()

    tally = dispatcher.tallies["default"]
    assert (tally.started, tally.ended, tally.failed) == (1, 1, 1)


async def test_starts_waits_ends_and_rounds_are_counted_since_the_start(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    for code, seconds in ((0, 7.0), (1, 2.0)):
        _, runid = await start_task(call, dispatcher, fake_keeper)
        dispatcher.handle_event(make_ended_event(runid, code, run_seconds=seconds))
        await dispatcher.run_round()

    counted = dispatcher.counts.queues["default"]
    assert (counted.started, counted.ended) == (2, {"succeeded": 1, "failed": 1})
    assert (sum(counted.waits.counts), sum(counted.runs.counts)) == (2, 2)
    assert counted.waits.total < 2 * TIMEOUT and counted.runs.total == 9.0
    assert sum(dispatcher.counts.rounds.counts) == 6


async def test_later_attempts_count_no_wait(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    _, runid = await claim_retryable_task(call, dispatcher, fake_keeper)
    dispatcher.handle_event(make_ended_event(runid, 1))
    await dispatcher.run_round()
    await dispatcher.run_round()

    counted = dispatcher.counts.queues["default"]
    assert (counted.started, sum(counted.waits.counts)) == (2, 1)
    assert dispatcher.counts.errors == {}


async def test_a_task_cancelled_before_its_fork_never_started(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number = (await submit_task(call))["number"]
    await dispatcher.run_round()
    await actions.cancel(call, ids=[number])

    dispatcher.handle_event({"is": "refused", "run": fake_keeper.spawned_runs[0]})
    await dispatcher.run_round()

    found = await show_task(call, number)
    assert (found["status"], found["started_at"], found["instances"]) == ("cancelled", None, [])


async def test_each_start_in_a_round_gets_its_own_environment(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    await queues.pool_create(call, name="p", cpu=200, memory="1G")
    await queues.queue_create(call, name="q", pool="p", capacity=200)
    for n in range(MAX_ENVIRONMENTS + 20):
        await submit.submit(
            call, tasks=[{"argv": ["true"], "queue": "q"}], cwd="/", env={"N": str(n)}
        )

    await dispatcher.run_round()

    assert [run["env"]["N"] for (run,) in fake_keeper.get_orders("spawn")] == [
        str(n) for n in range(MAX_ENVIRONMENTS + 20)
    ]


async def test_a_run_is_stopped_although_the_disk_is_full(
    call: Call,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    async def full(*args: Any) -> Any:
        raise DiskFull("the disk is full.")

    with monkeypatch.context() as disk:
        disk.setattr(db, "write", full)
        with pytest.raises(DiskFull):
            await dispatcher.stop_run(runid, "log limit")
    assert fake_keeper.get_orders("stop") == [(runid, "log limit", GRACE)]
    dispatcher.handle_event(make_ended_event(runid, None, signal=15, stop="log limit"))
    await dispatcher.run_round()

    found = await show_task(call, number)
    assert (found["status"], found["reason"]) == ("failed", "log limit 1.0G")


async def test_an_error_without_a_run_does_not_stop_a_round(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    dispatcher.handle_event(
        {"is": "error", "run": None, "code": "bad-request", "message": "nonsense"}
    )
    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()

    assert (dispatcher.internal_error, (await show_task(call, number))["status"]) == (
        None,
        "succeeded",
    )


async def test_a_failed_checkpoint_does_not_end_a_round(
    call: Call,
    dispatcher: Dispatcher,
    fake_keeper: FakeKeeper,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
):
    number, runid = await start_task(call, dispatcher, fake_keeper)

    async def fails() -> None:
        raise sqlite3.OperationalError("something new")

    fail_next_rounds(monkeypatch, DiskFull("full"))
    monkeypatch.setattr(db, "checkpoint", fails)
    dispatcher.handle_event(make_ended_event(runid))
    await dispatcher.run_round()
    await dispatcher.run_round()

    assert (await show_task(call, number))["status"] == "succeeded"
