"""Full-text search: complete at every moment, updated in small batches, free of secrets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.filter_query import Query, QueryTerm, fold_case
from app.service.tasks import filters
from db import raw_sql
from db.engine import create_write_engine, open_database
from db.maintenance import migrate
from db.queries.tasks import transitions
from db.search import fts, pagination
from tests.db import builders
from tests.db.builders import TaskBuilder
from tests.db.search.indexing import fill_attached_index, fill_index_file


def find_names(c: Connection, *words: str) -> list[str]:
    """Return the names of the tasks that hold these words, newest first."""
    query = Query(
        tuple(
            QueryTerm("word", word[:1] == "!", fold_case(word.removeprefix("!"))) for word in words
        )
    )
    rowids = pagination.list_matching(c, filters.to_conditions(query))
    return [row.name for rowid in rowids for row in pagination.fetch_columns(c, ("name",), [rowid])]


def read_indexed_text(c: Connection, **task: Any) -> str:
    """Submit a task and return its text in the index."""
    made = TaskBuilder(c)
    uuid = made.submit_task(**task)
    fill_attached_index(c)
    return raw_sql.fetch_value(
        c,
        "SELECT text FROM search WHERE rowid = (SELECT number FROM tasks WHERE uuid = ?)",
        (uuid,),
    )


def test_a_task_is_found_before_and_after_indexing(connection: Connection, builder: TaskBuilder):
    builder.submit_task(name="encode S02E07.mkv")
    assert find_names(connection, "s02e07") == ["encode S02E07.mkv"]

    fill_attached_index(connection)

    assert fts.count_unindexed(connection) == 0
    assert find_names(connection, "s02e07") == ["encode S02E07.mkv"]
    assert find_names(connection, "!s02e07") == []


def test_indexed_and_unindexed_tasks_are_found_in_one_order(
    connection: Connection, builder: TaskBuilder
):
    for at in range(5):
        builder.submit_task(name=f"encode {at}")
    fill_attached_index(connection)
    for at in range(5, 8):
        builder.submit_task(name=f"encode {at}")

    assert find_names(connection, "encode") == [f"encode {at}" for at in range(7, -1, -1)]
    assert find_names(connection, "en") == find_names(connection, "encode")


@pytest.mark.parametrize("then", [lambda c: None, fill_attached_index])
def test_a_renamed_task_is_found_by_its_new_name_only(
    connection: Connection, builder: TaskBuilder, then: Any
):
    uuid = builder.submit_task(name="first name")
    fill_attached_index(connection)
    connection.exec_driver_sql("UPDATE tasks SET name = 'other name' WHERE uuid = ?", (uuid,))
    assert fts.count_unindexed(connection) == 1

    then(connection)

    assert (
        find_names(connection, "first"),
        find_names(connection, "!first"),
        find_names(connection, "other"),
    ) == ([], ["other name"], ["other name"])


@pytest.mark.parametrize("then", [lambda c: None, fill_attached_index])
def test_a_deleted_or_purged_task_is_not_found(
    connection: Connection, builder: TaskBuilder, then: Any
):
    for name in ("kept one", "removed one", "purged one"):
        builder.submit_task(name=name)
    fill_attached_index(connection)
    connection.exec_driver_sql(
        "UPDATE tasks SET deleted_at = created_at WHERE name = 'removed one'"
    )
    connection.exec_driver_sql("DELETE FROM tasks WHERE name = 'purged one'")

    then(connection)

    assert find_names(connection, "one") == ["kept one"]
    assert raw_sql.fetch_value(
        connection, "SELECT count(*) FROM search WHERE text LIKE 'purged%'"
    ) == (0 if then is fill_attached_index else 1)


def test_reused_numbers_of_purged_tasks_do_not_confuse_the_index(
    connection: Connection, builder: TaskBuilder
):
    for at in range(6):
        builder.submit_task(name=f"work {at}")
    fill_attached_index(connection)
    connection.exec_driver_sql("DELETE FROM tasks WHERE number > 3")
    builder.submit_task(name="work anew")  # takes a rowid of a purged task

    assert find_names(connection, "work") == ["work anew", "work 2", "work 1", "work 0"]
    fill_attached_index(connection)
    assert find_names(connection, "work") == ["work anew", "work 2", "work 1", "work 0"]
    assert find_names(connection, "ork 4") == []


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"name": "Größe ÄÖ"}, ["GRÖSSE", "äö"]),
        ({"name": "保存检查点"}, ["检查点", "检查", "点"]),
        (
            {"launch": {"argv": ["/bin/ls", "-l", "a b", 'it\'s "quoted"']}},
            ["/bin/ls -l a b", 'it\'s "quoted"'],
        ),
        (
            {"launch": {"argv": ["sh", "-c", "for i in *; do\n  echo $i\ndone"]}},
            ["for i in *; do\n  echo"],
        ),
        ({"tags": {"env": "prod"}}, ["env=prod"]),
        ({"name": "100%_of[it]"}, ["100%_of[it]", "%_o"]),
    ],
)
def test_names_commands_and_tags_of_any_characters_are_found(
    connection: Connection, builder: TaskBuilder, task: dict[str, Any], words: list[str]
):
    builder.submit_task(**{"name": "one", **task})
    builder.submit_task(name="another")
    fill_attached_index(connection)

    assert [find_names(connection, word) for word in words] == [[task.get("name", "one")]] * len(
        words
    )
    assert find_names(connection, *words, "zzz") == []


def test_values_of_secret_parameters_are_not_indexed(connection: Connection):
    secret = {
        "parameters": {"api_token": "hunter2xyz", "input": "plain.mkv"},
        "launch": {"argv": ["get", "--t=hunter2xyz", "plain.mkv"]},
    }

    text = read_indexed_text(connection, **secret)

    assert "hunter2" not in text and "plain.mkv" in text
    assert find_names(connection, "hunter2") == []


def test_text_that_no_database_could_store_is_searchable(connection: Connection):
    text = read_indexed_text(connection, name="odd", launch={"argv": ["cat", "caf\udce9", "a\0b"]})

    assert "cat caf? a b" in text


def test_only_the_beginning_of_a_long_command_is_searched(connection: Connection):
    assert (
        len(
            read_indexed_text(connection, name="long", launch={"argv": ["sh", "-c", "x" * 100_000]})
        )
        < 5_000
    )


def test_one_step_indexes_one_batch(connection: Connection):
    rows = [builders.make_task_row(name=f"work {at}") for at in range(fts.BATCH + 10)]
    transitions.submit(connection, rows, [], "ann")

    fill_attached_index(connection, 1)
    assert fts.count_unindexed(connection) == 10
    fill_attached_index(connection, 1)
    assert fts.count_unindexed(connection) == 0
    assert len(find_names(connection, "work")) == fts.BATCH + 10


async def test_an_indexed_database_is_sound_and_readable_without_writing(database_path: Path):
    engine = create_write_engine(database_path)
    with engine.begin() as c:
        transitions.submit(
            c, [builders.make_task_row(name=f"work {at}") for at in range(600)], [], "ann"
        )
    fill_index_file(database_path)
    with engine.begin() as c:
        c.exec_driver_sql("DELETE FROM tasks WHERE number % 2")
    engine.dispose()

    assert migrate.check_database(database_path) == []
    with closing(sqlite3.connect(database_path)) as file:
        file.execute("VACUUM")
    assert migrate.check_database(database_path) == []
    async with open_database(database_path, writable=False) as db:
        assert len(await db.read(find_names, "work")) == 300


def test_a_word_is_split_into_trigrams(connection: Connection):
    assert fts.build_match(connection, ["abcd", "xy", 'a"b']) == '"abc" AND "bcd" AND "a""b"'


def test_a_short_word_matches_every_trigram_with_its_prefix(
    connection: Connection, builder: TaskBuilder, monkeypatch: pytest.MonkeyPatch
):
    names = ("q7 first", "a q7b", "the last q7", 'one of "q7"', "編碼", "再編碼一次", "other")
    for name in names:
        builder.submit_task(name=name, launch={"script": f"# {name}"})
    fill_attached_index(connection)

    assert fts.build_match(connection, ["q7"]) == '("q7\n" OR "q7 " OR "q7""" OR "q7b")'
    assert find_names(connection, "q7") == [*reversed(names[:4])]
    assert find_names(connection, "編碼") == ["再編碼一次", "編碼"] and find_names(
        connection, "碼"
    ) == ["再編碼一次", "編碼"]
    assert (
        fts.build_match(connection, ["zq", "碼"]) == '("zq ") AND ("碼\n\n" OR "碼\n#" OR "碼一次")'
        and find_names(connection, "zq") == []
    )

    monkeypatch.setattr(fts, "MAX_SHORT_TERMS", 3)
    assert fts.build_match(connection, ["q7"]) is None and find_names(connection, "q7") == [
        *reversed(names[:4])
    ]
    monkeypatch.setattr(fts, "COMMON", 1)
    assert fts.build_match(connection, ["編碼"]) is None and find_names(connection, "編碼") == [
        "再編碼一次",
        "編碼",
    ]


