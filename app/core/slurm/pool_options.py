"""Kinds of pools, and how a pool of kind slurm submits its jobs.

The runs of a pool of kind local are processes of this machine, which the amounts of the pool bound.
Those of kind slurm are jobs: Slurm admits them, so such a pool has no amounts.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from app.core.json_types import is_array
from app.core.text.units import quote
from app.translation import tr, tr_n, tr_noop

LOCAL, SLURM = "local", "slurm"
KINDS = (LOCAL, SLURM)
SLURM_CAPACITY = 100
"""Default capacity of a queue of a Slurm pool: the jobs that Slurm can choose from."""
WORDS = ("partition", "account", "qos")
NAMES = (*WORDS, "options")
AMOUNTS = ("cpu", "memory", "total_cpu", "total_memory", "resources")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:+@=/-]{0,199}")
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(=[^\x00-\x1f\x7f]*)?")
MAX_OPTIONS = 32
_OWN = {
    "--partition": ("partition",), "--account": ("account",), "--qos": ("qos",),
    tr_noop("--cpu of the task"): ("cpus-per-task", "cpus-per-gpu", "ntasks", "ntasks-per-node"),
    tr_noop("--memory of the task"): ("mem", "mem-per-cpu", "mem-per-gpu"),
    tr_noop("--gpu of the task"): ("gpus", "gpus-per-task", "gpus-per-node"),
    tr_noop("--timeout of the task"): ("time", "time-min", "signal"),
    tr_noop("--after of the task"): ("dependency", "kill-on-invalid-dep"),
}  # fmt: skip
"""Options of sbatch that Taskdeck sets, by what sets them."""
_REFUSED = (
    "array", "begin", "chdir", "clusters", "error", "export", "export-file", "get-user-env", "gid",
    "help", "hold", "input", "job-name", "nice", "no-requeue", "open-mode", "output", "parsable",
    "priority", "quiet", "requeue", "test-only", "uid", "usage", "verbose", "version", "wait",
    "wrap",
)  # fmt: skip
"""Options of sbatch that would break what Taskdeck promises of a run."""


def check_word(value: Any) -> str:
    """Return the name of a partition, account or QOS, "" for none; raise ValueError."""
    if value == "":
        return value
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError(tr("must be a name of letters, digits and _ . , : + @ = / -"))
    return value


def check_options(value: Any) -> list[str]:
    """Return further options of sbatch; raise ValueError for one that Taskdeck sets itself.

    sbatch accepts shortened names, so the beginning of a refused name is refused, too.
    """
    if not is_array(value) or len(value) > MAX_OPTIONS:
        raise ValueError(
            tr("must be a list of at most {max_options} options", max_options=MAX_OPTIONS)
        )
    return [_check_option(one) for one in value]


def _check_option(value: Any) -> str:
    match = _OPTION.fullmatch(value) if isinstance(value, str) and len(value) <= 1000 else None
    if match is None:
        raise ValueError(tr("must be long options of sbatch, such as --constraint=a100"))
    name = match[1]
    for by, names in _OWN.items():
        if any(one.startswith(name) for one in names):
            raise ValueError(tr("cannot have --{name}: use {by}", name=name, by=tr(by)))
    if any(one.startswith(name) for one in _REFUSED):
        raise ValueError(tr("cannot have --{name}: Taskdeck sets it for each job", name=name))
    if _lacks_value(value):  # sbatch would take its next option as the value
        raise ValueError(tr("lacks the value of --{name}, as in --constraint=a100", name=name))
    return value


def _lacks_value(option: str) -> bool:
    from app.core.slurm.header import read_header

    found = read_header(f"#SBATCH {shlex.quote(option)}")
    return bool(found.faults) and not found.directives


def check_kind(value: Any) -> str | None:
    """Return the kind of a pool as stored: None for local. Raise ValueError."""
    if value is not None and value not in KINDS:
        raise ValueError(
            tr("must be {kinds}, not {value}", kinds=" or ".join(KINDS), value=quote(f"{value}"))
        )
    return None if value == LOCAL else value


def find_misfit(kind: str | None, given: Collection[str]) -> str | None:
    """Return why a pool of this kind cannot have one of the given settings, or None."""
    if kind == SLURM and "enforce" in given:
        return tr("a pool of kind slurm takes no enforce: Slurm enforces the limits of its jobs")
    wrong = [name for name in (AMOUNTS if kind == SLURM else NAMES) if name in given]
    if not wrong:
        return None
    named = " and ".join(wrong)
    if kind == SLURM:
        return tr(
            "a pool of kind slurm takes no {named}: Slurm admits its jobs, and nothing is"
            " reserved here",
            named=named,
        )
    return tr_n(
        len(wrong),
        "{named} is for pools of kind slurm",
        "{named} are for pools of kind slurm",
        named=named,
    )


def format_options(values: Mapping[str, Any]) -> str | None:
    """Return the stored form of the options among `values`; None without any."""
    found = {name: values[name] for name in NAMES if values.get(name)}
    return json.dumps(found, sort_keys=True) if found else None


def parse_options(text: str | None) -> dict[str, Any]:
    """Return the stored options of a pool by name; those without a value are left out."""
    return json.loads(text) if text else {}


def list_words(text: str | None) -> tuple[str, ...]:
    """Return the stored options of a pool as those of the command that creates it."""
    found = parse_options(text)
    words = [f"--{name}={found[name]}" for name in WORDS if name in found]
    return (*words, *(f"--option={one}" for one in found.get("options", ())))


def get_default_capacity(kind: str | None, cores: float) -> int:
    """Return the capacity of a new queue of a pool."""
    return SLURM_CAPACITY if kind == SLURM else max(1, int(cores))
