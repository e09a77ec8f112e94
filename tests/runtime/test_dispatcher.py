"""What a round writes and what it then tells the keeper; what the disk refuses is kept for the next round."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from app import paths
from app.core.ids import uuid7
from app.runtime.dispatcher import ENVIRONMENTS, GRACE, LOG_KEPT, Dispatcher
from app.service.context import Call
from app.service.database import journal
from app.service.definitions import queues, templates
from app.service.tasks import actions, number_file, submit, views
from db.engine import Database
from db.errors import DiskFull
from db.queries import reads, transitions
from tests.runtime.conftest import Told, ended, started
from tests.runtime_process import until
from tests.service.calls import execute, submitted


async def running(call: Call, dispatcher: Dispatcher, told: Told, **spec: Any) -> tuple[int, str]:
    """A task whose start the keeper has reported: its number and run."""
    number = (await submitted(call, **spec))["number"]
    await dispatcher.round()
    runid = told.spawned[-1]
    dispatcher.hear(started(runid))
    await dispatcher.round()
    return number, runid


async def begun(call: Call, dispatcher: Dispatcher, told: Told, seen: bool = True) -> tuple[int, str]:
    """A task that would be tried again and its run, as the keeper was told to start it; when `seen` it said that it did."""
    number = (await submitted(call, retries=5, retry_delay=0))["number"]
    await dispatcher.round()
    (runid,) = told.spawned
    if seen:
        dispatcher.hear(started(runid))
        await dispatcher.round()
    return number, runid


def another(dispatcher: Dispatcher, told: Told) -> Dispatcher:
    """The next runtime's, of the same home and keeper."""
    again = Dispatcher(dispatcher.db, dispatcher.home)
    again.keeper = told  # type: ignore[assignment]
    return again


async def show(call: Call, number: int) -> dict[str, Any]:
    return await views.show(call, id=number)


async def test_a_round_starts_what_fits_and_no_more(call: Call, dispatcher: Dispatcher, told: Told):
    await queues.pool_create(call, name="p", cpu=2, memory="1G")
    await queues.queue_create(call, name="q", pool="p", capacity=10)
    for _ in range(5):
        await submitted(call, queue="q")

    await dispatcher.round()
    await dispatcher.round()

    assert [(await show(call, n))["status"] for n in range(1, 6)] == ["running"] * 2 + ["queued"] * 3
    assert len(told.spawned) == 2


async def test_the_order_says_everything_the_keeper_needs(call: Call, dispatcher: Dispatcher, told: Told, home: Path):
    spec = {"argv": ["echo", "hi"], "env": {"B": "3", "C": "4"}, "timeout": 9, "grace": 2}
    await submit.submit(call, tasks=[spec], cwd="/srv", umask=0o027, env={"A": "1", "B": "2"})

    await dispatcher.round()

    ((order,),) = told.of("spawn")
    runid = order["run"]
    assert order == {
        "run": runid, "argv": ["echo", "hi"], "cwd": "/srv", "umask": 0o027, "timeout": 9.0, "grace": 2.0,
        "log": paths.log_path(home, runid),
        "env": {"A": "1", "B": "3", "C": "4", "TASKDECK_RUNID": runid, "TASKDECK_TASK": "1", "TASKDECK_ATTEMPT": "1",
                "TASKDECK_HOME": os.fspath(home)},
    }  # fmt: skip


async def test_a_run_is_committed_before_the_keeper_hears_of_it(
    call: Call, dispatcher: Dispatcher, told: Told, database: Path
):
    seen: list[Any] = []
    spawn = told.spawn

    def look(run: dict[str, Any]) -> None:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as other:
            seen.extend(other.execute("SELECT status FROM instances WHERE runid = ?", (run["run"],)))
        other.close()
        spawn(run)

    told.spawn = look  # type: ignore[method-assign]
    await submitted(call)
    await dispatcher.round()

    assert seen == [("starting",)]


