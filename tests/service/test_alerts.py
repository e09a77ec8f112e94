"""Alerts: listing, acknowledging and silencing."""

import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, event

from app.errors import NotFound, Usage
from app.service import alerts, board, registry, sla_evaluation
from app.service.context import Call
from app.service.definitions import slas
from app.service.schedules import verbs
from app.service.tasks.changes import actions
from app.service.undo import undo
from db import timestamps
from db.queries.history.operations import Actor
from db.queries.rules import alerts as db_alerts
from tests.service.calls import (
    count_other_writes,
    execute_sql,
    list_operations,
    open_call,
    submit_task,
)


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with open_call(tmp_path) as found:
        yield found


async def make_late_task(
    call: Call, name: str = "soon", minutes: float = 60, severity: str = "warning"
) -> dict[str, Any]:
    """Return an alert on a task that waited `minutes`, with 30 minutes allowed."""
    if not [row for row in await slas.ls(call) if row["name"] == name]:
        await slas.create(
            call, name=name, preset="starts-within", value="30m", task=name, severity=severity
        )
    made = await submit_task(call, name=name)
    created = timestamps.format_time(timestamps.utcnow() - timedelta(minutes=minutes))
    await execute_sql(call, "UPDATE tasks SET created_at = ? WHERE uuid = ?", created, made["uuid"])
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    return next(row for row in await alerts.ls(call) if row["task_number"] == made["number"])


async def test_an_alert_names_its_task_and_start(call: Call) -> None:
    found = await make_late_task(call)
    assert (found["sla"], found["severity"], found["status"], found["task_name"]) == (
        "soon",
        "warning",
        "firing",
        "soon",
    )
    assert (found["object"], found["text"], found["short"]) == (
        "#1 soon",
        "waiting 1h, allowed 30m",
        "1h > 30m",
    )
    since = (timestamps.utcnow() - timestamps.parse_time(found["since"])).total_seconds()
    assert 30 * 60 <= since < 31 * 60


@pytest.mark.parametrize(
    ("subject", "task", "schedule"),
    [
        ("task:soon", True, None),
        ("task:report", False, "report"),
        ("schedule:report", False, "report"),
        ("queue:media", False, None),
    ],
)
async def test_an_alert_names_the_latest_task_or_the_schedule_it_is_about(
    call: Call, subject: str, task: bool, schedule: str | None
) -> None:
    await submit_task(call, name="soon")
    latest = await submit_task(call, name="soon")
    await verbs.create(call, name="report", cron="0 2 * * *", timezone="UTC", argv=["true"])
    await execute_sql(
        call,
        "INSERT INTO alerts (id, name, severity, status, object, text, short, fired_at,"
        " fingerprint, created_at, updated_at) VALUES (7, 'r', 'warning', 'firing', 'o', 't', 's',"
        " '2026', ?, '2026', '2026')",
        f"1/{subject}",
    )
    about = (await alerts.show(call, id=7))["about"]
    assert about == {"task": latest["uuid"] if task else None, "schedule": schedule}


async def test_the_text_of_an_open_alert_is_current(call: Call) -> None:
    found = await make_late_task(call)
    earlier = timestamps.format_time(timestamps.utcnow() - timedelta(minutes=90))
    await execute_sql(call, "UPDATE tasks SET created_at = ?", earlier)
    assert [(row["id"], row["text"]) for row in await alerts.ls(call)] == [
        (found["id"], "waiting 1h30m, allowed 30m")
    ]


async def test_unacknowledged_then_severe_then_new_alerts_come_first(call: Call) -> None:
    for name, minutes, severity in (
        ("a", 40, "info"),
        ("b", 40, "critical"),
        ("c", 50, "warning"),
        ("d", 60, "warning"),
    ):
        await make_late_task(call, name, minutes, severity)
    assert [row["sla"] for row in await alerts.ls(call)] == ["b", "c", "d", "a"]
    await alerts.ack(call, ids=["b", "d"])
    assert [row["sla"] for row in await alerts.ls(call)] == ["c", "a", "b", "d"]
    assert [row["sla"] for row in (await board.show_status(call))["alerts"]] == ["c", "a", "b", "d"]


