"""Trials in which a foreign process gets the pid of an ended run, and must get no signal.

The foreign process leads its own session, as a run does, and blocks every signal, so that each
signal it gets stays pending and is seen. The run must end as usual.
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
from db.queries.tasks import transitions
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
    """Yield a row for each way to miss the end of a run."""
    if why := find_obstacle():
        yield TrialResult(PART, "a stranger under the pid of a run", None, why)
        return
    for trial in (
        run_both_dead,
        run_both_dead_while_stopping,
        run_runtime_dead,
        run_runtime_dead_and_cancelled,
        run_session_of_a_daemon,
    ):
        yield run_trial(trial)


class PidTakenError(Exception):
    """Another process of the machine got the wanted pid."""


def run_trial(trial: Callable[[RuntimeProcess], TrialResult]) -> TrialResult:
    """Run a trial in its own home, and again in another if the pid was taken."""
    for _ in range(HOMES):
        with contextlib.suppress(PidTakenError), open_runtime() as living:
            return trial(living)
    raise RuntimeError(f"in {HOMES} homes somebody else was given the pid")


def find_obstacle() -> str:
    """Return the reason that pids cannot be chosen here, or an empty string."""
    try:
        LAST_PID.write_text(LAST_PID.read_text())
    except OSError as error:
        return (
            f"{LAST_PID} cannot be written ({error.strerror}); it takes root or"
            " CAP_CHECKPOINT_RESTORE"
        )
    return ""


@dataclass(slots=True)
class ForeignProcess:
    """Process that has nothing to do with Taskdeck."""

    pid: int

    @property
    def damage(self) -> str:
        if not is_alive(self.pid) or read_status_field(self.pid, "State")[:1] not in "SR":
            return "the stranger was killed or stopped"
        got = [int(read_status_field(self.pid, mask), 16) for mask in ("SigPnd", "ShdPnd")]
        return "the stranger was signalled" if any(got) else ""


@contextlib.contextmanager
def start_stranger(pid: int, *argv: str, stays: bool = True) -> Iterator[ForeignProcess]:
    """Start a process with exactly this pid; by default it is killed at exit."""
    argv = argv or ("/bin/sleep", "60")
    wait_until(lambda: _is_free(pid), f"{pid} is free")
    for _ in range(TRIES):
        LAST_PID.write_text(str(pid - 1))
        made = os.posix_spawn(argv[0], argv, {}, setsid=True, setsigmask=signal.valid_signals())
        if made == pid:
            break
        _kill_and_reap(made)
    else:
        raise PidTakenError
    try:
        yield ForeignProcess(pid)
    finally:
        if stays:
            _kill_and_reap(pid)


def _is_free(pid: int) -> bool:
    """Return true if the run with the pid is gone. Raises PidTakenError."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # an unreaped process has no environment
        return not Path(f"/proc/{pid}").exists()
    if variables and b"TASKDECK_RUNID=" not in variables:
        raise PidTakenError
    return False


def _kill_and_reap(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def run_both_dead(living: RuntimeProcess) -> TrialResult:
    """Kill both supervisors, then the run, and reuse its pid while the runtime is stopped."""
    job = NotedJob.make_gated(living, "both")
    number, pid = job.run()
    runtime = living.pid
    kill_with_supervisors(living, runtime, pid)
    with start_stranger(pid) as other:
        os.kill(runtime, signal.SIGCONT)
        return check_unharmed("both supervisors die, then the run", job, number, other, LOST)


def run_both_dead_while_stopping(living: RuntimeProcess) -> TrialResult:
    """Kill both supervisors of a run being stopped; the next keeper continues the stop."""
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
        return check_unharmed(
            "both supervisors die while it is stopped, then the run", job, number, other, *may
        )


def _is_stop_written(living: RuntimeProcess) -> bool:
    return any("s" in facts for facts in read_journal(living.home)[0].values())


def kill_with_supervisors(living: RuntimeProcess, runtime: int, pid: int) -> None:
    """Stop the runtime and kill both supervisors and the run's group.

    A stopped runtime starts no new supervisors.
    """
    pair = get_supervisors(living)
    os.kill(runtime, signal.SIGSTOP)
    kill_together(*pair)
    os.killpg(pid, signal.SIGKILL)


def run_runtime_dead(living: RuntimeProcess) -> TrialResult:
    """Kill the runtime, let the run end, and reuse its pid before the next runtime."""
    job = NotedJob.make_gated(living, "restart")
    number, pid = job.run()
    living.kill()
    job.gate.touch()
    with start_stranger(pid) as other:
        living.start()
        may = ("failed", EXIT_CODE, None)
        return check_unharmed("the runtime dies, then the run ends", job, number, other, may)


def run_runtime_dead_and_cancelled(living: RuntimeProcess) -> TrialResult:
    """Kill the runtime after it stored a cancel, which only the next runtime sends."""
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
        return check_unharmed(
            "the runtime dies with a cancel stored, then the run ends", job, number, other, may
        )


def run_session_of_a_daemon(living: RuntimeProcess) -> TrialResult:
    """Reuse the session leader's pid for a daemon while a run's last child is being stopped."""
    stray = living.home / "stray"
    forked = (
        f"setsid sh -c 'trap \"\" TERM; echo $$ > {stray}; while :; do sleep 0.05; done' & wait"
    )
    job = NotedJob(living, "daemon", forked, grace=4)
    number, pid = job.run()
    wait_until(lambda: stray.exists() and stray.read_text(), "the stray is there")
    living.call("cancel", ids=[number])
    with start_daemon(pid) as other:
        may = ("cancelled", None, None)
        return check_unharmed(
            "a daemon's session gets the pid while a stray is being stopped",
            job,
            number,
            other,
            may,
        )


DAEMON_SCRIPT = "import os, time; os.fork() and os._exit(0); time.sleep(60)"


@contextlib.contextmanager
def start_daemon(pid: int) -> Iterator[ForeignProcess]:
    """Start a process whose session leader had the pid and is gone; killed at exit."""
    with start_stranger(pid, sys.executable, "-I", "-S", "-c", DAEMON_SCRIPT, stays=False):
        (found,) = wait_until(
            lambda: [p for p in _list_session(pid) if p != pid], "the daemon is there"
        )
        wait_until(lambda: not is_alive(pid), "the leader has gone")
        os.waitpid(pid, 0)
        try:
            yield ForeignProcess(found)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)


def _list_session(leader: int) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == leader:
                found.append(int(name))
    return found


def check_unharmed(
    what: str,
    job: NotedJob,
    number: str,
    other: ForeignProcess,
    *may: tuple[str, int | None, str | None],
) -> TrialResult:
    """Judge the task's end, and check that another cancel does not reach the foreign process."""

    def also() -> str:
        job.runtime.call("cancel", ids=[number])
        job.runtime.wait_for_end(job.runtime.submit("true"))
        return other.damage

    return judge_task(PART, what, job, number, *may, check_more=also)
