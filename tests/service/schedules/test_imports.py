"""Tests of the import of schedules: all or none, and no doubles."""

from __future__ import annotations

import asyncio

import pytest

from app.core.notifications.channels import Channel, NotificationSettings
from app.core.schedules.crontab import Account, make_definition, parse_crontab
from app.core.schedules.crontab_names import make_name
from app.errors import Problem, Usage
from app.service.schedules import imports, verbs
from db.queries import schedules
from tests.service.calls import list_operations

ANN = Account("ann", "/home/ann")


def read_lines(text):
    return [
        {
            "line": entry.line,
            "name": make_name(entry.command),
            "definition": make_definition(entry, ANN, "Europe/Berlin"),
        }
        for entry in parse_crontab(text).entries
    ]


async def list_names(call):
    return await call.db.read(schedules.list_names)


def get_outcomes(found):
    return [(one["name"], one["outcome"]) for one in found]


async def test_a_preview_creates_nothing(call):
    (found,) = await imports.preview_import(call, lines=read_lines("0 2 * * * /opt/etl\n"))

    assert (found["name"], found["outcome"], found["words"]) == ("etl", "new", "at 02:00 every day")
    assert found["zone"] == "Europe/Berlin"
    assert found["next_fire"]
    assert await list_names(call) == []


async def test_lines_become_schedules_with_unique_names(call):
    text = "0 2 * * * /opt/etl -a\n0 3 * * * /opt/etl -b\n@reboot warm\n"
    found = await imports.import_lines(call, lines=read_lines(text))

    assert get_outcomes(found) == [("etl", "created"), ("etl-2", "created"), ("warm", "created")]
    shown = await verbs.show(call, name="etl")
    assert (shown["kind"], shown["expression"], shown["missed"]) == ("cron", "0 2 * * *", "skip")
    assert shown["task"]["script"] == "/opt/etl -a"
    assert shown["cwd"] == "/home/ann"
    assert [verb for verb, _ in await list_operations(call)] == ["schedule create"] * 3


async def test_a_second_import_creates_no_doubles(call):
    lines = read_lines("0 2 * * * /opt/etl\n0 2 * * * /opt/etl\n")
    await imports.import_lines(call, lines=lines)

    found = await imports.import_lines(call, lines=[*lines, *read_lines("@daily /opt/new\n")])

    assert get_outcomes(found) == [("etl", "exists"), ("etl-2", "exists"), ("new", "created")]
    assert await list_names(call) == ["etl", "etl-2", "new"]


async def test_a_changed_schedule_is_still_known(call):
    lines = read_lines("0 2 * * * /opt/etl\n")
    await imports.import_lines(call, lines=lines)
    await verbs.set_(call, name="etl", cron="0 4 * * *", timeout="5m")
    await verbs.pause(call, name="etl")

    changed = read_lines("PATH=/opt/bin\n0 2 * * * /opt/etl\n")
    (found,) = await imports.preview_import(call, lines=changed)

    assert found["outcome"] == "exists"
    assert found["notes"] == [
        "differs now: time, task, PATH, paused; to take the line over again, remove the schedule"
        " first: taskdeck schedule rm etl"
    ]


async def test_a_note_names_a_schedule_with_the_same_command(call):
    await imports.import_lines(call, lines=read_lines("0 2 * * * /opt/etl\n"))

    (found,) = await imports.preview_import(call, lines=read_lines("0 3 * * * /opt/etl\n"))

    assert (found["name"], found["outcome"]) == ("etl-2", "new")
    assert found["notes"] == ["the schedule etl runs the same command"]


async def test_an_existing_schedule_keeps_its_name(call):
    await verbs.create(call, name="etl", every="1h", argv=["true"])

    found = await imports.import_lines(call, lines=read_lines("0 2 * * * /opt/etl\n"))

    assert get_outcomes(found) == [("etl-2", "created")]