async def test_resolved_alerts_are_listed_only_on_request(call: Call) -> None:
    await make_late_task(call)
    await actions.cancel(call, ids=["soon"])
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    assert await alerts.ls(call) == []
    assert [row["status"] for row in await alerts.ls(call, all=True)] == ["resolved"]


async def test_an_acknowledged_alert_stays_open_and_names_the_person(call: Call) -> None:
    found = await make_late_task(call)
    done = await alerts.ack(call, ids=[found["id"]])
    assert done == {
        "done": [{"id": found["id"], "sla": "soon", "object": "#1 soon", "status": "acknowledged"}],
        "refused": [], "notes": [],
    }  # fmt: skip
    assert [(row["status"], row["acknowledged_by"]) for row in await alerts.ls(call)] == [
        ("acknowledged", "ann")
    ]
    assert ("alert ack", "alert soon on #1 soon") in await list_operations(call)
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    assert [row["status"] for row in await alerts.ls(call)] == ["acknowledged"]


async def test_all_alerts_of_a_rule_are_acknowledged_by_its_name(call: Call) -> None:
    await make_late_task(call)
    await make_late_task(call)
    assert len((await alerts.ack(call, ids=["soon"]))["done"]) == 2


async def _insert_alerts(call: Call, count: int) -> list[int]:
    """Insert a rule with firing alerts, and return their ids."""
    await slas.create(call, name="soon", preset="starts-within", value="30m", task="soon")
    await execute_sql(
        call,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO alerts (sla_id, name, severity, status, object, text, short, fired_at,"
        " created_at, updated_at) SELECT s.id, s.name, 'warning', 'firing', '#' || i, 'late',"
        " 'late', created_at, created_at, created_at FROM slas s, n",
        count,
    )
    return [row[0] for row in await execute_sql(call, "SELECT id FROM alerts ORDER BY id")]


@pytest.mark.parametrize("word", ["each", "rule"])
async def test_other_writes_go_through_while_many_alerts_are_acknowledged(
    call: Call, word: str
) -> None:
    found = await _insert_alerts(call, 3000)
    ids: list[Any] = list(reversed(found)) if word == "each" else ["soon"]
    assert await count_other_writes(call, alerts.ack(call, ids=ids)) >= 5
    assert await count_other_writes(call, alerts.unack(call, ids=ids)) >= 5
    done = (await alerts.ack(call, ids=ids))["done"]
    assert sorted(row["id"] for row in done) == found


async def test_many_unknown_alerts_are_refused_after_few_queries(call: Call) -> None:
    await _insert_alerts(call, 5)
    unknown = [str(number) for number in range(100, 200)] + [f"rule {n}" for n in range(100)]

    def resolve(c: Connection) -> tuple[int, int]:
        statements: list[str] = []
        driver = cast(sqlite3.Connection, c.connection.driver_connection)
        driver.set_trace_callback(statements.append)
        found, refused, _ = alerts._resolve(c, ["soon", *unknown])  # pyright: ignore[reportPrivateUsage]
        driver.set_trace_callback(None)
        assert len(found) == 5
        return len(refused), len(statements)

    assert await call.db.write(resolve) == (200, 4)


async def test_an_undo_covers_all_alerts_of_a_long_acknowledgement(call: Call) -> None:
    found = await _insert_alerts(call, 1500)
    call = replace(call, by=Actor("ann", "cli", "pts/3"))
    await registry.call_verb(call, "alert.ack", {"ids": found})
    undoing = registry.call_verb(call, "undo", {})
    assert await count_other_writes(call, undoing) >= 3
    assert await execute_sql(call, "SELECT DISTINCT status FROM alerts") == [("firing",)]


async def test_other_writes_go_through_while_many_rules_are_silenced(call: Call) -> None:
    names = [f"soon{at}" for at in range(80)]
    for name in names:
        await slas.create(call, name=name, preset="starts-within", value="30m", task=name)
    assert await count_other_writes(call, alerts.silence(call, ids=names, until="1h")) >= 3
    assert await count_other_writes(call, alerts.unsilence(call, ids=names)) >= 3
    assert await execute_sql(call, "SELECT count(*) FROM silences") == [(0,)]


async def test_an_acknowledgement_names_the_later_actions_it_ends(call: Call) -> None:
    later: list[dict[str, Any]] = [
        {"on": "firing", "notify": "ops"},
        {"on": "firing", "cancel": True, "after": 3600.0},
        {"on": "firing", "notify": "ops", "after": 7200.0},
    ]
    await slas.create(call, name="soon", preset="starts-within", value="30m")
    await execute_sql(call, "UPDATE slas SET actions = ?", json.dumps(later))
    first, second = [await make_late_task(call) for _ in range(2)]

    assert (await alerts.ack(call, ids=[first["id"]]))["notes"] == [
        "1 later action will not run: cancel in 1h."
    ]
    assert (await alerts.ack(call, ids=[second["id"]]))["notes"] == [
        "2 later actions will not run: cancel in 1h, notify ops in 2h."
    ]


async def test_a_note_is_replaced_and_comes_back_with_an_undo(call: Call) -> None:
    found = await make_late_task(call)
    await alerts.ack(call, ids=[found["id"]], note="looking")
    done = await alerts.ack(call, ids=[found["id"]], note="on it now")
    assert [row["status"] for row in done["done"]] == ["acknowledged"] and not done["notes"]
    await alerts.unack(call, ids=["soon"])
    assert (await alerts.show(call, id=found["id"]))["note"] is None
    ((last,),) = await execute_sql(call, "SELECT max(id) FROM operations")
    await undo.undo(call, ids=last)
    shown = await alerts.show(call, id=found["id"])
    assert (shown["status"], shown["note"]) == ("acknowledged", "on it now")


async def test_alerts_that_cannot_be_acknowledged_are_reported_and_others_done(call: Call) -> None:
    found = await make_late_task(call)
    await alerts.ack(call, ids=[found["id"]])
    again = await make_late_task(call)
    done = await alerts.ack(
        call, ids=[found["id"], "soom", "99999999999999999999", again["id"], "\x1b[2J"]
    )
    assert [row["id"] for row in done["done"]] == [again["id"]]
    assert done["notes"] == [f"alert {found['id']} (soon) was acknowledged by ann already."]
    assert [row["exit_code"] for row in done["refused"]] == [3, 3, 3]
    assert "Nearest: soon" in done["refused"][0]["message"]
    assert "\x1b" not in done["refused"][2]["message"]


async def test_an_acknowledged_alert_resolves_as_usual(call: Call) -> None:
    found = await make_late_task(call)
    await alerts.ack(call, ids=[found["id"]])
    await actions.cancel(call, ids=["soon"])
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    (row,) = await alerts.ls(call, all=True)
    assert (row["status"], row["acknowledged_by"]) == ("resolved", "ann")
    assert (await alerts.ack(call, ids=[found["id"]]))["notes"] == [
        f"alert {found['id']} (soon) has resolved."
    ]


async def test_an_acknowledgement_can_be_undone(call: Call) -> None:
    found = await make_late_task(call)
    await alerts.ack(call, ids=[found["id"]])
    done = await alerts.unack(call, ids=["soon"])
    assert [(row["id"], row["status"]) for row in done["done"]] == [(found["id"], "firing")]
    assert [(row["status"], row["acknowledged_by"]) for row in await alerts.ls(call)] == [
        ("firing", None)
    ]
    assert (await alerts.unack(call, ids=[found["id"]]))["notes"] == [
        f"alert {found['id']} (soon) is not acknowledged."
    ]


async def test_recently_resolved_alerts_follow_the_open_ones_newest_first(call: Call) -> None:
    await make_late_task(call, severity="info")
    await make_late_task(call, "over", severity="critical")
    await actions.cancel(call, ids=["over"])
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    assert [row["sla"] for row in await alerts.ls(call, since="1h")] == ["soon", "over"]
    await execute_sql(
        call,
        "UPDATE alerts SET resolved_at = ? WHERE status = 'resolved'",
        timestamps.format_time(timestamps.utcnow() - timedelta(hours=2)),
    )
    assert [row["sla"] for row in await alerts.ls(call, since="1h")] == ["soon"]
    with pytest.raises(Usage, match="since must be a time"):
        await alerts.ls(call, since="tomorrow")


async def test_the_list_honours_its_limit(call: Call) -> None:
    for _ in range(3):
        await make_late_task(call)
    assert len(await alerts.ls(call, limit=2)) == 2


# Silences


async def silence(call: Call, until: str = "5h", **which: Any) -> dict[str, Any]:
    return await alerts.silence(
        call, until=until, reason=" disk move ", **(which or {"sla": "soon"})
    )


async def test_a_silence_shows_its_end_author_and_reason(call: Call) -> None:
    found = await make_late_task(call)
    (done,) = (await silence(call))["done"]
    assert (done["sla"], done["status"], done["reason"], done["alerts"], done["before"]) == (
        "soon",
        "silenced",
        "disk move",
        1,
        None,
    )
    assert (
        4.9 * 3600
        < (timestamps.parse_time(done["until"]) - timestamps.utcnow()).total_seconds()
        <= 5 * 3600
    )
    (row,) = await alerts.ls(call)
    assert (row["id"], row["status"], row["silenced_until"]) == (
        found["id"],
        "silenced",
        done["until"],
    )
    assert (row["silenced_by"], row["silence_reason"]) == ("ann", "disk move")
    assert (await slas.show(call, name="soon"))["silence"] == {
        "until": done["until"],
        "by": "ann",
        "reason": "disk move",
    }
    assert ("alert silence", "sla soon") in await list_operations(call)


async def test_board_and_status_show_a_silenced_alert_as_quiet(call: Call) -> None:
    await make_late_task(call, severity="critical")
    (done,) = (await silence(call))["done"]
    (line,) = (await board.show_board(call))["alerts"]
    assert (line["status"], line["until"]) == ("silenced", timestamps.to_unix(done["until"]))
    assert [
        (row["severity"], row["status"]) for row in (await board.show_status(call))["alerts"]
    ] == [("critical", "silenced")]


async def test_silenced_alerts_come_after_firing_ones_however_severe(call: Call) -> None:
    await make_late_task(call, severity="critical")
    await make_late_task(call, "other", severity="info")
    seen = await make_late_task(call, "seen", severity="info", minutes=90)
    await alerts.ack(call, ids=[seen["id"]])
    await silence(call)
    assert [row["sla"] for row in await alerts.ls(call)] == ["other", "seen", "soon"]
    assert [row["sla"] for row in await alerts.ls(call, limit=1)] == ["other"]


async def test_a_silence_expires_by_itself(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_late_task(call)
    await silence(call, "1h")
    later = timestamps.utcnow() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(timestamps, "utcnow", lambda: later)
    assert [row["status"] for row in await alerts.ls(call)] == ["firing"]
    assert (await slas.show(call, name="soon"))["silence"] is None


async def test_alerts_raised_under_a_silence_are_recorded_quietly(call: Call) -> None:
    await make_late_task(call)
    await silence(call)
    await make_late_task(call)
    assert [row["status"] for row in await alerts.ls(call)] == ["silenced", "silenced"]
    await alerts.unsilence(call, sla="soon")
    assert [row["status"] for row in await alerts.ls(call)] == ["firing", "firing"]


async def test_an_alert_id_silences_its_rule_once(call: Call) -> None:
    ids = [(await make_late_task(call))["id"], (await make_late_task(call))["id"]]
    done = await silence(call, ids=[*ids, "soon"])
    assert [row["sla"] for row in done["done"]] == ["soon"]
    assert await execute_sql(call, "SELECT count(*) FROM silences") == [(1,)]


async def test_a_new_silence_replaces_the_old_one_and_reports_it(call: Call) -> None:
    await make_late_task(call)
    first = (await silence(call, "5h"))["done"][0]
    second = (await alerts.silence(call, until=first["until"], sla="soon"))["done"][0]
    assert second["before"] == {"until": first["until"], "reason": "disk move", "by": "ann"}
    assert (second["until"], second["reason"]) == (first["until"], None)
    assert await execute_sql(call, "SELECT count(*) FROM silences") == [(1,)]


async def test_a_rule_without_a_silence_needs_no_unsilence(call: Call) -> None:
    await make_late_task(call)
    assert await alerts.unsilence(call, ids=["soon"]) == {
        "done": [],
        "refused": [],
        "notes": ["soon is not silenced."],
    }


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("0", "in the future"), ("2020-01-01", "in the future"), ("2y", "until must be a time"),
        ("400d", "at most a year"),
        ("", "until must be a time"), ("\x1b[2J", "until must be a time"),
        (None, "until must be a time"),
    ],
)  # fmt: skip
async def test_a_silence_needs_an_end_within_a_year(call: Call, until: Any, words: str) -> None:
    await make_late_task(call)
    with pytest.raises(Usage, match=words) as caught:
        await alerts.silence(call, until=until, sla="soon")
    assert "\x1b" not in str(caught.value)
    assert [row["status"] for row in await alerts.ls(call)] == ["firing"]


