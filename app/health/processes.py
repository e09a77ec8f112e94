"""Health checks of runtime, keeper, guard and database, and of other homes on this machine."""

from __future__ import annotations

import importlib.util
import os
import re

from app.cluster import advise_stop, find_start_command
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import Problem
from app.health import disk
from app.health.finding import (
    OTHER_HOME_COMMAND,
    Finding,
    make_command,
    make_edit_command,
    make_restart_command,
    quote_word,
)
from app.health.left_processes import find_left_processes
from app.health.procfs import (
    KEEPER_FILE,
    TaskdeckProcess,
    began_before,
    is_outdated,
    is_suspended,
    read_file,
    read_stat,
)
from app.paths import get_user_name
from app.translation import tr
from db.errors import BehindDatabase, UnnamedDatabase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

MAX_JOURNAL_SIZE = 64 * 2**20
"""Bytes above which a journal must hold runs that the runtime never let the keeper forget."""

MAX_NAMED = 5
"""Maximum number of other homes named."""

_COMMAND = re.compile(r"(?:^|[:.] )((?:taskdeck|kill|pipx|rm|sudo|chmod|pgrep) .+)$")


def explain_problem(home: str, problem: Problem) -> Finding:
    """Return a finding about the problem that prevented `status`."""
    about = {5: "database", 2: "config"}.get(problem.exit_code, "runtime")
    hint = _COMMAND.search(
        problem.hint.rstrip(".").replace("Choose another: --home DIR", OTHER_HOME_COMMAND)
    )
    cure = hint.group(1) if hint else make_command(home, "db check")
    if cure.startswith("taskdeck ") and "--home" not in cure:
        cure = " && ".join(
            make_command(home, one.removeprefix("taskdeck ")) for one in cure.split(" && ")
        )
    if about == "config":
        cure = make_edit_command()
    readable = problem.hint in (BehindDatabase.without_backup, UnnamedDatabase.without_backup)
    if (
        problem.code == "damaged-database"
        and not readable
        and "Newest good backup" not in problem.message
    ):
        damaged_folder, database = (
            quote_word(os.path.join(home, "damaged")),
            quote_word(os.path.join(home, "taskdeck.db")),
        )
        # leave databases kept by a restore in place
        cure = f"mkdir {damaged_folder} && mv {database} {database}-* {damaged_folder}"
    return Finding(
        about,
        truncate(sanitize(problem.message), 300),
        "hint" if problem.code == "older-database" else "broken",
        sanitize(cure),
    )


def check_runtime(home: str, found: dict[str, Any]) -> Finding:
    """Check that a runtime is running and starts tasks."""
    state, pid, halted = found.get("state"), found.get("pid"), found.get("halted")
    if state == "stopped":
        by = tr(" by {user}", user=sanitize(found.get("stopped_by") or tr("somebody")))
        cure = find_start_command(home) or make_command(home, "serve --detach")
        return Finding("runtime", tr("stopped on purpose{by}", by=by), "hint", cure)
    if state == "none" and (command := find_start_command(home)):
        return Finding("runtime", "none; the cluster starts it", "broken", command)
    if state != "running":
        return Finding("runtime", "none; the first submit starts one")
    if halted:
        text, state = (
            tr("pid {pid}, but nothing starts: {halted}", pid=pid, halted=sanitize(halted)),
            "hint" if "draining" in halted else "broken",
        )
        return Finding("runtime", text, state, _suggest_fix(home, halted))
    if pid and is_outdated(pid):
        return Finding(
            "runtime",
            tr("pid {pid} began before this version was installed: restart it", pid=pid),
            "hint",
            make_command(home, "serve --replace --detach"),
        )
    return Finding("runtime", f"pid {pid}")


def _suggest_fix(home: str, trouble: str) -> str:
    """Return the command that removes the reason why nothing starts."""
    if "draining" in trouble and advise_stop(home):
        return "pcs status"
    if "read-only" in trouble:
        return disk.suggest_remount_command(home)
    if trouble.startswith("disk"):
        return disk.suggest_usage_command(home)
    if trouble.startswith("database"):
        return f"{make_command(home, 'stop')} && {make_command(home, 'db restore --dry-run')}"
    return make_command(home, "serve --replace --detach")


