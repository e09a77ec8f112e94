"""Silences by matchers: set, list, end, undo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import Refused, Usage
from app.service import alerts, registry, silences
from app.service.context import Call
from app.service.definitions import slas
from db import timestamps
from tests.service.calls import execute_sql, list_operations, open_call, reopen_call
from tests.service.test_alerts import make_late_task


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with open_call(tmp_path) as found:
        yield found


async def call_verb(call: Call, verb: str, **args: Any) -> Any:
    return await registry.call_verb(call, verb, args)


async def silence(call: Call, until: str = "2h", **match: Any) -> dict[str, Any]:
    return await call_verb(call, "alert.silence", match=match, until=until, reason=" disk move ")


async def list_statuses(call: Call) -> list[tuple[str, str]]:
    return [(row["sla"], row["status"]) for row in await alerts.ls(call)]


async def test_a_silence_covers_alerts_that_match_and_later_ones(call: Call):
    await make_late_task(call)
    done = await silence(call, rule="s*", queue=["default"])
    (row,) = done["done"]

    assert (row["id"], row["words"], row["alerts"]) == ("s1", "rule s*, queue default", 1)
    assert done["notes"] == [] and (
        "alert silence",
        "silence s1: rule s*, queue default",
    ) in await list_operations(call)
    await make_late_task(call, "sooner")
    await make_late_task(call, "other")
    assert await list_statuses(call) == [
        ("other", "firing"), ("sooner", "silenced"), ("soon", "silenced"),
    ]  # fmt: skip
    (listed,) = await silences.ls(call)
    assert (listed["alerts"], listed["by"], listed["reason"]) == (2, "ann", "disk move")
    assert listed["until"] == row["until"] and listed["sla"] is None


@pytest.mark.parametrize("word", ["undo", "unsilence"])
async def test_the_id_of_an_ended_silence_is_not_used_again(call: Call, word: str):
    first = await silence(call, rule="a*")
    if word == "undo":
        await call_verb(call, "undo", ids=first["operations"])
    else:
        await call_verb(call, "alert.unsilence", ids=["s1"])
    second = await silence(call, rule="a*")

    assert [one["done"][0]["id"] for one in (first, second)] == ["s1", "s2"]
    assert [row["id"] for row in await silences.ls(call)] == ["s2"]


async def test_a_silence_that_matches_nothing_says_so(call: Call):
    done = await silence(call, severity="critical")

    assert done["notes"] == ["no open alert matches now; later ones are silenced."]
    assert [row["words"] for row in await silences.ls(call)] == ["severity critical"]


async def test_a_silence_matches_the_tags_of_the_task(call: Call):
    late = await make_late_task(call)
    tags = '{"env": "dev", "team": "db"}'
    await execute_sql(call, "UPDATE tasks SET tags = ? WHERE number = ?", tags, late["task_number"])
    done = await silence(call, tag=["env=d*"])

    assert (done["done"][0]["words"], done["done"][0]["alerts"]) == ("tag env=d*", 1)
    shown = await alerts.show(call, id=late["id"])
    assert (shown["status"], shown["labels"]["tag"]) == ("silenced", "env=dev, team=db")
    await make_late_task(call, "other")
    assert ("other", "firing") in await list_statuses(call)


async def test_a_silence_survives_a_restart_and_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_call(tmp_path) as call:
        await make_late_task(call)
        await silence(call, task="soon")
    async with reopen_call(tmp_path) as call:
        assert await list_statuses(call) == [("soon", "silenced")]
        later = timestamps.utcnow() + timedelta(hours=2, seconds=1)
        monkeypatch.setattr(timestamps, "utcnow", lambda: later)
        assert await list_statuses(call) == [("soon", "firing")]
        assert await silences.ls(call) == []


async def test_a_silence_ends_by_its_id(call: Call):
    await make_late_task(call)
    await silence(call, rule="soon")
    await call_verb(call, "alert.silence", sla="soon", until="1h")

    assert [row["words"] for row in await silences.ls(call)] == ["rule soon", "rule soon"]
    done = await call_verb(call, "alert.unsilence", ids=["s1", "s2", "s7"])

    assert [(row["id"], row["sla"], row["status"]) for row in done["done"]] == [
        ("s1", None, "heard"), ("s2", "soon", "heard"),
    ]  # fmt: skip
    assert [row["message"].partition(" List")[0] for row in done["refused"]] == [
        'no silence "s7" is active.'
    ]
    assert await list_statuses(call) == [("soon", "firing")]


async def test_a_rule_of_that_name_comes_before_the_id_of_a_silence(call: Call):
    await make_late_task(call, "s1")
    await silence(call, rule="x")

    done = await call_verb(call, "alert.unsilence", ids=["s1"])

    assert done["notes"] == ["s1 is not silenced."] and len(await silences.ls(call)) == 1


async def test_an_alert_that_matchers_silence_names_the_silence_to_end(call: Call):
    found = await make_late_task(call)
    await silence(call, queue="def*")

    done = await call_verb(call, "alert.unsilence", ids=[found["id"]])

    assert done["notes"] == [
        "soon is silenced by s1 (queue def*); to end that: taskdeck alert unsilence s1"
    ]
    shown = await alerts.show(call, id=found["id"])
    assert (shown["status"], shown["silence"]) == ("silenced", "s1")
    assert shown["labels"] == {
        "rule": "soon", "severity": "warning", "task": "soon", "queue": "default",
        "pool": "default",
    }  # fmt: skip


async def test_rules_count_silenced_alerts_apart(call: Call):
    await make_late_task(call)
    await silence(call, task="soon")
    row = await slas.show(call, name="soon")
    assert (row["open"], row["state"], row["silence"]) == ({"silenced": 1}, "silenced", None)

    await silence(call, rule="so*")
    assert (await slas.show(call, name="soon"))["silence"]["reason"] == "disk move"


async def test_setting_ending_and_changing_a_silence_is_undone(call: Call):
    async def list_reasons() -> list[str]:
        return [row["reason"] for row in await silences.ls(call)]

    first = await silence(call, rule="so*")
    again = {"match": {"rule": "so*"}, "until": "3h", "reason": "again"}
    second = await call_verb(call, "alert.silence", **again)
    assert await list_reasons() == ["again"]
    refused = await call_verb(call, "undo", ids=first["operations"])
    assert "has changed since" in refused["refused"][0]["message"]
    await call_verb(call, "undo", ids=second["operations"])
    assert await list_reasons() == ["disk move"]
    ended = await call_verb(call, "alert.unsilence", ids=["s1"])
    assert await list_reasons() == []
    await call_verb(call, "undo", ids=ended["operations"])
    assert await list_reasons() == ["disk move"]
    await call_verb(call, "undo", ids=first["operations"])
    assert await list_reasons() == []


async def test_too_many_silences_are_refused(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(silences, "MAX_SILENCES", 1)
    await silence(call, rule="a")
    await silence(call, "3h", rule="a")

    with pytest.raises(Refused, match="1 silences are active already"):
        await silence(call, rule="b")


async def test_wrong_silences_change_nothing(call: Call):
    for args, says in (
        ({"match": {}}, "needs at least one of rule"),
        ({"match": {"queu": "a"}}, "Nearest: queue"),
        ({"match": {"rule": "a"}, "sla": "a"}, "not both"),
        ({"match": {"rule": "a"}, "until": "400d"}, "at most a year"),
    ):
        with pytest.raises(Usage, match=says):
            await call_verb(call, "alert.silence", **{"until": "1h", **args})
    assert await silences.ls(call) == []
