"""Schedules that fire and alerts that are sent while the runtime is killed at random moments.

Each second must be handled once. Each alert must reach an HTTP and an SMTP server, and each
repetition of a message has the same key. Usage:
`python -m tests.long.chaos.killed_messages FOLDER --kills 100 --seed 1`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import select
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import paths
from app.cli.demo.teardown import end_all
from db import timestamps
from db.sqlite_files import make_read_only_uri
from tests.long.chaos import fire_report
from tests.long.chaos.fire_report import FAILING, FireReport
from tests.message_servers import HttpReceiver, SmtpReceiver, receive_http, receive_mail
from tests.runtime_process import RuntimeProcess, is_alive, wait_until

LONGEST_LIFE = 2.0
"""Maximum seconds from the start of a runtime to its kill."""
PATIENCE = 10.0
"""Maximum seconds that a kill waits for a message."""
LONGEST_WAIT = 600.0
"""Maximum seconds from the last kill to the last message."""
LONGEST_ANSWER = 0.5
"""Maximum seconds from a message to its answer, so that kills fall between send and record."""
CHANNELS = ("web", "mail")
KEY = re.compile(r"message ([0-9a-f-]{36})")


@dataclass(frozen=True, slots=True)
class KillResult:
    """Report of the fire times, the deliveries, and how often each key reached each channel."""

    kills: int
    tasks: int
    alerts: int
    fires: FireReport
    rows: Sequence[Mapping[str, Any]]
    received: Mapping[str, Counter[str]]

    def find_faults(self) -> list[str]:
        """Return what is wrong: fire times, alerts that were not told, keys that did not arrive."""
        faults = [*self.fires.faults]
        if self.alerts != self.tasks:
            faults.append(f"{self.alerts} alerts for {self.tasks} failed tasks")
        faults += [
            f"{row['target']}: {row['key']} is {row['status']}: {row['last_error']}"
            for row in self.rows
            if row["status"] != "sent"
        ]
        for channel in CHANNELS:
            rows = [row for row in self.rows if row["target"] == channel]
            keys, received = {row["key"] for row in rows}, self.received[channel].keys()
            told = Counter(i for row in rows if row["event"] == "firing" for i in row["ids"])
            if len(told) != self.alerts or told.total() != self.alerts:
                faults.append(f"{channel}: {told.total()} alerts told, not {self.alerts}")
            faults += [f"{channel}: {key} did not arrive" for key in sorted(keys - received)]
            faults += [f"{channel}: {key} is unknown" for key in sorted(received - keys)]
        return faults

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        repeated = {name: found.total() - len(found) for name, found in self.received.items()}
        failed = sum(row["attempts"] - 1 for row in self.rows)
        return {
            "kills": self.kills,
            "fire times": dict(sorted(self.fires.outcomes.items())),
            "alerts": self.alerts,
            "messages": len(self.rows),
            "repeated": repeated,
            "failed attempts": failed,
            "faults": self.find_faults(),
        }


def run(folder: Path, kills: int, seed: int) -> KillResult:
    """Kill the runtime at random; return what was handled, sent and received."""
    pick = random.Random(seed)
    home = folder / "home"
    with receive_http() as http, receive_mail() as mail:
        http.longest_answer = mail.longest_answer = LONGEST_ANSWER
        write_config(folder / "config", http, mail)
        living = RuntimeProcess(home)
        try:
            living.start()
            living.call(
                "sla.create", name="all", preset="finishes-within", value="1h", notify=[*CHANNELS]
            )
            fire_report.create_schedules(living)
            for _ in range(kills):
                kill_at_random(living, pick, http)
            until = timestamps.utcnow()
            fire_report.end_schedules(living)
            wait_until_told(home)
        finally:
            living.kill_all()
            end_all(os.fspath(home))
        received = {"web": find_keys(http.bodies), "mail": find_keys(mail.texts)}
    fires = fire_report.report_fires(home, until)
    return KillResult(kills, *count_failures(home), fires, read_deliveries(home), received)


def write_config(folder: Path, http: HttpReceiver, mail: SmtpReceiver) -> None:
    """Write the channels, and let the runtimes to be started read them."""
    os.environ["XDG_CONFIG_HOME"] = os.fspath(folder)
    path = folder / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'[channels.web]\nurl = "json://127.0.0.1:{http.port}/"\n'
        f'[channels.mail]\nurl = "{mail.url}"\n'
    )


def kill_at_random(living: RuntimeProcess, pick: random.Random, http: HttpReceiver) -> None:
    """Kill the runtime, and start the next one.

    Half of the kills come after a random part of its life, the others while the server answers the
    next message: it was sent, and this is not recorded.
    """
    pid = living.pid
    longest = LONGEST_LIFE
    if pick.random() < 0.5 and http.has_received(len(http.requests) + 1, PATIENCE):
        longest = LONGEST_ANSWER
    select.select([], [], [], pick.uniform(0.0, longest))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"runtime {pid} gone")
    living.start()


def open_home(home: Path) -> closing[sqlite3.Connection]:
    """Open the database of a home for reading."""
    return closing(sqlite3.connect(make_read_only_uri(paths.get_database_path(home)), uri=True))


def read_deliveries(home: Path) -> list[dict[str, Any]]:
    """Return key, channel, event, status and alerts of all deliveries."""
    with open_home(home) as c:
        rows = c.execute(
            "SELECT key, target, event, status, attempts, last_error, payload FROM deliveries"
        )
        names = ("key", "target", "event", "status", "attempts", "last_error", "payload")
        found = [dict(zip(names, row, strict=True)) for row in rows]
    return [row | {"ids": json.loads(row.pop("payload"))["ids"]} for row in found]


def count_failures(home: Path) -> tuple[int, int]:
    """Return the number of tasks that had to fail, and of alerts about tasks."""
    with open_home(home) as c:
        (tasks,) = c.execute("SELECT count(*) FROM tasks WHERE name = ?", (FAILING,)).fetchone()
        (alerts,) = c.execute("SELECT count(*) FROM alerts WHERE task_id IS NOT NULL").fetchone()
    return tasks, alerts


def wait_until_told(home: Path) -> None:
    """Wait until all alerts are sent; a message that failed is repeated after minutes."""
    end = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < end:
        tasks, alerts = count_failures(home)
        rows = read_deliveries(home)
        told = {i for row in rows for i in row["ids"]}
        if alerts == tasks == len(told) and all(row["status"] == "sent" for row in rows):
            return
        select.select([], [], [], 0.1)


def find_keys(texts: Sequence[str]) -> Counter[str]:
    """Return how often each key arrived."""
    return Counter(key for text in texts for key in KEY.findall(text))


def main() -> int:
    """Print the figures of one trial as JSON, with its faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.chaos.killed_messages")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    result = run(args.folder, args.kills, args.seed)
    print(json.dumps(result.to_json()))
    return 1 if result.find_faults() else 0


if __name__ == "__main__":
    sys.exit(main())
