"""Integrity checks: they find every fault, and repair only values that follow from other rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.core.ids import make_uuid7
from db import timestamps
from db.backup.create import BackupRules, take_backup
from db.engine import create_write_engine
from db.errors import DamagedDatabase, Storage, make_damaged_error
from db.maintenance import integrity
from tests.db.builders import TaskBuilder


@pytest.fixture
def busy_database(database_path: Path) -> Path:
    """Return a database with a waiting and a running task."""
    engine = create_write_engine(database_path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        made.submit_task()
        made.start_run(made.submit_task())
    engine.dispose()
    return database_path


def run_script(path: Path, sql: str) -> None:
    """Run a script as another program would, and truncate the WAL."""
    with closing(sqlite3.connect(path)) as file:
        file.executescript(sql)
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def run_repair(path: Path) -> list[str]:
    engine = create_write_engine(path)
    try:
        with engine.begin() as c:
            return integrity.repair_database(c)
    finally:
        engine.dispose()


def test_counters_loads_and_the_last_number_are_repaired(busy_database: Path):
    assert integrity.check_database(busy_database) == [] and run_repair(busy_database) == []
    run_script(busy_database, "UPDATE counters SET value = 7 WHERE name = 'tasks/default/queued'")
    run_script(busy_database, "UPDATE counters SET value = 1 WHERE name = 'task-number'")
    run_script(busy_database, "UPDATE queues SET current_load = 9; UPDATE pools SET used_cpu = 0.5")

    found = integrity.check_database(busy_database)
    assert (
        "counter tasks/default/queued says 7, there are 1" in found
        and "the load of queue default is recorded as 9, it is 1" in found
    )
    assert "the task number counter says 1, there is #2" in found and any(
        "pool default" in line for line in found
    )
    done = run_repair(busy_database)

    assert (
        "counter tasks/default/queued set from 7 to 1" in done
        and "the next task will be #3" in done
    )
    assert integrity.check_database(busy_database) == []


def test_runs_and_dependencies_without_a_task_are_removed(busy_database: Path):
    gone = make_uuid7()
    run_script(
        busy_database,
        "INSERT INTO dependencies (task_id, parent_id, kind, created_at, updated_at) SELECT"
        f" '{gone}', uuid, 'success', '', '' FROM tasks;INSERT INTO instances SELECT * FROM"
        f" instances WHERE 0; UPDATE instances SET task_id = '{gone}'",
    )

    assert (
        "2 rows of dependencies refer to missing rows of tasks; the first is 1"
        in integrity.check_database(busy_database)
    )
    assert "row 1 of instances refers to a missing row of tasks" in integrity.check_database(
        busy_database
    )
    assert {"1 run of missing tasks removed", "2 dependencies of missing tasks removed"} <= set(
        run_repair(busy_database)
    )
    assert not [line for line in integrity.check_database(busy_database) if "missing" in line]


def test_repaired_dangling_references_no_longer_stop_a_backup(busy_database: Path, tmp_path: Path):
    at = "'2026-11-25T10:00:00.000000Z'"
    run_script(
        busy_database,
        "PRAGMA foreign_keys = OFF; UPDATE pools SET sla_id = 77;INSERT INTO backups (id, kind,"
        f" file, parent_id, bytes, created_at, updated_at) VALUES (1, 'full', 'a', 77, 1, {at},"
        f" {at});INSERT INTO silences (sla_id, by, until, created_at, updated_at) VALUES (77,"
        f" 'ann', {at}, {at}, {at})",
    )
    with pytest.raises(
        Storage, match="is not in order .*Repair it: taskdeck stop && taskdeck db check --repair"
    ):
        take_backup(busy_database, tmp_path / "backups", BackupRules())

    done = run_repair(busy_database)

    assert done == [
        "1 silence of missing rules removed",
        "1 row of pools detached from missing slas",
        "1 row of backups detached from missing backups",
    ]  # fmt: skip
    assert (
        integrity.check_database(busy_database) == []
        and take_backup(busy_database, tmp_path / "backups", BackupRules()).verified
    )


def test_missing_indexes_and_triggers_are_created_again(busy_database: Path):
    run_script(
        busy_database,
        "DROP TRIGGER count_task_insert; DROP TRIGGER operations_stay; DROP INDEX idx_tasks_number",
    )

    assert integrity.check_database(busy_database) == [
        "index idx_tasks_number is missing", "trigger count_task_insert is missing",
        "trigger operations_stay is missing",
    ]  # fmt: skip
    assert run_repair(busy_database) == [
        "index idx_tasks_number recreated", "trigger count_task_insert recreated",
        "trigger operations_stay recreated",
    ]  # fmt: skip
    assert integrity.check_database(busy_database) == []


def test_a_violated_unique_index_is_only_reported(busy_database: Path):
    run_script(busy_database, "DROP INDEX idx_tasks_number; UPDATE tasks SET number = 2")

    assert run_repair(busy_database) == [] and integrity.check_database(busy_database) == [
        "index idx_tasks_number is missing"
    ]


def test_invalid_json_is_reported_but_infinite_numbers_are_allowed(busy_database: Path):
    run_script(
        busy_database,
        """UPDATE tasks SET tags = '[' WHERE number = 1;
        UPDATE tasks SET parameters = '{"a": NaN}'""",
    )

    assert integrity.check_database(busy_database) == ["tasks.tags cannot be read where number = 1"]


def test_non_numeric_figures_are_reported_and_repaired(busy_database: Path):
    run_script(
        busy_database,
        "UPDATE counters SET value = 'many'; UPDATE queues SET current_load = 'some'; UPDATE pools"
        " SET used_cpu = 'much'",
    )

    found = integrity.check_database(busy_database)
    assert {
        "counter tasks/default/queued says many, there are 1",
        "counter task-number is not a number",
    } <= {*found}
    assert "the load of queue default is recorded as some, it is 1" in found and any(
        "'much' cpu" in line for line in found
    )
    run_repair(busy_database)

    assert integrity.check_database(busy_database) == []


@pytest.mark.parametrize("at", ["9223372036854775807", "9223372036854775807.0", "'many'"])
def test_an_exhausted_counter_is_reset_to_the_highest_number(busy_database: Path, at: str):
    run_script(busy_database, f"UPDATE counters SET value = {at} WHERE name = 'task-number'")

    engine = create_write_engine(busy_database)
    with (
        pytest.raises(
            Storage,
            match=r"exhausted or damaged\. Nothing was stored. .*taskdeck db check --repair",
        ),
        engine.begin() as c,
    ):
        TaskBuilder(c).submit_task()
    engine.dispose()
    assert any(
        "task-number is not a number" in line or "the maximum; the highest task is #2" in line
        for line in integrity.check_database(busy_database)
    )
    assert (
        run_repair(busy_database) == ["the next task will be #3"]
        and integrity.check_database(busy_database) == []
    )


@pytest.mark.parametrize(
    "told",
    [
        "INSERT INTO forgotten VALUES ('r', 't', 40, 'succeeded', NOW, NOW, NOW)",
        (
            "INSERT INTO operations (\"by\", verb, object, created_at, updated_at) VALUES ('ann',"
            " 'cancel', 'task #40', NOW, NOW)"
        ),
        (
            'INSERT INTO operations ("by", verb, object, after, created_at, updated_at) '
            "VALUES ('ann', 'submit', '8 tasks', '{\"first\": 33, \"last\": 40}', NOW, NOW)"
        ),
        (
            'INSERT INTO operations ("by", verb, object, after, created_at, updated_at) '
            "VALUES ('ann', 'db restore', 'backup', '{\"passed_over\": [3, 40]}', NOW, NOW)"
        ),
    ],
)
@pytest.mark.parametrize(
    "counter", ["DELETE FROM counters WHERE name = 'task-number'", "UPDATE counters SET value = 3"]
)
def test_the_number_of_a_lost_task_is_not_reused(busy_database: Path, told: str, counter: str):
    run_script(busy_database, f"{told}; {counter}".replace("NOW", f"'{timestamps.now()}'"))

    assert any(line.endswith("there is #40") for line in integrity.check_database(busy_database))
    assert (
        "the next task will be #41" in run_repair(busy_database)
        and integrity.check_database(busy_database) == []
    )


def test_a_number_known_only_elsewhere_is_not_reused(busy_database: Path):
    assert integrity.check_highest_number(busy_database, 2) == []
    assert integrity.check_highest_number(busy_database, 40) == [
        "the task number counter says 2, a backup or job has #40"
    ]
    engine = create_write_engine(busy_database)
    with engine.begin() as c:
        assert integrity.repair_database(c, 40) == ["the next task will be #41"]
    engine.dispose()
    assert integrity.check_highest_number(busy_database, 40) == []


def test_a_missing_queue_with_waiting_tasks_is_created_paused(busy_database: Path):
    run_script(busy_database, "DELETE FROM queues WHERE name = 'default'")

    assert (
        "2 rows of tasks refer to missing rows of queues; the first is 1"
        in integrity.check_database(busy_database)
    )
    assert run_repair(busy_database)[0].startswith(
        "queue default recreated in pool default, paused. "
    )
    assert integrity.check_database(busy_database) == []
    with closing(sqlite3.connect(busy_database)) as c:
        assert c.execute("SELECT name, pool, status, current_load FROM queues").fetchall() == [
            ("default", "default", "paused", 1)
        ]


def test_a_home_without_a_uuid_gets_a_new_one(busy_database: Path):
    run_script(busy_database, "DELETE FROM home")

    assert integrity.check_database(busy_database) == ["the home has no UUID"]
    assert run_repair(busy_database) == ["the home has a new UUID"]
    assert integrity.check_database(busy_database) == []


@pytest.mark.parametrize(
    ("lost", "found", "made"),
    [
        (
            "DELETE FROM queues; DELETE FROM pools",
            ["pool", "queue"],
            ["pool default", "queue default"],
        ),
        ("DELETE FROM queues", ["queue"], ["queue default"]),
    ],
)
def test_a_partly_made_home_gets_its_pool_and_queue(
    database_path: Path, lost: str, found: list[str], made: list[str]
):
    run_script(database_path, lost)
    assert integrity.check_database(database_path) == [
        f"there is no {kind} at all, so no task can be submitted" for kind in found
    ]

    done = run_repair(database_path)

    assert [line.split(" recreated")[0] for line in done] == made
    assert done[-1].endswith("run: taskdeck queue resume default")
    assert integrity.check_database(database_path) == [] and run_repair(database_path) == []


def test_a_row_that_breaks_a_table_constraint_is_damage(busy_database: Path):
    data = busy_database.read_bytes()
    run_script(
        busy_database,
        "PRAGMA ignore_check_constraints=ON; UPDATE queues SET status = 'actiwe', capacity = -1",
    )

    assert integrity.find_damage(busy_database) == [
        "1 row breaks the rule of queues: status IN ('active', 'paused', 'draining')",
        "1 row breaks the rule of queues: capacity >= 0",
    ]  # fmt: skip
    assert busy_database.read_bytes() != data


@pytest.mark.parametrize(
    "found", [b"indexidx_tasks_ended", b"because of it"], ids=["schema", "row"]
)
def test_undecodable_text_is_damage(busy_database: Path, found: bytes):
    run_script(busy_database, "UPDATE tasks SET reason = 'because of it'")
    data = bytearray(busy_database.read_bytes())
    data[data.rindex(found) + len(found) - 6] ^= 0x80
    busy_database.write_bytes(data)

    with pytest.raises(
        DamagedDatabase,
        match=r"the database is damaged \(.*(no UTF-8|to utf-8 column 'reason').*\)",
    ):
        raise make_damaged_error(busy_database, integrity.check_database(busy_database)[0])


def test_faults_that_cannot_be_derived_are_only_reported(busy_database: Path):
    run_script(busy_database, f"UPDATE tasks SET env_id = '{make_uuid7()}'")

    assert run_repair(busy_database) == []
    assert any("environments" in line for line in integrity.check_database(busy_database))


def test_the_quick_check_names_the_damage(busy_database: Path):
    integrity.check_pages(busy_database)
    with closing(sqlite3.connect(busy_database)) as file:
        (root,) = file.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'events'"
        ).fetchone()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with busy_database.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(DamagedDatabase, match="the database is damaged") as told:
        integrity.check_pages(busy_database)
    assert "It was not written to." in str(told.value) and integrity.find_damage(busy_database)


@pytest.mark.parametrize(
    ("change_to", "told"),
    [
        ("tasks SET launch = '{\"a' WHERE number = 1", "tasks.launch|number = 1"),
        ("tasks SET tags = '[]'", "tasks.tags|number = 1 (and 1 more)"),
        ("tasks SET not_before = 'soon' WHERE number = 1", "tasks.not_before|number = 1"),
        (
            "tasks SET created_at = '2026-02-30T10:42:07.123456Z' WHERE number = 1",
            "tasks.created_at|number = 1",
        ),
        ("queues SET updated_at = 7", "queues.updated_at|name = 'default'"),
        ("environments SET variables = 'null'", "environments.variables|sha256 = 'e'"),
    ],
)
def test_values_that_cannot_be_read_are_named_and_no_repair_changes_them(
    busy_database: Path, change_to: str, told: str
):
    run_script(
        busy_database,
        "INSERT INTO environments (sha256, variables, created_at, updated_at) SELECT 'e', '{}',"
        f" created_at, updated_at FROM queues LIMIT 1; UPDATE {change_to}",
    )

    problems = [told.replace("|", " cannot be read where ")]
    assert integrity.check_database(busy_database) == problems
    assert run_repair(busy_database) == []
    assert integrity.check_database(busy_database) == problems