async def test_a_line_that_cannot_be_kept_is_refused_with_a_reason(call):
    found = await imports.import_lines(
        call, lines=read_lines("HOME=\"\"\n@daily /opt/a\nHOME='/'\n@daily /opt/b\n")
    )

    assert get_outcomes(found) == [(None, "refused"), ("b", "created")]
    assert found[0]["reason"] == 'cwd must be a whole path such as /srv/media, not ""'


async def test_one_failure_creates_nothing_at_all(call):
    lines = read_lines("@daily /opt/a\n@daily /opt/b\n")
    lines[1]["definition"]["queue"] = "gpu"

    with pytest.raises(Problem, match=r'line 2: there is no queue "gpu"'):
        await imports.import_lines(call, lines=lines)

    assert await list_names(call) == []


def read_mail_lines(mailto):
    return [{**line, "mailto": mailto} for line in read_lines("@daily /opt/a\n")]


@pytest.fixture
def told(runtime_call, fake_runtime):
    """Return a call beside a runtime with a channel for mail, which is the default."""
    ops = Channel("ops", ("mailto://u@example.org",))
    fake_runtime.channels = NotificationSettings({"ops": ops}, default="ops")
    return runtime_call


@pytest.mark.parametrize(
    ("mailto", "notice"),
    [
        ("u@example.org", {"notify": "ops", "notify_on": "failed"}),
        ("", {"notify_on": "never"}),
        ("v@example.org", {}),
        (None, {}),
    ],
)
async def test_a_schedule_tells_the_channel_of_the_mail(told, mailto, notice):
    (found,) = await imports.import_lines(told, lines=read_mail_lines(mailto))

    task = (await verbs.show(told, name="a"))["task"]
    assert {key: task[key] for key in task.keys() & {"notify", "notify_on", "tags"}} == notice
    assert found["channel"] == notice.get("notify")


async def test_an_earlier_import_learns_how_to_tell_a_channel(told):
    await imports.import_lines(told, lines=read_mail_lines("v@example.org"))

    (found,) = await imports.preview_import(told, lines=read_mail_lines("u@example.org"))

    command = "taskdeck schedule set a --notify ops --notify-on failed"
    assert found["notes"] == [f"tells nobody: {command}"]


async def test_two_imports_at_once_create_each_schedule_once(call):
    lines = read_lines("@daily /opt/a\n@daily /opt/b\n")

    found = await asyncio.gather(*(imports.import_lines(call, lines=lines) for _ in range(2)))

    assert sorted(get_outcomes([*found[0], *found[1]])) == [
        ("a", "created"), ("a", "exists"), ("b", "created"), ("b", "exists"),
    ]  # fmt: skip
    assert await list_names(call) == ["a", "b"]


async def test_many_lines_take_no_more_statements_in_the_writer(call, monkeypatch):
    counts, create_all = [], imports._create_all

    def count(c, *args):
        statements = []
        c.connection.driver_connection.set_trace_callback(statements.append)
        try:
            return create_all(c, *args)
        finally:
            c.connection.driver_connection.set_trace_callback(None)
            counts.append(sum(not text.startswith("INSERT INTO sched") for text in statements))

    monkeypatch.setattr(imports, "_create_all", count)
    for number in (2, 30):
        text = "".join(f"{at} 2 * * * /opt/x {number}\n" for at in range(number))
        await imports.import_lines(call, lines=read_lines(text))

    assert counts[1] <= counts[0] + 30  # each operation is one row
    assert counts[0] < 30


@pytest.mark.parametrize("lines", [[{}], ["x"], [{"line": 1, "name": "a/b", "definition": {}}]])
async def test_wrong_lines_are_refused(call, lines):
    with pytest.raises(Usage, match="line, name and definition"):
        await imports.preview_import(call, lines=lines)


async def test_too_many_lines_are_refused(call):
    with pytest.raises(Usage, match="exceed the limit"):
        await imports.preview_import(call, lines=[{}] * (imports.MAX_LINES + 1))
