"""A busy queue: mostly short tasks, with failures, retries, timeouts and cancels."""

from __future__ import annotations

import os
from typing import Any

from app.client import Client
from app.core.ids import make_uuid7

SLOTS, SLOW_SLOTS = 16, 8
BATCH_SIZE, MAX_BACKLOG = 400, 1200
CANCELLED = "goes-on-until-cancelled"
EXPECTED_STATES = {
    "short": "succeeded", "talks": "succeeded", "fails": "failed", "dies": "failed",
    "retried": "succeeded", "absent": "failed",
    "too-long": "timed_out", CANCELLED: "cancelled",
}  # fmt: skip
"""Final state of each task, by name."""


def make_batch(number: int) -> list[dict[str, Any]]:
    """Return the next tasks to submit, always in the same mixture."""
    return [_make_task(number * BATCH_SIZE + at) for at in range(BATCH_SIZE)]


def _make_task(number: int) -> dict[str, Any]:
    busy: dict[str, Any] = {"queue": "busy", "cpu": 1}
    slow: dict[str, Any] = {"queue": "slow", "cpu": 1, "grace": 0.5, "argv": ["/bin/sleep", "60"]}
    match number % 200:
        case 0:
            return slow | {"name": "too-long", "timeout": 0.2}
        case 100:
            return slow | {"name": CANCELLED}
        case 20 | 120:
            again = '[ "$TASKDECK_ATTEMPT" = 2 ]'
            return busy | {
                "name": "retried",
                "argv": ["/bin/sh", "-c", again],
                "retries": 1,
                "retry_delay": 0.1,
            }
        case 40 | 140:
            return busy | {"name": "dies", "argv": ["/bin/sh", "-c", "kill -9 $$"]}
        case 60:
            return busy | {"name": "absent", "argv": ["no-such-program-anywhere"]}
        case at if at % 10 == 5:
            return busy | {"name": "fails", "argv": ["/bin/false"]}
        case at if at % 10 == 7:
            return busy | {"name": "talks", "argv": ["/bin/echo", "a line of the log " * 20]}
        case _:
            return busy | {"name": "short", "argv": ["/bin/true"]}


class Workload:
    """Submitter and canceller of tasks over one connection."""

    def __init__(self, client: Client) -> None:
        self.client, self.submitted = client, 0
        client.call("pool.create", {"name": "wide", "cpu": 64, "memory": "64G"})
        for queue, slots in (("busy", SLOTS), ("slow", SLOW_SLOTS)):
            client.call("queue.create", {"name": queue, "capacity": slots, "pool": "wide"})

    def submit_more(self) -> bool:
        """Cancel tasks named `CANCELLED` and fill the queue; return true if any were submitted."""
        self._cancel_tasks()
        if self.count_unfinished() >= MAX_BACKLOG:
            return False
        asked = {
            "cwd": "/",
            "umask": 0o022,
            "env": {"PATH": os.environ["PATH"]},
            "uuid": make_uuid7(),
        }
        self.client.call("submit", {"tasks": make_batch(self.submitted // BATCH_SIZE), **asked})
        self.submitted += BATCH_SIZE
        return True

    def _cancel_tasks(self) -> None:
        self.client.call("cancel", {"select": {"name": CANCELLED, "status": ["running"]}})

    def count_unfinished(self) -> int:
        """Count the tasks that have not ended."""
        counts = self.client.call("status")["counts"]
        return sum(counts.get(status, 0) for status in ("queued", "retrying", "running"))

    def finish(self) -> int:
        """Submit no more, and return the number of unfinished tasks."""
        self._cancel_tasks()
        return self.count_unfinished()