async def test_rules_that_cannot_be_silenced_are_reported_and_others_done(call: Call) -> None:
    await make_late_task(call)
    await execute_sql(
        call,
        "INSERT INTO alerts (name, severity, status, object, text, short, fired_at, created_at,"
        " updated_at) VALUES ('nothing-starts', 'critical', 'firing', 'taskdeck', 'x', 'x', '2026',"
        " '2026', '2026')",
    )
    (own,) = [row["id"] for row in await alerts.ls(call) if row["sla"] == "nothing-starts"]
    words = [own, "soom", "99999999999999999", "late-search", "nothing-starts", "soon"]
    done = await silence(call, ids=words)
    assert [(row["sla"], row.get("words")) for row in done["done"]] == [
        ("soon", None), (None, "rule nothing-starts"),
    ]  # fmt: skip
    assert [row["exit_code"] for row in done["refused"]] == [3, 3, 3]
    assert "Nearest: soon" in done["refused"][0]["message"]
    assert done["refused"][2]["message"] == (
        'there is no alert "late-search". List: taskdeck alert ls. Later ones too: taskdeck alert'
        " silence --rule late-search --for 2h"
    )


async def test_an_alert_without_a_rule_is_silenced_by_its_name(call: Call) -> None:
    async def call_verb(verb: str, **args: Any) -> Any:
        return await registry.call_verb(call, verb, args)

    name = "schedule-[x]"
    await execute_sql(
        call,
        "INSERT INTO alerts (name, severity, status, object, text, short, fired_at, created_at,"
        " updated_at) VALUES (?, 'critical', 'firing', 'taskdeck', 'x', 'x', '2026', '2026',"
        " '2026')",
        name,
    )
    await silence(call, ids=[name])
    (own,) = await alerts.ls(call)
    assert (own["status"], own["silence"]) == ("silenced", "s1")
    ended = await call_verb("alert.unsilence", ids=[own["id"]])
    assert [(row["id"], row["status"]) for row in ended["done"]] == [("s1", "heard")]
    await call_verb("undo", ids=ended["operations"])
    assert [row["status"] for row in await alerts.ls(call)] == ["silenced"]
    await call_verb("alert.unsilence", ids=[name])
    assert (await call_verb("alert.unsilence", ids=[name]))["notes"] == [
        "schedule-[x] is not silenced."
    ]
    await call_verb("alert.silence", match={"severity": "critical"}, until="1h")
    (note,) = (await call_verb("alert.unsilence", ids=[name]))["notes"]
    assert "(severity critical); to end that: taskdeck alert unsilence s" in note


