"""Tests of the loop that sends deliveries, on a real database and a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages import notifier as notifier_module
from app.runtime.messages.channel_sender import ChannelSender
from app.runtime.messages.notifier import Notifier
from app.service import alerts as service_alerts
from app.service.context import Call
from app.service.definitions import slas
from app.service.rules import acting
from db import timestamps
from db.engine import Connection, Database
from db.queries.rules import alerts, silences, task_notices
from db.rows import DeliveryRow
from tests.db.builders import TaskBuilder
from tests.db.queries.rules.test_deliveries import Clock, Scenario, set_actions
from tests.message_servers import HttpReceiver, receive_http
from tests.service.calls import wait_for_change


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with receive_http() as receiver:
        yield receiver


@pytest.fixture
def config(tmp_path: Path, http: HttpReceiver) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/"\n'
        '[actions]\ncommand = true\nallow_private = ["127.0.0.1"]\n'
    )
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of a notifier that looks at once after each commit."""
    made = Clock()
    monkeypatch.setattr(timestamps, "utcnow", made)
    monkeypatch.setattr(notifier_module, "DEBOUNCE_SECONDS", 0.0)
    return made


@pytest.fixture
async def scenario(call: Call, clock: Clock, http: HttpReceiver) -> Scenario:
    made = Scenario(call.db, clock)
    await slas.create(call, name="deep", preset="starts-within", value="30m")
    await set_actions(
        made, [{"on": "firing", "notify": "ops"}, {"on": "resolved", "notify": "ops"}]
    )
    return made


@asynccontextmanager
async def run_notifier(db: Database, config: Path) -> AsyncIterator[Notifier]:
    sender = ChannelSender(ConfigWatcher(os.fspath(config)))
    made = Notifier(Call(db, "", db.path.parent), sender)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.close()
        await sender.close()


async def wait_for(
    scenario: Scenario, is_right: Callable[[list[DeliveryRow]], Any]
) -> list[DeliveryRow]:
    """Return the deliveries once they are right."""

    async def look() -> list[DeliveryRow]:
        found = await scenario.list_all()
        return found if is_right(found) else []

    return await wait_for_change(scenario.db, look)


async def wait_until_recorded(loop: Notifier) -> None:
    """Wait until no message is on its way: the last record may follow a commit."""
    await asyncio.gather(*loop._active.values())


def get_keys(http: HttpReceiver) -> list[str]:
    """Return the keys of the received messages."""
    return [json.loads(body)["message"].rpartition(" ")[2] for body in http.bodies]


async def wake(scenario: Scenario) -> None:
    """Commit a change, which wakes the loop after the clock was moved."""
    await scenario.db.write(lambda c: c.exec_driver_sql("UPDATE pools SET used_cpu = used_cpu"))