async def test_ends_are_forgotten_by_the_keeper_once_they_are_stored(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told)

    dispatcher.hear(ended(runid, 3))
    await dispatcher.round()

    assert (await show(call, number))["status"] == "failed"
    assert told.of("forget") == [(runid,)]


async def test_nothing_is_remembered_of_runs_that_ended(call: Call, dispatcher: Dispatcher, told: Told):
    _, runid = await running(call, dispatcher, told)
    assert dispatcher._sent == {runid} and runid in dispatcher._began

    dispatcher.hear(ended(runid))
    await dispatcher.round()

    assert not (dispatcher._sent or dispatcher._began or dispatcher._told)


async def test_ends_of_unknown_runs_are_forgotten_too_and_starts_of_them_do_no_harm(
    call: Call, dispatcher: Dispatcher, told: Told
):
    unknown = uuid7()
    dispatcher.hear(started(unknown))
    dispatcher.hear(ended(unknown))

    await dispatcher.round()

    assert told.of("forget") == [(unknown,)]


async def test_what_the_disk_refuses_is_kept_and_written_in_the_next_round(
    call: Call, dispatcher: Dispatcher, told: Told, db: Database, monkeypatch: pytest.MonkeyPatch
):
    number, runid = await running(call, dispatcher, told)
    waiting = (await submitted(call))["number"]
    write = db.write_by

    async def full(*args: Any) -> Any:
        raise DiskFull("the disk is full.")

    monkeypatch.setattr(db, "write_by", full)
    dispatcher.hear(ended(runid, 5))
    await dispatcher.round()
    assert told.of("forget") == []
    assert dispatcher.halted is not None and dispatcher.halted.startswith("disk full since ")

    monkeypatch.setattr(db, "write_by", write)
    await dispatcher.round()
    assert ((await show(call, number))["status"], told.of("forget")) == ("failed", [(runid,)])
    assert (await show(call, waiting))["status"] == "queued"

    dispatcher.halted = None
    await dispatcher.round()
    assert (await show(call, waiting))["status"] == "running"


async def test_the_keeper_halts_the_starting_unless_it_is_known_already_why(dispatcher: Dispatcher):
    full = {"is": "error", "run": "r", "code": "no-space", "message": "cannot write log x"}
    dispatcher.hear(full)
    assert re.fullmatch(r"the keeper cannot start processes \(cannot write log x\) since \d\d:\d\d", dispatcher.halted or "")

    dispatcher.halted = "disk full since 10:31"
    dispatcher.hear(full)
    assert dispatcher.halted == "disk full since 10:31"


async def test_nothing_is_claimed_while_halted_or_draining(call: Call, dispatcher: Dispatcher, told: Told):
    await submitted(call)
    for word in ("halted", "draining"):
        setattr(dispatcher, word, "disk nearly full" if word == "halted" else True)
        await dispatcher.round()
        assert told.spawned == []
        setattr(dispatcher, word, None)

    await dispatcher.round()
    assert len(told.spawned) == 1


async def test_the_keeper_is_told_of_a_cancel_once(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told, grace=3)
    await actions.cancel(call, ids=[number])

    for _ in range(3):
        await dispatcher.round()

    assert told.of("stop") == [(runid, "cancel", 3.0)]


async def test_a_second_cancel_with_less_grace_reaches_the_keeper(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told)
    for grace in (None, None, 0.5):
        await actions.cancel(call, ids=[number], grace=grace)
        await dispatcher.round()

    assert told.of("stop") == [(runid, "cancel", 5.0), (runid, "cancel", 0.5)]


async def test_the_keeper_is_told_of_a_pause_and_a_resume_once_each(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told)
    for verb in (actions.pause, actions.resume, actions.pause):
        await verb(call, ids=[number])
        await dispatcher.round()
        await dispatcher.round()

    assert told.of("signal") == [(runid, signal.SIGSTOP), (runid, signal.SIGCONT), (runid, signal.SIGSTOP)]


