"""Large submissions: all or nothing at each step, while others write."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from app.core.ids import make_uuid7
from app.errors import Conflict, Problem, Usage
from app.service import board
from app.service.context import Call
from app.service.definitions import queues
from app.service.scheduling import dispatch_view
from app.service.tasks import lookup
from app.service.tasks.changes import actions, apply
from app.service.tasks.inspection import views
from app.service.tasks.submission import bulk, number_file, submit
from db.errors import DiskFull
from db.queries import counters
from db.queries.tasks import packed_task, task_numbers
from tests.service.calls import count_other_writes, execute_sql, list_operations, submit_task

MANY = submit.SMALL_BATCH + 51


def make_text(count: int = MANY, **more: Any) -> str:
    return (json.dumps({"argv": ["true"], **more}) + "\n") * count


def list_files(call: Call) -> list[str]:
    folder = call.home / "run" / "submissions"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


async def count_tasks(call: Call) -> int:
    return (await execute_sql(call, "SELECT count(*) FROM tasks"))[0][0]


async def stage(call: Call, text: str, uuid: str) -> submit.Staging:
    """Stage a text as the first step of a submission does."""
    lines = iter(list(enumerate(text.splitlines(), 1)))
    staging = submit.Staging(call, lines, submit.Origin("ann", "/", 0o22, {}), uuid)
    await asyncio.to_thread(staging.run)
    return staging


async def test_a_large_submission_is_one_operation_with_consecutive_numbers(call: Call):
    found = await submit.submit_lines(call, text=make_text(name="t"), env={"A": "b"})

    assert found["numbers"] == [*range(1, MANY + 1)] and found["spans"] == [[0, 1, MANY]]
    assert await list_operations(call) == [("submit", f"{MANY} tasks #1–#{MANY}")]
    assert await execute_sql(
        call, "SELECT count(*), count(DISTINCT task_id), min(note) FROM events"
    ) == [(MANY, MANY, "submitted")]
    assert (await execute_sql(call, "SELECT variables FROM environments"))[0][0] == '{"A": "b"}'
    assert list_files(call) == []


async def test_large_writes_are_announced_until_they_end(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    announced: list[bool] = []
    write = call.db.write_quietly

    async def write_and_note(fn: Any, *args: Any) -> Any:
        announced.append(call.db.has_large_write)
        return await write(fn, *args)

    monkeypatch.setattr(call.db, "write_quietly", write_and_note)
    monkeypatch.setattr(apply, "STEP_SECONDS", 0.0)
    await submit.submit_lines(call, text=make_text())
    stored = len(announced)
    await actions.cancel(call, select={"queue": "default"})
    with pytest.raises(Usage):
        await submit.submit_lines(call, text=make_text() + "no JSON")

    assert stored and len(announced) > stored and all(announced)
    assert not call.db.has_large_write


async def test_lines_in_a_file_of_the_home_are_stored(call: Call):
    uuid = make_uuid7()
    (call.home / "run" / "submissions").mkdir()
    file = call.home / "run" / "submissions" / f"{uuid}.lines"
    file.write_text("\n" + make_text())

    found = await submit.submit_lines(call, file=uuid, uuid=uuid)

    assert found == {"spans": [[0, 1, MANY]], "refused": []}
    for wrong in ("../../etc/passwd", make_uuid7(), None):
        with pytest.raises(Usage, match=r"name of a file|cannot be read"):
            await submit.submit_lines(call, file=wrong)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ('{"argv": [1]}', f"line {MANY + 1}: .*None of the {MANY + 2} lines was stored"),
        ('{"argv": ["a"], "after": ["gone"]}', f'line {MANY + 1}: there is no task "gone"'),
        ('{"argv": ["a"], "name": "x", "after": ["x"]}', "a cycle"),
    ],
)
async def test_a_late_invalid_line_refuses_all(call: Call, last: str, said: str):
    with pytest.raises(Problem, match=said):
        await submit.submit_lines(call, text=f"{make_text()}{last}\n{make_text(1)}")

    assert await count_tasks(call) == 0 and list_files(call) == []
    assert (await submit_task(call))["number"] == 1


async def test_keep_going_drops_lines_with_unknown_parents_from_a_large_file(call: Call):
    bad = '{"argv": ["a"], "after": ["gone"], "name": "b"}\n{"argv": ["a"], "after": ["b"]}\nx\n'
    uuid = make_uuid7()

    found = await submit.submit_lines(
        call, text=make_text(1) + bad + make_text(), uuid=uuid, keep_going=True
    )

    assert [row["line"] for row in found["refused"]] == [2, 3, 4]
    assert found["spans"] == [[0, 1, 1], [3, 2, MANY]]
    assert (await submit.submit_lines(
        call, text=make_text(1) + bad + make_text(), uuid=uuid, keep_going=True
    ))["numbers"] == found["numbers"]  # fmt: skip


async def test_tasks_of_a_large_submission_wait_for_later_lines(call: Call):
    rows = [{"argv": ["a"], "name": f"t{n}", "after": [f"t{n + 1}"]} for n in range(MANY)]
    text = "\n".join(map(json.dumps, [*rows, {"argv": ["b"], "name": f"t{MANY}"}]))

    found = await submit.submit_lines(call, text=text)

    first = await views.show(call, id=found["numbers"][0])
    assert (first["name"], first["status"]) == ("t0", "blocked")
    assert [parent["name"] for parent in first["parents"]] == ["t1"]
    assert await execute_sql(call, "SELECT count(*) FROM tasks WHERE status = 'queued'") == [(1,)]


async def test_staged_tasks_are_not_seen_and_a_lost_caller_removes_them(call: Call):
    staging = await stage(call, make_text(), make_uuid7())
    assert await count_tasks(call) == 0 and len(list_files(call)) == 1

    await bulk.finish_interrupted(call.db, call.home)
    assert len(list_files(call)) == 1, "somebody works on it"
    staging.file.close()
    await bulk.finish_interrupted(call.db, call.home)

    assert list_files(call) == [] and await count_tasks(call) == 0


async def test_a_cancelled_call_stores_nothing(call: Call):
    reached, go_on = threading.Event(), threading.Event()

    def make_lines() -> Iterator[tuple[int, str]]:
        for n, line in enumerate(make_text(1000).splitlines(), 1):
            if n == 500:
                reached.set()
                go_on.wait()
            yield n, line

    origin = submit.Origin("ann", "/", 0o22, {})
    task = asyncio.create_task(submit._store_staged(call, make_lines(), origin, make_uuid7()))
    await asyncio.to_thread(reached.wait)
    task.cancel()
    await asyncio.wait([task])
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("taskdeck-submit"):
            await asyncio.to_thread(thread.join)

    assert list_files(call) == [] and await count_tasks(call) == 0


async def test_a_queue_that_goes_while_lines_are_read_refuses_all(call: Call):
    await queues.queue_create(call, name="night")
    staging = await stage(call, make_text(queue="night"), make_uuid7())
    await queues.queue_rm(call, name="night")

    with pytest.raises(Problem, match="night"):
        await call.db.write(staging.publish)
    staging.close()

    assert list_files(call) == [] and await count_tasks(call) == 0


async def test_definitions_stay_while_a_submission_is_being_stored(call: Call):
    await queues.queue_create(call, name="night")
    staging = await stage(call, make_text(queue="night"), make_uuid7())
    await call.db.write(staging.publish)

    with pytest.raises(Conflict, match="is being stored"):
        await queues.queue_rm(call, name="night")
    staging.file.close()


async def test_a_large_file_is_synced_in_parts(call: Call, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    monkeypatch.setattr(bulk.os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
    monkeypatch.setattr(bulk, "SYNC_BYTES", 30_000)

    await submit.submit_lines(call, text=make_text(count=bulk.PART * 9))

    sizes = [0, *synced]
    assert len(synced) > 2
    assert all(late - early < 60_000 for early, late in pairwise(sizes))


async def test_nothing_starts_before_all_tasks_of_a_submission_are_stored(
    runtime_call: Call, monkeypatch: pytest.MonkeyPatch
):
    call = runtime_call
    monkeypatch.setattr(bulk, "STEP_SECONDS", 0.0)
    await queues.queue_set(call, name="default", capacity=1000)
    await submit_task(call)
    staging = await stage(call, make_text(), make_uuid7())
    await call.db.write(staging.publish)
    await call.db.write(bulk._store_some, staging.file.path)
    behind = (await submit_task(call))["number"]

    assert await list_starts(call) == [1]
    for number in (2, behind):
        (why,) = await views.explain(call, ids=[number])
        assert why["reasons"][0]["short"] == f"bulk submission of {MANY} is being stored"
        assert why["cures"] == [] and why["expected_in"] is None
    assert (await board.show_status(call))["storing"] == MANY

    await bulk.store_published(call.db, staging.file.path)
    staging.file.close()

    assert len(await list_starts(call)) > 1
    assert (await board.show_status(call))["storing"] == 0


async def list_starts(call: Call) -> list[int]:
    """Return the numbers of the tasks that the dispatcher would start now, in a large pool."""
    await queues.pool_set(call, name="default", cpu=1000)
    _, starts = await call.db.read(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


async def test_others_get_numbers_while_a_large_submission_is_stored(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bulk, "STEP_SECONDS", 0.0)
    staging = await stage(call, make_text(), make_uuid7())
    await call.db.write(staging.publish)
    await call.db.write(bulk._store_some, staging.file.path)
    own = (await submit_task(call))["number"]
    await bulk.store_published(call.db, staging.file.path)

    staging.file.close()
    staging.is_complete = True

    assert own == bulk.PART + 1
    assert await submit._read_spans(call, staging) == [
        [0, 1, bulk.PART],
        [bulk.PART, own + 1, MANY - bulk.PART],
    ]
    assert await execute_sql(
        call, "SELECT count(*) FROM tasks WHERE number = rowid AND status = 'queued'"
    ) == [(MANY + 1,)]


async def test_a_counter_without_its_file_is_removed(call: Call):
    name = f"{task_numbers.SUBMISSIONS}{make_uuid7()}-00-9.rows"
    await call.db.write(counters.set_value, name, 7)

    await bulk.finish_interrupted(call.db, call.home)

    assert await call.db.read(counters.read_value, name) is None


async def test_only_regular_files_are_opened(call: Call, tmp_path: Path):
    """Opening a FIFO would wait for a writer, with the whole runtime."""
    folder, name = call.home / "run" / "submissions", make_uuid7()
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / f"{make_uuid7()}-00-9.rows")
    os.mkfifo(folder / f"{name}.lines")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.rows"))
    (folder / "link.rows").symlink_to(tmp_path / "other")
    (tmp_path / "other").touch()

    with pytest.raises(Usage, match="the lines cannot be read"):
        await submit.submit_lines(call, file=name, uuid=make_uuid7())
    await bulk.finish_interrupted(call.db, call.home)

    assert list_files(call) == [] and (tmp_path / "other").exists()


async def test_many_tasks_of_one_request_are_staged(call: Call):
    found = await submit.submit(call, tasks=[{"argv": ["true"]}] * MANY, uuid=make_uuid7())

    assert [row["number"] for row in found] == [*range(1, MANY + 1)]
    assert found[0].keys() == (await submit_task(call)).keys()
    with pytest.raises(Problem, match='there is no queue "gone"'):
        await submit.submit(
            call, tasks=[*[{"argv": ["a"]}] * MANY, {"argv": ["b"], "queue": "gone"}]
        )


async def test_a_duty_without_free_descriptors_keeps_accepted_tasks(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    def fail(path: str) -> BinaryIO:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    staging = await stage(call, make_text(), make_uuid7())
    await call.db.write(staging.publish)
    staging.file.close()
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "open_regular", fail)
        await bulk.finish_interrupted(call.db, call.home)
    await bulk.finish_interrupted(call.db, call.home)

    assert await count_tasks(call) == MANY and list_files(call) == []
    assert number_file.read_numbers(call.home).highest == MANY


@pytest.mark.parametrize(
    ("is_accepted", "is_resent"), [(False, False), (True, False), (True, True)]
)
async def test_a_full_disk_tells_whether_tasks_were_accepted(
    call: Call, monkeypatch: pytest.MonkeyPatch, is_accepted: bool, is_resent: bool
):
    """A commit fails after the function of its transaction has returned."""
    write, quietly = call.db.write, call.db.write_quietly
    uuid, notes = make_uuid7(), list[str]()
    call = replace(call, note=notes.append)

    async def fail(fn: Any, *args: Any) -> Any:
        def run(c: Any) -> None:
            fn(c, *args)
            raise DiskFull("the disk is full. Nothing was stored.")

        late = ("_store_some",) if is_accepted else ("publish",)
        return await (write(run) if fn.__name__ in late else write(fn, *args))

    if is_resent:
        staging = await stage(call, make_text(), uuid)
        await write(staging.publish)
        staging.file.close()
    with monkeypatch.context() as patch:
        patch.setattr(call.db, "write", fail)
        patch.setattr(call.db, "write_quietly", fail)
        if is_accepted:
            found = await submit.submit_lines(call, text=make_text(), uuid=uuid)
            assert found == {"numbers": [], "spans": [], "refused": []}
            assert "All 251 tasks are accepted, and stored once" in notes.pop()
            assert await submit.submit(call, tasks=[{"argv": ["true"]}] * MANY) == []
        else:
            with pytest.raises(DiskFull, match="No task was accepted"):
                await submit.submit_lines(call, text=make_text(), uuid=uuid)
    assert call.db.write_quietly == quietly
    await bulk.finish_interrupted(call.db, call.home)

    assert await count_tasks(call) == (2 * MANY if is_accepted else 0)


async def test_tasks_behind_the_same_stored_task_look_it_up_once(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    find_all, asked = lookup.find_all, list[str | int]()

    def count(c: Any, references: Sequence[str | int]) -> Any:
        asked.extend(references)
        return find_all(c, references)

    await submit_task(call, name="setup")
    monkeypatch.setattr(lookup, "find_all", count)
    bad = make_text(after=["gone"])

    found = await submit.submit_lines(call, text=make_text(after=["setup"]) + bad, keep_going=True)

    assert asked == ["setup", "gone"]
    assert len(found["refused"]) == len(found["numbers"]) == MANY


@pytest.mark.parametrize("are_told", [True, False])
async def test_a_later_version_stores_what_an_earlier_one_accepted(call: Call, are_told: bool):
    columns, lines = (
        packed_task.UNTOLD_COLUMNS,
        (make_text(1, name="a") + make_text(MANY, after=["a"])),
    )
    staging = await stage(call, lines, make_uuid7())
    await call.db.write(staging.publish)
    staging.file.close()
    header, *parts = map(json.loads, staging.file.path.read_text().splitlines())
    assert tuple(header.pop("columns")) == packed_task.COLUMNS
    header["common"].pop()
    places = [packed_task.COLUMNS.index(name) for name in columns[:-3]]
    width = len(packed_task.COLUMNS) - len(packed_task.COMMON_COLUMNS)
    parts = [[[*map(row.__getitem__, places), *row[width:]] for row in part] for part in parts]
    head = json.dumps(header | ({"columns": columns} if are_told else {}))
    staging.file.path.write_text("\n".join(map(json.dumps, parts)).join([f"{head}\n", "\n"]))
    await call.db.write(
        counters.set_value, task_numbers.SUBMISSIONS + staging.file.path.name, len(head) + 1
    )

    await bulk.finish_interrupted(call.db, call.home)

    assert list_files(call) == []
    assert await execute_sql(
        call, "SELECT status, count(*), count(submitted_by), count(stdin) FROM tasks GROUP BY 1"
    ) == [("blocked", MANY, MANY, 0), ("queued", 1, 1, 0)]


async def test_a_damaged_file_does_not_keep_other_submissions_waiting(call: Call):
    first, second = [await stage(call, make_text(), make_uuid7()) for _ in "ab"]
    for staging in (first, second):
        await call.db.write(staging.publish)
        staging.file.close()
    first.file.path.write_bytes(b"{damaged")

    with pytest.raises(ValueError):
        await bulk.finish_interrupted(call.db, call.home)

    assert await count_tasks(call) == MANY and list_files(call) == [first.file.path.name]


async def test_many_dependencies_of_few_tasks_are_stored_in_several_transactions(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bulk, "MAX_PAIRS", 50)
    monkeypatch.setattr(bulk, "STEP_SECONDS", 0.0)
    parents = [{"argv": ["true"], "name": f"p{n}"} for n in range(10)]
    tasks = [*parents, *[{"argv": ["true"], "after": [task["name"] for task in parents]}] * 20]
    text = "".join(json.dumps(task) + "\n" for task in tasks)

    for submitting in (submit.submit(call, tasks=tasks), submit.submit_lines(call, text=text)):
        assert await count_other_writes(call, submitting) >= 4

    assert await execute_sql(call, "SELECT count(*) FROM dependencies") == [(400,)]
    counts = "SELECT status, count(*) FROM tasks GROUP BY status ORDER BY status"
    assert await execute_sql(call, counts) == [("blocked", 40), ("queued", 20)]
