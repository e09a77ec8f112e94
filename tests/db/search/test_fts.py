"""The index of texts: complete at every moment, whatever it holds yet; small steps; and nothing in it that must not be found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.filter_query import Query, Term, fold
from app.service.tasks import filters
from db import raw_sql
from db.engine import open_database, write_engine
from db.maintenance import migrate
from db.queries import transitions
from db.search import fts, pagination
from tests.db import builders
from tests.db.builders import Made
from tests.db.search.indexing import fill, fill_file


def found(c: Connection, *words: str) -> list[str]:
    """The names of the tasks that hold these words, newest first."""
    query = Query(tuple(Term("word", word[:1] == "!", fold(word.removeprefix("!"))) for word in words))
    rowids = pagination.matching(c, filters.wanted(query))
    return [row.name for rowid in rowids for row in pagination.fetch(c, ("name",), [rowid])]


def text_of(c: Connection, **task: Any) -> str:
    """The text of a task, as it is stored in the index."""
    made = Made(c)
    uuid = made.task(**task)
    fill(c)
    return raw_sql.value(c, "SELECT text FROM search WHERE rowid = (SELECT number FROM tasks WHERE uuid = ?)", (uuid,))


def test_a_task_is_found_before_and_after_it_is_indexed(c: Connection, made: Made):
    made.task(name="encode S02E07.mkv")
    assert found(c, "s02e07") == ["encode S02E07.mkv"]

    fill(c)

    assert fts.behind(c) == 0
    assert found(c, "s02e07") == ["encode S02E07.mkv"]
    assert found(c, "!s02e07") == []


def test_tasks_of_both_kinds_are_found_together_in_their_order(c: Connection, made: Made):
    for at in range(5):
        made.task(name=f"encode {at}")
    fill(c)
    for at in range(5, 8):
        made.task(name=f"encode {at}")

    assert found(c, "encode") == [f"encode {at}" for at in range(7, -1, -1)]
    assert found(c, "en") == found(c, "encode")


@pytest.mark.parametrize("then", [lambda c: None, fill])
def test_a_task_that_was_renamed_is_found_by_its_new_name_only(c: Connection, made: Made, then: Any):
    uuid = made.task(name="first name")
    fill(c)
    c.exec_driver_sql("UPDATE tasks SET name = 'other name' WHERE uuid = ?", (uuid,))
    assert fts.behind(c) == 1

    then(c)

    assert (found(c, "first"), found(c, "!first"), found(c, "other")) == ([], ["other name"], ["other name"])


@pytest.mark.parametrize("then", [lambda c: None, fill])
def test_a_task_that_was_removed_or_purged_is_not_found(c: Connection, made: Made, then: Any):
    for name in ("kept one", "removed one", "purged one"):
        made.task(name=name)
    fill(c)
    c.exec_driver_sql("UPDATE tasks SET deleted_at = created_at WHERE name = 'removed one'")
    c.exec_driver_sql("DELETE FROM tasks WHERE name = 'purged one'")

    then(c)

    assert found(c, "one") == ["kept one"]
    assert raw_sql.value(c, "SELECT count(*) FROM search WHERE text LIKE 'purged%'") == (0 if then is fill else 1)


def test_the_numbers_of_purged_tasks_do_not_confuse_it(c: Connection, made: Made):
    for at in range(6):
        made.task(name=f"work {at}")
    fill(c)
    c.exec_driver_sql("DELETE FROM tasks WHERE number > 3")
    made.task(name="work anew")  # its rowid was another's

    assert found(c, "work") == ["work anew", "work 2", "work 1", "work 0"]
    fill(c)
    assert found(c, "work") == ["work anew", "work 2", "work 1", "work 0"]
    assert found(c, "ork 4") == []


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"name": "Größe ÄÖ"}, ["GRÖSSE", "äö"]),
        ({"name": "保存检查点"}, ["检查点", "检查", "点"]),
        ({"launch": {"argv": ["/bin/ls", "-l", "a b", "it's \"quoted\""]}}, ["/bin/ls -l a b", "it's \"quoted\""]),
        ({"launch": {"argv": ["sh", "-c", "for i in *; do\n  echo $i\ndone"]}}, ["for i in *; do\n  echo"]),
        ({"tags": {"env": "prod"}}, ["env=prod"]),
        ({"name": "100%_of[it]"}, ["100%_of[it]", "%_o"]),
    ],
)
def test_names_commands_and_tags_are_found_whatever_is_in_them(c: Connection, made: Made, task: dict[str, Any], words: list[str]):
    made.task(**{"name": "one", **task})
    made.task(name="another")
    fill(c)

    assert [found(c, word) for word in words] == [[task.get("name", "one")]] * len(words)
    assert found(c, *words, "zzz") == []


def test_values_of_secret_parameters_are_not_in_it(c: Connection):
    secret = {"parameters": {"api_token": "hunter2xyz", "input": "plain.mkv"}, "launch": {"argv": ["get", "--t=hunter2xyz", "plain.mkv"]}}

    text = text_of(c, **secret)

    assert "hunter2" not in text and "plain.mkv" in text
    assert found(c, "hunter2") == []


def test_text_that_no_database_could_store_is_searched_all_the_same(c: Connection):
    text = text_of(c, name="odd", launch={"argv": ["cat", "caf\udce9", "a\0b"]})

    assert "cat caf? a b" in text


def test_of_a_long_command_the_beginning_is_searched(c: Connection):
    assert len(text_of(c, name="long", launch={"argv": ["sh", "-c", "x" * 100_000]})) < 5_000


def test_a_step_is_a_batch(c: Connection):
    rows = [builders.task(name=f"work {at}") for at in range(fts.BATCH + 10)]
    transitions.submit(c, rows, [], "ann")

    fill(c, 1)
    assert fts.behind(c) == 10
    fill(c, 1)
    assert fts.behind(c) == 0
    assert len(found(c, "work")) == fts.BATCH + 10


async def test_an_indexed_database_is_well_and_reads_without_being_written(database: Path):
    engine = write_engine(database)
    with engine.begin() as c:
        transitions.submit(c, [builders.task(name=f"work {at}") for at in range(600)], [], "ann")
    fill_file(database)
    with engine.begin() as c:
        c.exec_driver_sql("DELETE FROM tasks WHERE number % 2")
    engine.dispose()

    assert migrate.check(database) == []
    with closing(sqlite3.connect(database)) as file:
        file.execute("VACUUM")
    assert migrate.check(database) == []
    async with open_database(database, writable=False) as db:
        assert len(await db.read(found, "work")) == 300


def test_words_are_asked_for_by_each_three_letters(c: Connection):
    assert fts.match(c, ["abcd", "xy", 'a"b']) == '"abc" AND "bcd" AND "a""b"'


def test_a_short_word_is_asked_for_by_all_that_begins_with_it(c: Connection, made: Made, monkeypatch: pytest.MonkeyPatch):
    names = ("q7 first", "a q7b", "the last q7", 'one of "q7"', "編碼", "再編碼一次", "other")
    for name in names:
        made.task(name=name, launch={"script": f"# {name}"})
    fill(c)

    assert fts.match(c, ["q7"]) == '("q7\n" OR "q7 " OR "q7""" OR "q7b")'
    assert found(c, "q7") == [*reversed(names[:4])]
    assert found(c, "編碼") == ["再編碼一次", "編碼"] and found(c, "碼") == ["再編碼一次", "編碼"]
    assert fts.match(c, ["zq", "碼"]) == '("zq ") AND ("碼\n\n" OR "碼\n#" OR "碼一次")' and found(c, "zq") == []

    monkeypatch.setattr(fts, "GROUPS", 3)
    assert fts.match(c, ["q7"]) is None and found(c, "q7") == [*reversed(names[:4])]
    monkeypatch.setattr(fts, "COMMON", 1)
    assert fts.match(c, ["編碼"]) is None and found(c, "編碼") == ["再編碼一次", "編碼"]


