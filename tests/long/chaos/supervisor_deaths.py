"""Both supervisors die within a run's life, and machines that were restarted: such a run is lost, says why, and runs no second time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

from tests.long.chaos.results import Job, Row, judged, kill_all, kill_together, opened, supervisors
from tests.long.chaos.run_steps import records
from tests.runtime_process import MARK, Living, alive, until

BOTH, BOOT = "both supervisors killed", "changed boot id"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
KILLED = ("lost", None, "supervisors killed")
RESTARTED = ("lost", None, "host restarted")
ELSEWHERE = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
"""A command in a mount namespace of its own, where the machine seems to have been restarted."""


def trials() -> Iterator[Row]:
    """A row for each."""
    for trial in (lives_on, ended_meanwhile, stopped_later, overdue_later, other_journal):
        with opened() as living:
            yield trial(living)
    if why := impossible():
        yield Row(BOOT, "in a mount namespace with another boot id", None, why)
        return
    for trial in (other_boot, other_boot_after_intent):
        with opened() as living:
            yield trial(living)


def lives_on(living: Living) -> Row:
    """The run goes on, and is lost when it ends."""
    job = Job.gated(living, "lives")
    number, pid = job.running()
    kill_together(*supervisors(living))
    until(lambda: all(map(alive, supervisors(living))), "a new pair")
    also = "" if alive(pid) and living.show(number)["status"] == "running" else "it did not live on"
    job.gate.touch()
    return judged(BOTH, "the run lives on and ends later", job, number, KILLED, also=lambda: also)


def ended_meanwhile(living: Living) -> Row:
    """It ends while nobody is there."""
    job = Job.gated(living, "meanwhile")
    number, pid = job.running()
    kill_all(living)
    job.gate.touch()
    until(lambda: not alive(pid), "it has ended")
    living.start()
    return judged(BOTH, "the run ends while nobody lives, the runtime dead too", job, number, KILLED)


def stopped_later(living: Living) -> Row:
    """It can still be stopped, with all that belongs to it."""
    job = Job(living, "stopped", "sleep 60 & wait", grace=0.5)
    number, pid = job.running()
    kill_together(*supervisors(living))
    until(lambda: all(map(alive, supervisors(living))), "a new pair")
    began = time.monotonic()
    living.call("cancel", ids=[number])
    row = judged(BOTH, "the run is cancelled afterwards", job, number, KILLED, ("cancelled", None, None))
    late = time.monotonic() - began > 2.5
    return row if not (late or alive(pid)) else Row(row.part, row.what, False, "it was not ended within grace + 2 s")


def overdue_later(living: Living) -> Row:
    """Its deadline still holds."""
    job = Job(living, "overdue", "sleep 60 & wait", grace=0.5, timeout=1.0)
    number, pid = job.running()
    kill_together(*supervisors(living))
    row = judged(BOTH, "the run's deadline comes afterwards", job, number, KILLED, ("timed_out", None, None))
    return row if not alive(pid) else Row(row.part, row.what, False, "it was not ended")


def other_journal(living: Living) -> Row:
    """The journal was written before the machine was restarted; a process that happens to live is left alone."""
    job = Job.gated(living, "journal")
    number, pid = job.running()
    boot = next(record["boot"] for record in records(living.home) if "protocol" in record)
    kill_all(living)
    for path in (living.home / "run").glob("journal*/*.log"):
        path.write_bytes(path.read_bytes().replace(boot.encode(), str(uuid.uuid4()).encode()))
    living.start()
    return _left_alone(judged(BOOT, "a journal of another boot", job, number, RESTARTED), pid)


def impossible() -> str:
    """Why the boot id cannot be changed here, or nothing."""
    command = ["unshare", "-m", "sh", "-c", ELSEWHERE, "/dev/null", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "unshare is not installed"
    return f"no mount namespace ({done.stderr.strip()[-100:]}); it takes root" if done.returncode else ""


def other_boot(living: Living) -> Row:
    """Runtime, keeper and guard come up where the kernel gives another boot id."""
    job = Job.gated(living, "boot")
    number, pid = job.running()
    kill_all(living)
    _restart_elsewhere(living)
    return _left_alone(
        judged(BOOT, "all three come up in a mount namespace with another boot id", job, number, RESTARTED), pid
    )


def other_boot_after_intent(living: Living) -> Row:
    """The same, and the pid of the run never came to be written."""
    job = Job.gated(living, "intent")
    number, pid = job.running()
    kill_all(living)
    for path in (living.home / "run").glob("journal*/*.log"):
        lines = path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if not line.startswith(b'{"p"')))
    _restart_elsewhere(living)
    return _left_alone(judged(BOOT, "another boot id, and an intent without its pid", job, number, RESTARTED), pid)


def _restart_elsewhere(living: Living) -> None:
    """Bring up the three in a mount namespace of their own."""
    boot = living.home / "boot_id"
    boot.write_text(f"{uuid.uuid4()}\n")
    serve = [sys.executable, "-P", "-m", "app", "--home", os.fspath(living.home), "serve", "--detach"]
    env = {**os.environ, MARK: os.fspath(living.home)}
    subprocess.run(
        ["unshare", "-m", "sh", "-c", ELSEWHERE, boot, *serve],
        env=env,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


def _left_alone(row: Row, pid: int) -> Row:
    """What lives under the pid of a lost run may be anybody: it gets no signal, and we end it."""
    if not alive(pid):
        return Row(row.part, row.what, False, f"{row.said}; the process that had its pid was ended")
    os.kill(pid, signal.SIGKILL)
    return row
