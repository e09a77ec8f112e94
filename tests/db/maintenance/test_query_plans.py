"""Query plans of a real runtime over 4,000 tasks, and the reader of query plans."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.client import READ_ONLY_VERBS
from db.maintenance import query_plans
from db.maintenance.query_plans import TableScan
from tests.long.plans.allowed_scans import find_reason
from tests.long.plans.query_recorder import SKIPPED_VERBS, list_required_arguments

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def plans_report() -> dict[str, Any]:
    """Return the report of `python -m tests.long.plans`."""
    argv = [sys.executable, "-m", "tests.long.plans", "--tasks", "4000", "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.process
def test_no_runtime_statement_scans_a_growing_table(plans_report: dict[str, Any]):
    assert plans_report["walking"] == [], "\n".join(plans_report["walking"])
    assert plans_report["statements"] > 250


def test_every_statement_has_a_known_plan(plans_report: dict[str, Any]):
    assert plans_report["unexplained"] == []


def test_every_reading_verb_and_periodic_job_was_run(plans_report: dict[str, Any]):
    verbs = {name for name in READ_ONLY_VERBS if not name.startswith(SKIPPED_VERBS)}

    assert verbs - plans_report["took"].keys() == set()
    assert {
        "duty slas",
        "duty history",
        "duty cleanup",
        "duty reconcile",
        "submit",
        "front",
        "undo",
    } <= plans_report["took"].keys()


@pytest.mark.parametrize("verb", ["show", "away", "sla.history"])
def test_a_verb_names_its_required_arguments(verb: str):
    assert list_required_arguments(verb) != []


def test_a_scan_names_the_table_behind_an_alias():
    statement = (
        "SELECT t.uuid FROM instances AS i JOIN tasks t ON t.uuid = i.task_id WHERE +t.queue = ?"
    )
    plan = ("SCAN t", "SEARCH i USING INDEX idx_instances_task (task_id=?)")

    assert query_plans.find_scans(plan, statement) == [TableScan("tasks", None)]
    assert query_plans.find_indexes(plan) == {"idx_instances_task"}


def test_an_index_scan_names_the_index():
    plan = ("CO-ROUTINE x", "  SCAN tasks USING COVERING INDEX idx_tasks_name")

    assert query_plans.find_scans(plan, "SELECT name FROM tasks") == [
        TableScan("tasks", "idx_tasks_name")
    ]


def test_plan_lines_are_indented_below_their_parents():
    rows = [(2, 0, "CO-ROUTINE a"), (5, 2, "SCAN tasks"), (9, 0, "SCAN a")]

    assert query_plans.format_plan(rows) == ("CO-ROUTINE a", "  SCAN tasks", "SCAN a")


def test_a_slow_scan_names_the_columns_of_a_useful_index():
    statement = (
        "SELECT t.* FROM tasks t, queues q WHERE t.type = ? AND q.pool = ? AND t.attempts > ? ORDER"
        " BY t.name"
    )
    columns = {"tasks": ("uuid", "name", "type", "queue", "attempts", "pool")}

    found = query_plans.find_missing_indexes(
        [(statement, "SCAN t\nSEARCH q"), ("SELECT 1 FROM tasks", "SCAN tasks"), ("x", None)],
        columns,
    )

    assert found == {("tasks", ("type", "attempts")): 1}


def test_no_index_is_missing_for_a_search_within_text():
    columns = ("id", "by", "verb", "object", "before", "after")
    named = (
        "coalesce((SELECT t.name FROM tasks t WHERE operations.object LIKE ? AND t.number ="
        " CAST(substr(object, ?) AS INTEGER)), ?)"
    )
    text = (
        f"""lower("by" || ? || verb || ? || object || ? || {named}"""
        " || ? || coalesce(before, ?) || ? || coalesce(after, ?))"
    )
    searching = (
        f"SELECT id FROM operations WHERE ? AND instr({text}, ?) > ? ORDER BY operations.id DESC"
        " LIMIT ?"
    )
    liking = "SELECT id FROM operations WHERE object LIKE ? OR operations.verb NOT LIKE ?"
    both = "SELECT id FROM operations WHERE (verb = ? OR substr(verb, ?, ?) = ?) AND before LIKE ?"

    found = query_plans.find_missing_indexes(
        [(each, "SCAN operations") for each in (searching, liking, both)], {"operations": columns}
    )

    assert found == {("operations", ("verb",)): 1}


def test_only_a_slow_whole_index_scan_lacks_another_index():
    rows = [("SELECT uuid FROM tasks WHERE cwd = ?", "SCAN tasks USING INDEX idx_tasks_number"),
            ("SELECT uuid FROM tasks WHERE status = ?",
            "SCAN tasks USING INDEX idx_tasks_next")]  # fmt: skip

    found = query_plans.find_missing_indexes(rows, {"tasks": ("cwd", "status")}, {"idx_tasks_next"})

    assert found == {("tasks", ("cwd",)): 1}


@pytest.mark.parametrize(
    ("statement", "walk"),
    [
        ("SELECT name FROM tasks WHERE type = 'a'", TableScan("tasks", None)),
        ("SELECT name FROM tasks WHERE type = 'a' LIMIT 1", TableScan("tasks", "idx_tasks_number")),
        ("SELECT id FROM events WHERE status = 'queued'", TableScan("events", None)),
        (
            "SELECT object FROM operations WHERE object LIKE '%7' ORDER BY operations.id",
            TableScan("operations", None),
        ),
    ],
)
def test_an_unlisted_scan_is_not_allowed(statement: str, walk: TableScan):
    assert find_reason(statement, walk) is None


def test_small_tables_and_partial_indexes_may_be_scanned():
    assert find_reason("SELECT * FROM queues", TableScan("queues", None))
    assert find_reason(
        "SELECT id FROM alerts WHERE status <> 'resolved'", TableScan("alerts", "idx_alerts_open")
    )
