"""A stranger gets the pid of a run that is over, before anybody could tell: it must get no signal, and the run must end as it would.

The stranger leads a session of its own, as a run does, and blocks every signal, so that each one that is sent to it can
be seen to wait for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from db.engine import write_engine
from db.queries import transitions
from tests.long.chaos.killer import field
from tests.long.chaos.results import CODE, Job, Row, judged, kill_together, opened, supervisors
from tests.long.chaos.run_steps import journal
from tests.runtime_process import Living, alive, until

PART = "reused pids"
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 500
HOMES = 5
LOST = ("lost", None, "supervisors killed")


def trials() -> Iterator[Row]:
    """A row for each way to miss the end of a run."""
    if why := impossible():
        yield Row(PART, "a stranger under the pid of a run", None, why)
        return
    for trial in (both_dead, both_dead_while_stopping, runtime_dead, runtime_dead_and_cancelled, session_of_a_daemon):
        yield tried(trial)


class Taken(Exception):
    """Another process of this machine has got the pid that was to be a stranger's."""


def tried(trial: Callable[[Living], Row]) -> Row:
    """A trial in a home of its own; in another one where somebody else was given the pid."""
    for _ in range(HOMES):
        with contextlib.suppress(Taken), opened() as living:
            return trial(living)
    raise RuntimeError(f"in {HOMES} homes somebody else was given the pid")


def impossible() -> str:
    """Why no pid can be chosen here, or nothing."""
    try:
        LAST_PID.write_text(LAST_PID.read_text())
    except OSError as error:
        return f"{LAST_PID} cannot be written ({error.strerror}); it takes root or CAP_CHECKPOINT_RESTORE"
    return ""


@dataclass(slots=True)
class Stranger:
    """A process that has nothing to do with us."""

    pid: int

    @property
    def harmed(self) -> str:
        """What was done to it, or nothing."""
        if not alive(self.pid) or field(self.pid, "State")[:1] not in "SR":
            return "the stranger was killed or stopped"
        got = [int(field(self.pid, mask), 16) for mask in ("SigPnd", "ShdPnd")]
        return "the stranger was signalled" if any(got) else ""


@contextlib.contextmanager
def stranger(pid: int, *argv: str, stays: bool = True) -> Iterator[Stranger]:
    """A process with exactly that pid; one that stays is ended with the block."""
    argv = argv or ("/bin/sleep", "60")
    until(lambda: _is_free(pid), f"{pid} is free")
    for _ in range(TRIES):
        LAST_PID.write_text(str(pid - 1))
        made = os.posix_spawn(argv[0], argv, {}, setsid=True, setsigmask=signal.valid_signals())
        if made == pid:
            break
        _end(made)
    else:
        raise Taken
    try:
        yield Stranger(pid)
    finally:
        if stays:
            _end(pid)


def _is_free(pid: int) -> bool:
    """Whether the run that had the pid is gone. Raises Taken."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # one that nobody has waited for has none
        return not Path(f"/proc/{pid}").exists()
    if variables and b"TASKDECK_RUNID=" not in variables:
        raise Taken
    return False


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def both_dead(living: Living) -> Row:
    """Keeper and guard die, then the run, then its pid is another's; the runtime stands still meanwhile."""
    job = Job.gated(living, "both")
    number, pid = job.running()
    runtime = living.pid
    kill_with_supervisors(living, runtime, pid)
    with stranger(pid) as other:
        os.kill(runtime, signal.SIGCONT)
        return let_alone("both supervisors die, then the run", job, number, other, LOST)


def both_dead_while_stopping(living: Living) -> Row:
    """The same with a run that is being stopped: the next keeper carries the stop on, and must not carry it to the stranger."""
    job = Job(living, "stopping", 'trap "" TERM; while :; do sleep 0.05; done', grace=30)
    number, pid = job.running()
    living.call("cancel", ids=[number])
    living.reach(number, "stopping")
    runtime = living.pid
    until(lambda: _stop_is_written(living), "the stop is in the journal")
    kill_with_supervisors(living, runtime, pid)
    with stranger(pid) as other:
        os.kill(runtime, signal.SIGCONT)
        may = (LOST, ("cancelled", None, None))
        return let_alone("both supervisors die while it is stopped, then the run", job, number, other, *may)


def _stop_is_written(living: Living) -> bool:
    return any("s" in facts for facts in journal(living.home)[0].values())


def kill_with_supervisors(living: Living, runtime: int, pid: int) -> None:
    """The runtime is stopped, so that it brings up no other pair; keeper and guard are killed, and then a run with all its group."""
    pair = supervisors(living)
    os.kill(runtime, signal.SIGSTOP)
    kill_together(*pair)
    os.killpg(pid, signal.SIGKILL)


def runtime_dead(living: Living) -> Row:
    """The runtime dies; the run ends; its pid is another's when the next runtime comes."""
    job = Job.gated(living, "restart")
    number, pid = job.running()
    living.kill()
    job.gate.touch()
    with stranger(pid) as other:
        living.start()
        may = ("failed", CODE, None)
        return let_alone("the runtime dies, then the run ends", job, number, other, may)


def runtime_dead_and_cancelled(living: Living) -> Row:
    """The same with a cancel that was stored and never sent: the next runtime sends it to a run that is over."""
    job = Job.gated(living, "cancelled")
    number, pid = job.running()
    uuid = living.show(number)["uuid"]
    living.kill()
    engine = write_engine(living.home / "taskdeck.db")
    with engine.begin() as c:
        transitions.cancel(c, [uuid], "ann")
    engine.dispose()
    job.gate.touch()
    with stranger(pid) as other:
        living.start()
        may = ("cancelled", CODE, None)
        return let_alone("the runtime dies with a cancel stored, then the run ends", job, number, other, may)


def session_of_a_daemon(living: Living) -> Row:
    """A run that is being stopped has ended but for a stray. A stranger that becomes a daemon had the pid of its leader in between."""
    stray = living.home / "stray"
    forked = f"setsid sh -c 'trap \"\" TERM; echo $$ > {stray}; while :; do sleep 0.05; done' & wait"
    job = Job(living, "daemon", forked, grace=4)
    number, pid = job.running()
    until(lambda: stray.exists() and stray.read_text(), "the stray is there")
    living.call("cancel", ids=[number])
    with daemon(pid) as other:
        may = ("cancelled", None, None)
        return let_alone("a daemon's session gets the pid while a stray is being stopped", job, number, other, may)


DAEMON = "import os, time; os.fork() and os._exit(0); time.sleep(60)"


@contextlib.contextmanager
def daemon(pid: int) -> Iterator[Stranger]:
    """A process whose session had a leader with that pid, which is gone; ended with the block."""
    with stranger(pid, sys.executable, "-I", "-S", "-c", DAEMON, stays=False):
        (found,) = until(lambda: [p for p in _session(pid) if p != pid], "the daemon is there")
        until(lambda: not alive(pid), "the leader has gone")
        os.waitpid(pid, 0)
        try:
            yield Stranger(found)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == leader:
                found.append(int(name))
    return found


def let_alone(what: str, job: Job, number: str, other: Stranger, *may: tuple[str, int | None, str | None]) -> Row:
    """How the task ended, and what happened to the stranger when the task, which has ended, was cancelled once more."""

    def also() -> str:
        job.living.call("cancel", ids=[number])
        job.living.ended(job.living.submit("true"))
        return other.harmed

    return judged(PART, what, job, number, *may, also=also)
