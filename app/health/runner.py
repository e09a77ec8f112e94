"""The looks in their order. None of them may fail the others, or end in a traceback: what cannot be looked at says so."""

from __future__ import annotations

from app.errors import Problem
from app.health import backups, clock, configuration, disk, home, limits, processes, procfs, systemd
from app.health.finding import Finding, taskdeck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    Refused = Callable[[str], object]
    Keys = Callable[[Mapping[str, str], str], str]
    Asked = dict[str, Any] | Problem
    """What `status` says, or why it says nothing."""


def look(
    path: str, asked: Asked, newest: str | None = None, refused: Refused | None = None, keys: Keys | None = None
) -> Iterator[Finding]:
    """Everything there is to find about the home at `path`; `newest` is when its newest task was submitted (ISO). Where no runtime is up
    `refused` is called with the home, and raises what would keep the next from starting. `keys` says what is wrong with the keys that
    the user chose, in a file."""
    status = None if isinstance(asked, Problem) else asked
    ours = list(procfs.all_ours())
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", home.versions),
        ("home", lambda: home.home(path)),
        ("config", lambda: configuration.settings(keys)),
        ("disk", lambda: disk.disk(path)),
        ("files", lambda: disk.files(path)),
        ("clock", lambda: clock.clock(path, status, newest)),
        ("limits", lambda: limits.own(path, status)),
        ("pools", lambda: limits.pools(path, status)),
        ("runtime", lambda: _living(path, asked, ours, refused)),
        ("cgroups", lambda: systemd.cgroup(path, status)),
        ("cgroups", lambda: limits.memory(path, status)),
        ("logout", systemd.logout),
        ("unit", lambda: systemd.units(path)),
        ("others", lambda: processes.neighbours(path, ours)),
    ]
    for check, one in looks:
        yield from _held(path, check, one)


def _held(path: str, check: str, one: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from one()
    except Exception as error:
        text = f"could not be looked at ({type(error).__name__}: {error})"
        yield Finding(check, text, "broken", taskdeck(path, "doctor --json"))


def _living(path: str, asked: Asked, ours: list[procfs.Ours], refused: Refused | None) -> Iterator[Finding]:
    """Runtime, keeper, database and its copies, as `status` tells them."""
    if isinstance(asked, Problem):
        yield processes.trouble(path, asked)
        yield from processes.alone(path, ours)
        return
    yield processes.runtime(path, asked["runtime"])
    if asked["runtime"]["state"] == "running":
        yield from processes.keeper(path, asked["keeper"])
    else:
        yield from processes.alone(path, ours)
    up = asked["runtime"]["state"] == "running"
    yield processes.database(path, asked["database"]) if up or not refused else processes.lying(path, asked["database"], refused)
    yield from processes.empty(path, asked)
    yield from backups.backups(path, asked["backup"])
    yield from backups.replica(path, asked["replica"])
