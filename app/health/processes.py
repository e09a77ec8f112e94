"""Runtime, keeper, guard and database of a home, and what others run of Taskdeck on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import time

from app.core.text import units
from app.core.text.sanitize import clean, cut
from app.errors import Problem
from app.health import disk
from app.health.finding import Finding, quote, restart, taskdeck
from app.health.procfs import KEEPER, Ours, read, stands_still, stat
from app.paths import user_name
from db.errors import BehindDatabase, UnnamedDatabase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

JOURNAL = 64 * 2**20
"""Bytes of journal that are more than a keeper needs: what ended is not forgotten."""

TOLD = 5
"""Others that are named; more are counted."""

_COMMAND = re.compile(r"(?:^|[:.] )((?:taskdeck|kill|pipx|rm|sudo) .+)$")


def trouble(home: str, problem: Problem) -> Finding:
    """What kept us from asking, by the name of what it is about."""
    about = {5: "database", 2: "config"}.get(problem.exit_code, "runtime")
    hint = _COMMAND.search(problem.hint.rstrip("."))
    cure = hint.group(1) if hint else taskdeck(home, "db check")
    if cure.startswith("taskdeck ") and "--home" not in cure:
        cure = " && ".join(taskdeck(home, one.removeprefix("taskdeck ")) for one in cure.split(" && "))
    if about == "config":
        from app.paths import config_file

        cure = f'"${{EDITOR:-vi}}" {quote(config_file())}'
    readable = problem.hint in (BehindDatabase.without_backup, UnnamedDatabase.without_backup)
    if problem.code == "damaged-database" and not readable and "Newest good backup" not in problem.message:
        aside, database = quote(os.path.join(home, "damaged")), quote(os.path.join(home, "taskdeck.db"))
        cure = f"mkdir {aside} && mv {database} {database}-* {aside}"  # and not what was kept before a restore
    return Finding(about, cut(clean(problem.message), 300), "hint" if problem.code == "older-database" else "broken", clean(cure))


def runtime(home: str, found: dict[str, Any]) -> Finding:
    """Is there one, and does it let anything start?"""
    state, pid, halted = found.get("state"), found.get("pid"), found.get("halted")
    if state == "stopped":
        return Finding("runtime", "stopped on purpose", "hint", taskdeck(home, "serve --detach"))
    if state != "running":
        return Finding("runtime", "none; the first submit starts one")
    if halted:
        text, state = f"pid {pid}, but nothing starts: {clean(halted)}", "hint" if "draining" in halted else "broken"
        return Finding("runtime", text, state, _cure(home, halted))
    return Finding("runtime", f"pid {pid}")


def _cure(home: str, trouble: str) -> str:
    """The command against what keeps things from starting: of a sick disk, the disk's."""
    if "read-only" in trouble:
        return disk.making_writable(home)
    if trouble.startswith("disk"):
        return disk.making_room(home)
    if trouble.startswith("database"):
        return f"{taskdeck(home, 'stop')} && {taskdeck(home, 'db restore --dry-run')}"
    return taskdeck(home, "serve --replace --detach")


