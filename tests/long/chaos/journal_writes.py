"""Trials that kill the keeper or the guard at each journal write, before and right after the write.

strace holds the process at the write. The first record of a file is `boot`; i, p, s, e, r, v and f
are intent, pid, stop, exit, refused, void and forgotten.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from db.engine import create_write_engine
from tests.db.builders import TaskBuilder
from tests.long.chaos.killer import STRACE, read_status_field
from tests.long.chaos.results import (
    EXIT_CODE,
    NotedJob,
    TrialResult,
    get_supervisors,
    judge_task,
    open_runtime,
)
from tests.long.chaos.run_steps import read_journal, read_records
from tests.runtime_process import HOME_VARIABLE, RuntimeProcess, is_alive, wait_until

PART = "journal writes"
FORKS = "clone,clone3,vfork"
DONE = ("failed", EXIT_CODE, None)
LOST = ("lost", None, "supervisors killed")
MOMENTS = ("before", "after")


def submit_short(job: NotedJob) -> str:
    """Submit a job that ends at once."""
    return job.submit()


def submit_and_cancel(job: NotedJob) -> str:
    """Submit a job and cancel it while it runs."""
    job.script = job.script.replace(f"exit {EXIT_CODE}", "sleep 60 & wait")
    number, _ = job.run()
    job.runtime.call("cancel", ids=[number])
    return number


def leave_claimed(job: NotedJob) -> str:
    """Leave a run that a dead runtime claimed; the next runtime makes the keeper refuse the run."""
    living = job.runtime
    living.kill()
    engine = create_write_engine(living.home / "taskdeck.db")
    with engine.begin() as c:
        builder = TaskBuilder(c)
        env = {"PATH": os.environ["PATH"], HOME_VARIABLE: os.fspath(living.home)}
        uuid = builder.submit_task(env=env, cwd=os.fspath(living.home), launch={"argv": job.argv})
        builder.claim_tasks(uuid)
    engine.dispose()
    living.start()
    return uuid


@dataclass(frozen=True, slots=True)
class JournalWrite:
    """Record: its position among a new keeper's writes, and the action that causes the write."""

    kind: str
    at: int
    act: Callable[[NotedJob], str] = submit_short
    ends: tuple[str, int | None, str | None] = DONE
    fork_fails: bool = False


WRITES = (
    JournalWrite("boot", 1),
    JournalWrite("i", 2),
    JournalWrite("p", 3),
    JournalWrite("e", 4),
    JournalWrite("f", 5),
    JournalWrite("s", 4, submit_and_cancel, ("cancelled", None, None)),
    JournalWrite("v", 3, fork_fails=True),
    JournalWrite("r", 2, leave_claimed),
)


def run_trials(
    kinds: Iterable[str] = (), moments: Iterable[str] = MOMENTS
) -> Iterator[TrialResult]:
    """Yield a row for each record and moment; all records by default."""
    if why := find_obstacle():
        yield TrialResult(PART, "a kill at each of them", None, why)
        return
    chosen = [write for write in WRITES if not kinds or write.kind in kinds]
    with open_runtime() as living:
        for write in chosen:
            for moment in moments:
                yield kill_keeper(living, write, moment)
        if not kinds:
            for moment in moments:
                yield kill_guard(living, moment)


def find_obstacle() -> str:
    """Return the reason that strace cannot inject here, or an empty string."""
    if STRACE is None:
        return "strace is not installed"
    done = subprocess.run(
        [STRACE, "-qq", "-e", "inject=pwrite64:error=EIO", shutil.which("true") or "true"],
        capture_output=True,
    )
    return (
        f"strace may not trace here ({done.stderr.decode().strip()[-100:]})"
        if done.returncode
        else ""
    )


