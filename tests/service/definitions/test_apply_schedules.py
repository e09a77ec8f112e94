"""Schedules and calendars in definitions files: apply, export, the editor, and what uses them."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.text.sanitize import MASK
from app.errors import NotFound, Problem, Refused, Usage
from app.service import operations
from app.service.context import Call
from app.service.definitions import apply, editor, queues, templates
from app.service.schedules import firing, verbs
from db import timestamps
from tests.service.calls import execute_sql, list_operations

TEXT = """
[calendars.bank]
dates = [2030-12-25, "2030-01-01"]

[queues.night]
capacity = 1

[templates.crunch]
engine = "exec"
queue = "night"
schema = { argv = ["crunch", "{{ n }}"] }
parameters = { type = "object", properties = { n = { type = "integer" } } }

[schedules.nightly]
cron = "0 2 * * *"
timezone = "Europe/Berlin"
template = "crunch"
parameters = { n = 3 }
exclude = ["bank"]
missed_within = "6h"

[schedules.poll]
every = "10m"
argv = ["true"]
env = { DB_PASSWORD = "hunter2" }
until = 2031-01-01T00:00:00
"""
CONTEXT = {"cwd": "/srv", "umask": 0o077, "env": {"PATH": "/bin", "COLOUR": "red"}}


async def apply_text(call: Call, text: str = TEXT, **more: Any) -> dict[str, str]:
    """Apply a file as the command does; return {object: change}."""
    from app.core.definitions import document

    tables = document.read_tables(text)
    document.validate_tables(tables)
    document.check_json(tables)
    found = await apply.apply(call, tables=tables, **{**CONTEXT, **more})
    return {f"{change['kind']} {change['name']}": change["change"] for change in found["changes"]}


async def test_a_file_creates_schedules_and_calendars(call: Call):
    done = await apply_text(call)

    assert {done[name] for name in ("calendar bank", "schedule nightly", "schedule poll")} == {
        "create"
    }
    nightly = await verbs.show(call, name="nightly")
    assert (nightly["cwd"], nightly["exclude"], nightly["missed_within"]) == (
        "/srv",
        ["bank"],
        21600,
    )
    assert nightly["next_fire"] > timestamps.now()
    (row,) = await execute_sql(call, "SELECT context FROM schedules WHERE name = 'poll'")
    assert "COLOUR" in row[0]


async def test_the_same_file_changes_nothing(call: Call):
    await apply_text(call)
    log = await list_operations(call)

    assert set((await apply_text(call, cwd="/", env={})).values()) == {"same"}
    assert await list_operations(call) == log


async def test_an_export_applies_to_another_home(call: Call):
    await apply_text(call)
    text = await apply.export(call)

    assert "hunter2" not in text and "COLOUR" not in text
    assert set((await apply_text(call, text, cwd="/elsewhere")).values()) == {"same"}
    await verbs.rm(call, name="nightly")
    assert (await apply_text(call, text))["schedule nightly"] == "create"
    assert (await verbs.show(call, name="nightly"))["cwd"] == "/srv"


async def test_a_masked_secret_keeps_its_value(call: Call):
    await apply_text(call)
    text = (await apply.export(call)).replace('every = "10m"', 'every = "20m"')
    assert MASK in text

    assert (await apply_text(call, text))["schedule poll"] == "update"
    (row,) = await execute_sql(call, "SELECT task FROM schedules WHERE name = 'poll'")
    assert "hunter2" in row[0]
    await verbs.rm(call, name="poll")
    with pytest.raises(Usage, match="schedules.poll: env.DB_PASSWORD is •••, not a value"):
        await apply_text(call, text)


async def test_a_change_keeps_the_beginning_unless_times_change(call: Call):
    await apply_text(call)
    before = await verbs.show(call, name="poll")

    await apply_text(call, TEXT.replace('["true"]', '["false"]'))
    after = await verbs.show(call, name="poll")
    assert (after["start"], after["next_fire"]) == (before["start"], before["next_fire"])
    await apply_text(call, TEXT.replace("10m", "30m"))

    changed = await verbs.show(call, name="poll")
    assert changed["expression"] == "1800" and changed["next_fire"] > before["next_fire"]


async def test_a_calendar_moves_the_next_fire_of_its_schedules(call: Call):
    await apply_text(call, TEXT.replace("0 2 * * *", "0 2 24,25 12 *"))
    first = (await verbs.show(call, name="nightly"))["next_fire"]
    text = TEXT.replace("0 2 * * *", "0 2 24,25 12 *")

    await apply_text(call, text.replace("2030-12-25", f"{first[:10]}"))
    await firing.fire_due(call.db)

    later = await verbs.show(call, name="nightly")
    assert later["next_fire"] > first and later["fires"] == []
    await apply_text(call, text)
    await firing.fire_due(call.db)
    assert (await verbs.show(call, name="nightly"))["next_fire"] == first


async def test_a_calendar_wakes_no_paused_schedule(call: Call):
    await apply_text(call)
    await verbs.pause(call, name="nightly")

    await apply_text(call, TEXT.replace("2030-12-25", "2030-12-26"))
    await firing.fire_due(call.db)

    assert (await verbs.show(call, name="nightly"))["next_fire"] is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'exclude = ["bank"]',
            'exclude = ["bnk"]',
            'schedules.nightly: there is no calendar "bnk"',
        ),
        (
            'template = "crunch"',
            'template = "crnch"',
            'schedules.nightly: there is no template "crnch"',
        ),
        ("{ n = 3 }", '{ n = "x" }', "schedules.nightly: "),
        (
            'argv = ["true"]',
            'argv = ["true"]\nqueue = "gpu"',
            'schedules.poll: there is no queue "gpu"',
        ),
        ('argv = ["true"]', 'argv = ["true"]\ncpu = 9999', "schedules.poll: needs 9999 cpu"),
        ('every = "10m"', 'every = "often"', "schedules.poll: every must be a duration"),
        ('every = "10m"', 'evry = "10m"', 'unknown key "evry". Nearest: every'),
        ('argv = ["true"]', 'argv = ["true"]\ncwd = "srv"', "cwd must be a whole path"),
        ("2031-01-01T00", "2021-01-01T00", "schedules.poll: the schedule would never fire"),
        ('"2030-01-01"', '"1.1.2030"', "calendars.bank: dates must be dates such as"),
        ("[calendars.bank]", "[calendar.bank]", "unknown table"),
    ],
)
async def test_a_wrong_file_is_refused_as_a_whole(call: Call, old: str, new: str, words: str):
    assert old in TEXT
    with pytest.raises(Problem) as caught:
        await apply_text(call, TEXT.replace(old, new))

    assert words in str(caught.value) and "calendar ls" not in str(caught.value)
    assert await verbs.ls(call) == [] and await list_operations(call) == []


async def test_the_editor_shows_checks_and_stores_a_schedule(call: Call):
    await apply_text(call)
    shown = await editor.show(call, kind="schedules", name="poll")
    tables = {"schedules": {"poll": {"every": "5m", "argv": ["true"], "timezone": "UTC"}}}

    checked = await editor.check(call, kind="schedules", name="poll", tables=tables)
    stored = await editor.set_(
        call, kind="schedules", name="poll", tables=tables, was=shown["text"], **CONTEXT
    )

    assert 'every = "10m"' in shown["text"] and 'every = "5m"' in checked["after"]
    assert checked["faults"] == [] and stored["change"] == "update"
    assert "COLOUR" not in f"{checked} {stored}"
    assert (await verbs.show(call, name="poll"))["expression"] == "300"


async def test_the_editor_creates_a_schedule_with_the_shell_context(call: Call):
    tables = {"schedules": {"new": {"cron": "@daily", "argv": ["true"]}}}

    await editor.set_(call, kind="schedules", tables=tables, **CONTEXT)

    assert (await verbs.show(call, name="new"))["cwd"] == "/srv"


async def test_templates_and_queues_of_schedules_are_not_removed(call: Call):
    await apply_text(call, TEXT.replace('argv = ["true"]', 'argv = ["true"]\nqueue = "night"'))

    with pytest.raises(Refused, match=r"1 schedule \(nightly\) refers to template crunch"):
        await templates.rm(call, name="crunch")
    with pytest.raises(Refused, match=r"1 schedule \(poll\)"):
        await queues.queue_rm(call, name="night")


async def test_operations_do_not_show_the_environment(call: Call):
    await apply_text(call)
    await verbs.rm(call, name="poll")

    shown = str(await operations.ls(call))

    assert "COLOUR" not in shown and "hunter2" not in shown and "/srv" in shown


async def test_a_missing_calendar_is_named_in_a_set(call: Call):
    await apply_text(call)

    with pytest.raises(NotFound, match=r'no calendar "bnk". Nearest: bank.*\[calendars.NAME\]'):
        await verbs.set_(call, name="poll", exclude=["bnk"])