async def test_a_new_keeper_is_told_again_what_the_old_one_may_have_lost(
    call: Call, dispatcher: Dispatcher, told: Told
):
    number, runid = await running(call, dispatcher, told)
    await actions.cancel(call, ids=[number])
    await dispatcher.round()
    told.orders.clear()

    dispatcher.hear({"is": "hello", "runs": [started(runid)]})
    await dispatcher.round()

    assert [order[:2] for order in told.of("stop")] == [(runid, "cancel")]


async def test_a_resume_that_a_keeper_may_have_lost_is_sent_to_the_next_one(
    call: Call, dispatcher: Dispatcher, told: Told
):
    number, runid = await running(call, dispatcher, told)
    for verb in (actions.pause, actions.resume):
        await verb(call, ids=[number])
        await dispatcher.round()
    told.orders.clear()

    dispatcher.hear({"is": "hello", "runs": [started(runid)]})
    await dispatcher.round()
    await dispatcher.round()

    assert told.of("signal") == [(runid, signal.SIGCONT)]


async def test_a_keeper_that_does_not_know_a_claimed_run_is_asked_to_refuse_it(
    call: Call, dispatcher: Dispatcher, told: Told
):
    number = (await submitted(call))["number"]
    await dispatcher.round()
    (runid,) = told.spawned
    dispatcher.hear({"is": "hello", "runs": []})
    await dispatcher.round()
    assert told.of("refuse") == [(runid,)]
    assert (await show(call, number))["status"] == "running"

    dispatcher.hear({"is": "refused", "run": runid})
    await dispatcher.round()

    assert [run["runid"] for run in (await show(call, number))["instances"]] == [told.spawned[-1]]
    assert len(told.spawned) == 2


async def test_a_run_that_the_new_keeper_knows_is_not_refused(call: Call, dispatcher: Dispatcher, told: Told):
    number = (await submitted(call))["number"]
    await dispatcher.round()
    (runid,) = told.spawned

    dispatcher.hear({"is": "hello", "runs": [started(runid)]})
    await dispatcher.round()

    assert told.of("refuse") == []
    assert (await show(call, number))["instances"][0]["status"] == "running"


async def test_a_run_that_goes_on_and_that_no_row_knows_becomes_a_task_that_can_be_cancelled(
    call: Call, dispatcher: Dispatcher, told: Told
):  # fmt: skip
    await submitted(call)
    job, runid = subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": "7", "TASKDECK_ATTEMPT": "1"}), uuid7()
    try:
        until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        word = started(runid, pid=job.pid, ticks=journal._began_at(job.pid))
        for _ in range(2):  # a hello that comes again changes nothing
            dispatcher.hear({"is": "hello", "runs": [word, started(uuid7(), pid=0), ended(uuid7())]})
            await dispatcher.round()
    finally:
        job.kill()
        job.wait()

    row = await show(call, 7)
    assert (row["status"], row["name"], row["instances"][0]["pid"], row["submitted_by"]) == ("running", "sleep 300", job.pid, "taskdeck")
    assert (await submitted(call))["number"] == 8
    await actions.cancel(call, ids=[7])
    await dispatcher.round()
    assert [order[:2] for order in told.of("stop")] == [(runid, "cancel")]
    dispatcher.hear(ended(runid, None, signal=15, stop="cancel"))
    await dispatcher.round()
    assert (await show(call, 7))["status"] == "cancelled"


async def test_no_number_that_was_given_comes_again_once_the_database_was_put_back(call: Call, dispatcher: Dispatcher, home: Path):
    await submitted(call)
    await number_file.note(home, 7)  # told beside the database, which lacks the tasks from #2 to #7

    dispatcher.hear({"is": "hello", "runs": []})
    await dispatcher.round()

    assert (await submitted(call))["number"] == 8