async def test_alerts_are_sent_and_their_end_too(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    async with run_notifier(scenario.db, config):
        await scenario.fire("a", "b")
        scenario.clock.advance(2)
        await wake(scenario)
        await wait_for(scenario, lambda rows: [row.status for row in rows] == ["sent"])
        await scenario.resolve("a", "b")
        scenario.clock.advance(2)
        await wake(scenario)
        rows = await wait_for(scenario, lambda rows: [row.status for row in rows] == ["sent"] * 2)

    first, second = (json.loads(body) for body in http.bodies)
    assert first["title"] == "[critical] deep: 2 alerts, first a late"
    assert first["message"].startswith("a late (since 20")
    assert "Acknowledge: taskdeck alert ack deep" in first["message"]
    assert (second["title"], second["type"]) == ("[resolved] deep: 2 alerts, first a ok", "success")
    assert get_keys(http) == [row.key for row in rows]
    assert [one["error"] for row in rows for one in row.log] == [None, None]


async def test_a_failed_attempt_is_repeated_with_the_same_key(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    http.status = 500
    async with run_notifier(scenario.db, config) as loop:
        await scenario.fire("a")
        for attempts, wait in ((1, 2), (2, 5), (3, 30)):
            scenario.clock.advance(wait)
            await wake(scenario)
            await wait_for(scenario, lambda rows, n=attempts: rows[0].attempts == n)
        await wait_until_recorded(loop)
        assert "1 message was not sent so far, the last to ops:" in loop.problems["notifications"]
        http.status = 200
        scenario.clock.advance(120)
        await wake(scenario)
        (row,) = await wait_for(scenario, lambda rows: rows[0].status == "sent")
        await wait_until_recorded(loop)
        assert not loop.problems

    assert get_keys(http) == [row.key] * 4
    assert ["error=500" in str(one["error"]) for one in row.log] == [True, True, True, False]


async def test_an_attempt_that_was_not_recorded_is_repeated(
    scenario: Scenario, config: Path, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
):
    await scenario.fire("a")
    scenario.clock.advance(2)

    with monkeypatch.context() as patch:  # as if the process were killed before the record
        patch.setattr(Notifier, "_record", lambda *_: asyncio.Event().wait())
        patch.setattr(notifier_module, "CLOSE_TIMEOUT", 0.0)
        async with run_notifier(scenario.db, config):
            await asyncio.to_thread(http.wait_for, 1)
    async with run_notifier(scenario.db, config):
        (row,) = await wait_for(scenario, lambda rows: rows[0].status == "sent")

    assert get_keys(http) == [row.key, row.key] and row.attempts == 1


async def test_a_delivery_is_given_up_after_a_day(scenario: Scenario, config: Path):
    config.write_text("")
    async with run_notifier(scenario.db, config):
        await scenario.fire("a")
        for attempts in range(1, notifier_module.MIN_ATTEMPTS + 1):
            scenario.clock.advance(6 * 3600)
            await wake(scenario)
            await wait_for(scenario, lambda rows, n=attempts: rows[0].attempts == n)

    (row,) = await scenario.list_all()
    assert (row.status, row.next_at) == ("given_up", None)
    assert row.last_error == 'there is no channel "ops" in config.toml.'


async def test_a_silence_at_the_due_time_puts_a_message_off(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    await scenario.fire("a")
    await scenario.silence(600)
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        due = await wait_for(scenario, lambda rows: rows[0].due_at > timestamps.now())
        await scenario.resolve("a")
        scenario.clock.advance(700)
        await wake(scenario)
        (row,) = await wait_for(scenario, lambda rows: rows[0].status != "pending")

    assert (len(due), row.status, row.last_error) == (1, "skipped", "no longer firing")
    assert http.requests == []


async def test_a_message_is_repeated_until_somebody_acknowledges(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    await set_actions(scenario, [{"on": "firing", "notify": "ops", "repeat_every": 3600.0}])
    async with run_notifier(scenario.db, config):
        await scenario.fire("a")
        for sent in (1, 2):
            scenario.clock.advance(3601)
            await wake(scenario)
            await wait_for(
                scenario, lambda rows, n=sent: sum(row.status == "sent" for row in rows) == n
            )
        rows = await scenario.list_all()
        await scenario.db.write(alerts.acknowledge, [rows[0].alert_id or 0], "ann")
        scenario.clock.advance(3601)
        await wake(scenario)
        rows = await wait_for(scenario, lambda rows: rows[-1].status == "skipped")

    assert [row.repeats for row in rows] == [0, 1, 2]
    assert rows[-1].last_error == "acknowledged by ann"
    assert len(set(get_keys(http))) == 2
    texts = [json.loads(body)["message"].splitlines()[0] for body in http.bodies]
    assert texts[0].startswith("a late (since") and texts[1].startswith(
        "a waiting 2h, allowed 30m ("
    )


async def test_a_webhook_and_a_command_get_the_same_data(
    scenario: Scenario, config: Path, http: HttpReceiver, tmp_path: Path
):
    program = ["sh", "-c", f"cat > {tmp_path}/got; echo $TASKDECK_KEY > {tmp_path}/key"]
    url = f"http://127.0.0.1:{http.port}/hook"
    await set_actions(
        scenario, [{"on": "firing", "webhook": url}, {"on": "firing", "command": program}]
    )
    async with run_notifier(scenario.db, config):
        await scenario.fire("a")
        scenario.clock.advance(2)
        await wake(scenario)
        rows = await wait_for(scenario, lambda rows: [r.status for r in rows] == ["sent", "sent"])

    sent, got = json.loads(http.bodies[0]), json.loads((tmp_path / "got").read_text())
    assert {**sent, "key": got["key"]} == got
    assert (got["event"], got["rule"], got["count"]) == ("firing", "deep", 1)
    assert got["alerts"][0]["object"] == "a"
    assert [sent["key"], (tmp_path / "key").read_text().strip()] == [row.key for row in rows]
    assert [row.target for row in rows] == [f"webhook 127.0.0.1:{http.port}", "command sh"]


@pytest.mark.parametrize(
    ("program", "allowed", "says"),
    [
        (["sh", "-c", "echo no >&2; exit 3"], True, "sh ended with 3: no"),
        (["/no/such"], True, "/no/such cannot be started: no such file or directory"),
        (["true"], False, "commands are off; to allow them: [actions] command = true"),
    ],
)
async def test_a_command_that_fails_says_why(
    scenario: Scenario, config: Path, program: list[str], allowed: bool, says: str
):
    config.write_text(f"[actions]\ncommand = {str(allowed).lower()}\n")
    await set_actions(scenario, [{"on": "firing", "command": program}])
    await scenario.fire("a")
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        (row,) = await wait_for(scenario, lambda rows: rows[0].attempts == 1)

    assert says in str(row.last_error)


async def test_a_command_that_fails_is_not_repeated_once_its_alert_is_resolved(
    scenario: Scenario, config: Path
):
    config.write_text("[actions]\ncommand = true\n")
    await set_actions(scenario, [{"on": "firing", "command": ["false"]}])
    await scenario.fire("a")
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        await wait_for(scenario, lambda rows: rows[0].attempts == 1)
        await scenario.resolve("a")
        scenario.clock.advance(6)
        await wake(scenario)
        (row,) = await wait_for(scenario, lambda rows: rows[0].status != "pending")

    assert (row.status, row.attempts, row.last_error) == ("skipped", 1, "no longer firing")


def test_a_delivery_waits_longer_after_each_attempt():
    assert [*notifier_module.BACK_OFF] == sorted(notifier_module.BACK_OFF)
    assert timedelta(seconds=notifier_module.BACK_OFF[-1]) < notifier_module.GIVE_UP_AFTER


@pytest.mark.parametrize(
    ("action", "statement", "expected"),
    [
        ({"pause_queue": "default"}, "SELECT status, status_by FROM queues", "paused rule deep"),
        ({"set_priority": 7}, "SELECT priority, name FROM tasks", "7 a"),
        ({"cancel": True}, "SELECT status, name FROM tasks", "cancelled a"),
        (
            {"submit": {"argv": ["true"], "name": "repair"}},
            "SELECT submitted_by, name FROM tasks WHERE name = 'repair'",
            "rule deep repair",
        ),
    ],
)
async def test_a_rule_acts_as_a_user_would(
    scenario: Scenario, config: Path, action: dict[str, Any], statement: str, expected: str
):
    await set_actions(scenario, [{"on": "firing", **action}])
    await scenario.fire("a")
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        await wait_for(scenario, lambda rows: rows[0].status == "sent")

    rows = await scenario.db.read(lambda c: c.exec_driver_sql(statement).all())
    assert [" ".join(map(str, row)) for row in rows] == [expected]


async def test_a_submission_of_a_rule_that_is_repeated_submits_nothing(
    scenario: Scenario, config: Path
):
    await set_actions(scenario, [{"on": "firing", "submit": {"argv": ["true"], "name": "repair"}}])
    await scenario.fire("a")
    (row,) = await scenario.list_all()
    call = Call(scenario.db, "", scenario.db.path.parent)

    done = [await acting.perform(call, row, lambda c: None) for _ in range(2)]
    assert done == [(None, True)] * 2

    names = await scenario.db.read(lambda c: c.exec_driver_sql("SELECT name FROM tasks").all())
    assert [name for (name,) in names] == ["a", "repair"]


async def test_an_action_that_cannot_be_done_says_why(scenario: Scenario, config: Path):
    await set_actions(scenario, [{"on": "firing", "pause_queue": "defalt"}])
    await scenario.fire("a")
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        (row,) = await wait_for(scenario, lambda rows: rows[0].attempts == 1)

    assert row.last_error == 'there is no queue "defalt". Nearest: default'


async def test_a_snapshot_is_kept_with_the_alert(scenario: Scenario, config: Path):
    await set_actions(scenario, [{"on": "firing", "snapshot": True}])
    await scenario.fire("a")
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        (row,) = await wait_for(scenario, lambda rows: rows[0].status == "sent")

    shown = await service_alerts.show(Call(scenario.db, "", config.parent), id=row.alert_id or 0)
    (kept,) = [one["snapshot"] for one in shown["deliveries"]]
    assert [queue["name"] for queue in kept["queues"]] == ["default"]
    assert 0 < len(kept["processes"]) <= 30 and kept["pools"][0]["name"] == "default"
    assert "cmdline" not in kept["processes"][0]


async def test_a_delivery_that_cannot_be_recorded_is_sent_once_and_others_go_on(
    scenario: Scenario, config: Path, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
):
    record = notifier_module._record_attempt

    def fail_for_first(c: Any, plan: Any, result: Any) -> None:
        if plan.row.id == 1:
            raise TypeError("a bug")
        record(c, plan, result)

    monkeypatch.setattr(notifier_module, "_record_attempt", fail_for_first)
    async with run_notifier(scenario.db, config):
        await scenario.fire("a")
        scenario.clock.advance(2)
        await wake(scenario)
        await asyncio.to_thread(http.wait_for, 1)
        await scenario.fire("b")
        scenario.clock.advance(2)
        await wake(scenario)
        rows = await wait_for(scenario, lambda rows: rows[-1].status == "sent")

    assert [row.status for row in rows] == ["pending", "sent"] and len(http.requests) == 2


async def test_a_silence_of_some_alerts_splits_their_message(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    await scenario.fire("a", "b", "c")
    await scenario.silence_matching(600, task=["[ab]"])
    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        rows = await wait_for(
            scenario, lambda rows: [row.status for row in rows] == ["sent", "pending"]
        )
        await scenario.resolve("b")
        scenario.clock.advance(600)
        await wake(scenario)
        await wait_for(scenario, lambda rows: [row.status for row in rows] == ["sent", "sent"])

    assert [[one["object"] for one in row.payload["alerts"]] for row in rows] == [["c"], ["a", "b"]]
    titles = [json.loads(body)["title"] for body in http.bodies]
    assert titles == ["[critical] deep: c late", "[critical] deep: a late"]


@pytest.mark.parametrize("glob", ["a", "*"])
async def test_a_silence_that_has_just_ended_puts_nothing_off(scenario: Scenario, glob: str):
    await scenario.fire("a", "b")
    await scenario.silence_matching(600, task=[glob])
    scenario.clock.advance(2)
    read_work = notifier_module._read_work
    _, (plan,), _ = await scenario.db.read(read_work, timestamps.now(), [], None)
    await scenario.db.write(lambda c: silences.remove(c, silences.list_active(c)[0]))

    await scenario.db.write(notifier_module._put_off, plan.row)

    (row,) = await scenario.find_due()
    assert plan.is_silenced and row.payload["ids"] == [1, 2]


async def test_alerts_of_taskdeck_itself_reach_their_channel(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    def set_problems(c: Connection, **problems: str) -> None:
        alerts.set_system_alerts(c, problems, channel="ops")

    async with run_notifier(scenario.db, config):
        await scenario.db.write(set_problems, halt="the disk is full")
        await scenario.db.write(set_problems, halt="the disk is full since 10:31")
        await wait_for(scenario, lambda rows: [row.status for row in rows] == ["sent"])
        await scenario.db.write(set_problems)
        rows = await wait_for(scenario, lambda rows: [row.status for row in rows] == ["sent"] * 2)

    found = [json.loads(body) for body in http.bodies]
    assert [one["title"] for one in found] == [
        "[critical] halt: taskdeck the disk is full",
        "[resolved] halt: taskdeck the disk is full since 10:31",
    ]
    assert "Acknowledge: taskdeck alert ack halt" in found[0]["message"]
    assert get_keys(http) == [row.key for row in rows]
    shown = await service_alerts.show(Call(scenario.db, "", config.parent), id=1)
    assert [one["event"] for one in shown["deliveries"]] == ["firing", "resolved"]


@pytest.mark.parametrize("told", [True, False])
async def test_a_message_about_a_failed_task_has_its_last_lines(
    scenario: Scenario, config: Path, http: HttpReceiver, told: bool
):
    settings = f"[notifications]\noutput = {str(told).lower()}\n"
    config.write_text(config.read_text() + settings)

    def fail(c: Connection) -> None:
        builder = TaskBuilder(c)
        run = builder.submit_task(notify="ended ops", name="mail")
        builder.complete_run(run, 127)
        c.exec_driver_sql("UPDATE instances SET logs = 'one\n\x1b[31mmail.sh: not found\n\n'")

    await scenario.db.write(task_notices.start_cursor)
    async with run_notifier(scenario.db, config):
        await scenario.db.write(fail)
        await wait_for(scenario, lambda rows: len(rows) == 1)
        scenario.clock.advance(2)
        await wake(scenario)
        await wait_for(scenario, lambda rows: rows[0].status == "sent")
    lines = json.loads(http.bodies[0])["message"].split("\n")
    shown = ["    one", "    ␛[31mmail.sh: not found"] if told else []
    assert lines[1:-4] == shown and "#1 mail failed" in lines[0]


async def test_a_silenced_alert_of_taskdeck_itself_is_not_sent(
    scenario: Scenario, config: Path, http: HttpReceiver
):
    await scenario.silence_matching(600, rule=["halt"])
    for problems in ({"halt": "the disk is full"}, {}):
        await scenario.db.write(alerts.set_system_alerts, problems, (), "ops")
    scenario.clock.advance(700)
    async with run_notifier(scenario.db, config):
        (row,) = await wait_for(scenario, lambda rows: rows[0].status != "pending")

    assert (row.status, row.last_error, http.bodies) == ("skipped", "no longer firing", [])


ACTIONS = [
    {"retry": True}, {"cancel": True}, {"set_priority": 7}, {"pause_queue": "default"},
    {"resume_queue": "default"}, {"submit": {"argv": ["true"], "name": "repair"}},
]  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: next(iter(action)))
async def test_an_action_and_its_record_are_one_transaction(
    scenario: Scenario, config: Path, action: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    await set_actions(scenario, [{"on": "firing", **action}])
    await scenario.fire("a")
    scenario.clock.advance(2)
    seen: list[tuple[int, str]] = []
    monkeypatch.setattr(Notifier, "_record", lambda self, plan, result: asyncio.sleep(0))

    def look(c: Connection) -> None:
        effects = c.exec_driver_sql("SELECT count(*) FROM operations WHERE by = 'rule deep'")
        status = c.exec_driver_sql("SELECT status FROM deliveries").scalar_one()
        seen.append((effects.scalar_one(), status))

    if "retry" in action:
        await scenario.db.write(fail_tasks)
    if "resume_queue" in action:
        await scenario.db.write(lambda c: c.exec_driver_sql("UPDATE queues SET status = 'paused'"))
    event.listen(scenario.db._writer, "commit", look)
    async with run_notifier(scenario.db, config):
        await wait_for(scenario, lambda rows: rows[0].status == "sent")

    assert {status for effects, status in seen if effects} == {"sent"}


def fail_tasks(c: Connection) -> None:
    """Let all tasks fail."""
    c.exec_driver_sql("UPDATE tasks SET status = 'failed', ended_at = created_at")


@pytest.mark.process
@pytest.mark.parametrize(("moment", "attempts"), [("before", 0), ("after", 1)])
async def test_a_kill_at_the_commit_of_a_retry_repeats_nothing(
    scenario: Scenario, config: Path, moment: str, attempts: int
):
    await set_actions(scenario, [{"on": "firing", "retry": True}])
    await scenario.fire("a")
    await scenario.db.write(fail_tasks)
    path = scenario.db.path
    killed = [sys.executable, "-m", "tests.runtime.messages.killed_action", os.fspath(path), moment]
    process = await asyncio.create_subprocess_exec(*killed)
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    (row,) = await scenario.list_all()
    assert row.attempts == attempts

    scenario.clock.advance(2)
    async with run_notifier(scenario.db, config):
        await wait_for(scenario, lambda rows: rows[0].status == "sent")
    verbs = await scenario.db.read(
        lambda c: c.exec_driver_sql("SELECT verb FROM operations WHERE by = 'rule deep'").all()
    )
    assert verbs == [("retry",)]
