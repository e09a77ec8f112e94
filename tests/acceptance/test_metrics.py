"""Acceptance tests of a rule on one of Taskdeck's own metrics, with a real runtime."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import wait_until

TASK_LINES = "".join(f'{{"argv": ["/bin/true"], "name": "work {at}"}}\n' for at in range(1500))


def list_firing_alerts(house: AcceptanceHome) -> list[dict[str, Any]]:
    return [row for row in house.call_verb("alert.ls") if row["sla"] == "small-log"]


def test_a_rule_reports_unknown_values_and_usage_errors(shared_home: AcceptanceHome):
    shared_home.run_ok(
        "sla", "create", "replica-fresh", "--metric", "replica-lag", "--stays-below", "5m"
    )
    shown = shared_home.run_json("sla", "show", "replica-fresh")
    assert (shown["now"], shown["stands"], shown["unit"], shown["words"]) == (
        None,
        "no replica",
        "seconds",
        "replica-lag stays below 5m",
    )
    wrong = shared_home.run_cli(
        "sla", "create", "x", "--metric", "replica-lag", "--stays-below", "5m", "--queue", "default"
    )
    assert (wrong.returncode, wrong.stdout) == (
        2,
        "",
    ) and "replica-lag is one value for the whole home, so it takes no queue" in wrong.stderr


def test_a_growing_wal_fires_once_and_resolves_after_a_checkpoint(shared_home: AcceptanceHome):
    shared_home.run_ok("queue", "pause", "default")
    shared_home.run_ok(
        "sla",
        "create",
        "small-log",
        "--metric",
        "wal-size",
        "--stays-below",
        "600K",
        "--severity",
        "critical",
    )
    assert "wal-size stays below 600K" in shared_home.run_ok("sla", "ls")
    assert "the database's log " in shared_home.run_ok("sla", "show", "small-log")
    assert shared_home.run_cli("status", "--check").returncode == 0

    shared_home.run_ok("submit", "--from", "-", input=TASK_LINES)
    wait_until(lambda: bool(list_firing_alerts(shared_home)))
    (alert,) = list_firing_alerts(shared_home)
    assert (alert["object"], alert["status"], alert["limit"], alert["metric"]) == (
        "taskdeck",
        "firing",
        600 * 1024.0,
        "wal-size",
    )
    assert alert["value"] >= alert["limit"] and alert["text"].endswith(", allowed 600K")
    assert shared_home.run_cli(
        "status", "--check"
    ).returncode == 1 and "small-log" in shared_home.run_ok("status")

    os.kill(shared_home.run_json("status")["runtime"]["pid"], signal.SIGKILL)
    shared_home.run_ok("serve", "--detach")
    shared_home.run_ok("alert", "ack", str(alert["id"]))
    assert [(row["id"], row["status"]) for row in list_firing_alerts(shared_home)] == [
        (alert["id"], "acknowledged")
    ]

    shared_home.run_ok("stop")
    assert shared_home.call_verb("sla.show", name="replica-fresh")["stands"] == "no replica", (
        "it is known without a runtime too"
    )
    log = Path(shared_home.home, "taskdeck.db-wal")
    assert not log.exists() or log.stat().st_size < alert["limit"]
    shared_home.run_ok("serve", "--detach")
    wait_until(lambda: not list_firing_alerts(shared_home))
    over = [
        row for row in shared_home.run_json("alert", "ls", "--all") if row["sla"] == "small-log"
    ]
    assert [(row["id"], row["status"]) for row in over] == [(alert["id"], "resolved")]
