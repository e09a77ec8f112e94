"""The keeper, and where it matters the guard, is killed at each of its journal writes: before the record is there, and
after it is there and before anything else happens.

strace holds the process at that very write. `boot` opens a file; i, p, s, e, r, v and f are intent, pid, stop, exit,
refused, void and forgotten.
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

from db.engine import write_engine
from tests.db.builders import Made
from tests.long.chaos.killer import STRACE, field
from tests.long.chaos.results import CODE, Job, Row, judged, opened, supervisors
from tests.long.chaos.run_steps import journal, records
from tests.runtime_process import MARK, Living, alive, until

PART = "journal writes"
FORKS = "clone,clone3,vfork"
DONE = ("failed", CODE, None)
LOST = ("lost", None, "supervisors killed")
MOMENTS = ("before", "after")


def short(job: Job) -> str:
    """A job that ends at once."""
    return job.submit()


def stopped(job: Job) -> str:
    """A job that is cancelled while it runs."""
    job.script = job.script.replace(f"exit {CODE}", "sleep 60 & wait")
    number, _ = job.running()
    job.living.call("cancel", ids=[number])
    return number


def refused(job: Job) -> str:
    """A run that was claimed by a runtime that died before it told the keeper: the next one has it refused."""
    living = job.living
    living.kill()
    engine = write_engine(living.home / "taskdeck.db")
    with engine.begin() as c:
        made = Made(c)
        env = {"PATH": os.environ["PATH"], MARK: os.fspath(living.home)}
        uuid = made.task(env=env, cwd=os.fspath(living.home), launch={"argv": job.argv})
        made.claim(uuid)
    engine.dispose()
    living.start()
    return uuid


@dataclass(frozen=True, slots=True)
class Write:
    """A record: which write of a new keeper it is, and what makes the keeper come to it."""

    kind: str
    at: int
    act: Callable[[Job], str] = short
    ends: tuple[str, int | None, str | None] = DONE
    fork_fails: bool = False


WRITES = (
    Write("boot", 1),
    Write("i", 2),
    Write("p", 3),
    Write("e", 4),
    Write("f", 5),
    Write("s", 4, stopped, ("cancelled", None, None)),
    Write("v", 3, fork_fails=True),
    Write("r", 2, refused),
)


def trials(kinds: Iterable[str] = (), moments: Iterable[str] = MOMENTS) -> Iterator[Row]:
    """A row for each record and moment; all records when none is named."""
    if why := impossible():
        yield Row(PART, "a kill at each of them", None, why)
        return
    chosen = [write for write in WRITES if not kinds or write.kind in kinds]
    with opened() as living:
        for write in chosen:
            for moment in moments:
                yield keeper_dies(living, write, moment)
        if not kinds:
            for moment in moments:
                yield guard_dies(living, moment)


def impossible() -> str:
    """Why nothing can be killed at a call here, or nothing."""
    if STRACE is None:
        return "strace is not installed"
    done = subprocess.run(
        [STRACE, "-qq", "-e", "inject=pwrite64:error=EIO", shutil.which("true") or "true"], capture_output=True
    )
    return f"strace may not trace here ({done.stderr.decode().strip()[-100:]})" if done.returncode else ""


def keeper_dies(living: Living, write: Write, moment: str) -> Row:
    """The keeper comes to one record and dies there; the task must end as if nothing had been."""
    what = f"keeper killed {moment} {write.kind} is written"
    fresh(living)
    job = Job(living, f"{write.kind}-{moment}")
    keeper, _ = supervisors(living)
    with struck(living, keeper, write.at, moment, write.fork_fails) as seen:
        number = write.act(job)
        met = died(living, keeper, write.at, moment, seen)
    also = "" if met == write.kind else f"the keeper died at {met or 'no write'}"
    return judged(PART, what, job, number, write.ends, also=lambda: also)


def guard_dies(living: Living, moment: str) -> Row:
    """The keeper is dead, and the guard dies at the exit of its run: known once it is written, else lost."""
    fresh(living)
    job = Job.gated(living, f"guard-{moment}")
    number, _ = job.running()
    keeper, guard = supervisors(living)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: supervisors(living)[0] not in (0, keeper) and supervisors(living)[1] == guard, "a new keeper")
    with struck(living, guard, 1, moment) as seen:
        job.gate.touch()
        met = died(living, guard, 1, moment, seen)
    also = "" if met == "e" else f"the guard died at {met or 'no write'}"
    may = LOST if moment == "before" else DONE
    return judged(PART, f"keeper dead, guard killed {moment} e is written", job, number, may, also=lambda: also)


def fresh(living: Living) -> None:
    """Wait until nothing is remembered, and give the guard a new keeper, whose first write is its boot."""
    until(lambda: all(map(alive, supervisors(living))) and not journal(living.home)[0], "the journal knows of no run")
    keeper, guard = supervisors(living)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: supervisors(living)[0] not in (0, keeper) and supervisors(living)[1] == guard, "a new keeper")


@dataclass(frozen=True, slots=True)
class Seen:
    """strace, where it writes what the process did, and how many records there were."""

    tracer: subprocess.Popen[bytes]
    trace: Path
    records: int


@contextlib.contextmanager
def struck(living: Living, pid: int, at: int, moment: str, fork_fails: bool = False) -> Iterator[Seen]:
    """Within the block the process is killed on its way into its n-th write, or held on its way out."""
    what = "signal=KILL" if moment == "before" else "delay_exit=30000000"
    trace = living.home / "trace"
    more = ["-e", f"inject={FORKS}:error=EAGAIN:when=1"] if fork_fails else []
    command = [STRACE or "", "-qq", "-s", "24", "-o", trace, "-e", f"trace=pwrite64,{FORKS}",
               "-e", f"inject=pwrite64:{what}:when={at}", *more, "-p", str(pid)]  # fmt: skip
    before = len(list(records(living.home)))
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: field(pid, "TracerPid") not in ("0", ""), "traced")
        yield Seen(tracer, trace, before)
    finally:
        tracer.terminate()
        tracer.wait()


def died(living: Living, pid: int, at: int, moment: str, seen: Seen) -> str:
    """See the process dead; the letter of the record that it came to, nothing when it was not that many."""
    if moment == "after":
        until(lambda: len(list(records(living.home))) >= seen.records + at, "the record is there")
        os.kill(pid, signal.SIGKILL)
        seen.tracer.kill()  # who is held dies when it is let go, and does nothing more
    until(lambda: not alive(pid), f"{pid} is gone")
    kinds = re.findall(r'pwrite64\(\d+, "\{\\"(\w+)\\"', seen.trace.read_text())
    return kinds[-1] if len(kinds) == at else ""
