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

from db.engine import create_write_engine
from db.queries import transitions
from tests.long.chaos.killer import read_status_field
from tests.long.chaos.results import (
    EXIT_CODE,
    NotedJob,
    TrialResult,
    get_supervisors,
    judge_task,
    kill_together,
    open_runtime,
)
from tests.long.chaos.run_steps import read_journal
from tests.runtime_process import RuntimeProcess, is_alive, wait_until

PART = "reused pids"
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 500
HOMES = 5
LOST = ("lost", None, "supervisors killed")


def run_trials() -> Iterator[TrialResult]:
    """A row for each way to miss the end of a run."""
    if why := find_obstacle():
        yield TrialResult(PART, "a stranger under the pid of a run", None, why)
        return
    for trial in (run_both_dead, run_both_dead_while_stopping, run_runtime_dead, run_runtime_dead_and_cancelled, run_session_of_a_daemon):
        yield run_trial(trial)


class PidTaken(Exception):
    """Another process of this machine has got the pid that was to be a stranger's."""


def run_trial(trial: Callable[[RuntimeProcess], TrialResult]) -> TrialResult:
    """A trial in a home of its own; in another one where somebody else was given the pid."""
    for _ in range(HOMES):
        with contextlib.suppress(PidTaken), open_runtime() as living:
            return trial(living)
    raise RuntimeError(f"in {HOMES} homes somebody else was given the pid")


def find_obstacle() -> str:
    """Why no pid can be chosen here, or nothing."""
    try:
        LAST_PID.write_text(LAST_PID.read_text())
    except OSError as error:
        return f"{LAST_PID} cannot be written ({error.strerror}); it takes root or CAP_CHECKPOINT_RESTORE"
    return ""


@dataclass(slots=True)
class ForeignProcess:
    """A process that has nothing to do with us."""

    pid: int

    @property
    def damage(self) -> str:
        """What was done to it, or nothing."""
        if not is_alive(self.pid) or read_status_field(self.pid, "State")[:1] not in "SR":
            return "the stranger was killed or stopped"
        got = [int(read_status_field(self.pid, mask), 16) for mask in ("SigPnd", "ShdPnd")]
        return "the stranger was signalled" if any(got) else ""


@contextlib.contextmanager
def start_stranger(pid: int, *argv: str, stays: bool = True) -> Iterator[ForeignProcess]:
    """A process with exactly that pid; one that stays is ended with the block."""
    argv = argv or ("/bin/sleep", "60")
    wait_until(lambda: _is_free(pid), f"{pid} is free")
    for _ in range(TRIES):
        LAST_PID.write_text(str(pid - 1))
        made = os.posix_spawn(argv[0], argv, {}, setsid=True, setsigmask=signal.valid_signals())
        if made == pid:
            break
        _kill_and_reap(made)
    else:
        raise PidTaken
    try:
        yield ForeignProcess(pid)
    finally:
        if stays:
            _kill_and_reap(pid)


def _is_free(pid: int) -> bool:
    """Whether the run that had the pid is gone. Raises Taken."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # one that nobody has waited for has none
        return not Path(f"/proc/{pid}").exists()
    if variables and b"TASKDECK_RUNID=" not in variables:
        raise PidTaken
    return False


def _kill_and_reap(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def run_both_dead(living: RuntimeProcess) -> TrialResult:
    """Keeper and guard die, then the run, then its pid is another's; the runtime stands still meanwhile."""
    job = NotedJob.make_gated(living, "both")
    number, pid = job.run()
    runtime = living.pid
    kill_with_supervisors(living, runtime, pid)
    with start_stranger(pid) as other:
        os.kill(runtime, signal.SIGCONT)
        return check_unharmed("both supervisors die, then the run", job, number, other, LOST)


