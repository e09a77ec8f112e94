"""Acceptance tests of slow statements and database size."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.acceptance_home import AcceptanceHome


@pytest.fixture(scope="module")
def slow_log_home() -> Iterator[AcceptanceHome]:
    """Yield a home whose runtime records every statement, with enough tasks for an index."""
    with tempfile.TemporaryDirectory(prefix="td-") as root:
        house = AcceptanceHome(Path(root))
        settings = Path(root, "config", "taskdeck", "config.toml")
        settings.parent.mkdir(parents=True)
        settings.write_text('[slow]\nthreshold = "0.000001s"\n')
        house.run_ok("queue", "pause", "default")
        house.run_ok(
            "submit",
            "--from",
            "-",
            input="".join(f'{{"argv": ["true"], "name": "work {at}"}}\n' for at in range(2000)),
        )
        yield house
        house.close()


def test_slow_statements_are_listed_with_caller_and_plan(slow_log_home: AcceptanceHome):
    slow_log_home.run_ok("ls", "--tag", "no=where")

    (found, *_) = [
        row
        for row in slow_log_home.run_json("db", "slow")
        if row["caller"] == "ls" and "json_each(tasks.tags)" in row["statement"]
    ]
    table = slow_log_home.run_ok("db", "slow", "--wide")
    plans = slow_log_home.run_ok("db", "slow", "--plan")

    assert found["count"] >= 1
    assert 0.000001 <= found["worst"] <= found["total"]
    assert re.search(r"^(SEARCH|SCAN) tasks ", found["plan"], re.M)
    assert table.startswith("WORST") and found["statement"] in table
    assert f"  {found['statement']}\n    {found['plan'].splitlines()[0]}" in plans


def test_every_statement_has_a_caller_during_the_start_too(slow_log_home: AcceptanceHome):
    asked = {row["caller"] for row in slow_log_home.run_json("db", "slow")}

    assert "start" in asked and "" not in asked


def test_the_slowest_statement_is_first(slow_log_home: AcceptanceHome):
    worst = [row["worst"] for row in slow_log_home.run_json("db", "slow")]

    assert len(worst) > 2
    assert worst == sorted(worst, reverse=True)


def test_programs_get_rows(slow_log_home: AcceptanceHome):
    head, *rows = slow_log_home.run_ok("db", "slow", "-o", "tsv").splitlines()

    assert head.split("\t")[:6] == ["id", "caller", "count", "seconds", "worst", "total"]
    assert all(len(row.split("\t")) == len(head.split("\t")) for row in rows)


def test_a_home_without_slow_statements_says_so(acceptance_home: AcceptanceHome):
    done = acceptance_home.run_cli("db", "slow")

    assert (done.returncode, done.stdout) == (0, "")
    assert "no slow statements" in done.stderr


def test_the_use_of_indexes_is_shown(slow_log_home: AcceptanceHome):
    found = slow_log_home.run_json("db", "stats")
    text = slow_log_home.run_ok("db", "stats")

    used = {index["name"]: index["used"] for index in found["indexes"]}
    assert used["idx_tasks_number"] > 0 == used["idx_tasks_type"]
    assert not any(index["unused"] for index in found["indexes"]), "the runtime is young"
    assert "idx_tasks_type" in text and "nothing yet" in text


def test_slow_statements_are_cleared_and_sizes_add_up_to_the_file(slow_log_home: AcceptanceHome):
    alive = slow_log_home.run_json("db", "stats")
    before = {(row["statement"], row["caller"]) for row in slow_log_home.run_json("db", "slow")}
    cleared = slow_log_home.run_json("db", "slow", "--clear")["cleared"]
    slow_log_home.run_ok("stop")
    after = {(row["statement"], row["caller"]) for row in slow_log_home.run_json("db", "slow")}
    still = slow_log_home.run_json("db", "stats")

    assert cleared >= len(before) > 0
    assert before - after != set()
    rows = {table["name"]: table["rows"] for table in alive["tables"]}
    assert rows["tasks"] == 2000
    read, waits = alive["cache"], alive["lock_waits"]
    assert (
        (waits["count"] == 0) == (waits["worst"] == 0)
        and waits["worst"] <= waits["total"]
        and alive["wal_bytes"] > 0
    )
    assert (
        read["bytes"] > 2**20
        and abs(read["hits"] - max(0.0, 1 - read["from_disk"] / read["bytes"])) < 1e-9
    )
    assert still["lock_waits"] is None and still["cache"] is None and still["used_since"] is None
    assert {table["name"]: table["rows"] for table in still["tables"]}["tasks"] == 2000

    with closing(sqlite3.connect(f"file:{slow_log_home.home}/taskdeck.db?mode=ro", uri=True)) as c:
        (pages,) = c.execute("PRAGMA page_count").fetchone()
    taken = sum(table["bytes"] + table["index_bytes"] for table in alive["tables"])
    assert 0.9 * alive["bytes"] < taken <= alive["bytes"]
    assert abs(pages - alive["pages"]) < 200