@pytest.mark.parametrize("seen", [True, False])
async def test_a_run_that_began_and_that_no_keeper_knows_is_lost_and_as_it_may_have_succeeded_not_tried_again(
    call: Call, dispatcher: Dispatcher, told: Told, home: Path, seen: bool
):  # fmt: skip
    number, runid = await begun(call, dispatcher, told, seen)
    if not seen:
        log = Path(paths.log_path(home, runid))
        log.parent.mkdir(parents=True)
        log.write_text("it began\n")
    again = another(dispatcher, told)

    again.hear({"is": "hello", "runs": []})
    await again.round()

    assert (await show(call, number))["status"] == "lost"
    assert told.spawned == [runid] and told.of("refuse") == []


async def test_a_run_of_which_the_journal_had_not_reached_the_disk_when_the_power_went_is_tried_again(
    call: Call, dispatcher: Dispatcher, told: Told, home: Path
):  # fmt: skip
    dispatcher.hear({"is": "hello", "runs": [], "boot": "one"})
    number, _ = await begun(call, dispatcher, told)
    again = another(dispatcher, told)

    again.hear({"is": "hello", "runs": [], "boot": "two"})
    await again.round()

    runs = {run["attempt"]: (run["status"], run["reason"]) for run in (await show(call, number))["instances"]}
    assert runs == {1: ("lost", "host restarted"), 2: ("starting", None)}


@pytest.mark.parametrize("seen", [True, False])
async def test_a_run_whose_end_was_stored_and_is_so_no_more_ends_as_the_journal_tells(
    call: Call, dispatcher: Dispatcher, told: Told, home: Path, seen: bool
):  # fmt: skip
    number, runid = await begun(call, dispatcher, told, seen)
    end = {"e": runid, "code": 0, "signal": None, "at": time.time(), "seconds": 2.5, "cpu": 0.5, "rss": 2048}
    records = [{"i": runid, "at": end["at"] - 2.5}, {"p": runid, "pid": 1, "ticks": 0}, end, {"f": [runid]}]
    (home / "run" / "journal2").mkdir()
    (home / "run" / "journal2" / "1.log").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    again = another(dispatcher, told)

    again.hear({"is": "hello", "runs": []})
    await again.round()

    (run,) = (await show(call, number))["instances"]
    assert (run["status"], run["exit_code"], run["run_seconds"]) == ("succeeded", 0, 2.5)
    assert told.spawned == [runid] and told.of("refuse") == []


@pytest.mark.parametrize("seen", [True, False])
async def test_the_run_before_the_one_that_goes_on_does_not_end_its_task(
    call: Call, dispatcher: Dispatcher, told: Told, home: Path, seen: bool
):  # fmt: skip
    number, first = await begun(call, dispatcher, told, seen)
    job, runid = subprocess.Popen(["sleep", "300"], env={"TASKDECK_TASK": f"{number}", "TASKDECK_ATTEMPT": "2"}), uuid7()
    again = another(dispatcher, told)
    try:
        until(lambda: Path(f"/proc/{job.pid}/cmdline").read_bytes().startswith(b"sleep"))
        again.hear({"is": "hello", "runs": [started(runid, pid=job.pid, ticks=journal._began_at(job.pid))]})
        await again.round()
    finally:
        job.kill()
        job.wait()
    for refused in told.of("refuse"):
        again.hear({"is": "refused", "run": refused[0]})
    await again.round()

    row = await show(call, number)
    assert (row["status"], told.spawned) == ("running", [first])
    assert [(run["runid"], run["status"]) for run in row["instances"]] == [*([(first, "lost")] if seen else []), (runid, "running")]
    again.hear(ended(runid))
    await again.round()
    assert (await show(call, number))["status"] == "succeeded"


async def test_a_deadline_that_the_keeper_acted_on_is_a_timeout(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told, timeout=5)
    dispatcher.hear({"is": "stopping", "run": runid, "reason": "timeout"})
    await dispatcher.round()
    assert (await show(call, number))["instances"][0]["status"] == "stopping"

    dispatcher.hear(ended(runid, None, signal=15, stop="timeout"))
    await dispatcher.round()

    row = await show(call, number)
    assert (row["status"], row["reason"]) == ("timed_out", "limit 5.0s")


