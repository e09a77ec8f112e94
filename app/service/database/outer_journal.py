"""Runs of a home in the spool, as a restore and the next runtime see them.

The spool outlives the database: an order tells the task of a run, gate and record how far the run
came. A run that a restored database does not know goes back to its task, so nothing begins twice.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from app import config, paths
from app.core.json_types import is_array
from app.core.text.sanitize import sanitize
from app.errors import Refused
from app.outer.spool import Gate, Spool
from app.service.tasks.submission.default_names import make_name
from app.translation import tr
from db.queries.tasks.task_numbers import MAX_NUMBER
from db.restore.adopt_runs import UNKNOWN_NAME, ObservedRun


def read_identity(home: Path) -> str:
    """Return the identity of the spool that has the runs of a home; "" if it is not known."""
    try:
        return config.read_regular_file(_get_identity_path(home)).decode("ascii", "replace").strip()
    except OSError:
        return ""


def write_identity(home: Path, identity: str) -> None:
    """Keep the identity of the spool that gets the runs of a home. Raise OSError."""
    if read_identity(home) != identity:
        path = Path(_get_identity_path(home))
        temporary = path.with_suffix(".new")
        temporary.write_text(f"{identity}\n", "ascii")
        temporary.replace(path)


def _get_identity_path(home: Path) -> str:
    return os.fspath(home / "run" / "spool")


def list_outer_runs(home: Path) -> list[ObservedRun]:
    """Return the runs of a home in its spool.

    Raise Refused if the spool with the jobs of the home cannot be read.
    """
    found, identity = config.read(paths.get_config_path()).slurm.spool, read_identity(home)
    if found is None and not identity:
        return []
    if found is None:
        raise _refuse(home, tr("config.toml names no spool, but jobs of this home were in one"))
    spool = Spool(Path(found))
    try:
        if identity not in ("", spool.read_identity()):
            text = tr(
                "the spool {found} is not the one with the jobs of this home", found=sanitize(found)
            )
            raise _refuse(home, text)
        return read_left_runs(home, spool, spool.list_runs()).active
    except OSError as error:
        why = (error.strerror or tr("unknown error")).lower()
        raise _refuse(
            home, tr("the spool {found} cannot be read: {why}", found=sanitize(found), why=why)
        ) from None


def _refuse(home: Path, text: str) -> Refused:
    """Return the refusal of a restore without the spool, after which tasks would run again."""
    mark = shlex.quote(sanitize(_get_identity_path(home)))
    return Refused(
        "{said}. Its runs are unknown, so nothing was restored.",
        "Mount it, and name it in [slurm] of config.toml. If it is gone for good, remove it"
        " there: rm -f {mark}",
        said=text,
        mark=mark,
    )


class LeftRuns(NamedTuple):
    """Runs of a home in its spool, of which its database has no row."""

    active: list[ObservedRun]
    """Runs that may begin, that go on, or whose ends are not stored."""
    refused: list[str]


def read_left_runs(home: Path, spool: Spool, runids: Iterable[str]) -> LeftRuns:
    """Return those among these runs that are of this home. Raise OSError."""
    left = LeftRuns([], [])
    for runid in sorted(runids):
        order = spool.read_order(runid)
        env = order.get("env") if order else None
        if not order or not isinstance(env, dict) or env.get("TASKDECK_HOME") != os.fspath(home):
            continue
        gate = spool.read_gate(runid)
        if gate is not None and gate.refused:
            left.refused.append(runid)
        else:
            left.active.append(_make_run(runid, order, env, gate))
    return left


def _make_run(
    runid: str, order: Mapping[str, Any], env: Mapping[str, Any], gate: Gate | None
) -> ObservedRun:
    """Return a run from its order, which a job may have changed."""
    words = order.get("argv")
    argv = tuple(word for word in words if isinstance(word, str)) if is_array(words) else ()
    return ObservedRun(
        runid,
        _read_number(env, "TASKDECK_TASK"),
        is_reported=True,
        attempt=_read_number(env, "TASKDECK_ATTEMPT") or 1,
        is_alive=True,
        begin=gate.started_at if gate else None,
        name=make_name(argv) if argv else UNKNOWN_NAME,
        argv=argv,
        cwd=_read_directory(order.get("cwd")),
        is_outer=True,
    )


def _read_directory(value: Any) -> str:
    try:
        os.fsencode(value)
    except (TypeError, UnicodeEncodeError):
        return "/"
    return value


def _read_number(env: Mapping[str, Any], name: str) -> int | None:
    text = str(env.get(name, ""))
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number and 0 < int(text) < MAX_NUMBER else None
