"""Submissions: what is stored, what is refused, and that a repeated one is stored once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app.core.ids import make_following_id, make_uuid7
from app.core.scheduling.devices import Device
from app.core.text.sanitize import MASK
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service import gpus
from app.service import operations as log
from app.service.context import Call
from app.service.definitions import queues, templates
from app.service.tasks.inspection import views
from app.service.tasks.submission import batch_dependencies, number_file, submit
from db import host, timestamps
from db.errors import Storage
from db.queries.scheduling import run_history
from tests.service.calls import execute_sql, list_operations, submit_task

PARAMETER_SCHEMA = {
    "type": "object", "required": ["who"], "properties": {"who": {"type": "string"},
    "times": {"type": "integer", "default": 1},
                                                          "api_token": {"type": "string"}},
}  # fmt: skip


async def create_template(call: Call, **more: Any) -> None:
    """Create a template to submit."""
    schema = {"argv": ["echo", "{{ who }}", "{{ times }}"]}
    await templates.create(
        call, name="greet", engine="exec", schema=schema, parameters=PARAMETER_SCHEMA, **more
    )


async def count_tasks(call: Call) -> int:
    return (await execute_sql(call, "SELECT count(*) FROM tasks"))[0][0]


async def show_task(call: Call, number: int) -> dict[str, Any]:
    return await views.show(call, id=number)


async def submit_json_lines(call: Call, *rows: Any, **more: Any) -> dict[str, Any]:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return await submit.submit_lines(call, text=text, **more)


# Storage


async def test_a_task_requests_one_core_and_no_memory_by_default(call: Call):
    row = await show_task(call, (await submit_task(call))["number"])

    asked = {
        name: row[name]
        for name in (
            "cpu",
            "memory",
            "priority",
            "retries",
            "retry_delay",
            "grace",
            "timeout",
            "queue",
        )
    }
    assert asked == {"cpu": 1.0, "memory": 0.0, "priority": 0, "retries": 0, "retry_delay": 1.0,
    "grace": 5.0, "timeout": None,
                     "queue": "default"}  # fmt: skip


async def test_the_highest_number_is_stored_outside_the_database_too(call: Call):
    await submit_task(call)
    assert number_file.read_numbers(call.home).highest == 1
    number_file.skip_numbers(call.home, 41, [2, 41])

    await submit_json_lines(call, *[{"argv": ["true"]}] * 3)
    assert number_file.read_numbers(call.home) == (41, ((2, 41),))
    await execute_sql(call, "UPDATE counters SET value = 41 WHERE name = 'task-number'")
    await submit_json_lines(call, *[{"argv": ["true"]}] * 3)

    assert number_file.read_numbers(call.home) == (44, ((2, 41),))


def test_one_flipped_bit_in_the_number_file_changes_no_number(home: Path):
    number_file.skip_numbers(home, 41, [2, 41])
    file = home / "run" / number_file.FILE_NAME
    whole = file.read_bytes()

    for at, bit in product(range(len(whole)), range(8)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        found = number_file.read_numbers(home)
        assert (
            found.highest in (0, 41)
            and found.passed in ((), ((2, 41),))
            and found != (41, ((2, 41),))
        ), (at, bit)


@pytest.mark.parametrize(
    "garbage",
    [b"9" * 26, b"", b"\xff\n" * 40, b"0000000000000000041\n"],
    ids=["nines", "empty", "bytes", "no sum"],
)
async def test_garbage_in_the_number_file_is_replaced(call: Call, garbage: bytes):
    (call.home / "run" / number_file.FILE_NAME).write_bytes(garbage)
    assert number_file.read_numbers(call.home) == (0, ())

    await submit_task(call)

    assert number_file.read_numbers(call.home) == (1, ())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
async def test_a_non_file_in_place_of_the_number_file_is_ignored(
    call: Call, make: Callable[[Path], None]
):
    make(call.home / "run" / number_file.FILE_NAME)

    assert number_file.read_numbers(call.home) == (0, ())
    assert (await submit_task(call))["number"] == 1


def test_a_restore_names_a_folder_in_place_of_the_number_file(home: Path):
    (home / "run" / number_file.FILE_NAME).mkdir()

    with pytest.raises(
        Storage,
        match=(
            f"^{home}/run/numbers is a folder where Taskdeck needs a file. Nothing was restored."
            " Move it away"
        ),
    ):
        number_file.skip_numbers(home, 41, [])


async def test_the_answer_gives_the_queue_position(call: Call):
    first, second = await submit_task(call), await submit_task(call)

    assert (first["position"], first["total"], first["status"]) == (0, 1, "queued")
    assert (second["number"], second["position"], second["total"]) == (first["number"] + 1, 1, 2)


async def test_the_answer_explains_the_wait_on_request(call: Call, worker):
    await queues.queue_pause(call, name="default")
    await queues.queue_create(call, name="shut", capacity=0)

    async def short(**spec: Any) -> str:
        (row,) = await submit.submit(call, tasks=[{"argv": ["true"], **spec}], env={}, explain=True)
        return row["short"]

    assert (await short()).startswith("queue default is paused by ann since ")
    assert "queue shut has capacity 0" in await short(queue="shut")
    assert await short(hold=True) == "held by ann"
    await worker.run((await submit_task(call, name="parent"))["number"], 1)
    assert re.fullmatch("parent #[0-9]+ failed", await short(after=["parent"]))


@pytest.mark.parametrize(
    ("word", "more", "said"),
    [
        ("here", {}, None),
        ("./here", {}, "there is no program ./here from {tmp} so far."),
        ("./here", {"cwd": "bin"}, None),
        ("bin/text", {}, "bin/text from {tmp} is no executable file so far."),
        ("gone", {}, "there is no program gone so far."),
        ("here", {"env": {"PATH": "/gone"}}, "there is no program here so far."),
        ("gone", {"queue": "big"}, None),
        ("{number}", {}, None),
    ],
)
async def test_a_missing_program_is_noted_for_a_person(
    call: Call, tmp_path: Path, word: str, more: dict[str, Any], said: str | None
):
    (tmp_path / "bin").mkdir()
    for name, mode in (("here", 0o755), ("text", 0o644)):
        (tmp_path / "bin" / name).touch(mode)
    await queues.pool_create(call, name="big", kind="slurm")
    await queues.queue_create(call, name="big", pool="big")
    notes: list[str] = []
    call = replace(call, note=notes.append)
    where = {"cwd": str(tmp_path), "env": {"PATH": f"{tmp_path}/bin"}}

    for explain in (False, True):
        await submit.submit(call, tasks=[{"argv": [word], **more}], **where, explain=explain)

    assert notes == ([said.format(tmp=tmp_path)] if said else [])


async def test_past_runs_are_not_read_for_each_submitted_task(
    call: Call, worker, monkeypatch: pytest.MonkeyPatch
):
    """Read hundreds of runs to predict an end at most once for many submitted tasks."""
    await submit_task(call, name="runs")
    await worker.start(1)
    read: list[Any] = []
    name = "list_recent_seconds"
    lately = run_history.list_recent_seconds
    monkeypatch.setattr(run_history, name, lambda c: (read.append(c), lately(c))[1])

    for _ in range(9):
        await submit.submit(call, tasks=[{"argv": ["true"]}], env={}, explain=True)

    assert 1 <= len(read) < 9


async def test_a_submission_while_nothing_starts_is_noted(
    runtime_call: Call, fake_runtime: Any, caller_notes: list[str]
):
    await submit_task(runtime_call)
    assert caller_notes == []

    fake_runtime.halted = "the runtime is draining"
    (row,) = await submit.submit(runtime_call, tasks=[{"argv": ["true"]}], env={}, explain=True)
    assert row["short"] == ""
    await submit_json_lines(runtime_call, {"argv": ["true"]})
    assert (
        caller_notes
        == ["nothing starts: the runtime is draining. To resume: taskdeck serve --detach"] * 2
    )

    fake_runtime.halted = "disk full since 10:31"
    await submit_task(runtime_call)
    assert caller_notes[2:] == ["nothing starts: disk full since 10:31"]


async def test_amounts_accept_human_units(call: Call):
    done = await submit_task(
        call,
        timeout="1h30m",
        memory="0.5G",
        cpu="0.5",
        priority="7",
        retries="2",
        retry_delay="5m",
        grace=2,
    )

    row = await show_task(call, done["number"])

    assert [row[name] for name in ("timeout", "memory", "cpu", "priority", "retries", "retry_delay",
    "grace")] == [
        5400.0, 512.0, 0.5, 7, 2, 300.0, 2.0,
    ]  # fmt: skip


async def test_working_directory_and_umask_are_kept(call: Call):
    (done,) = await submit.submit(
        call,
        tasks=[{"argv": ["ls"], "cwd": "sub"}],
        cwd="/srv/media",
        umask=0o027,
        env={"A": "1", "B": "2"},
    )

    row = await show_task(call, done["number"])

    assert (row["cwd"], row["umask"], row["env_names"], row["submitted_by"]) == (
        "/srv/media/sub",
        0o027,
        2,
        "ann",
    )


async def test_tasks_share_one_stored_environment(call: Call):
    for env in ({"A": "1"}, {"A": "1"}, {"A": "2"}):
        await submit.submit(call, tasks=[{"argv": ["true"]}], env=env)

    assert (await execute_sql(call, "SELECT count(*) FROM environments"))[0][0] == 2


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (
            {"argv": ["/usr/bin/ffmpeg", "-i", "in/a.mkv", "-crf", "20", "out/a.mp4"]},
            "ffmpeg a.mp4",
        ),
        ({"argv": ["lame", "b c.wav"]}, "lame b c.wav"),
        ({"argv": ["make", "all"]}, "make all"),
        ({"argv": ["sh", "-c", "sleep 3; echo $x"]}, "sh"),
        ({"argv": ["sha256sum", "-b", "photos/"]}, "sha256sum photos"),
        ({"script": "  sort a | uniq\nwc -l\n"}, "sort a | uniq"),
        ({"script": "sort /etc/passwd | uniq | head -3"}, "sort passwd | uniq | head -3"),
        (
            {"script": "./train.sh  --out=/srv/x/ ~/in/a.csv >/dev/null 2>&1"},
            "train.sh --out=x a.csv >null 2>&1",
        ),
        (
            {"script": '"$HOME/bin/get" https://example.org/d/a.tgz -v /srv/a:/b'},
            '"get" a.tgz -v a:b',
        ),
        ({"script": "ls / && sed 's/a/b/' a/b"}, "ls && sed 's a b ' b"),
        ({"script": "/" * 5000}, "task"),
        ({"argv": ["./.hidden"]}, "hidden"),
        ({"argv": ["x", "a\x1b]52;c;AAAA\x07.txt"]}, "x"),
        ({"script": "x\x1b]52;c;AAAA\x07"}, "x␛]52;c;AAAA␇"),
        ({"argv": ["/"]}, "task"),
    ],
)
async def test_an_unnamed_task_is_named_after_program_and_last_path(
    call: Call, spec: dict[str, Any], name: str
):
    assert (await submit_task(call, **spec))["name"] == name


async def test_a_template_provides_parameters_name_and_defaults(call: Call):
    await queues.queue_create(call, name="media", capacity=1)
    await create_template(call, queue="media", cpu="0.5", memory="10M", timeout="5m", retries=2)

    done = await submit_task(call, template="greet", parameters={"who": "you"})

    row = await show_task(call, done["number"])
    assert row["launch"]["argv"] == ["echo", "you", "1"]
    assert (row["name"], row["type"], row["parameters"]) == (
        "greet",
        "exec",
        {"who": "you", "times": 1},
    )
    assert (row["queue"], row["cpu"], row["memory"], row["timeout"], row["retries"]) == (
        "media",
        0.5,
        10.0,
        300.0,
        2,
    )


async def test_the_submission_overrides_the_defaults_of_the_template(call: Call):
    await create_template(call, cpu="0.5", retries=2, timeout="5m")

    done = await submit_task(
        call, template="greet", parameters={"who": "x"}, cpu=0, retries=0, timeout="1h"
    )

    row = await show_task(call, done["number"])
    assert (row["cpu"], row["retries"], row["timeout"]) == (0.0, 0, 3600.0)


async def test_parameter_text_is_converted_to_the_schema_type(call: Call):
    await create_template(call)

    done = await submit_task(call, template="greet", parameter_texts=[["who", "7"], ["times", "3"]])

    assert (await show_task(call, done["number"]))["parameters"] == {"who": "7", "times": 3}


async def test_secret_parameters_are_masked_everywhere(call: Call):
    await templates.create(
        call,
        name="push",
        engine="exec",
        schema={"argv": ["push", "--key={{ api_token }}"]},
        parameters=PARAMETER_SCHEMA,
    )
    spec = {"template": "push", "parameters": {"who": "x", "api_token": "hunter2"}}
    (done,) = await submit.submit(call, tasks=[spec], env={"DB_PASSWORD": "hunter2"})

    seen = [
        await views.show(call, id=done["number"]), await views.ls(call),
        await views.find_logs(call, id=done["number"]),
        await views.explain(call, ids=[done["number"]]), await log.ls(call),
        await submit.submit(call, tasks=[spec], dry_run=True),
    ]  # fmt: skip

    assert "hunter2" not in json.dumps(seen)
    assert seen[0]["launch"]["argv"] == ["push", f"--key={MASK}"]


async def test_parameters_declared_secret_are_masked_like_secret_names(call: Call):
    properties = {
        "pin": {"type": "string", "writeOnly": True},
        "word": {"type": "string", "format": "password"},
    }
    schema = {"argv": ["open", "--pin={{ pin }}", "{{ word }}"]}
    await templates.create(
        call,
        name="door",
        engine="exec",
        schema=schema,
        parameters={"type": "object", "properties": properties},
    )
    spec = {"template": "door", "parameters": {"pin": "pp9sekret", "word": "sesame7"}}
    (done,) = await submit.submit(call, tasks=[spec], env={})

    seen = [await views.show(call, id=done["number"]), await views.ls(call), await log.ls(call),
            await submit.submit(call, tasks=[spec], dry_run=True)]  # fmt: skip

    assert "pp9sekret" not in json.dumps(seen) and "sesame7" not in json.dumps(seen)
    assert seen[0]["parameters"] == {"pin": MASK, "word": MASK} and seen[0]["launch"] == {
        "argv": ["open", f"--pin={MASK}", MASK]
    }
    ((stored,),) = await execute_sql(call, "SELECT launch FROM tasks")
    assert json.loads(stored)["argv"] == ["open", "--pin=pp9sekret", "sesame7"]


async def test_a_short_secret_masks_no_letters_of_other_words(call: Call):
    properties = {name: {"type": "string"} for name in ("token", "who")}
    parameters = {"properties": properties | {"door": {"type": "object"}}}
    for engine, schema in (
        ("exec", {"argv": ["cat", "-a{{ token }}a", "{{ who }}", "{{ door }}"]}),
        ("shell", {"script": "cat a"}),
    ):
        await templates.create(
            call, name=engine, engine=engine, schema=schema, parameters=parameters
        )
    given = {"token": "a", "who": "a", "door": {"password": "a", "at": "a"}}

    shown = [
        (
            await show_task(
                call, (await submit_task(call, template=name, parameters=given))["number"]
            )
        )
        for name in ("exec", "shell")
    ]

    assert shown[0]["launch"]["argv"] == [
        "cat", f"-a{MASK}a", "a", f'{{"password": "{MASK}", "at": "a"}}',
    ]  # fmt: skip
    assert shown[1]["launch"]["argv"] == ["/bin/sh", "-c", "cat a"]
    ((stored,), _) = await execute_sql(call, "SELECT launch FROM tasks ORDER BY number")
    assert json.loads(stored)["argv"][1] == "-aaa"


def test_short_secrets_in_earlier_commands_are_masked_as_whole_words_only():
    launch = {"argv": ["cat", "--token=a", "a", "password1"]}

    shown = views.mask_task({"token": "a", "password": "word"}, launch)["launch"]

    assert shown["argv"] == ["cat", f"--token={MASK}", MASK, f"pass{MASK}1"]


async def test_a_value_declared_plain_is_shown_whatever_its_name(call: Call):
    properties = {
        "token": {"type": "string", "writeOnly": False},
        "max_tokens": {"type": "integer"},
    }
    await templates.create(
        call,
        name="llm",
        engine="exec",
        schema={"argv": ["llm", "{{ token }}", "{{ max_tokens }}"]},
        parameters={"type": "object", "properties": properties},
    )
    given = {"token": "eos", "max_tokens": 200}

    done = await submit_task(call, template="llm", parameters=given)

    row = await show_task(call, done["number"])
    assert row["parameters"] == given and row["launch"]["argv"] == ["llm", "eos", "200"]
    with pytest.raises(Usage, match='max_tokens must be a whole number, not "many"'):
        await submit_task(call, template="llm", parameters=given | {"max_tokens": "many"})


async def test_a_suggested_command_quotes_the_pool_name_for_a_shell(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(2, 1024))
    await queues.pool_create(call, name="big $box", cpu=1, memory="1G")
    await queues.queue_create(call, name="q", pool="big $box")

    with pytest.raises(Refused) as refused:
        await submit_task(call, queue="q", cpu=2)

    assert refused.value.hint.endswith("taskdeck pool set 'big $box' --cpu 2")


async def test_undecodable_bytes_survive(call: Call):
    odd = os.fsdecode(b"caf\xe9.txt")

    done = await submit_task(
        call, argv=["cat", odd], env={"LANG": odd}, cwd=os.fsdecode(b"/srv/\xff")
    )

    row = await show_task(call, done["number"])
    assert (row["launch"]["argv"][1], row["cwd"]) == (odd, os.fsdecode(b"/srv/\xff"))


async def test_a_dry_run_stores_nothing_and_shows_the_result(call: Call):
    (row,) = await submit.submit(
        call, tasks=[{"argv": ["make", "-j4"], "cpu": "1.5"}], cwd="/srv", dry_run=True
    )

    assert (row["name"], row["queue"], row["cpu"], row["cwd"], row["launch"]["argv"]) == (
        "make",
        "default",
        1.5,
        "/srv",
        ["make", "-j4"],
    )
    assert await count_tasks(call) == 0


async def test_a_future_time_makes_it_scheduled_and_hold_makes_it_held(call: Call):
    assert (await submit_task(call, at="2099-01-01T00:00:00Z"))["status"] == "scheduled"
    assert (await submit_task(call, at="2h"))["status"] == "scheduled"
    done = await submit_task(call, hold=True)
    assert (
        done["status"],
        done["position"],
        (await show_task(call, done["number"]))["held_by"],
    ) == ("held", None, "ann")


async def test_one_submission_is_one_operation(call: Call):
    await submit.submit(call, tasks=[{"argv": ["true"]}] * 3)

    assert await list_operations(call) == [("submit", "3 tasks #1–#3")]


# Repeated submissions


async def test_a_repeated_submission_is_one_task_one_number_and_one_operation(call: Call):
    uuid = make_uuid7()
    first = await submit.submit(call, tasks=[{"argv": ["a"]}, {"argv": ["b"]}], uuid=uuid)

    again = await submit.submit(call, tasks=[{"argv": ["a"]}, {"argv": ["b"]}], uuid=uuid)

    assert [row["number"] for row in again] == [row["number"] for row in first]
    assert await count_tasks(call) == 2
    assert await list_operations(call) == [("submit", "2 tasks #1–#2")]
    assert (await submit_task(call))["number"] == 3


async def test_a_repeated_file_is_stored_once(call: Call):
    uuid = make_uuid7()
    rows = [{"argv": ["true"], "name": "a"}, "bad", {"argv": ["true"], "name": "b", "after": ["a"]}]
    first = await submit_json_lines(call, *rows, uuid=uuid, keep_going=True)

    assert await submit_json_lines(call, *rows, uuid=uuid, keep_going=True) == first
    assert await count_tasks(call) == 2
    assert await list_operations(call) == [("submit", "2 tasks #1–#2")]


async def test_a_submission_repeated_after_its_claim_changes_nothing(call: Call, worker):
    uuid = make_uuid7()
    (done,) = await submit.submit(call, tasks=[{"argv": ["a"]}], uuid=uuid)
    await worker.run(done["number"])

    (again,) = await submit.submit(call, tasks=[{"argv": ["a"]}], uuid=uuid)

    assert (again["number"], again["status"]) == (done["number"], "succeeded")


async def test_uuids_of_another_submission_are_refused(call: Call):
    uuid = make_uuid7()
    await submit.submit(call, tasks=[{"argv": ["a"]}], uuid=make_following_id(uuid, 5))

    with pytest.raises(Conflict, match="another submission"):
        await submit.submit(call, tasks=[{"argv": ["a"]}], uuid=uuid)

    assert await count_tasks(call) == 1


# Refusals

HUGE_NUMBER = "9" * 400


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "needs one of argv, script and template"),
        ({"argv": ["a"], "script": "b"}, "not argv and script"),
        ({"argv": []}, "it is empty"),
        ({"argv": [""]}, "it is empty"),
        ({"script": "  \n"}, "script is empty"),
        ({"argv": "ls"}, "argv must be a list"),
        ({"argv": ["a\0b"]}, "must not contain a NUL byte"),
        ({"argv": ["a" * 200_000]}, "must be shorter than 128 KiB"),
        ({"argv": ["a", 5]}, "must be text"),
        ({"argv": ["a"], "prioriti": 1}, 'there is no option "prioriti". Nearest: priority'),
        ({"argv": ["a"], "priority": "high"}, 'priority must be a whole number, not "high"'),
        ({"argv": ["a"], "priority": True}, "priority must be a whole number"),
        ({"argv": ["a"], "priority": 10**12}, "priority must be -1,000,000 to 1,000,000"),
        ({"argv": ["a"], "priority": int(HUGE_NUMBER)}, "priority must be -1,000,000 to 1,000,000"),
        ({"argv": ["a"], "timeout": -1}, "timeout"),
        ({"argv": ["a"], "timeout": float("nan")}, "timeout"),
        ({"argv": ["a"], "timeout": float("inf")}, "timeout"),
        ({"argv": ["a"], "timeout": HUGE_NUMBER}, "timeout"),
        ({"argv": ["a"], "cpu": -0.5}, "cpu"),
        ({"argv": ["a"], "cpu": "NaN"}, "cpu"),
        ({"argv": ["a"], "memory": "1e999"}, "memory"),
        ({"argv": ["a"], "memory": [1]}, "memory must be a number or an amount"),
        ({"argv": ["a"], "retries": -1}, "retries must be"),
        ({"argv": ["a"], "retries": 1.5}, "retries must be a whole number"),
        ({"argv": ["a"], "name": "x\x1b[31m"}, "name"),
        ({"argv": ["a"], "name": "../x"}, "name"),
        ({"argv": ["a"], "name": ".x"}, "name"),
        ({"argv": ["a"], "name": "x" * 201}, "name"),
        ({"argv": ["a"], "name": "a\u202eb"}, "name"),
        ({"argv": ["a"], "name": ""}, "name"),
        ({"argv": ["a"], "at": "yesterday-ish"}, "at"),
        ({"argv": ["a"], "env": {"A=B": "1"}}, "is not a variable name"),
        ({"argv": ["a"], "env": {"": "1"}}, "is not a variable name"),
        ({"argv": ["a"], "env": {"A": "x\0"}}, "NUL"),
        ({"argv": ["a"], "tags": {"": "x"}}, "is not a tag name"),
        ({"argv": ["a"], "hold": "yes"}, "hold must be true or false"),
        ({"argv": ["a"], "parameters": {"x": 1}}, "parameters go with a template"),
        ({"argv": ["a"], "after": "12"}, "after must be a list"),
    ],
)
async def test_an_invalid_value_is_refused_by_name_and_nothing_is_stored(
    call: Call, spec: dict[str, Any], said: str
):
    with pytest.raises(Usage) as told:
        await submit.submit(call, tasks=[{"argv": ["true"]}, spec])

    assert said in str(told.value), str(told.value)
    assert "Nothing was submitted" in str(told.value) or said == "at"
    assert await count_tasks(call) == 0
    assert "\x1b" not in str(told.value) and "\u202e" not in str(told.value)


async def test_an_unknown_template_queue_or_parent_is_refused_with_the_nearest(call: Call):
    await create_template(call)
    for spec, said in (
        (
            {"template": "gret"},
            'there is no template "gret". Nearest: greet. List: taskdeck template ls',
        ),
        (
            {"argv": ["a"], "queue": "defualt"},
            'there is no queue "defualt". Nearest: default. List: taskdeck queue ls',
        ),
        ({"argv": ["a"], "after": ["99"]}, 'there is no task "99"'),
    ):
        with pytest.raises(NotFound) as told:
            await submit.submit(call, tasks=[spec])
        assert said in str(told.value)
    assert await count_tasks(call) == 0


async def test_a_retired_template_takes_no_tasks(call: Call):
    await create_template(call)
    await execute_sql(call, "UPDATE templates SET retired_at = 'now'")

    with pytest.raises(NotFound):
        await submit_task(call, template="greet", parameters={"who": "x"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "greet needs who"),
        ({"who": "x", "times": "three"}, "times"),
        ({"who": "x", "tims": 3}, "tims"),
        ({"who": 5}, "who"),
    ],
)
async def test_a_wrong_parameter_is_named(call: Call, given: dict[str, Any], said: str):
    await create_template(call)

    with pytest.raises(Problem) as told:
        await submit_task(call, template="greet", parameters=given)

    assert said in str(told.value)
    assert told.value.exit_code == 2
    assert await count_tasks(call) == 0


async def test_a_request_beyond_its_pool_is_refused_with_both_figures(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(128, 65536))
    await queues.pool_create(call, name="gpu", cpu=2, memory="32G")
    await queues.queue_create(call, name="gpu", pool="gpu")

    with pytest.raises(Refused) as told:
        await submit_task(call, queue="gpu", memory="40G")

    assert (
        str(told.value)
        == "needs 40.0G memory, but pool gpu has 32.0G in all: it could never start. Nothing was"
        " submitted. Ask for less, or: taskdeck pool set gpu --memory 40.0G"
    )
    with pytest.raises(Refused, match="needs 3 cpu, but pool gpu has 2 in all"):
        await submit_task(call, queue="gpu", cpu=3)
    assert (await submit_task(call, queue="gpu", cpu=2, memory="32G"))["status"] == "queued"
    with pytest.raises(Refused, match='^"b" needs 3 cpu, but pool gpu'):
        tasks = [
            {"argv": ["true"], "queue": "gpu", "name": n, "cpu": c} for n, c in (("a", 1), ("b", 3))
        ]
        await submit.submit(call, tasks=tasks, env={})


async def test_a_mistyped_resource_names_the_nearest_one(call: Call):
    await queues.pool_set(call, name="default", resources={"license.matlab": 2})

    with pytest.raises(Refused) as told:
        await submit_task(call, resources={"license.matlb": 1})
    assert told.value.hint.startswith("Nearest: license.matlab. Ask for less, or:")


@pytest.mark.parametrize(
    ("asked", "has", "fits"),
    [
        ({"memory": "40G"}, "32.0G memory", "--memory 8G"),
        ({"cpu": 3, "memory": "40G"}, "32.0G memory", "--memory 8G --cpu 2"),
        ({"cpu": 5, "memory": "40G"}, "32.0G memory and 4 cpu", "--memory 8G --cpu 2"),
        ({"resources": {"gpu": 5}}, "4 gpu", "--gpu 4"),
        ({"cpu": 5, "resources": {"tape": 1}}, "4 cpu", "--cpu 2 --resource tape=0"),
    ],
)
async def test_a_refusal_never_advises_more_than_the_machine_has(
    call: Call, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], has: str, fits: str
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(4, 32 * 1024))
    await queues.pool_create(call, name="small", cpu=2, memory="8G", resources={"gpu": 4})
    await queues.queue_create(call, name="small", pool="small")

    with pytest.raises(Refused) as refused:
        await submit_task(call, queue="small", **asked)

    assert refused.value.hint == (
        f"The task cannot run on this machine, which has {has} in all. Ask for less: {fits}"
    )


async def test_a_refusal_advises_a_pool_up_to_the_machine(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(4, 32 * 1024))
    devices = tuple(Device(number, str(number), "") for number in range(8))
    monkeypatch.setattr(gpus, "_last", gpus.DeviceLook(0.0, devices))
    await queues.pool_create(call, name="small", cpu=2, memory="8G", resources={"gpu": 4})
    await queues.queue_create(call, name="small", pool="small")

    with pytest.raises(Refused) as refused:
        await submit_task(call, queue="small", cpu=4, resources={"gpu": 8, "tape": 9})

    grow = "--cpu 4 --gpu 8 --resource tape=9"
    assert refused.value.hint == f"Ask for less, or: taskdeck pool set small {grow}"


@pytest.mark.parametrize("dry_run", [False, True])
async def test_all_faults_of_a_task_are_reported_at_once(
    call: Call, monkeypatch: pytest.MonkeyPatch, dry_run: bool
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(128, 65536))
    await queues.pool_create(call, name="gpu", cpu=2, memory="32G")
    await queues.queue_create(call, name="gpu", pool="gpu")
    task = {
        "argv": ["true"],
        "queue": "gpu",
        "cpu": 99,
        "memory": "40G",
        "after": ["98"],
        "after_any": ["gone"],
    }

    with pytest.raises(Refused) as told:
        await submit.submit(call, tasks=[task], dry_run=dry_run)
    with pytest.raises(NotFound) as missing:
        await submit.submit(call, tasks=[task | {"cpu": 1, "memory": 0}], dry_run=dry_run)

    assert (
        str(told.value)
        == "needs 40.0G memory and 99 cpu, but pool gpu has 32.0G and 2 in all: it could never"
        ' start; there is no task "98"; there is no task "gone". Nothing was submitted.'
        " Ask for less, or: taskdeck pool set gpu --memory 40.0G --cpu 99"
    )
    assert (
        missing.value.message
        == 'there is no task "98"; there is no task "gone". Nothing was submitted.'
    )


@pytest.mark.parametrize("tasks", [[], "true", [5], [None], [["true"]]])
async def test_an_empty_or_malformed_task_list_is_refused(call: Call, tasks: Any):
    with pytest.raises(Usage):
        await submit.submit(call, tasks=tasks)

    assert await count_tasks(call) == 0


@pytest.mark.parametrize("uuid", ["garbage", "1", "x" * 36, 5])
async def test_an_invalid_uuid_is_refused(call: Call, uuid: Any):
    with pytest.raises(Usage, match="uuid"):
        await submit.submit(call, tasks=[{"argv": ["a"]}], uuid=uuid)

    assert await count_tasks(call) == 0


# Dependencies


async def test_a_task_of_the_same_batch_is_referred_to_by_name(call: Call):
    done = await submit.submit(
        call, tasks=[{"argv": ["a"], "name": "b", "after": ["a"]}, {"argv": ["a"], "name": "a"}]
    )

    assert [row["status"] for row in done] == ["blocked", "queued"]
    assert [p["number"] for p in (await show_task(call, 1))["parents"]] == [2]


async def test_parents_are_referred_to_by_number_name_and_uuid(call: Call):
    first = await submit_task(call, name="first")

    for reference in (1, "1", "#1", "first", first["uuid"], first["uuid"][:18]):
        done = await submit_task(call, name=f"child {len(str(reference))}", after=[reference])
        assert [p["number"] for p in (await show_task(call, done["number"]))["parents"]] == [1], (
            reference
        )


async def test_digits_mean_a_number_even_if_a_batch_task_has_that_name(call: Call):
    await submit_task(call)

    await submit.submit(call, tasks=[{"argv": ["a"], "name": "1"}, {"argv": ["a"], "after": ["1"]}])

    assert [p["number"] for p in (await show_task(call, 3))["parents"]] == [1]


async def test_a_task_may_wait_for_an_earlier_one_of_its_own_name(call: Call):
    await submit_task(call, name="nightly")

    done = await submit_task(call, name="nightly", after=["nightly"])

    assert [p["number"] for p in (await show_task(call, done["number"]))["parents"]] == [1]


async def test_a_repeated_parent_counts_once(call: Call):
    await submit_task(call, name="first")

    done = await submit_task(call, after=[1, "#1"], after_any=["first"])

    assert len((await show_task(call, done["number"]))["parents"]) == 1


async def test_the_strictest_of_several_waits_for_one_parent_counts(call: Call):
    await submit_task(call, name="first")

    done = await submit_task(call, after_start=[1], after_failure=["first"], after_any=["#1"])

    assert [p["kind"] for p in (await show_task(call, done["number"]))["parents"]] == ["failure"]
    with pytest.raises(Usage, match="both the success and the failure of one task"):
        await submit_task(call, after=[1], after_failure=["first"])


async def test_a_task_may_wait_for_a_group(call: Call):
    await submit.submit(call, tasks=[{"argv": ["a"]}] * 2, group={"name": "pair"})

    after = await submit_task(call, after=["g1"])
    failed = await submit_task(call, after_failure=["g1"], after_start=[after["number"]])

    found = [(await show_task(call, one["number"]))["parents"] for one in (after, failed)]
    assert [[(p["number"], p["kind"]) for p in parents] for parents in found] == [
        [(1, "success"), (2, "success")],
        [(1, "failures"), (2, "failures"), (3, "start")],
    ]
    with pytest.raises(NotFound, match='there is no group "g7"'):
        await submit_task(call, after_any=["g7"])
    with pytest.raises(Usage, match="both the success and the failure"):
        await submit_task(call, after=[1], after_failure=["g1"])


async def test_a_line_may_wait_for_the_failure_and_the_start_of_others(call: Call):
    await submit_json_lines(
        call,
        {"argv": ["a"], "name": "a"},
        {"argv": ["b"], "after_failure": ["a"]},
        {"argv": ["c"], "after_start": ["a"]},
    )

    shown = [await show_task(call, number) for number in (2, 3)]

    assert [(one["status"], one["parents"][0]["kind"]) for one in shown] == [
        ("blocked", "failure"),
        ("blocked", "start"),
    ]


async def test_an_ambiguous_parent_is_refused_with_the_numbers(call: Call):
    for _ in range(2):
        await submit_task(call, name="twin")

    with pytest.raises(Conflict, match="is the name of 2 tasks: #2, #1"):
        await submit_task(call, after=["twin"])


@pytest.mark.parametrize("ring", [1, 2, 3, 2000])
async def test_a_cycle_is_refused_and_nothing_is_stored(call: Call, ring: int):
    tasks = [
        {"argv": ["a"], "name": f"t{at}", "after": [f"t{(at + 1) % ring}"]} for at in range(ring)
    ]

    with pytest.raises(Conflict, match="would wait for .* Nothing was submitted"):
        await submit.submit(call, tasks=tasks)

    assert await count_tasks(call) == 0


async def test_too_many_ways_to_order_tasks_of_one_name_are_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batch_dependencies, "MAX_EDGES", 6)
    twins = [{"argv": ["a"], "name": "twin"}] * 3
    waits = {"argv": ["a"], "after": ["twin"]}

    with pytest.raises(
        Usage, match='in more than 6 ways: "twin" names 3 of these tasks. Nothing was submitted'
    ):
        await submit.submit(call, tasks=[*twins, *[waits] * 3])
    assert await count_tasks(call) == 0
    assert len(await submit.submit(call, tasks=[*twins, *[waits] * 2])) == 5


async def test_a_task_that_waits_for_too_many_others_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batch_dependencies, "MAX_PARENTS", 2)
    twins = [{"argv": ["a"], "name": "twin"}] * 3
    report = {"argv": ["a"], "name": "report", "after": ["twin"]}

    with pytest.raises(
        Usage, match='^"report" would wait for 3 tasks, more than 2. Nothing was submitted'
    ):
        await submit.submit(call, tasks=[*twins, report])
    assert await count_tasks(call) == 0
    assert len(await submit.submit(call, tasks=[*twins[:2], report])) == 3


# JSON lines


async def test_lines_are_stored_in_their_order(call: Call):
    done = await submit_json_lines(
        call, {"argv": ["a"], "name": "one"}, "", "  \t", {"script": "true", "name": "two"}
    )

    assert done == {"numbers": [1, 2], "refused": []}
    assert [(await show_task(call, number))["name"] for number in (1, 2)] == ["one", "two"]


async def test_a_bad_line_refuses_the_whole_input_by_its_number(call: Call):
    good = {"argv": ["true"]}

    with pytest.raises(Usage) as told:
        await submit_json_lines(call, good, good, {**good, "priority": "high"}, good)

    assert (
        str(told.value)
        == 'line 3: priority must be a whole number, not "high". None of the 4 lines was stored;'
        " --keep-going stores the good lines."
    )
    assert await count_tasks(call) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be one JSON object"),
        ("5", "must be one JSON object"),
        ('{"argv": ["a"]} {}', "is not valid JSON"),
        ('{"argv": ["a"], "argv": ["b"]}', '"argv" appears twice'),
        ('{"argv": ["a"], "env": {"A": "1", "A": "2"}}', '"A" appears twice'),
        ("[" * 5000, "line 1"),
        ('{"argv": ["a"], "queue": "nope"}', 'there is no queue "nope"'),
        (os.fsdecode(b'{"argv": ["\xff"]}'), "is not UTF-8"),
        ('{"argv": ["a"], "priority": ' + "9" * 5000 + "}", "line 1"),
        ('{"argv": ["a"], "timeout": NaN}', "line 1"),
    ],
)
async def test_a_faulty_line_is_reported_with_its_number(call: Call, line: str, said: str):
    with pytest.raises(Problem) as told:
        await submit_json_lines(call, line, {"argv": ["true"]})

    assert str(told.value).startswith("line 1: ") and said in str(told.value)
    assert await count_tasks(call) == 0


async def test_keep_going_stores_good_lines_and_lists_bad_ones(call: Call):
    done = await submit_json_lines(
        call,
        {"argv": ["a"]},
        "{",
        {"argv": ["b"], "queue": "nope"},
        {"argv": ["c"]},
        keep_going=True,
    )

    assert done["numbers"] == [1, 2]
    assert [row["line"] for row in done["refused"]] == [2, 3]
    assert done["refused"][1]["message"].startswith('there is no queue "nope".')


async def test_lines_with_unknown_parents_are_bad_and_so_are_their_children(call: Call):
    rows = (
        {"argv": ["a"]},
        {"argv": ["b"], "name": "b", "after": ["999"]},
        {"argv": ["c"], "after": ["b"]},
        {"argv": ["d"], "name": "d", "after": ["1"]},
        {"argv": ["e"], "after_any": ["d"]},
    )
    await submit_task(call)
    with pytest.raises(NotFound) as caught:
        await submit_json_lines(call, *rows)
    none = "None of the 5 lines was stored; --keep-going stores the good lines."
    assert caught.value.message == f'line 2: there is no task "999". List: taskdeck ls. {none}'

    uuid = make_uuid7()
    done = await submit_json_lines(call, *rows, uuid=uuid, keep_going=True)
    assert (done["numbers"], [(row["line"], row["message"][:24]) for row in done["refused"]]) == (
        [2, 3, 4], [(2, 'there is no task "999". '), (3, 'there is no task "b". Li')],
    )  # fmt: skip
    assert await submit_json_lines(call, *rows, uuid=uuid, keep_going=True) == done


async def test_lines_of_a_cycle_are_reported_and_left_out(call: Call):
    rows = (
        {"argv": ["a"]},
        {"argv": ["b"], "name": "b", "after": ["c"]},
        {"argv": ["c"], "name": "c", "after_any": ["b"]},
        {"argv": ["d"], "name": "d", "after": ["c"]},
        {"argv": ["e"], "after": ["999"]},
        {"argv": ["f"], "name": "f", "after": ["f"]},
        {"argv": ["g"], "after": ["h"]},
        {"argv": ["h"], "name": "h"},
    )
    with pytest.raises(Conflict) as caught:
        await submit_json_lines(call, *rows[:4])
    ring = '"b" (line 2) would wait for "c" (line 3) would wait for "b" (line 2): a cycle.'
    assert (
        caught.value.message
        == f"line 2: {ring} None of the 4 lines was stored; --keep-going stores the good lines."
    )

    done = await submit_json_lines(call, *rows, keep_going=True)

    assert (done["numbers"], [(row["line"], row["message"]) for row in done["refused"]]) == ([1, 2,
    3], [
        (2, ring), (3, ring), (4, 'there is no task "c". List: taskdeck ls'),
        (5, 'there is no task "999". List: taskdeck ls'),
        (6, '"f" (line 6) would wait for "f" (line 6): a cycle.'),
    ])  # fmt: skip
    assert [parent["number"] for parent in (await show_task(call, 2))["parents"]] == [3]


def test_each_cycle_is_found_once_and_acyclic_tasks_have_none():
    waits = {
        0: [1, 2],
        1: [0],
        2: [3],
        3: [2, 4],
        4: [5, 0],
        5: [],
        6: [6, 5],
        7: [0, 5],
        8: [7, 9],
        9: [3, 8],
    }
    found = {
        at: [batch_dependencies.DependencyEdge(at, parent, "success") for parent in parents]
        for at, parents in waits.items()
    }

    rings = batch_dependencies.find_cycles(found, ())

    lost = [at for ring in rings for at in ring]
    assert len(lost) == len({*lost}) and batch_dependencies.find_cycles(found, lost) == []
    assert [6] in rings and all(
        ring[at + 1 - len(ring)] in waits[one] for ring in rings for at, one in enumerate(ring)
    )


async def test_repeated_lines_get_the_same_answer_although_parents_changed(call: Call):
    await submit_task(call, name="nightly")
    own, uuid = ({"argv": ["a"], "name": "nightly", "after": ["nightly"]},), make_uuid7()
    first = await submit_json_lines(call, *own, uuid=uuid)
    assert await submit_json_lines(call, *own, uuid=uuid) == first

    at = (await submit_task(call))["number"]
    rows, uuid = (
        ({"argv": ["a"]}, {"argv": ["b"], "after": [str(at + 1)]}, {"argv": ["c"]}),
        make_uuid7(),
    )
    first = await submit_json_lines(call, *rows, uuid=uuid, keep_going=True)
    assert first["numbers"] == [at + 1, at + 2] and len(first["refused"]) == 1
    assert (await submit_json_lines(call, *rows, uuid=uuid, keep_going=True))["numbers"] == first[
        "numbers"
    ]


async def test_a_long_chain_without_its_first_line_is_refused_in_one_pass(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    looked: list[object] = []
    usual = submit.lookup.find_all
    monkeypatch.setattr(
        submit.lookup, "find_all", lambda c, ident: looked.append(ident) or usual(c, ident)
    )
    chain = [
        {"argv": ["x"], "name": f"t{n}", "after": ["gone" if not n else f"t{n - 1}"]}
        for n in range(300)
    ]

    done = await submit_json_lines(call, {"argv": ["a"]}, *chain, keep_going=True)

    assert (done["numbers"], len(done["refused"]), len(looked)) == ([1], 300, 300)


async def test_a_refusal_lists_only_some_of_many_faults(call: Call):
    with pytest.raises(NotFound) as caught:
        await submit_task(call, after=[str(n) for n in range(1000, 1020)])
    assert (
        caught.value.message.count("no task") == 10
        and "; and 10 more like these. Nothing was submitted." in caught.value.message
    )


@pytest.mark.parametrize("keep_going", [False, True])
async def test_input_without_a_task_is_refused(call: Call, keep_going: bool):
    with pytest.raises(Usage, match="no task to submit|line 1"):
        await submit_json_lines(call, "" if not keep_going else "{", keep_going=keep_going)


async def test_lines_may_wait_for_lines_before_and_after_them(call: Call):
    done = await submit_json_lines(
        call,
        {"argv": ["x"], "name": "z", "after": ["a"]},
        {"argv": ["x"], "name": "a"},
        {"argv": ["x"], "after": ["z"]},
    )

    statuses = [(await show_task(call, number))["status"] for number in done["numbers"]]
    assert statuses == ["blocked", "queued", "blocked"]


async def test_ten_thousand_lines_are_one_transaction_and_one_operation(call: Call):
    done = await submit_json_lines(call, *[{"argv": ["true"]}] * 10_000)

    assert done["numbers"] == list(range(1, 10_001))
    assert await list_operations(call) == [("submit", "10000 tasks #1–#10000")]


async def test_the_position_of_a_new_task_follows_its_priority(call: Call):
    await queues.queue_create(call, name="q", capacity=1)
    await queues.queue_pause(call, name="q")

    places = [
        (await submit_task(call, queue="q", priority=priority))["position"]
        for priority in (0, 5, 0, 9, 5, -1)
    ]

    assert places == [0, 0, 2, 0, 2, 5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "start time is 2d in the past: starting now."),
        ({"hold": True}, "start time is 2d in the past: it is ignored."),
        ({"at": "0s"}, None),
        ({"at": "2h"}, None),
        ({}, None),
    ],
)
async def test_a_start_time_in_the_past_is_noted_and_accepted(
    runtime_call: Call, caller_notes: list[str], given: dict[str, Any], said: str | None
):
    past = (timestamps.utcnow() - timedelta(days=2, minutes=1)).isoformat()

    stored = await submit_task(runtime_call, **given, **({"at": past} if said else {}))

    assert caller_notes == ([said] if said else [])
    assert stored["status"] == (
        "held" if given.get("hold") else "scheduled" if given.get("at") == "2h" else "queued"
    )


async def test_past_start_times_of_many_tasks_are_counted_in_one_note(
    runtime_call: Call, caller_notes: list[str]
):
    await submit_json_lines(
        runtime_call,
        {"argv": ["true"], "at": "2020-01-31T08:00"},
        {"argv": ["true"], "at": "2h"},
        {"argv": ["true"]},
    )

    assert caller_notes == ["the start time of 1 of these tasks is past: they do not wait for it."]


async def test_a_dry_run_checks_every_line_and_stores_none(call: Call):
    good = ['{"argv": ["true"], "name": "a"}', '{"argv": ["true"], "after": ["a"]}']
    text = "\n".join([*good, '{"argv": ["true"], "after": ["7"]}', '{"argv": []}'])

    found = await submit.submit_lines(call, text=text, dry_run=True)

    assert (found["valid"], [row["line"] for row in found["refused"]]) == (2, [3, 4])
    assert await execute_sql(call, "SELECT 1 FROM tasks") == []
    assert not any(path.is_file() for path in (call.home / "run").rglob("*"))


async def test_an_unknown_number_in_a_line_tells_how_lines_are_named(call: Call):
    with pytest.raises(NotFound, match='line 1: there is no task "7"') as caught:
        await submit.submit_lines(call, text='{"argv": ["true"], "after": ["7"]}')
    assert "Another line is named by its name" in caught.value.hint
