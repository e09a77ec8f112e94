"""Alerts sent to an HTTP and an SMTP server while the runtime is killed at random moments.

Each alert must reach both servers, and each repetition of a message has the same key. Usage:
`python -m tests.long.chaos.killed_messages FOLDER --tasks 40 --kills 10 --seed 1`.
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
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from app import paths
from app.cli.demo.teardown import end_all
from tests.message_servers import HttpReceiver, SmtpReceiver, receive_http, receive_mail
from tests.runtime_process import RuntimeProcess, is_alive, wait_until

LONGEST_LIFE = 1.5
"""Maximum seconds from the start of a runtime to its kill."""
KEY = re.compile(r"message ([0-9a-f-]{36})")


def write_config(folder: Path, http: HttpReceiver, mail: SmtpReceiver) -> None:
    """Write the channels, and let the runtimes to be started read them."""
    os.environ["XDG_CONFIG_HOME"] = os.fspath(folder)
    path = folder / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'[channels.web]\nurl = "json://127.0.0.1:{http.port}/"\n'
        f'[channels.mail]\nurl = "{mail.url}"\n'
    )


def kill_at_random(living: RuntimeProcess, pick: random.Random) -> None:
    """Kill the runtime after a random part of its life, and start the next one."""
    pid = living.pid
    select.select([], [], [], pick.uniform(0.0, LONGEST_LIFE))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"runtime {pid} gone")
    living.start()


def submit_failures(living: RuntimeProcess, first: int, count: int) -> None:
    """Submit tasks that fail."""
    for at in range(first, first + count):
        living.submit("false", name=f"fails {at}")


def read_deliveries(home: Path) -> list[dict[str, Any]]:
    """Return key, channel, event, status and alerts of all deliveries."""
    path = paths.get_database_path(home)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as c:
        rows = c.execute("SELECT key, target, event, status, payload, attempts FROM deliveries")
        names = ("key", "target", "event", "status", "payload", "attempts")
        found = [dict(zip(names, row, strict=True)) for row in rows]
    return [row | {"ids": json.loads(row.pop("payload"))["ids"]} for row in found]


def count_alerts(home: Path) -> int:
    """Return the number of alerts about tasks."""
    with closing(sqlite3.connect(f"file:{paths.get_database_path(home)}?mode=ro", uri=True)) as c:
        found = c.execute("SELECT count(*) FROM alerts WHERE task_id IS NOT NULL")
        return found.fetchone()[0]


def is_settled(home: Path, tasks: int) -> bool:
    """Return true once each task has its alert and nothing waits to be sent."""
    rows = read_deliveries(home)
    return (
        count_alerts(home) == tasks
        and bool(rows)
        and all(row["status"] == "sent" for row in rows)
        and len({i for row in rows for i in row["ids"]}) == tasks
    )


def run(folder: Path, tasks: int, kills: int, seed: int) -> dict[str, Any]:
    """Run one trial; return what was sent, and what each server got."""
    pick = random.Random(seed)
    home = folder / "home"
    with receive_http() as http, receive_mail() as mail:
        write_config(folder / "config", http, mail)
        living = RuntimeProcess(home)
        try:
            living.start()
            living.call(
                "sla.create", name="all", preset="finishes-within", value="1h",
                notify=["web", "mail"],
            )  # fmt: skip
            share = -(-tasks // (kills + 1))
            for first in range(0, tasks, share):
                submit_failures(living, first, min(share, tasks - first))
                if first + share < tasks:
                    kill_at_random(living, pick)
            wait_until(lambda: is_settled(home, tasks), "all alerts sent")
            rows = read_deliveries(home)
        finally:
            living.kill_all()
            end_all(os.fspath(home))
        return {"rows": rows, "web": find_keys(http.bodies), "mail": find_keys(mail.texts)}


def find_keys(texts: Sequence[str]) -> dict[str, int]:
    """Return how often each key arrived."""
    return dict(Counter(key for text in texts for key in KEY.findall(text)))


def find_faults(result: dict[str, Any], tasks: int) -> list[str]:
    """Return what the trial lacks: alerts that were not sent, keys that did not arrive."""
    faults: list[str] = []
    for channel in ("web", "mail"):
        rows = [row for row in result["rows"] if row["target"] == channel]
        keys = {row["key"] for row in rows}
        told = {i for row in rows if row["event"] == "firing" for i in row["ids"]}
        faults += [f"{channel}: {tasks - len(told)} alerts not told"] * (len(told) != tasks)
        faults += [f"{channel}: {key} did not arrive" for key in keys - result[channel].keys()]
        faults += [f"{channel}: {key} is unknown" for key in result[channel].keys() - keys]
    return faults


def main() -> None:
    """Print the figures of one trial as JSON, with its faults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    result = run(args.folder, args.tasks, args.kills, args.seed)
    repeated = {
        channel: sum(count - 1 for count in result[channel].values()) for channel in ("web", "mail")
    }
    faults = find_faults(result, args.tasks)
    print(json.dumps({"messages": len(result["rows"]), "repeated": repeated, "faults": faults}))


if __name__ == "__main__":
    main()
