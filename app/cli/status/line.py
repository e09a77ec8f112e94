"""Status line for a status bar: quick, and never an error.

The line contains no external text, which a status bar might take for its own commands.
"""

from __future__ import annotations

import signal

from app.errors import Problem
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

TIMEOUT = 2.0
"""Seconds to wait for the runtime."""

_DOWN_TEXTS = {
    "none": tr_noop("no runtime"),
    "stopped": tr_noop("stopped"),
    "silent": tr_noop("no answer"),
    "strange": tr_noop("see: taskdeck status"),
}


def query_status(home: str) -> dict[str, Any]:
    """Return the answer of `status`, or only the state of a runtime that does not answer."""
    from app import client, paths

    silent = False

    def late(number: int, frame: FrameType | None) -> None:
        nonlocal silent
        silent = True
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    try:
        line = client.connect(home)
        if line is None:
            return _make_down_status("stopped" if paths.read_stop_marker(home) else "none")
        try:
            return line.ask("status", {}, None)
        finally:
            line.close()
    except (Problem, OSError, EOFError):
        return _make_down_status("silent" if silent else "strange")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _make_down_status(state: str) -> dict[str, Any]:
    return {"runtime": {"state": state}, "counts": {}, "alerts": []}


def format_status_line(found: dict[str, Any], tmux: bool = False) -> str:
    """Return `7r 22q 1! tick 3ms`, or why there are no numbers.

    `tmux` colours problems for tmux.
    """
    runtime, counts, state = found["runtime"], found["counts"], found["runtime"]["state"]
    if state != "running":
        return _colour(tr(_DOWN_TEXTS.get(state) or str(state)), "yellow", tmux)
    firing, lag = (
        sum(alert["status"] == "firing" for alert in found["alerts"]),
        runtime.get("tick_lag"),
    )
    parts = [
        f"{counts.get('running', 0)}r",
        f"{counts.get('queued', 0)}q",
        _colour(f"{firing}!", "red", tmux) if firing else "",
        _colour(tr("halted"), "red", tmux) if runtime.get("halted") else "",
        f"tick {lag * 1000:.0f}ms" if lag is not None else "",
    ]
    return " ".join(filter(None, parts))


def _colour(text: str, colour: str, tmux: bool) -> str:
    return f"#[fg={colour}]{text}#[default]" if tmux else text
