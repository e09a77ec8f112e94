"""Runner of the health checks, in order. A failing check is reported and stops no other."""

from __future__ import annotations

from app.errors import Problem
from app.health import (
    backups,
    clock,
    cluster,
    configuration,
    disk,
    enforcement,
    home,
    hooks,
    http,
    limits,
    processes,
    procfs,
    slurm,
    systemd,
)
from app.health.finding import Finding, make_command
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from app.config import LoadedConfig

    StartCheck = Callable[[str], object]
    KeyCheck = Callable[[LoadedConfig], list[str]]
    StatusAnswer = dict[str, Any] | Problem
    """Answer of `status`, or the problem that prevented it."""


HOME_CHECKS = frozenset({"home", "disk", "files", "pools", "runtime", "cgroups"})
"""Checks that mean nothing on a host of a cluster without the home."""


def run_checks(
    path: str,
    asked: StatusAnswer,
    newest: str | None = None,
    refused: StartCheck | None = None,
    find_key_faults: KeyCheck | None = None,
) -> Iterator[Finding]:
    """Yield all findings about the home at `path`.

    `newest` is the submission time (ISO) of the newest task. Without a runtime, `refused` is called
    with the home and raises what would prevent a start. `find_key_faults` reports faults in the
    user's key bindings.
    """
    status = None if isinstance(asked, Problem) else asked
    ours = list(procfs.find_taskdeck_processes())
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", home.check_versions),
        ("home", lambda: home.check_home(path)),
        ("config", lambda: configuration.check_settings(find_key_faults)),
        ("disk", lambda: disk.check_disk(path)),
        ("files", lambda: disk.check_file_system(path)),
        ("clock", lambda: clock.check_clock(path, status, newest)),
        ("limits", lambda: limits.check_limits(path, status)),
        ("pools", lambda: limits.check_pools(path, status)),
        ("slurm", lambda: slurm.check_slurm(status)),
        ("hooks", lambda: hooks.check_hooks(path, status)),
        ("enforce", lambda: enforcement.check_enforcement(path, status)),
        ("runtime", lambda: _check_processes(path, asked, ours, refused)),
        ("http", lambda: http.check_http(path, status)),
        ("cgroups", lambda: systemd.check_cgroup(path, status)),
        ("cgroups", lambda: limits.check_memory(path, status)),
        ("logout", systemd.check_logout),
        ("unit", lambda: systemd.check_units(path)),
        ("cluster", lambda: cluster.check_cluster(path)),
        ("others", lambda: processes.find_other_homes(path, ours)),
    ]
    passive = cluster.is_passive(path)
    for check, one in checks:
        if passive and check in HOME_CHECKS:
            continue
        yield from _run_check(path, check, one)


def _run_check(path: str, check: str, one: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from one()
    except Exception as error:
        text = tr("the check failed ({name}: {error})", name=type(error).__name__, error=error)
        yield Finding(check, text, "broken", make_command(path, "doctor --json"))


def _check_processes(
    path: str, asked: StatusAnswer, ours: list[procfs.TaskdeckProcess], refused: StartCheck | None
) -> Iterator[Finding]:
    """Check runtime, keeper, database and its copies, from the answer of `status`."""
    if isinstance(asked, Problem):
        yield processes.explain_problem(path, asked)
        yield from processes.check_orphan_keeper(path, ours)
        return
    yield processes.check_runtime(path, asked["runtime"])
    if asked["runtime"]["state"] == "running":
        yield from processes.check_keeper(path, asked["keeper"])
        yield from processes.list_left_processes(path, asked["keeper"], ours)
    else:
        yield from processes.check_orphan_keeper(path, ours)
    up = asked["runtime"]["state"] == "running"
    yield (
        processes.check_database(path, asked["database"])
        if up or not refused
        else processes.check_offline_database(path, asked["database"], refused)
    )
    yield from processes.check_definitions(path, asked)
    yield from backups.check_backups(path, asked["backup"])
    yield from backups.check_replica(path, asked["replica"])
