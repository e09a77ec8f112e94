"""A rule on a figure of Taskdeck itself, with a real runtime: it fires, is told once over a death of the runtime, and resolves."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.acceptance.acceptance_home import House
from tests.runtime_process import until

TASKS = "".join(f'{{"argv": ["/bin/true"], "name": "work {at}"}}\n' for at in range(1500))


def firing(house: House) -> list[dict[str, Any]]:
    return [row for row in house.ask("alert.ls") if row["sla"] == "small-log"]


def test_a_rule_says_what_is_not_known_and_a_wrong_one_what_to_type(shared_house: House):
    shared_house.ok("sla", "create", "replica-fresh", "--metric", "replica-lag", "--stays-below", "5m")
    shown = shared_house.json("sla", "show", "replica-fresh")
    assert (shown["now"], shown["stands"], shown["unit"], shown["words"]) == (None, "no replica", "seconds", "replica-lag stays below 5m")
    wrong = shared_house.td("sla", "create", "x", "--metric", "replica-lag", "--stays-below", "5m", "--queue", "default")
    assert (wrong.returncode, wrong.stdout) == (2, "") and "replica-lag is about no task: it takes no queue" in wrong.stderr


def test_a_log_that_grows_fires_once_and_resolves_when_it_is_folded(shared_house: House):
    shared_house.ok("queue", "pause", "default")
    shared_house.ok("sla", "create", "small-log", "--metric", "wal-size", "--stays-below", "600K", "--severity", "critical")
    assert "wal-size stays below 600K" in shared_house.ok("sla", "ls")
    assert "the database's log " in shared_house.ok("sla", "show", "small-log")
    assert shared_house.td("status", "--check").returncode == 0

    shared_house.ok("submit", "--from", "-", input=TASKS)
    until(lambda: bool(firing(shared_house)))
    (alert,) = firing(shared_house)
    assert (alert["object"], alert["status"], alert["limit"], alert["metric"]) == ("taskdeck", "firing", 600 * 1024.0, "wal-size")
    assert alert["value"] >= alert["limit"] and alert["text"].endswith(", allowed 600K")
    assert shared_house.td("status", "--check").returncode == 1 and "small-log" in shared_house.ok("status")

    os.kill(shared_house.json("status")["runtime"]["pid"], signal.SIGKILL)
    shared_house.ok("serve", "--detach")
    shared_house.ok("alert", "ack", str(alert["id"]))
    assert [(row["id"], row["status"]) for row in firing(shared_house)] == [(alert["id"], "acknowledged")]

    shared_house.ok("stop")
    assert shared_house.ask("sla.show", name="replica-fresh")["stands"] == "no replica", "it is known without a runtime too"
    log = Path(shared_house.home, "taskdeck.db-wal")
    assert not log.exists() or log.stat().st_size < alert["limit"]
    shared_house.ok("serve", "--detach")
    until(lambda: not firing(shared_house))
    over = [row for row in shared_house.json("alert", "ls", "--all") if row["sla"] == "small-log"]
    assert [(row["id"], row["status"]) for row in over] == [(alert["id"], "resolved")]
