"""Settings of the client of Slurm, and what the client takes and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

EventHandler = Callable[[dict[str, Any]], None]
"""Function that takes an event: started, ended or refused."""
BEAT = 10.0
"""Seconds between two beats of a job."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Settings of the client.

    `commands` is the folder of the commands, "" for the PATH; `conf` is their SLURM_CONF, if it is
    not that of the environment. `identity` is that of the spool with the active runs; "" if it is
    not known.
    """

    commands: str = ""
    poll: float = 2.0
    beat: float = BEAT
    conf: str | None = None
    identity: str = ""


class KnownRun(Protocol):
    """Active run that the database knows."""

    runid: str
    status: str
    start_time: str | None