async def test_runs_past_their_deadline_are_stopped(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told, timeout=5)
    dispatcher.hear(started(runid, boot_at=time.clock_gettime(time.CLOCK_BOOTTIME) - 6))

    await dispatcher.stop_overdue()
    await dispatcher.round()

    assert [order[:2] for order in told.of("stop")] == [(runid, "timeout")]
    assert (await show(call, number))["instances"][0]["status"] == "stopping"


async def test_a_clock_that_was_set_forward_ends_no_run_early(call: Call, dispatcher: Dispatcher, told: Told):
    _, runid = await running(call, dispatcher, told, timeout=5)
    dispatcher.hear(started(runid, boot_at=time.clock_gettime(time.CLOCK_BOOTTIME)))
    await execute(
        call,
        "UPDATE instances SET start_time = '2000-01-01T00:00:00.000000Z', deadline = '2000-01-01T00:00:05.000000Z'",
    )

    await dispatcher.stop_overdue()
    await dispatcher.round()

    assert told.of("stop") == []


async def test_a_small_log_is_kept_whole_and_of_a_large_one_its_tail(
    call: Call, dispatcher: Dispatcher, told: Told, home: Path
):
    texts = {"small": b"one\0\xff\n", "large": b"x" * 40_000 + b"end\n"}
    for text in texts.values():
        _, runid = await running(call, dispatcher, told)
        path = Path(paths.log_path(home, runid))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        dispatcher.hear(ended(runid))
        await dispatcher.round()

    small, large = [(await views.log(call, id=number))["runs"][0] for number in (1, 2)]

    assert (small["logs"], small["log_bytes"]) == ("one␀\ufffd\n", 6)
    assert (len(large["logs"]), large["logs"][-4:], large["log_bytes"]) == (LOG_KEPT, "end\n", 40_004)


async def test_a_log_that_is_gone_ends_the_run_all_the_same(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told)

    dispatcher.hear(ended(runid))
    await dispatcher.round()

    assert (await show(call, number))["status"] == "succeeded"


async def test_a_secret_that_is_not_where_it_should_be_fails_the_run_with_the_reason(
    call: Call, dispatcher: Dispatcher, told: Told, home: Path
):
    schema = {"script": "echo hi"}
    parameters = {"type": "object", "properties": {"key": {"type": "string", "secret": True}}}
    await templates.create(call, name="push", engine="shell", schema=schema, parameters=parameters)
    done = await submitted(call, template="push", parameters={"key": f"file:{home}/nowhere"})
    await dispatcher.round()
    await dispatcher.round()

    row = await show(call, done["number"])
    assert (row["status"], row["instances"][0]["exit_code"], told.spawned) in (
        ("failed", 126, []),
        ("running", None, [row["instances"][0]["runid"]]),
    )


async def test_undecodable_bytes_reach_the_keeper_as_they_were(call: Call, dispatcher: Dispatcher, told: Told):
    odd = os.fsdecode(b"caf\xe9")
    await submitted(call, argv=["cat", odd], env={"X": odd}, cwd=os.fsdecode(b"/srv/\xff"))

    await dispatcher.round()

    ((order,),) = told.of("spawn")
    assert (order["argv"][1], order["env"]["X"], order["cwd"]) == (odd, odd, os.fsdecode(b"/srv/\xff"))
    json.dumps(order).encode("ascii")


async def test_a_reason_of_any_bytes_ends_the_run_and_not_the_runtime(
    call: Call, dispatcher: Dispatcher, told: Told
):
    number, runid = await running(call, dispatcher, told)

    dispatcher.hear({**ended(runid, 127), "reason": 'no program "p\udcff"'})
    await dispatcher.round()

    assert (await show(call, number))["reason"] == 'exit 127: no program "p�"'


