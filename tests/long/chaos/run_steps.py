"""Step of each run while all processes are stopped: from the database, the journal and /proc."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STEPS = (
    "submitted", "claimed", "sent", "intent", "spawned", "running", "exited", "journaled", "reaped",
    "told", "committed", "forgotten",
)  # fmt: skip
ACTIVE = "('starting', 'running', 'paused', 'stopping')"


def read_rows(home: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Query the database like any reader."""
    with contextlib.closing(
        sqlite3.connect(f"file:{home}/taskdeck.db?mode=ro", uri=True, timeout=10)
    ) as c:
        return c.execute(query, values).fetchall()


def read_journal(home: Path) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the records of each run by letter, and the forgotten runs."""
    known: dict[str, dict[str, Any]] = {}
    forgotten_runs: set[str] = set()
    for record in read_records(home):
        letter = next(iter(record))
        if letter == "f":
            forgotten_runs |= set(record["f"])
        elif letter == "v":
            known.pop(record["v"], None)
        elif letter in "ipse":
            known.setdefault(record[letter], {})[letter] = record
    return {run: facts for run, facts in known.items() if run not in forgotten_runs}, forgotten_runs


def read_records(home: Path) -> Iterator[dict[str, Any]]:
    """Yield every complete record of the journal."""
    for path in sorted((home / "run").glob("journal*/*.log")):
        with contextlib.suppress(FileNotFoundError):
            for line in path.read_bytes().rstrip(b"\0").split(b"\n"):
                with contextlib.suppress(ValueError):
                    yield json.loads(line)


def count_steps(home: Path, first: str) -> Counter[str]:
    """Count the runs at each step.

    `first` is the process stopped first; the other two had time for their part.
    """
    known, ended_names = read_journal(home)
    steps: Counter[str] = Counter(forgotten=len(ended_names))
    for (many,) in read_rows(home, "SELECT count(*) FROM tasks WHERE status = 'queued'"):
        steps["submitted"] += many
    active = dict(read_rows(home, f"SELECT runid, status FROM instances WHERE status IN {ACTIVE}"))
    for runid, status in active.items():
        steps[_find_step(known.get(runid, {}), status, first)] += 1
    steps["committed"] += sum(
        "e" in facts and runid not in active for runid, facts in known.items()
    )
    return steps


def _find_step(facts: dict[str, Any], status: str, first: str) -> str:
    if "i" not in facts:
        return "sent" if first == "keeper" else "claimed"
    if "p" not in facts and "e" not in facts:
        return "intent"
    process = _read_state(facts["p"]) if "p" in facts else ""
    if "e" not in facts:
        return (
            "exited" if process in ("", "Z") else "spawned" if status == "starting" else "running"
        )
    return "journaled" if process == "Z" else "told" if first == "runtime" else "reaped"


def _read_state(leader: dict[str, Any]) -> str:
    """Return the state letter of exactly this process, or an empty string."""
    try:
        fields = Path(f"/proc/{leader['pid']}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[0] if int(fields[19]) == leader["ticks"] else ""