async def test_a_silence_of_nothing_is_refused(call: Call) -> None:
    with pytest.raises(Usage, match="no rule given"):
        await alerts.silence(call, until="1h")
    assert (await alerts.silence(call, until="1h", sla="nope"))["refused"][0]["exit_code"] == 3


async def test_a_reason_has_a_maximum_length(call: Call) -> None:
    await make_late_task(call)
    with pytest.raises(Usage, match="500 characters"):
        await alerts.silence(call, until="1h", sla="soon", reason="x" * 501)
    with pytest.raises(Usage, match="must be text"):
        await alerts.silence(call, until="1h", sla="soon", reason=7)  # type: ignore[arg-type]


# One alert


async def test_an_alert_shows_its_rule_its_task_and_similar_tasks(call: Call) -> None:
    found = await make_late_task(call)
    for minutes in (10, 40):
        made = await submit_task(call, name="soon")
        created, ended = (
            timestamps.format_time(timestamps.utcnow() - timedelta(minutes=m))
            for m in (minutes + 100, 100)
        )
        update = (
            "UPDATE tasks SET status = 'cancelled', created_at = ?, ended_at = ? WHERE uuid = ?"
        )
        await execute_sql(call, update, created, ended, made["uuid"])
    shown = await alerts.show(call, id=found["id"])
    assert (shown["text"], shown["limit"], shown["rule"]["words"]) == (
        "waiting 1h, allowed 30m",
        1800.0,
        "starts within 30m, task soon",
    )
    assert shown["task"]["status"] == "queued" and shown["task"]["first_start"] is None
    assert [(round(run["value"] / 60), run["late"], run["status"]) for run in shown["runs"]] == [
        (10, False, "cancelled"), (40, True, "cancelled"),
    ]  # fmt: skip