async def test_an_end_that_cannot_be_recorded_as_told_keeps_no_other_from_it(call: Call, dispatcher: Dispatcher, told: Told):
    await queues.pool_create(call, name="p", cpu=4, memory="1G")
    await queues.queue_create(call, name="q", pool="p", capacity=4)
    first, bad = await running(call, dispatcher, told, queue="q")
    second, good = await running(call, dispatcher, told, queue="q")
    dispatcher.hear(ended(bad, 3, cpu={"no": "number"}))
    dispatcher.hear(ended(good, 0))

    await dispatcher.round()

    assert [(await show(call, n))["status"] for n in (first, second)] == ["failed", "succeeded"]
    (run,) = (await show(call, first))["instances"]
    assert (run["exit_code"], run["reason"]) == (3, "exit 3: its end could not be recorded as it was told")
    assert dispatcher.trouble is not None
    await dispatcher.round()
    assert dispatcher.trouble is None
    assert sorted(word for words in told.of("forget") for word in words) == sorted([bad, good])


async def test_priority_and_front_decide_who_starts_first(call: Call, dispatcher: Dispatcher, told: Told):
    await queues.queue_set(call, name="default", capacity=1)
    for priority in (0, 5, 0):
        await submitted(call, priority=priority)
    await actions.front(call, ids=[3])

    order = []
    for _ in range(3):
        await dispatcher.round()
        order.append(int(told.of("spawn")[-1][0]["env"]["TASKDECK_TASK"]))
        dispatcher.hear(ended(told.spawned[-1]))
    await dispatcher.round()

    assert order == [3, 2, 1]
    assert await call.db.read(reads.counts) == {"succeeded": 3}


async def test_a_paused_queue_or_pool_starts_nothing(call: Call, dispatcher: Dispatcher, told: Told):
    await submitted(call)
    for pause, resume in (
        (queues.queue_pause, queues.queue_resume),
        (queues.pool_pause, queues.pool_resume),
        (queues.queue_drain, queues.queue_resume),
    ):
        await pause(call, name="default")
        await dispatcher.round()
        assert told.spawned == []
        await resume(call, name="default")

    await dispatcher.round()
    assert len(told.spawned) == 1


async def test_of_a_run_that_began_and_ended_since_the_last_round_only_the_end_is_written(
    call: Call, dispatcher: Dispatcher, told: Told
):
    number = (await submitted(call))["number"]
    await dispatcher.round()
    (runid,) = told.spawned
    dispatcher.hear(started(runid))
    dispatcher.hear(ended(runid, 0))
    await dispatcher.round()

    found = await show(call, number)
    (run,) = found["instances"]
    assert (found["status"], run["status"]) == ("succeeded", "succeeded")
    assert found["started_at"] == run["start_time"] is not None
    assert [e["status"] for e in found["events"] if e["runid"]] == ["starting", "succeeded"]


@pytest.mark.parametrize(("left", "note"), [(1, "1 process of it lives on"), (3, "3 processes of it live on"), (0, None)])
async def test_processes_that_a_run_left_behind_are_told(
    call: Call, dispatcher: Dispatcher, told: Told, left: int, note: str | None
):
    number, runid = await running(call, dispatcher, told)

    dispatcher.hear(ended(runid, 0, left=left))
    await dispatcher.round()

    assert [e["note"] for e in (await show(call, number))["events"] if e["runid"] and e["status"] == "succeeded"] == [note]


def failing(monkeypatch: pytest.MonkeyPatch, *faults: Exception) -> None:
    """Let the next transactions of rounds end with these."""
    left, promote = list(faults), transitions.promote

    def once_more(c: Any) -> None:
        if left:
            raise left.pop(0)
        promote(c)

    monkeypatch.setattr(transitions, "promote", once_more)


