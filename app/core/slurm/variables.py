"""Variables of Slurm that differ from run to run, for tasks of batch scripts.

A task of a batch script is one whose own variables include `SLURM_JOB_NAME`. The variables that its
submission knows are stored with the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MARK = "SLURM_JOB_NAME"
"""Variable whose presence makes a task one of a batch script."""


def make_run_variables(
    number: int, queue: str, host: str, first: int | None, index: int | None
) -> dict[str, str]:
    """Return the variables of a run; `first` is the number of the first task of its array."""
    found = {
        "SLURM_JOB_ID": str(number), "SLURM_JOBID": str(number), "SLURM_JOB_PARTITION": queue,
        "SLURM_JOB_NODELIST": host, "SLURM_NODELIST": host, "SLURMD_NODENAME": host,
        "SLURM_NODEID": "0", "SLURM_LOCALID": "0", "SLURM_PROCID": "0",
    }  # fmt: skip
    if index is not None:
        found["SLURM_ARRAY_JOB_ID"] = str(number if first is None else first)
        found["SLURM_ARRAY_TASK_ID"] = str(index)
    return found


def make_array_variables(indexes: Sequence[int]) -> dict[str, str]:
    """Return the variables that all tasks of an array share; `indexes` ascend."""
    step = indexes[1] - indexes[0] if indexes[1:] else 1
    found = {
        "SLURM_ARRAY_TASK_COUNT": len(indexes), "SLURM_ARRAY_TASK_MIN": indexes[0],
        "SLURM_ARRAY_TASK_MAX": indexes[-1], "SLURM_ARRAY_TASK_STEP": step,
    }  # fmt: skip
    return {name: str(value) for name, value in found.items()}


def is_of_script(variables: Mapping[str, str]) -> bool:
    """Return True if a task with these variables of its own comes from a batch script."""
    return MARK in variables