async def test_an_unknown_alert_is_refused(call: Call) -> None:
    with pytest.raises(NotFound):
        await alerts.show(call, id="77")
    with pytest.raises(NotFound, match='there is no alert "soon"'):
        await alerts.show(call, id="soon")


async def test_the_name_of_a_rule_shows_its_only_alert(call: Call) -> None:
    await slas.create(call, name="soon", preset="starts-within", value="30m")
    with pytest.raises(NotFound, match="no alert of rule soon is open"):
        await alerts.show(call, id="soon")
    assert (await alerts.ack(call, ids=["soon"]))["notes"] == ["no alert of rule soon is open."]
    first = await make_late_task(call)
    assert (await alerts.show(call, id="soon"))["id"] == first["id"]
    second = await make_late_task(call)
    with pytest.raises(NotFound, match="soon has 2 open alerts: give an id") as caught:
        await alerts.show(call, id="soon")
    assert caught.value.message.endswith(f" of {first['id']}, {second['id']}.")


async def test_an_alert_outlives_its_rule(call: Call) -> None:
    found = await make_late_task(call)
    await slas.rm(call, name="soon")
    shown = await alerts.show(call, id=found["id"])
    assert (shown["rule"], shown["runs"], shown["status"]) == (None, [], "resolved")


@pytest.mark.parametrize(
    ("match", "index"),
    [
        ({"template": "x"}, "idx_tasks_template (template=? AND ended_at>?)"),
        ({"task": "x"}, "idx_tasks_name (name=?)"),
        ({"queue": "x"}, "idx_tasks_queue (queue=?)"), ({}, "idx_tasks_number"),
    ],
)  # fmt: skip
async def test_the_newest_alerts_of_a_kind_come_from_an_index(
    call: Call, match: dict[str, str], index: str
) -> None:
    plans: list[str] = []

    def explained(c: Any) -> None:
        def explain(
            conn: Any, cursor: Any, statement: str, given: Any, context: Any, many: bool
        ) -> None:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            plans.extend(row[3] for row in cursor.fetchall())

        event.listen(c, "before_cursor_execute", explain)
        db_alerts.list_recent_tasks(c, match)
        event.remove(c, "before_cursor_execute", explain)

    await call.db.write(explained)
    assert plans[0].endswith(index) and not [plan for plan in plans if "TEMP B-TREE" in plan]