async def test_no_end_is_lost_when_a_fault_of_ours_and_a_full_disk_meet(
    call: Call, dispatcher: Dispatcher, told: Told, monkeypatch: pytest.MonkeyPatch
):
    number, runid = await running(call, dispatcher, told)
    failing(monkeypatch, ValueError("ours"), DiskFull("full"), DiskFull("full"))

    dispatcher.hear(ended(runid))
    for _ in range(3):
        await dispatcher.round()

    assert (await show(call, number))["status"] == "succeeded"
    assert told.of("forget") == [(runid,)]


async def test_what_was_rolled_back_counts_for_no_sample(
    call: Call, dispatcher: Dispatcher, told: Told, monkeypatch: pytest.MonkeyPatch
):
    _, runid = await running(call, dispatcher, told)
    failing(monkeypatch, *[DiskFull("full")] * 5)

    dispatcher.hear(ended(runid, 1))
    for _ in range(6):
        await dispatcher.round()

    tally = dispatcher.tallies["default"]
    assert (tally.started, tally.ended, tally.failed) == (1, 1, 1)


async def test_a_task_that_was_cancelled_before_it_was_forked_never_started(call: Call, dispatcher: Dispatcher, told: Told):
    number = (await submitted(call))["number"]
    await dispatcher.round()
    await actions.cancel(call, ids=[number])

    dispatcher.hear({"is": "refused", "run": told.spawned[0]})
    await dispatcher.round()

    found = await show(call, number)
    assert (found["status"], found["started_at"], found["instances"]) == ("cancelled", None, [])


async def test_each_of_many_starts_in_one_round_has_the_environment_it_was_submitted_with(
    call: Call, dispatcher: Dispatcher, told: Told
):
    await queues.pool_create(call, name="p", cpu=200, memory="1G")
    await queues.queue_create(call, name="q", pool="p", capacity=200)
    for n in range(ENVIRONMENTS + 20):
        await submit.submit(call, tasks=[{"argv": ["true"], "queue": "q"}], cwd="/", env={"N": str(n)})

    await dispatcher.round()

    assert [run["env"]["N"] for (run,) in told.of("spawn")] == [str(n) for n in range(ENVIRONMENTS + 20)]


async def test_a_run_that_is_to_be_stopped_is_stopped_though_the_disk_is_full(
    call: Call, dispatcher: Dispatcher, told: Told, db: Database, monkeypatch: pytest.MonkeyPatch
):
    number, runid = await running(call, dispatcher, told)

    async def full(*args: Any) -> Any:
        raise DiskFull("the disk is full.")

    with monkeypatch.context() as disk:
        disk.setattr(db, "write", full)
        with pytest.raises(DiskFull):
            await dispatcher.stop_run(runid, "log limit")
    assert told.of("stop") == [(runid, "log limit", GRACE)]
    dispatcher.hear(ended(runid, None, signal=15, stop="log limit"))
    await dispatcher.round()

    found = await show(call, number)
    assert (found["status"], found["reason"]) == ("failed", "log limit 1.0G")


async def test_an_error_that_is_about_no_run_stops_no_round(call: Call, dispatcher: Dispatcher, told: Told):
    number, runid = await running(call, dispatcher, told)

    dispatcher.hear({"is": "error", "run": None, "code": "bad-request", "message": "nonsense"})
    dispatcher.hear(ended(runid))
    await dispatcher.round()

    assert (dispatcher.trouble, (await show(call, number))["status"]) == (None, "succeeded")


async def test_a_log_that_cannot_be_written_back_ends_no_round(
    call: Call, dispatcher: Dispatcher, told: Told, db: Database, monkeypatch: pytest.MonkeyPatch
):
    number, runid = await running(call, dispatcher, told)

    async def fails() -> None:
        raise sqlite3.OperationalError("something new")

    failing(monkeypatch, DiskFull("full"))
    monkeypatch.setattr(db, "fold", fails)
    dispatcher.hear(ended(runid))
    await dispatcher.round()
    await dispatcher.round()

    assert (await show(call, number))["status"] == "succeeded"
