"""Jobs of known outcome that note each of their executions under the run's id."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOTE_COMMAND = 'echo "$TASKDECK_RUNID" >> {0};'
SLEEPS = (0, 0, 0.02, 0.1, 0.3)
KINDS = ("plain",) * 12 + ("signal", "timeout", "cancel", "pause", "retry", "absent")


@dataclass(frozen=True, slots=True)
class ExpectedJob:
    """Task: its submission, the action on it, and its expected end."""

    name: str
    kind: str
    spec: dict[str, Any]
    status: str = "succeeded"
    code: int | None = 0
    signal: int | None = None
    codes: tuple[int | None, ...] = field(default=())
    """Exit codes of its runs, in order; the task's code by default."""


def make_job(number: int, dice: random.Random, folder: Path) -> ExpectedJob:
    """Return the next job."""
    name = f"t{number}"
    ran = folder / f"ran.{name}"
    return MAKERS[dice.choice(KINDS)](name, dice, NOTE_COMMAND.format(ran))


def _make_spec(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "argv": ["sh", "-c", script],
        "queue": "crowd",
        "cpu": 1,
        "grace": 0.3,
        **more,
    }


def _make_plain(name: str, dice: random.Random, note: str) -> ExpectedJob:
    code = dice.choice((0, 0, 0, 1, 3, 42))
    nap = dice.choice(SLEEPS)
    sleep = f"sleep {nap};" if nap else ""
    spec = _make_spec(name, f"{note} {sleep} echo done-{name}; exit {code}")
    return ExpectedJob(name, "plain", spec, "failed" if code else "succeeded", code)


def _make_signal(name: str, dice: random.Random, note: str) -> ExpectedJob:
    return ExpectedJob(
        name,
        "signal",
        _make_spec(name, f"{note} sleep {dice.choice(SLEEPS)}; kill -9 $$"),
        "failed",
        None,
        9,
    )


def _make_timeout(name: str, dice: random.Random, note: str) -> ExpectedJob:
    limit = dice.choice((0.1, 0.3))
    return ExpectedJob(
        name,
        "timeout",
        _make_spec(name, f"{note} exec sleep 30", timeout=limit),
        "timed_out",
        None,
        15,
    )


def _make_cancel(name: str, dice: random.Random, note: str) -> ExpectedJob:
    return ExpectedJob(
        name, "cancel", _make_spec(name, f"{note} sleep 30 & wait"), "cancelled", None, 15
    )


def _make_pause(name: str, dice: random.Random, note: str) -> ExpectedJob:
    return ExpectedJob(
        name, "pause", _make_spec(name, f"{note} sleep 0.2; echo done-{name}; exit 5"), "failed", 5
    )


def _make_retry(name: str, dice: random.Random, note: str) -> ExpectedJob:
    script = f'{note} sleep {dice.choice(SLEEPS)}; echo done-{name}; [ "$TASKDECK_ATTEMPT" = 2 ]'
    return ExpectedJob(
        name, "retry", _make_spec(name, script, retries=2, retry_delay=0.05), codes=(1, 0)
    )


def _make_absent(name: str, dice: random.Random, note: str) -> ExpectedJob:
    return ExpectedJob(
        name,
        "absent",
        {**_make_spec(name, ""), "argv": ["no-such-program-anywhere"]},
        "failed",
        127,
    )


MAKERS = {
    "plain": _make_plain,
    "signal": _make_signal,
    "timeout": _make_timeout,
    "cancel": _make_cancel,
    "pause": _make_pause,
    "retry": _make_retry,
    "absent": _make_absent,
}