def keeper(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Are both there, one above the other, of this version, with a journal of a usual size?"""
    pids = [pid for pid in (found.get("pid"), found.get("guard_pid")) if pid]
    if len(pids) < 2 or not all(map(stat, pids)):
        text = "keeper and guard are not both there, so a job may lose its exit code"
        yield Finding("keeper", text, "broken", taskdeck(home, "serve --replace --detach"))
        return
    if still := [pid for pid in pids if stands_still(pid)]:
        text = f"pid {still[0]} was stopped by a signal: nothing starts, and no end is seen"
        yield Finding("keeper", text, "broken", f"kill -CONT {' '.join(map(str, still))}")
        return
    child, guard = pids
    about = stat(child)
    size = journal_size(home)
    if about and about[0] != guard:
        text = f"pid {child} is not below its guard {guard}: the end of one may cost exit codes"
        yield Finding("keeper", text, "broken", restart(home))
    elif _older(child, about):
        yield Finding("keeper", f"pid {child}, guard {guard}: of another version, so it is to be replaced", "hint", restart(home))
    elif size > JOURNAL:
        text = f"pid {child}, guard {guard}: its journal has {units.size(size)}, ends that were never stored"
        yield Finding("keeper", text, "hint", taskdeck(home, "serve --replace --detach"))
    else:
        yield Finding("keeper", f"pid {child}, guard {guard}, journal {units.size(size)}")


def alone(home: str, ours: Sequence[Ours]) -> Iterator[Finding]:
    """A keeper that goes on without a runtime."""
    pids = sorted(one.pid for one in ours if one.kind == "keeper" and _same(one.home, home))
    if pids:
        text = f"pid {' and '.join(map(str, pids))}: what runs goes on, and its end is kept for the next runtime"
        yield Finding("keeper", text)


def _older(pid: int, about: tuple[int, float] | None) -> bool:
    """Does it run another file than ours, or ours as it was before it was replaced?"""
    argv = read(f"/proc/{pid}/cmdline").split("\0")
    spec = importlib.util.find_spec("app")
    if len(argv) < 5 or not argv[3].endswith(f"{os.sep}{KEEPER}") or spec is None or spec.origin is None or about is None:
        return False
    ours = os.path.join(os.path.dirname(spec.origin), KEEPER)
    try:
        began = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - about[1])
        return not os.path.samefile(ours, argv[3]) or os.stat(ours).st_ctime > began + 1
    except OSError:
        return True


def journal_size(home: str) -> int:
    """Bytes that the journal takes: the keeper's, and that of one of another version beside it."""
    run, size = os.path.join(home, "run"), 0
    try:
        journals = [name for name in os.listdir(run) if name.startswith("journal")]
        for folder, _, names in (found for name in journals for found in os.walk(os.path.join(run, name))):
            size += sum(os.stat(os.path.join(folder, name)).st_size for name in names)
    except OSError:
        return size
    return size


def database(home: str, found: dict[str, Any]) -> Finding:
    """Its size, and what is wrong with it."""
    text = f"{units.size(found['size'])}, {clean(found['state'])}"
    if found["state"] == "ok":
        return Finding("database", text)
    sick = found["state"] in ("disk full", "read-only")
    return Finding("database", text, "broken", _cure(home, found["state"]) if sick else taskdeck(home, "db check"))


def empty(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Is there a queue to submit to, and a pool below it?"""
    for kind in ("pool", "queue"):
        if not found[f"{kind}s"]:
            text = f"there is no {kind} at all, so no task can be submitted"
            yield Finding(f"{kind}s", text, "broken", taskdeck(home, "db check --repair"))


def lying(home: str, found: dict[str, Any], refused: Callable[[str], object]) -> Finding:
    """The same where no runtime is up; `refused` raises what would keep the next from starting."""
    try:
        refused(home)
    except Problem as problem:
        return trouble(home, problem)
    return database(home, found)


def neighbours(home: str, ours: Sequence[Ours]) -> Iterator[Finding]:
    """Others on this machine, as far as they can be seen: their pools know nothing of ours."""
    seen: dict[tuple[int, str], Ours] = {}
    for one in sorted(ours, key=lambda one: (one.kind != "runtime", one.pid)):
        if not _same(one.home, home):
            seen.setdefault((one.uid, one.home or str(one.pid)), one)
    for one in list(seen.values())[:TOLD]:
        what = "runtime" if one.kind == "runtime" else "keeper without a runtime,"
        where = f"home {cut(clean(one.home), 200)}" if one.home else "home not told"
        yield Finding("others", f"{clean(user_name(one.uid, 'uid '))}: {what} pid {one.pid}, {where}")
    if len(seen) > TOLD:
        yield Finding("others", f"and {len(seen) - TOLD:,} more; what they reserve is not known to the pools here")


def _same(one: str, other: str) -> bool:
    return bool(one) and os.path.realpath(one) == os.path.realpath(other)