def test_of_a_long_word_the_rarest_letters_are_asked_for(c: Connection, made: Made):
    for at in range(100):
        made.task(name=f"{'render-' if at % 2 else ''}scene {at}")
    made.task(name="render-scene-q7")
    fill(c)

    asked = (fts.match(c, ["render-scene-q7"]) or "").split(" AND ")
    assert {'"-q7"', '"e-q"', '"ne-"'} < {*asked} and len(asked) == fts.ENOUGH
    assert found(c, "render-scene-q7") == ["render-scene-q7"]


_AT = "2026-11-25T10:00:00.000000Z"
_OLD_QUEUE = (
    f"INSERT INTO pools (name, total_cpu, total_memory, status, created_at, updated_at) VALUES ('p', 1, 1, 'active', '{_AT}', '{_AT}')",
    f"INSERT INTO queues (name, capacity, status, pool, created_at, updated_at) VALUES ('q', 1, 'active', 'p', '{_AT}', '{_AT}')",
)
_OLD_TASK = f"""
INSERT INTO tasks (uuid, name, number, type, status, parameters, created_at, updated_at, queue, tags, cwd, launch, submitted_by)
VALUES (?, ?, ?, 'exec', 'queued', '{{}}', '{_AT}', '{_AT}', 'q', '{{}}', '/', '{{"argv": ["true"]}}', 'ann')
"""


def test_a_database_without_an_index_is_searched_before_it_is_filled(home: Path):
    path = home / "old.db"
    migrate.migrate(path)
    engine = write_engine(path)
    with engine.begin() as c:
        for statement in _OLD_QUEUE:
            c.exec_driver_sql(statement)
        for at in range(20):
            c.exec_driver_sql(_OLD_TASK, (f"019a{at:04}-0000-7000-8000-000000000000", f"work {at}", at + 1))
        c.exec_driver_sql(f"INSERT INTO counters (name, value, created_at, updated_at) VALUES ('task-number', 20, '{_AT}', '{_AT}')")

    with engine.begin() as c:
        assert (fts.behind(c), found(c, "work 1", "!work 11")) == (20, [f"work {at}" for at in (*range(19, 11, -1), 10, 1)])
        fill(c)
        assert found(c, "work 7") == ["work 7"]
    engine.dispose()
    assert migrate.check(path) == []