async def test_a_task_on_hold_need_not_start(call: Call) -> None:
    await slas.create(call, name="soon", preset="starts-within", value="30m")
    for name in ("held", "other"):
        await submit_task(call, name=name)
    await actions.hold(call, ids=["held"])
    created = timestamps.format_time(timestamps.utcnow() - timedelta(hours=1))
    await execute_sql(call, "UPDATE tasks SET created_at = ?", created)
    for _ in range(2):
        await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
        assert [row["task_name"] for row in await alerts.ls(call)] == ["other"]
    await actions.release(call, ids=["held"])
    for has_work in (True, False):
        assert await call.db.read(sla_evaluation.has_work, timestamps.utcnow()) is has_work
        await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
        assert sorted(row["task_name"] for row in await alerts.ls(call)) == ["held", "other"]


async def test_a_release_before_the_limit_is_judged_once(call: Call) -> None:
    await slas.create(call, name="soon", preset="starts-within", value="30m")
    await submit_task(call, name="held")
    await actions.hold(call, ids=["held"])
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    await actions.release(call, ids=["held"])
    await call.db.write(sla_evaluation.evaluate, timestamps.utcnow())
    later = timestamps.utcnow() + timedelta(minutes=31)
    assert (await call.db.write(sla_evaluation.evaluate, later)).fired == 1
    assert len(await alerts.ls(call)) == 1
