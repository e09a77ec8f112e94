"""What is wrong with a database is found; what follows from the rest is mended, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.core.ids import uuid7
from db import timestamps
from db.backup.create import Rules, take
from db.engine import write_engine
from db.errors import DamagedDatabase, Storage, damaged
from db.maintenance import integrity
from tests.db.builders import Made


@pytest.fixture
def worked(database: Path) -> Path:
    """A database with a waiting task and one that runs."""
    engine = write_engine(database)
    with engine.begin() as c:
        made = Made(c)
        made.task()
        made.run(made.task())
    engine.dispose()
    return database


def change(path: Path, sql: str) -> None:
    """A change by another program, with nothing left beside the file."""
    with closing(sqlite3.connect(path)) as file:
        file.executescript(sql)
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def repaired(path: Path) -> list[str]:
    engine = write_engine(path)
    try:
        with engine.begin() as c:
            return integrity.repair(c)
    finally:
        engine.dispose()


def test_counters_loads_and_the_last_number_are_mended(worked: Path):
    assert integrity.check(worked) == [] and repaired(worked) == []
    change(worked, "UPDATE counters SET value = 7 WHERE name = 'tasks/default/queued'")
    change(worked, "UPDATE counters SET value = 1 WHERE name = 'task-number'")
    change(worked, "UPDATE queues SET current_load = 9; UPDATE pools SET used_cpu = 0.5")

    found = integrity.check(worked)
    assert "counter tasks/default/queued says 7, there are 1" in found and "the load of queue default is said to be 9, it is 1" in found
    assert "the last number given is said to be 1, there is #2" in found and any("pool default" in line for line in found)
    done = repaired(worked)

    assert "counter tasks/default/queued set from 7 to 1" in done and "the next task will be #3" in done
    assert integrity.check(worked) == []


def test_runs_and_dependencies_of_no_task_are_removed(worked: Path):
    gone = uuid7()
    change(
        worked,
        f"INSERT INTO dependencies (task_id, parent_id, kind, created_at, updated_at) SELECT '{gone}', uuid, 'success', '', '' FROM tasks;"
        f"INSERT INTO instances SELECT * FROM instances WHERE 0; UPDATE instances SET task_id = '{gone}'",
    )

    assert "2 rows of dependencies refer to missing rows of tasks; the first is 1" in integrity.check(worked)
    assert "row 1 of instances refers to a missing row of tasks" in integrity.check(worked)
    assert {"1 run of tasks that are not there removed", "2 dependencies of tasks that are not there removed"} <= set(repaired(worked))
    assert not [line for line in integrity.check(worked) if "missing" in line]


def test_rows_that_refer_to_what_is_not_there_keep_no_backup_from_being_taken_once_they_are_mended(worked: Path, tmp_path: Path):
    at = "'2026-11-25T10:00:00.000000Z'"
    change(
        worked,
        "PRAGMA foreign_keys = OFF; UPDATE pools SET sla_id = 77;"
        f"INSERT INTO backups (id, kind, file, parent_id, bytes, created_at, updated_at) VALUES (1, 'full', 'a', 77, 1, {at}, {at});"
        f"INSERT INTO silences (sla_id, by, until, created_at, updated_at) VALUES (77, 'ann', {at}, {at}, {at})",
    )
    with pytest.raises(Storage, match="is not in order .*Mend it: taskdeck stop && taskdeck db check --repair"):
        take(worked, tmp_path / "backups", Rules())

    done = repaired(worked)

    assert done == [
        "1 silence of rules that are not there removed", "1 row of pools let go of slas that are not there",
        "1 row of backups let go of backups that are not there",
    ]  # fmt: skip
    assert integrity.check(worked) == [] and take(worked, tmp_path / "backups", Rules()).verified


def test_indexes_and_triggers_that_are_gone_are_made_anew(worked: Path):
    change(worked, "DROP TRIGGER count_task_insert; DROP TRIGGER operations_stay; DROP INDEX idx_tasks_number")

    assert integrity.check(worked) == [
        "index idx_tasks_number is missing", "trigger count_task_insert is missing", "trigger operations_stay is missing",
    ]  # fmt: skip
    assert repaired(worked) == [
        "index idx_tasks_number made anew", "trigger count_task_insert made anew", "trigger operations_stay made anew",
    ]  # fmt: skip
    assert integrity.check(worked) == []


def test_an_index_of_what_must_differ_and_does_not_is_only_told(worked: Path):
    change(worked, "DROP INDEX idx_tasks_number; UPDATE tasks SET number = 2")

    assert repaired(worked) == [] and integrity.check(worked) == ["index idx_tasks_number is missing"]


def test_what_is_no_json_is_told_but_for_infinite_numbers(worked: Path):
    change(worked, """UPDATE tasks SET tags = '[' WHERE number = 1; UPDATE tasks SET parameters = '{"a": NaN}'""")

    assert integrity.check(worked) == ["1 row of tasks without JSON in tags"]


def test_figures_that_are_no_numbers_are_told_and_mended(worked: Path):
    change(worked, "UPDATE counters SET value = 'many'; UPDATE queues SET current_load = 'some'; UPDATE pools SET used_cpu = 'much'")

    found = integrity.check(worked)
    assert {"counter tasks/default/queued says many, there are 1", "counter task-number is no number"} <= {*found}
    assert "the load of queue default is said to be some, it is 1" in found and any("'much' cpu" in line for line in found)
    repaired(worked)

    assert integrity.check(worked) == []


@pytest.mark.parametrize("at", ["9223372036854775807", "9223372036854775807.0", "'many'"])
def test_a_counter_that_cannot_go_on_gives_no_number_and_is_set_to_the_highest(worked: Path, at: str):
    change(worked, f"UPDATE counters SET value = {at} WHERE name = 'task-number'")

    engine = write_engine(worked)
    with pytest.raises(Storage, match=r"cannot go on.* Nothing was stored. .*taskdeck db check --repair"), engine.begin() as c:
        Made(c).task()
    engine.dispose()
    assert any("task-number is no number" in line or "after which there is none; the highest is #2" in line for line in integrity.check(worked))
    assert repaired(worked) == ["the next task will be #3"] and integrity.check(worked) == []


@pytest.mark.parametrize(
    "told",
    [
        "INSERT INTO forgotten VALUES ('r', 't', 40, 'succeeded', NOW, NOW, NOW)",
        "INSERT INTO operations (\"by\", verb, object, created_at, updated_at) VALUES ('ann', 'cancel', 'task #40', NOW, NOW)",
        "INSERT INTO operations (\"by\", verb, object, after, created_at, updated_at) "
        "VALUES ('ann', 'submit', '8 tasks', '{\"first\": 33, \"last\": 40}', NOW, NOW)",
        "INSERT INTO operations (\"by\", verb, object, after, created_at, updated_at) "
        "VALUES ('ann', 'db restore', 'backup', '{\"passed_over\": [3, 40]}', NOW, NOW)",
    ],
)
@pytest.mark.parametrize("counter", ["DELETE FROM counters WHERE name = 'task-number'", "UPDATE counters SET value = 3"])
def test_no_number_of_a_task_that_is_gone_comes_again(worked: Path, told: str, counter: str):
    change(worked, f"{told}; {counter}".replace("NOW", f"'{timestamps.now()}'"))

    assert any(line.endswith("there is #40") for line in integrity.check(worked))
    assert "the next task will be #41" in repaired(worked) and integrity.check(worked) == []


def test_a_number_that_only_others_know_of_is_not_given_again(worked: Path):
    assert integrity.number_known_elsewhere(worked, 2) == []
    assert integrity.number_known_elsewhere(worked, 40) == ["the last number given is said to be 2, a backup or a job knows of #40"]
    engine = write_engine(worked)
    with engine.begin() as c:
        assert integrity.repair(c, 40) == ["the next task will be #41"]
    engine.dispose()
    assert integrity.number_known_elsewhere(worked, 40) == []


def test_a_queue_that_tasks_wait_in_is_made_anew_and_paused(worked: Path):
    change(worked, "DELETE FROM queues WHERE name = 'default'")

    assert "2 rows of tasks refer to missing rows of queues; the first is 1" in integrity.check(worked)
    assert repaired(worked)[0].startswith("queue default made anew in pool default, paused: ")
    assert integrity.check(worked) == []
    with closing(sqlite3.connect(worked)) as c:
        assert c.execute("SELECT name, pool, status, current_load FROM queues").fetchall() == [("default", "default", "paused", 1)]


@pytest.mark.parametrize(
    ("lost", "found", "made"),
    [
        ("DELETE FROM queues; DELETE FROM pools", ["pool", "queue"], ["pool default", "queue default"]),
        ("DELETE FROM queues", ["queue"], ["queue default"]),
    ],
)
def test_a_home_that_was_made_in_part_has_its_pool_and_its_queue_made_anew(database: Path, lost: str, found: list[str], made: list[str]):
    change(database, lost)
    assert integrity.check(database) == [f"there is no {kind} at all, so no task can be submitted" for kind in found]

    done = repaired(database)

    assert [line.split(" made anew")[0] for line in done] == made
    assert "in pool default, paused: see what it should be, then taskdeck queue resume default" in done[-1]
    assert integrity.check(database) == [] and repaired(database) == []


def test_a_row_that_breaks_a_rule_of_its_table_is_damage(worked: Path):
    data = worked.read_bytes()
    change(worked, "PRAGMA ignore_check_constraints=ON; UPDATE queues SET status = 'actiwe', capacity = -1")

    assert integrity.damage(worked) == [
        "1 row breaks the rule of queues: status IN ('active', 'paused', 'draining')", "1 row breaks the rule of queues: capacity >= 0",
    ]  # fmt: skip
    assert worked.read_bytes() != data


@pytest.mark.parametrize("found", [b"indexidx_tasks_ended", b"because of it"], ids=["schema", "row"])
def test_text_that_is_none_is_damage(worked: Path, found: bytes):
    change(worked, "UPDATE tasks SET reason = 'because of it'")
    data = bytearray(worked.read_bytes())
    data[data.rindex(found) + len(found) - 6] ^= 0x80
    worked.write_bytes(data)

    with pytest.raises(DamagedDatabase, match=r"the database is damaged \(.*(no UTF-8|to utf-8 column 'reason').*\)"):
        raise damaged(worked, integrity.check(worked)[0])


def test_what_cannot_be_derived_is_only_told(worked: Path):
    change(worked, f"UPDATE tasks SET env_id = '{uuid7()}'")

    assert repaired(worked) == []
    assert any("environments" in line for line in integrity.check(worked))


def test_the_quick_look_says_what_is_damaged(worked: Path):
    integrity.quick(worked)
    with closing(sqlite3.connect(worked)) as file:
        (root,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with worked.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(DamagedDatabase, match="the database is damaged") as told:
        integrity.quick(worked)
    assert "It was not written to." in str(told.value) and integrity.damage(worked)


@pytest.mark.parametrize(
    ("change_to", "told", "done"),
    [
        ("tasks SET launch = '{\"a' WHERE number = 1", "1 row of tasks without JSON in launch",
         "task #1: its launch cannot be read, so it is held"),
        ("tasks SET tags = '[]'", "2 rows of tasks without JSON in tags", "task #2: its tags cannot be read, so it is held"),
        ("tasks SET not_before = 'soon' WHERE number = 1", "1 row of tasks without a time in not_before",
         "task #1: its not_before cannot be read, so it is held"),
        ("tasks SET created_at = '2026-02-30T10:42:07.123456Z' WHERE number = 1", "1 row of tasks without a time in created_at",
         "task #1: its created_at cannot be read, so it is held"),
        ("queues SET updated_at = 7", "1 row of queues without a time in updated_at", "row 1 of queues: its updated_at cannot be read"),
        ("instances SET start_time = '2026'", "1 row of instances without a time in start_time", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_found_and_set_aside(worked: Path, change_to: str, told: str, done: str):
    change(worked, f"UPDATE {change_to}")

    assert integrity.check(worked) == [told]
    assert done in " ".join(repaired(worked))

    assert integrity.check(worked) == [] and repaired(worked) == []
