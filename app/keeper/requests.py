"""Parsed requests of the runtime."""

from __future__ import annotations

import time

from app.keeper.marks import lower_mark
from app.keeper.processes import read_boot_time
from app.keeper.signals import EVERY_SIGNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_bytes(text: str) -> bytes:
    """Return a wire string as bytes."""
    return text.encode("utf-8", "surrogateescape")


class SpawnRequest:
    """A checked spawn request.

    Raise ValueError, KeyError or TypeError if it is malformed.
    """

    __slots__ = (
        *("run", "argv", "cwd", "env", "umask", "log", "timeout", "grace", "early"),
        *("companion", "input", "errors", "limits"),
    )

    def __init__(self, ask: dict[str, Any]) -> None:
        self.run = parse_run_id(ask)
        self.argv = [to_bytes(word) for word in ask["argv"]]
        self.env = {to_bytes(name): to_bytes(value) for name, value in ask["env"].items()}
        self.cwd, self.log, self.umask = (
            to_bytes(ask["cwd"]),
            to_bytes(ask["log"]),
            int(ask["umask"]) & 0o777,
        )
        self.timeout = None if ask.get("timeout") is None else parse_seconds(ask["timeout"])
        self.grace = parse_seconds(ask["grace"])
        self.early = parse_early(ask.get("early"))
        self.companion = None if ask.get("companion") is None else to_bytes(ask["companion"])
        self.input = bool(ask.get("input"))
        self.errors = None if ask.get("errors") is None else to_bytes(ask["errors"])
        self.limits = parse_limits(ask.get("limits"))
        if self.limits is not None and not self.run.replace("-", "").isalnum():
            raise ValueError("no name of a folder")
        if not self.argv or not self.argv[0]:
            raise ValueError("argv is empty")

    def make_intent(self, cgroup: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the journal record written before the start, with a new mark.

        The keeper has the mark until the program, which inherits it, is started.
        """
        clocks = {"at": time.time(), "boot": read_boot_time(), "mono": time.monotonic()}
        limits = {"timeout": self.timeout, "grace": self.grace, "early": self.early}
        found = {"i": self.run} | clocks | limits | {"mark": lower_mark(1)}
        return found if cgroup is None else found | {"cgroup": cgroup}


def parse_seconds(value: Any) -> float:
    """Return a duration in seconds. Raise ValueError."""
    found = float(value)
    if not 0 <= found < 1e10:
        raise ValueError("no duration")
    return found


def parse_early(value: Any) -> tuple[int, float] | None:
    """Return the signal before the deadline and its seconds. Raise ValueError."""
    if value is None:
        return None
    number, lead = value
    if int(number) not in EVERY_SIGNAL:
        raise ValueError("no signal")
    return int(number), parse_seconds(lead)


def parse_limits(value: Any) -> dict[str, Any] | None:
    """Return the KiB of memory and the cores to enforce, each None for no limit.

    Raise ValueError.
    """
    if value is None:
        return None
    memory, cpu = value.get("memory"), value.get("cpu")
    found = {
        "memory": None if memory is None else int(memory),
        "cpu": None if cpu is None else float(cpu),
    }
    if not all(amount is None or 0 < amount < 1 << 50 for amount in found.values()):
        raise ValueError("no limit")
    return found


def parse_run_id(ask: dict[str, Any]) -> str:
    """Return the run id of a request. Raise ValueError."""
    found = ask["run"]
    if not isinstance(found, str) or not 0 < len(found) <= 100 or not found.isascii():
        raise ValueError("no run id")
    return found
