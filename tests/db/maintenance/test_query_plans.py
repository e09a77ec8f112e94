"""What a real runtime executes over 25,000 tasks walks through no table that grows; and how plans are read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.client import READING
from db.maintenance import query_plans
from db.maintenance.query_plans import Walk
from tests.long.plans.allowed_scans import reason
from tests.long.plans.query_recorder import NOT_ASKED, needs

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    """What `python -m tests.long.plans` found."""
    argv = [sys.executable, "-m", "tests.plans", "--tasks", "25000", "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_no_statement_of_a_runtime_walks_through_a_table_that_grows(asked: dict[str, Any]):
    assert asked["walking"] == [], "\n".join(asked["walking"])
    assert asked["statements"] > 250


def test_the_plan_of_every_statement_is_known(asked: dict[str, Any]):
    assert asked["unexplained"] == []


def test_every_reading_verb_and_every_duty_was_asked(asked: dict[str, Any]):
    verbs = {name for name in READING if not name.startswith(NOT_ASKED)}

    assert verbs - asked["took"].keys() == set()
    assert {"duty slas", "duty history", "duty cleanup", "duty reconcile", "submit", "front", "undo"} <= asked["took"].keys()


@pytest.mark.parametrize("verb", ["show", "away", "sla.history"])
def test_a_verb_says_what_it_cannot_be_asked_without(verb: str):
    assert needs(verb) != []


def test_a_walk_names_the_table_behind_an_alias():
    statement = "SELECT t.uuid FROM instances AS i JOIN tasks t ON t.uuid = i.task_id WHERE +t.queue = ?"
    plan = ("SCAN t", "SEARCH i USING INDEX idx_instances_task (task_id=?)")

    assert query_plans.walks(plan, statement) == [Walk("tasks", None)]
    assert query_plans.indexes(plan) == {"idx_instances_task"}


def test_a_walk_along_an_index_names_the_index():
    plan = ("CO-ROUTINE x", "  SCAN tasks USING COVERING INDEX idx_tasks_name")

    assert query_plans.walks(plan, "SELECT name FROM tasks") == [Walk("tasks", "idx_tasks_name")]


def test_lines_of_a_plan_are_moved_in_below_those_that_they_belong_to():
    rows = [(2, 0, "CO-ROUTINE a"), (5, 2, "SCAN tasks"), (9, 0, "SCAN a")]

    assert query_plans.tree(rows) == ("CO-ROUTINE a", "  SCAN tasks", "SCAN a")


def test_a_slow_walk_names_the_columns_that_an_index_would_have():
    statement = "SELECT t.* FROM tasks t, queues q WHERE t.type = ? AND q.pool = ? AND t.attempts > ? ORDER BY t.name"
    columns = {"tasks": ("uuid", "name", "type", "queue", "attempts", "pool")}

    found = query_plans.missing([(statement, "SCAN t\nSEARCH q"), ("SELECT 1 FROM tasks", "SCAN tasks"), ("x", None)], columns)

    assert found == {("tasks", ("type", "attempts")): 1}


def test_no_index_is_missed_for_a_search_within_texts():
    columns = ("id", "by", "verb", "object", "before", "after")
    named = "coalesce((SELECT t.name FROM tasks t WHERE operations.object LIKE ? AND t.number = CAST(substr(object, ?) AS INTEGER)), ?)"
    text = f"""lower("by" || ? || verb || ? || object || ? || {named} || ? || coalesce(before, ?) || ? || coalesce(after, ?))"""
    searching = f"SELECT id FROM operations WHERE ? AND instr({text}, ?) > ? ORDER BY operations.id DESC LIMIT ?"
    liking = "SELECT id FROM operations WHERE object LIKE ? OR operations.verb NOT LIKE ?"
    both = "SELECT id FROM operations WHERE (verb = ? OR substr(verb, ?, ?) = ?) AND before LIKE ?"

    found = query_plans.missing([(each, "SCAN operations") for each in (searching, liking, both)], {"operations": columns})

    assert found == {("operations", ("verb",)): 1}


def test_a_slow_walk_along_a_whole_index_lacks_another_and_one_along_a_partial_index_does_not():
    rows = [("SELECT uuid FROM tasks WHERE cwd = ?", "SCAN tasks USING INDEX idx_tasks_number"),
            ("SELECT uuid FROM tasks WHERE status = ?", "SCAN tasks USING INDEX idx_tasks_next")]  # fmt: skip

    found = query_plans.missing(rows, {"tasks": ("cwd", "status")}, {"idx_tasks_next"})

    assert found == {("tasks", ("cwd",)): 1}


@pytest.mark.parametrize(
    ("statement", "walk"),
    [
        ("SELECT name FROM tasks WHERE type = 'a'", Walk("tasks", None)),
        ("SELECT name FROM tasks WHERE type = 'a' LIMIT 1", Walk("tasks", "idx_tasks_number")),
        ("SELECT id FROM events WHERE status = 'queued'", Walk("events", None)),
        ("SELECT object FROM operations WHERE object LIKE '%7' ORDER BY operations.id", Walk("operations", None)),
    ],
)
def test_a_walk_that_is_not_named_is_not_allowed(statement: str, walk: Walk):
    assert reason(statement, walk) is None


def test_a_small_table_and_an_index_of_what_is_wanted_may_be_walked():
    assert reason("SELECT * FROM queues", Walk("queues", None))
    assert reason("SELECT id FROM alerts WHERE status <> 'resolved'", Walk("alerts", "idx_alerts_open"))
