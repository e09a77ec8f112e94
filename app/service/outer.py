"""Trouble of the engine that runs the tasks of outer pools, as the runtime last saw it.

A process has at most one runtime, so its last word is kept once. Without a runtime, nothing is
handed over.
"""

from __future__ import annotations

NOBODY = "no runtime hands tasks over to Slurm"
NOT_SET_UP = "Slurm is not set up: config.toml has no [slurm] spool (taskdeck help slurm-pools)"
_trouble: str | None = NOBODY


def set_trouble(text: str | None) -> None:
    """Keep why the engine takes no run now; None if it takes runs."""
    global _trouble
    _trouble = text


def get_trouble() -> str | None:
    """Return why the engine takes no run now, with the cure, or None."""
    return _trouble
