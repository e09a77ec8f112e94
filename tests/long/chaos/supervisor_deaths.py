"""Trials in which both supervisors die during a run, or the host restarts.

Such a run is lost, with a reason, and never repeated.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

from tests.long.chaos.results import (
    NotedJob,
    TrialResult,
    get_supervisors,
    judge_task,
    kill_all,
    kill_together,
    open_runtime,
)
from tests.long.chaos.run_steps import read_records
from tests.runtime_process import HOME_VARIABLE, RuntimeProcess, is_alive, wait_until

BOTH, BOOT = "both supervisors killed", "changed boot id"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
KILLED = ("lost", None, "supervisors killed")
RESTARTED = ("lost", None, "host restarted")
NEW_BOOT_COMMAND = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
"""Command in its own mount namespace, where the host seems to have restarted."""


def run_trials() -> Iterator[TrialResult]:
    """Yield a row for each trial."""
    for trial in (
        run_surviving,
        run_ended_unwatched,
        run_stopped_later,
        run_overdue_later,
        run_other_journal,
    ):
        with open_runtime() as living:
            yield trial(living)
    if why := find_obstacle():
        yield TrialResult(BOOT, "in a mount namespace with another boot id", None, why)
        return
    for trial in (run_other_boot, run_other_boot_after_intent):
        with open_runtime() as living:
            yield trial(living)


def run_surviving(living: RuntimeProcess) -> TrialResult:
    """Let the run continue and become lost at its end."""
    job = NotedJob.make_gated(living, "lives")
    number, pid = job.run()
    kill_together(*get_supervisors(living))
    wait_until(lambda: all(map(is_alive, get_supervisors(living))), "a new pair")
    also = (
        "" if is_alive(pid) and living.show(number)["status"] == "running" else "it did not live on"
    )
    job.gate.touch()
    return judge_task(
        BOTH, "the run lives on and ends later", job, number, KILLED, check_more=lambda: also
    )


def run_ended_unwatched(living: RuntimeProcess) -> TrialResult:
    """Let the run end while neither supervisor is running."""
    job = NotedJob.make_gated(living, "meanwhile")
    number, pid = job.run()
    kill_all(living)
    job.gate.touch()
    wait_until(lambda: not is_alive(pid), "it has ended")
    living.start()
    return judge_task(
        BOTH, "the run ends while nobody lives, the runtime dead too", job, number, KILLED
    )


def run_stopped_later(living: RuntimeProcess) -> TrialResult:
    """Check that the run and its children can still be stopped."""
    job = NotedJob(living, "stopped", "sleep 60 & wait", grace=0.5)
    number, pid = job.run()
    kill_together(*get_supervisors(living))
    wait_until(lambda: all(map(is_alive, get_supervisors(living))), "a new pair")
    began = time.monotonic()
    living.call("cancel", ids=[number])
    row = judge_task(
        BOTH, "the run is cancelled afterwards", job, number, KILLED, ("cancelled", None, None)
    )
    late = time.monotonic() - began > 2.5
    return (
        row
        if not (late or is_alive(pid))
        else TrialResult(row.part, row.what, False, "it was not ended within grace + 2 s")
    )


def run_overdue_later(living: RuntimeProcess) -> TrialResult:
    """Check that the run's deadline still holds."""
    job = NotedJob(living, "overdue", "sleep 60 & wait", grace=0.5, timeout=1.0)
    number, pid = job.run()
    kill_together(*get_supervisors(living))
    row = judge_task(
        BOTH, "the run's deadline comes afterwards", job, number, KILLED, ("timed_out", None, None)
    )
    return row if not is_alive(pid) else TrialResult(row.part, row.what, False, "it was not ended")


def run_other_journal(living: RuntimeProcess) -> TrialResult:
    """Restart with a journal of an earlier boot; a process with the same pid is left alone."""
    job = NotedJob.make_gated(living, "journal")
    number, pid = job.run()
    boot = next(record["boot"] for record in read_records(living.home) if "protocol" in record)
    kill_all(living)
    for path in (living.home / "run").glob("journal*/*.log"):
        path.write_bytes(path.read_bytes().replace(boot.encode(), str(uuid.uuid4()).encode()))
    living.start()
    return _check_left_alone(
        judge_task(BOOT, "a journal of another boot", job, number, RESTARTED), pid
    )


def find_obstacle() -> str:
    """Return the reason that the boot id cannot be changed here, or an empty string."""
    command = ["unshare", "-m", "sh", "-c", NEW_BOOT_COMMAND, "/dev/null", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "unshare is not installed"
    return (
        f"no mount namespace ({done.stderr.strip()[-100:]}); it takes root"
        if done.returncode
        else ""
    )


def run_other_boot(living: RuntimeProcess) -> TrialResult:
    """Restart all three under another boot id."""
    job = NotedJob.make_gated(living, "boot")
    number, pid = job.run()
    kill_all(living)
    _restart_with_new_boot_id(living)
    return _check_left_alone(
        judge_task(
            BOOT,
            "all three come up in a mount namespace with another boot id",
            job,
            number,
            RESTARTED,
        ),
        pid,
    )


def run_other_boot_after_intent(living: RuntimeProcess) -> TrialResult:
    """Restart under another boot id, with an intent whose pid was never written."""
    job = NotedJob.make_gated(living, "intent")
    number, pid = job.run()
    kill_all(living)
    for path in (living.home / "run").glob("journal*/*.log"):
        lines = path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if not line.startswith(b'{"p"')))
    _restart_with_new_boot_id(living)
    return _check_left_alone(
        judge_task(BOOT, "another boot id, and an intent without its pid", job, number, RESTARTED),
        pid,
    )


def _restart_with_new_boot_id(living: RuntimeProcess) -> None:
    boot = living.home / "boot_id"
    boot.write_text(f"{uuid.uuid4()}\n")
    serve = [
        sys.executable,
        "-P",
        "-m",
        "taskdeck",
        "--home",
        os.fspath(living.home),
        "serve",
        "--detach",
    ]
    env = {**os.environ, HOME_VARIABLE: os.fspath(living.home)}
    subprocess.run(
        ["unshare", "-m", "sh", "-c", NEW_BOOT_COMMAND, boot, *serve],
        env=env,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


def _check_left_alone(row: TrialResult, pid: int) -> TrialResult:
    """Check that the process with a lost run's pid got no signal, and kill it."""
    if not is_alive(pid):
        return TrialResult(
            row.part, row.what, False, f"{row.detail}; the process that had its pid was ended"
        )
    os.kill(pid, signal.SIGKILL)
    return row