def kill_keeper(living: RuntimeProcess, write: JournalWrite, moment: str) -> TrialResult:
    """Kill the keeper at one record; the task must end as if undisturbed."""
    what = f"keeper killed {moment} {write.kind} is written"
    restart_keeper(living)
    job = NotedJob(living, f"{write.kind}-{moment}")
    keeper, _ = get_supervisors(living)
    with strike(living, keeper, write.at, moment, write.fork_fails) as trace:
        number = write.act(job)
        met = wait_for_death(living, keeper, write.at, moment, trace)
    also = "" if met == write.kind else f"the keeper died at {met or 'no write'}"
    return judge_task(PART, what, job, number, write.ends, check_more=lambda: also)


def kill_guard(living: RuntimeProcess, moment: str) -> TrialResult:
    """Kill the keeper, then the guard at its record of a run's exit.

    The exit is known if the record was written; else the run is lost.
    """
    restart_keeper(living)
    job = NotedJob.make_gated(living, f"guard-{moment}")
    number, _ = job.run()
    keeper, guard = get_supervisors(living)
    os.kill(keeper, signal.SIGKILL)
    wait_until(
        lambda: (
            get_supervisors(living)[0] not in (0, keeper) and get_supervisors(living)[1] == guard
        ),
        "a new keeper",
    )
    with strike(living, guard, 1, moment) as trace:
        job.gate.touch()
        met = wait_for_death(living, guard, 1, moment, trace)
    also = "" if met == "e" else f"the guard died at {met or 'no write'}"
    may = LOST if moment == "before" else DONE
    return judge_task(
        PART,
        f"keeper dead, guard killed {moment} e is written",
        job,
        number,
        may,
        check_more=lambda: also,
    )


def restart_keeper(living: RuntimeProcess) -> None:
    """Wait for an empty journal and restart the keeper, whose first write is its boot."""
    wait_until(
        lambda: all(map(is_alive, get_supervisors(living))) and not read_journal(living.home)[0],
        "the journal knows of no run",
    )
    keeper, guard = get_supervisors(living)
    os.kill(keeper, signal.SIGKILL)
    wait_until(
        lambda: (
            get_supervisors(living)[0] not in (0, keeper) and get_supervisors(living)[1] == guard
        ),
        "a new keeper",
    )


@dataclass(frozen=True, slots=True)
class TraceState:
    """strace, its output file, and the number of records before."""

    tracer: subprocess.Popen[bytes]
    trace: Path
    records: int


@contextlib.contextmanager
def strike(
    living: RuntimeProcess, pid: int, at: int, moment: str, fork_fails: bool = False
) -> Iterator[TraceState]:
    """Kill the process at the entry of its n-th write, or hold it at the exit."""
    what = "signal=KILL" if moment == "before" else "delay_exit=30000000"
    trace = living.home / "trace"
    more = ["-e", f"inject={FORKS}:error=EAGAIN:when=1"] if fork_fails else []
    command = [STRACE or "", "-qq", "-s", "24", "-o", trace, "-e", f"trace=pwrite64,{FORKS}",
               "-e", f"inject=pwrite64:{what}:when={at}", *more, "-p", str(pid)]  # fmt: skip
    before = len(list(read_records(living.home)))
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: read_status_field(pid, "TracerPid") not in ("0", ""), "traced")
        yield TraceState(tracer, trace, before)
    finally:
        tracer.terminate()
        tracer.wait()


def wait_for_death(
    living: RuntimeProcess, pid: int, at: int, moment: str, trace: TraceState
) -> str:
    """Wait for the process's death; return the letter of the record, or an empty string."""
    if moment == "after":
        wait_until(
            lambda: len(list(read_records(living.home))) >= trace.records + at,
            "the record is there",
        )
        os.kill(pid, signal.SIGKILL)
        trace.tracer.kill()  # a held process dies when released, without doing more
    wait_until(lambda: not is_alive(pid), f"{pid} is gone")
    kinds = re.findall(r'pwrite64\(\d+, "\{\\"(\w+)\\"', trace.trace.read_text())
    return kinds[-1] if len(kinds) == at else ""
