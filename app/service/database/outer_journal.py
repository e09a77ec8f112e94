"""Runs of a home in the spool, as a restore and the next runtime see them.

The spool outlives the database: an order tells the task of a run, gate and record how far the run
came. A run that a restored database does not know goes back to its task, so nothing begins twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app import config, paths
from app.core.text.sanitize import sanitize
from app.errors import Refused
from app.outer.spool import Spool
from app.service.tasks.submission.default_names import make_name
from db.queries.tasks.task_numbers import MAX_NUMBER
from db.restore.adopt_runs import UNKNOWN_NAME, ObservedRun


def list_outer_runs(home: Path) -> list[ObservedRun]:
    """Return the runs of a home in its spool. Raise Refused if the spool cannot be read."""
    found = config.read(paths.get_config_path()).slurm.spool
    if found is None:
        return []
    spool = Spool(Path(found))
    try:
        return read_runs(home, spool, spool.list_runs())
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise Refused(
            f"the spool {sanitize(found)} cannot be read: {why}. Its runs are unknown, so nothing"
            " was restored.",
            "Mount it, or remove spool from [slurm] in config.toml if it is gone for good.",
        ) from None


def read_runs(home: Path, spool: Spool, runids: Iterable[str]) -> list[ObservedRun]:
    """Return those among these runs that may begin, that run, or whose ends are not stored.

    Raise OSError.
    """
    found = (_read_run(home, spool, runid) for runid in sorted(runids))
    return [run for run in found if run is not None]


def _read_run(home: Path, spool: Spool, runid: str) -> ObservedRun | None:
    """Return a run of this home, or None for a refused one and one of another home."""
    order = spool.read_order(runid)
    env = order.get("env") if order else None
    if not order or not isinstance(env, dict) or env.get("TASKDECK_HOME") != os.fspath(home):
        return None
    gate = spool.read_gate(runid)
    argv = tuple(word for word in order.get("argv", ()) if isinstance(word, str))
    if gate is not None and gate.refused:
        return None
    return ObservedRun(
        runid,
        _read_number(env, "TASKDECK_TASK"),
        is_reported=True,
        attempt=_read_number(env, "TASKDECK_ATTEMPT") or 1,
        is_alive=True,
        begin=gate.started_at if gate else None,
        name=make_name(argv) if argv else UNKNOWN_NAME,
        argv=argv,
        cwd=str(order.get("cwd", "/")),
        is_outer=True,
    )


def _read_number(env: Mapping[str, Any], name: str) -> int | None:
    text = str(env.get(name, ""))
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < MAX_NUMBER else None