def check_keeper(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Check keeper and guard: both running, related, current, with a normal journal."""
    pids = [pid for pid in (found.get("pid"), found.get("guard_pid")) if pid]
    if len(pids) < 2 or not all(map(read_stat, pids)):
        text = "keeper and guard are not both running, so exit codes may be lost"
        yield Finding("keeper", text, "broken", make_command(home, "serve --replace --detach"))
        return
    if still := [pid for pid in pids if is_suspended(pid)]:
        text = tr(
            "pid {pid} was suspended by a signal: nothing starts, and no end is noticed",
            pid=still[0],
        )
        yield Finding("keeper", text, "broken", f"kill -CONT {' '.join(map(str, still))}")
        return
    child, guard = pids
    about = read_stat(child)
    size = get_journal_size(home)
    if about and about[0] != guard:
        text = tr(
            "pid {child} is not a child of its guard {guard}: exit codes may be lost",
            child=child,
            guard=guard,
        )
        yield Finding("keeper", text, "broken", make_restart_command(home))
    elif _is_outdated(child, about):
        yield Finding(
            "keeper",
            tr("pid {child}, guard {guard}: another version; restart it", child=child, guard=guard),
            "hint",
            make_restart_command(home),
        )
    elif size > MAX_JOURNAL_SIZE:
        text = tr(
            "pid {child}, guard {guard}: its journal holds {bytes} of runs never stored",
            child=child,
            guard=guard,
            bytes=units.format_bytes(size),
        )
        yield Finding("keeper", text, "hint", make_command(home, "serve --replace --detach"))
    else:
        yield Finding(
            "keeper",
            tr(
                "pid {child}, guard {guard}, journal {bytes}",
                child=child,
                guard=guard,
                bytes=units.format_bytes(size),
            ),
        )


def check_orphan_keeper(home: str, processes: Sequence[TaskdeckProcess]) -> Iterator[Finding]:
    """Report a keeper that runs without a runtime."""
    pids = sorted(
        one.pid for one in processes if one.kind == "keeper" and _is_same_path(one.home, home)
    )
    if pids:
        text = tr(
            "pid {pids}: running jobs continue, and their ends are kept for the next runtime",
            pids=" and ".join(map(str, pids)),
        )
        yield Finding("keeper", text)


def list_left_processes(
    home: str, found: dict[str, Any], processes: Sequence[TaskdeckProcess]
) -> Iterator[Finding]:
    """Name the processes that jobs started and that belong to no running task.

    Keeper and guard inherit the processes of a job whose parent has ended.
    """
    ours = {one.pid: one.kind for one in processes}
    pids = [found.get("pid"), found.get("guard_pid")]
    supervisors = [pid for pid in pids if pid and ours.get(pid) == "keeper"]
    left = find_left_processes(home, supervisors, ours.keys())
    if left:
        what = (
            "1 process that a job started belongs"
            if len(left) == 1
            else tr("{n:,} processes that jobs started belong", n=len(left))
        )
        named = ", ".join(
            tr("pid {pid} ({name})", pid=one.pid, name=one.name) for one in left[:MAX_NAMED]
        )
        more = tr(" and {more:,} more", more=len(left) - MAX_NAMED) if len(left) > MAX_NAMED else ""
        yield Finding(
            "left",
            tr("{what} to no running task: {named}{more}", what=what, named=named, more=more),
        )


def _is_outdated(pid: int, about: tuple[int, float] | None) -> bool:
    """Return True if the keeper runs another file, or started before our file was replaced."""
    argv = read_file(f"/proc/{pid}/cmdline").split("\0")
    spec = importlib.util.find_spec("app")
    if (
        len(argv) < 5
        or not argv[3].endswith(f"{os.sep}{KEEPER_FILE}")
        or spec is None
        or spec.origin is None
        or about is None
    ):
        return False
    processes = os.path.join(os.path.dirname(spec.origin), KEEPER_FILE)
    try:
        return not os.path.samefile(processes, argv[3]) or began_before(about[1], processes)
    except OSError:
        return True


def get_journal_size(home: str) -> int:
    """Return the bytes of all journals, including those of other versions."""
    run, size = os.path.join(home, "run"), 0
    try:
        journals = [name for name in os.listdir(run) if name.startswith("journal")]
        for folder, _, names in (
            found for name in journals for found in os.walk(os.path.join(run, name))
        ):
            size += sum(os.stat(os.path.join(folder, name)).st_size for name in names)
    except OSError:
        return size
    return size


def check_database(home: str, found: dict[str, Any]) -> Finding:
    """Check the state of the database and report its size."""
    text = f"{units.format_bytes(found['size'])}, {sanitize(found['state'])}"
    if found["state"] == "ok":
        return Finding("database", text)
    sick = found["state"] in ("disk full", "read-only")
    return Finding(
        "database",
        text,
        "broken",
        _suggest_fix(home, found["state"]) if sick else make_command(home, "db check"),
    )


def check_definitions(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Check that there is a queue and a pool."""
    for kind in ("pool", "queue"):
        if not found[f"{kind}s"]:
            text = tr("there is no {kind}, so no task can be submitted", kind=kind)
            yield Finding(f"{kind}s", text, "broken", make_command(home, "db check --repair"))


def check_offline_database(
    home: str, found: dict[str, Any], check_start: Callable[[str], object]
) -> Finding:
    """Check the database while no runtime is running.

    `check_start` raises the problem that would keep the next runtime from starting.
    """
    try:
        check_start(home)
    except Problem as problem:
        return explain_problem(home, problem)
    return check_database(home, found)


def find_other_homes(home: str, processes: Sequence[TaskdeckProcess]) -> Iterator[Finding]:
    """Report visible runtimes and keepers of other homes.

    Homes do not share reservations, so together they may overload the machine.
    """
    seen: dict[tuple[int, str], TaskdeckProcess] = {}
    for one in sorted(processes, key=lambda one: (one.kind != "runtime", one.pid)):
        if not _is_same_path(one.home, home):
            seen.setdefault((one.uid, one.home or str(one.pid)), one)
    for one in list(seen.values())[:MAX_NAMED]:
        what = "runtime" if one.kind == "runtime" else "keeper without a runtime,"
        where = (
            tr("home {home}", home=truncate(sanitize(one.home), 200))
            if one.home
            else tr("home unknown")
        )
        yield Finding(
            "others",
            tr(
                "{user_name}: {what} pid {pid}, {where}",
                user_name=sanitize(get_user_name(one.uid, "uid ")),
                what=what,
                pid=one.pid,
                where=where,
            ),
        )
    if len(seen) > MAX_NAMED:
        yield Finding(
            "others",
            tr(
                "and {more:,} more; pools here do not know their reservations",
                more=len(seen) - MAX_NAMED,
            ),
        )


def _is_same_path(one: str, other: str) -> bool:
    return bool(one) and os.path.realpath(one) == os.path.realpath(other)
