"""Alerts as people see and acknowledge them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.errors import NotFound, Usage
from app.service import alerts, board
from app.service.context import Call
from app.service.definitions import slas
from app.service.tasks import actions
from db import timestamps
from db.queries import alerts as db_alerts
from tests.service.calls import a_call, execute, operations, submitted


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with a_call(tmp_path) as found:
        yield found


async def late(call: Call, name: str = "soon", minutes: float = 60, severity: str = "warning") -> dict[str, Any]:
    """An alert on a task that has waited so long, allowed 30m."""
    if not [row for row in await slas.ls(call) if row["name"] == name]:
        await slas.create(call, name=name, preset="starts-within", value="30m", task=name, severity=severity)
    made = await submitted(call, name=name)
    created = timestamps.stamp(timestamps.utcnow() - timedelta(minutes=minutes))
    await execute(call, "UPDATE tasks SET created_at = ? WHERE uuid = ?", created, made["uuid"])
    await call.db.write(slas.evaluate, timestamps.utcnow())
    return next(row for row in await alerts.ls(call) if row["task_number"] == made["number"])


async def test_an_alert_says_what_it_is_about_and_since_when(call: Call) -> None:
    found = await late(call)
    assert (found["sla"], found["severity"], found["status"], found["task_name"]) == ("soon", "warning", "firing", "soon")
    assert (found["object"], found["text"], found["short"]) == ("#1 soon", "waiting 1h, allowed 30m", "1h > 30m")
    since = (timestamps.utcnow() - timestamps.parse(found["since"])).total_seconds()
    assert 30 * 60 <= since < 31 * 60


async def test_the_text_of_an_open_alert_is_of_now(call: Call) -> None:
    found = await late(call)
    earlier = timestamps.stamp(timestamps.utcnow() - timedelta(minutes=90))
    await execute(call, "UPDATE tasks SET created_at = ?", earlier)
    assert [(row["id"], row["text"]) for row in await alerts.ls(call)] == [(found["id"], "waiting 1h30m, allowed 30m")]


async def test_the_most_severe_come_first_then_the_oldest(call: Call) -> None:
    for name, minutes, severity in (("a", 40, "info"), ("b", 40, "critical"), ("c", 50, "warning"), ("d", 60, "warning")):
        await late(call, name, minutes, severity)
    assert [row["sla"] for row in await alerts.ls(call)] == ["b", "d", "c", "a"]


async def test_resolved_ones_are_listed_only_when_asked_for(call: Call) -> None:
    await late(call)
    await actions.cancel(call, ids=["soon"])
    await call.db.write(slas.evaluate, timestamps.utcnow())
    assert await alerts.ls(call) == []
    assert [row["status"] for row in await alerts.ls(call, all=True)] == ["resolved"]


async def test_an_acknowledged_alert_stays_open_and_says_by_whom(call: Call) -> None:
    found = await late(call)
    done = await alerts.ack(call, ids=[found["id"]])
    assert done == {
        "done": [{"id": found["id"], "sla": "soon", "object": "#1 soon", "status": "acknowledged"}], "refused": [], "notes": [],
    }  # fmt: skip
    assert [(row["status"], row["acknowledged_by"]) for row in await alerts.ls(call)] == [("acknowledged", "ann")]
    assert ("alert ack", "alert soon on #1 soon") in await operations(call)
    await call.db.write(slas.evaluate, timestamps.utcnow())
    assert [row["status"] for row in await alerts.ls(call)] == ["acknowledged"]


async def test_all_alerts_of_an_sla_are_acknowledged_by_its_name(call: Call) -> None:
    await late(call)
    await late(call)
    assert len((await alerts.ack(call, ids=["soon"]))["done"]) == 2


async def test_what_cannot_be_acknowledged_is_told_and_the_rest_is(call: Call) -> None:
    found = await late(call)
    await alerts.ack(call, ids=[found["id"]])
    again = await late(call)
    done = await alerts.ack(call, ids=[found["id"], "soom", "99999999999999999999", again["id"], "\x1b[2J"])
    assert [row["id"] for row in done["done"]] == [again["id"]]
    assert done["notes"] == [f"alert {found['id']} (soon) was acknowledged by ann already."]
    assert [row["exit_code"] for row in done["refused"]] == [3, 3, 3]
    assert "Nearest: soon" in done["refused"][0]["message"]
    assert "\x1b" not in done["refused"][2]["message"]


async def test_an_acknowledged_alert_resolves_like_any_other(call: Call) -> None:
    found = await late(call)
    await alerts.ack(call, ids=[found["id"]])
    await actions.cancel(call, ids=["soon"])
    await call.db.write(slas.evaluate, timestamps.utcnow())
    (row,) = await alerts.ls(call, all=True)
    assert (row["status"], row["acknowledged_by"]) == ("resolved", "ann")
    assert (await alerts.ack(call, ids=[found["id"]]))["notes"] == [f"alert {found['id']} (soon) has resolved."]


async def test_an_acknowledgement_is_taken_back(call: Call) -> None:
    found = await late(call)
    await alerts.ack(call, ids=[found["id"]])
    done = await alerts.unack(call, ids=["soon"])
    assert [(row["id"], row["status"]) for row in done["done"]] == [(found["id"], "firing")]
    assert [(row["status"], row["acknowledged_by"]) for row in await alerts.ls(call)] == [("firing", None)]
    assert (await alerts.unack(call, ids=[found["id"]]))["notes"] == [f"alert {found['id']} (soon) is not acknowledged."]


async def test_those_resolved_lately_are_listed_by_how_long_ago_behind_the_open_ones(call: Call) -> None:
    await late(call, severity="info")
    await late(call, "over", severity="critical")
    await actions.cancel(call, ids=["over"])
    await call.db.write(slas.evaluate, timestamps.utcnow())
    assert [row["sla"] for row in await alerts.ls(call, since="1h")] == ["soon", "over"]
    await execute(call, "UPDATE alerts SET resolved_at = ? WHERE status = 'resolved'", timestamps.stamp(timestamps.utcnow() - timedelta(hours=2)))
    assert [row["sla"] for row in await alerts.ls(call, since="1h")] == ["soon"]
    with pytest.raises(Usage, match="since must be a duration"):
        await alerts.ls(call, since="yesterday")


async def test_no_more_alerts_are_listed_than_were_asked_for(call: Call) -> None:
    for _ in range(3):
        await late(call)
    assert len(await alerts.ls(call, limit=2)) == 2


# --- silences -------------------------------------------------------------------------------------------------------


async def silenced(call: Call, until: str = "5h", **which: Any) -> dict[str, Any]:
    return await alerts.silence(call, until=until, reason=" disk move ", **(which or {"sla": "soon"}))


async def test_a_silenced_rule_is_told_as_silenced_with_until_when_by_whom_and_why(call: Call) -> None:
    found = await late(call)
    (done,) = (await silenced(call))["done"]
    assert (done["sla"], done["status"], done["reason"], done["alerts"], done["before"]) == ("soon", "silenced", "disk move", 1, None)
    assert 4.9 * 3600 < (timestamps.parse(done["until"]) - timestamps.utcnow()).total_seconds() <= 5 * 3600
    (row,) = await alerts.ls(call)
    assert (row["id"], row["status"], row["silenced_until"]) == (found["id"], "silenced", done["until"])
    assert (row["silenced_by"], row["silence_reason"]) == ("ann", "disk move")
    assert (await slas.show(call, name="soon"))["silence"] == {"until": done["until"], "by": "ann", "reason": "disk move"}
    assert ("alert silence", "sla soon") in await operations(call)


async def test_the_board_and_status_show_a_silenced_critical_alert_as_quiet(call: Call) -> None:
    await late(call, severity="critical")
    (done,) = (await silenced(call))["done"]
    (line,) = (await board.board(call))["alerts"]
    assert (line["status"], line["until"]) == ("silenced", timestamps.unix(done["until"]))
    assert [(row["severity"], row["status"]) for row in (await board.status(call))["alerts"]] == [("critical", "silenced")]


async def test_what_is_silenced_stands_behind_all_that_fires_however_severe(call: Call) -> None:
    await late(call, severity="critical")
    await late(call, "other", severity="info")
    seen = await late(call, "seen", severity="info", minutes=90)
    await alerts.ack(call, ids=[seen["id"]])
    await silenced(call)
    assert [row["sla"] for row in await alerts.ls(call)] == ["other", "seen", "soon"]
    assert [row["sla"] for row in await alerts.ls(call, limit=1)] == ["other"]


async def test_a_silence_ends_by_itself(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    await late(call)
    await silenced(call, "1h")
    later = timestamps.utcnow() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(timestamps, "utcnow", lambda: later)
    assert [row["status"] for row in await alerts.ls(call)] == ["firing"]
    assert (await slas.show(call, name="soon"))["silence"] is None


async def test_alerts_that_come_while_a_rule_is_silenced_are_recorded_quietly(call: Call) -> None:
    await late(call)
    await silenced(call)
    await late(call)
    assert [row["status"] for row in await alerts.ls(call)] == ["silenced", "silenced"]
    await alerts.unsilence(call, sla="soon")
    assert [row["status"] for row in await alerts.ls(call)] == ["firing", "firing"]


async def test_an_alert_s_id_silences_its_rule_once(call: Call) -> None:
    ids = [(await late(call))["id"], (await late(call))["id"]]
    done = await silenced(call, ids=[*ids, "soon"])
    assert [row["sla"] for row in done["done"]] == ["soon"]
    assert await execute(call, "SELECT count(*) FROM silences") == [(1,)]


async def test_a_silence_takes_the_place_of_another_and_tells_what_that_was(call: Call) -> None:
    await late(call)
    first = (await silenced(call, "5h"))["done"][0]
    second = (await alerts.silence(call, until=first["until"], sla="soon"))["done"][0]
    assert second["before"] == {"until": first["until"], "reason": "disk move", "by": "ann"}
    assert (second["until"], second["reason"]) == (first["until"], None)
    assert await execute(call, "SELECT count(*) FROM silences") == [(1,)]


async def test_a_rule_that_is_not_silenced_needs_no_unsilencing(call: Call) -> None:
    await late(call)
    assert await alerts.unsilence(call, ids=["soon"]) == {"done": [], "refused": [], "notes": ["soon is not silenced."]}


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("0", "a time to come"), ("2020-01-01", "a time to come"), ("2y", "until must be a time"), ("400d", "a year at most"),
        ("", "until must be a time"), ("\x1b[2J", "until must be a time"), (None, "until must be a time"),
    ],
)  # fmt: skip
async def test_a_silence_needs_an_end_within_a_year(call: Call, until: Any, words: str) -> None:
    await late(call)
    with pytest.raises(Usage, match=words) as caught:
        await alerts.silence(call, until=until, sla="soon")
    assert "\x1b" not in str(caught.value)
    assert [row["status"] for row in await alerts.ls(call)] == ["firing"]


async def test_what_cannot_be_silenced_is_told_and_the_rest_is(call: Call) -> None:
    await late(call)
    await execute(
        call,
        "INSERT INTO alerts (name, severity, status, object, text, short, fired_at, created_at, updated_at) "
        "VALUES ('nothing-starts', 'critical', 'firing', 'taskdeck', 'x', 'x', '2026', '2026', '2026')",
    )
    (own,) = [row["id"] for row in await alerts.ls(call) if row["sla"] == "nothing-starts"]
    done = await silenced(call, ids=[own, "soom", "99999999999999999999", "soon"])
    assert [row["sla"] for row in done["done"]] == ["soon"]
    assert [row["exit_code"] for row in done["refused"]] == [4, 3, 3]
    assert "about Taskdeck itself" in done["refused"][0]["message"] and "Nearest: soon" in done["refused"][1]["message"]


async def test_a_silence_of_nothing_is_refused(call: Call) -> None:
    with pytest.raises(Usage, match="which rule"):
        await alerts.silence(call, until="1h")
    assert (await alerts.silence(call, until="1h", sla="nope"))["refused"][0]["exit_code"] == 3


async def test_a_reason_has_its_limits(call: Call) -> None:
    await late(call)
    with pytest.raises(Usage, match="500 characters"):
        await alerts.silence(call, until="1h", sla="soon", reason="x" * 501)
    with pytest.raises(Usage, match="must be text"):
        await alerts.silence(call, until="1h", sla="soon", reason=7)  # type: ignore[arg-type]


# --- one alert ------------------------------------------------------------------------------------------------------


async def test_one_alert_is_shown_with_its_rule_its_task_and_how_the_like_did(call: Call) -> None:
    found = await late(call)
    for minutes in (10, 40):
        made = await submitted(call, name="soon")
        created, ended = (timestamps.stamp(timestamps.utcnow() - timedelta(minutes=m)) for m in (minutes + 100, 100))
        update = "UPDATE tasks SET status = 'cancelled', created_at = ?, ended_at = ? WHERE uuid = ?"
        await execute(call, update, created, ended, made["uuid"])
    shown = await alerts.show(call, id=found["id"])
    assert (shown["text"], shown["limit"], shown["rule"]["words"]) == ("waiting 1h, allowed 30m", 1800.0, "starts within 30m, task soon")
    assert shown["task"]["status"] == "queued" and shown["task"]["first_start"] is None
    assert [(round(run["value"] / 60), run["late"], run["status"]) for run in shown["runs"]] == [
        (10, False, "cancelled"), (40, True, "cancelled"),
    ]  # fmt: skip


async def test_an_alert_that_is_not_there_is_not_shown(call: Call) -> None:
    with pytest.raises(NotFound):
        await alerts.show(call, id="77")
    with pytest.raises(NotFound):
        await alerts.show(call, id="soon")


async def test_an_alert_outlives_its_rule(call: Call) -> None:
    found = await late(call)
    await slas.rm(call, name="soon")
    shown = await alerts.show(call, id=found["id"])
    assert (shown["rule"], shown["runs"], shown["status"]) == (None, [], "resolved")


@pytest.mark.parametrize(
    ("match", "index"),
    [
        ({"template": "x"}, "idx_tasks_template (template=? AND ended_at>?)"), ({"task": "x"}, "idx_tasks_name (name=?)"),
        ({"queue": "x"}, "idx_tasks_queue (queue=?)"), ({}, "idx_tasks_number"),
    ],
)  # fmt: skip
async def test_the_newest_of_a_kind_are_found_in_the_order_of_an_index(call: Call, match: dict[str, str], index: str) -> None:
    plans: list[str] = []

    def explained(c: Any) -> None:
        def explain(conn: Any, cursor: Any, statement: str, given: Any, context: Any, many: bool) -> None:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            plans.extend(row[3] for row in cursor.fetchall())

        event.listen(c, "before_cursor_execute", explain)
        db_alerts.lately(c, match)
        event.remove(c, "before_cursor_execute", explain)

    await call.db.write(explained)
    assert plans[0].endswith(index) and not [plan for plan in plans if "TEMP B-TREE" in plan]
