"""Jobs of known outcome: each writes down every time that it runs, under the id of the run."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOTE = 'echo "$TASKDECK_RUNID" >> {0};'
NAPS = (0, 0, 0.02, 0.1, 0.3)
KINDS = ("plain",) * 12 + ("signal", "timeout", "cancel", "pause", "retry", "absent")


@dataclass(frozen=True, slots=True)
class Job:
    """One task: how it is submitted, what is done to it while it waits or runs, and how it must end."""

    name: str
    kind: str
    spec: dict[str, Any]
    status: str = "succeeded"
    code: int | None = 0
    signal: int | None = None
    codes: tuple[int | None, ...] = field(default=())
    """Exit codes of its runs, in order; where none is given, that of the task."""


def job(number: int, dice: random.Random, folder: Path) -> Job:
    """The next job."""
    name = f"t{number}"
    ran = folder / f"ran.{name}"
    return MAKERS[dice.choice(KINDS)](name, dice, NOTE.format(ran))


def _spec(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": ["sh", "-c", script], "queue": "crowd", "cpu": 1, "grace": 0.3, **more}


def _plain(name: str, dice: random.Random, note: str) -> Job:
    code = dice.choice((0, 0, 0, 1, 3, 42))
    nap = dice.choice(NAPS)
    sleep = f"sleep {nap};" if nap else ""
    spec = _spec(name, f"{note} {sleep} echo done-{name}; exit {code}")
    return Job(name, "plain", spec, "failed" if code else "succeeded", code)


def _signal(name: str, dice: random.Random, note: str) -> Job:
    return Job(name, "signal", _spec(name, f"{note} sleep {dice.choice(NAPS)}; kill -9 $$"), "failed", None, 9)


def _timeout(name: str, dice: random.Random, note: str) -> Job:
    limit = dice.choice((0.1, 0.3))
    return Job(name, "timeout", _spec(name, f"{note} exec sleep 30", timeout=limit), "timed_out", None, 15)


def _cancel(name: str, dice: random.Random, note: str) -> Job:
    return Job(name, "cancel", _spec(name, f"{note} sleep 30 & wait"), "cancelled", None, 15)


def _pause(name: str, dice: random.Random, note: str) -> Job:
    return Job(name, "pause", _spec(name, f"{note} sleep 0.2; echo done-{name}; exit 5"), "failed", 5)


def _retry(name: str, dice: random.Random, note: str) -> Job:
    script = f'{note} sleep {dice.choice(NAPS)}; echo done-{name}; [ "$TASKDECK_ATTEMPT" = 2 ]'
    return Job(name, "retry", _spec(name, script, retries=2, retry_delay=0.05), codes=(1, 0))


def _absent(name: str, dice: random.Random, note: str) -> Job:
    return Job(name, "absent", {**_spec(name, ""), "argv": ["no-such-program-anywhere"]}, "failed", 127)


MAKERS = {
    "plain": _plain,
    "signal": _signal,
    "timeout": _timeout,
    "cancel": _cancel,
    "pause": _pause,
    "retry": _retry,
    "absent": _absent,
}