def run_both_dead_while_stopping(living: RuntimeProcess) -> TrialResult:
    """The same with a run that is being stopped: the next keeper carries the stop on, and must not carry it to the stranger."""
    job = NotedJob(living, "stopping", 'trap "" TERM; while :; do sleep 0.05; done', grace=30)
    number, pid = job.run()
    living.call("cancel", ids=[number])
    living.wait_for_status(number, "stopping")
    runtime = living.pid
    wait_until(lambda: _is_stop_written(living), "the stop is in the journal")
    kill_with_supervisors(living, runtime, pid)
    with start_stranger(pid) as other:
        os.kill(runtime, signal.SIGCONT)
        may = (LOST, ("cancelled", None, None))
        return check_unharmed("both supervisors die while it is stopped, then the run", job, number, other, *may)


def _is_stop_written(living: RuntimeProcess) -> bool:
    return any("s" in facts for facts in read_journal(living.home)[0].values())


def kill_with_supervisors(living: RuntimeProcess, runtime: int, pid: int) -> None:
    """The runtime is stopped, so that it brings up no other pair; keeper and guard are killed, and then a run with all its group."""
    pair = get_supervisors(living)
    os.kill(runtime, signal.SIGSTOP)
    kill_together(*pair)
    os.killpg(pid, signal.SIGKILL)


def run_runtime_dead(living: RuntimeProcess) -> TrialResult:
    """The runtime dies; the run ends; its pid is another's when the next runtime comes."""
    job = NotedJob.make_gated(living, "restart")
    number, pid = job.run()
    living.kill()
    job.gate.touch()
    with start_stranger(pid) as other:
        living.start()
        may = ("failed", EXIT_CODE, None)
        return check_unharmed("the runtime dies, then the run ends", job, number, other, may)


def run_runtime_dead_and_cancelled(living: RuntimeProcess) -> TrialResult:
    """The same with a cancel that was stored and never sent: the next runtime sends it to a run that is over."""
    job = NotedJob.make_gated(living, "cancelled")
    number, pid = job.run()
    uuid = living.show(number)["uuid"]
    living.kill()
    engine = create_write_engine(living.home / "taskdeck.db")
    with engine.begin() as c:
        transitions.cancel(c, [uuid], "ann")
    engine.dispose()
    job.gate.touch()
    with start_stranger(pid) as other:
        living.start()
        may = ("cancelled", EXIT_CODE, None)
        return check_unharmed("the runtime dies with a cancel stored, then the run ends", job, number, other, may)


def run_session_of_a_daemon(living: RuntimeProcess) -> TrialResult:
    """A run that is being stopped has ended but for a stray. A stranger that becomes a daemon had the pid of its leader in between."""
    stray = living.home / "stray"
    forked = f"setsid sh -c 'trap \"\" TERM; echo $$ > {stray}; while :; do sleep 0.05; done' & wait"
    job = NotedJob(living, "daemon", forked, grace=4)
    number, pid = job.run()
    wait_until(lambda: stray.exists() and stray.read_text(), "the stray is there")
    living.call("cancel", ids=[number])
    with start_daemon(pid) as other:
        may = ("cancelled", None, None)
        return check_unharmed("a daemon's session gets the pid while a stray is being stopped", job, number, other, may)


DAEMON_SCRIPT = "import os, time; os.fork() and os._exit(0); time.sleep(60)"


@contextlib.contextmanager
def start_daemon(pid: int) -> Iterator[ForeignProcess]:
    """A process whose session had a leader with that pid, which is gone; ended with the block."""
    with start_stranger(pid, sys.executable, "-I", "-S", "-c", DAEMON_SCRIPT, stays=False):
        (found,) = wait_until(lambda: [p for p in _list_session(pid) if p != pid], "the daemon is there")
        wait_until(lambda: not is_alive(pid), "the leader has gone")
        os.waitpid(pid, 0)
        try:
            yield ForeignProcess(found)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)


def _list_session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == leader:
                found.append(int(name))
    return found


def check_unharmed(what: str, job: NotedJob, number: str, other: ForeignProcess, *may: tuple[str, int | None, str | None]) -> TrialResult:
    """How the task ended, and what happened to the stranger when the task, which has ended, was cancelled once more."""

    def also() -> str:
        job.runtime.call("cancel", ids=[number])
        job.runtime.wait_for_end(job.runtime.submit("true"))
        return other.damage

    return judge_task(PART, what, job, number, *may, also=also)