def test_a_long_word_uses_its_rarest_trigrams(connection: Connection, builder: TaskBuilder):
    for at in range(100):
        builder.submit_task(name=f"{'render-' if at % 2 else ''}scene {at}")
    builder.submit_task(name="render-scene-q7")
    fill_attached_index(connection)

    asked = (fts.build_match(connection, ["render-scene-q7"]) or "").split(" AND ")
    assert {'"-q7"', '"e-q"', '"ne-"'} < {*asked} and len(asked) == fts.MAX_TERMS
    assert find_names(connection, "render-scene-q7") == ["render-scene-q7"]


_CREATED_AT = "2026-11-25T10:00:00.000000Z"
_INSERT_QUEUE = (
    (
        "INSERT INTO pools (name, total_cpu, total_memory, status, created_at, updated_at) VALUES"
        f" ('p', 1, 1, 'active', '{_CREATED_AT}', '{_CREATED_AT}')"
    ),
    (
        "INSERT INTO queues (name, capacity, status, pool, created_at, updated_at) VALUES ('q', 1,"
        f" 'active', 'p', '{_CREATED_AT}', '{_CREATED_AT}')"
    ),
)
_INSERT_TASK = f"""
INSERT INTO tasks (uuid, name, number, type, status, parameters, created_at, updated_at, queue,
  tags, cwd, launch, submitted_by)
VALUES (?, ?, ?, 'exec', 'queued', '{{}}', '{_CREATED_AT}', '{_CREATED_AT}', 'q', '{{}}', '/',
  '{{"argv": ["true"]}}', 'ann')
"""


def test_a_database_without_an_index_is_searched_before_it_is_filled(home: Path):
    path = home / "old.db"
    migrate.migrate(path)
    engine = create_write_engine(path)
    with engine.begin() as c:
        for statement in _INSERT_QUEUE:
            c.exec_driver_sql(statement)
        for at in range(20):
            c.exec_driver_sql(
                _INSERT_TASK, (f"019a{at:04}-0000-7000-8000-000000000000", f"work {at}", at + 1)
            )
        c.exec_driver_sql(
            "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('task-number', 20,"
            f" '{_CREATED_AT}', '{_CREATED_AT}')"
        )

    with engine.begin() as c:
        assert (fts.count_unindexed(c), find_names(c, "work 1", "!work 11")) == (
            20,
            [f"work {at}" for at in (*range(19, 11, -1), 10, 1)],
        )
        fill_attached_index(c)
        assert find_names(c, "work 7") == ["work 7"]
    engine.dispose()
    assert migrate.check_database(path) == []
