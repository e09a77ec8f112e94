"""Commands of Slurm: their arguments, and one place that runs them.

A controller that is down lets a command hang for seconds. So commands run in threads of their own,
with limits of time and output. Both outputs are untrusted. Options in the environment of the user
(`SBATCH_…`) would change what we ask for, and are left out.
"""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.text.sanitize import sanitize, truncate
from app.outer.slurm.rows import JOB_FORMAT, NODE_FORMAT, make_name

TIME_LIMIT = 60.0
"""Seconds for one command. With a backup controller, a command blocked 15 s and then succeeded."""
MAX_OUTPUT = 32 * 1024 * 1024
"""Bytes of both outputs together: 100,000 jobs."""
THREADS = 4
SPARE_MINUTES = 2
"""Minutes above timeout and grace, so that Slurm's own limit never acts first."""
NICE_STEP, MAX_NICE = 100, 1_000_000

_CHUNK = 65536
_MAX_SENTENCE = 400
_FOREIGN_PREFIXES = ("SBATCH_", "SQUEUE_", "SCANCEL_", "SINFO_", "SCONTROL_", "SLURM_")
_KEPT_NAMES = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})


class CommandAnswer(NamedTuple):
    """Result of a command."""

    code: int | None
    """Exit code; None if the command could not run or was killed at its limit."""
    output: str
    error: str
    """One sanitized sentence; "" if the command succeeded."""


@dataclass(frozen=True, slots=True)
class SlurmPool:
    """Settings of a pool that are options of sbatch."""

    name: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    options: tuple[str, ...] = ()


def build_submit(
    order: Mapping[str, Any], pool: SlurmPool, command: Sequence[str]
) -> tuple[str, ...]:
    """Return the arguments of sbatch for one run. The last of equal options wins: ours."""
    chosen = {"--partition": pool.partition, "--account": pool.account, "--qos": pool.qos}
    asked = {
        "--mem": f"{math.ceil(order['memory'])}M" if order.get("memory") else None,
        "--gpus": order.get("gpus") or None,
        "--time": compute_minutes(order.get("timeout"), order.get("grace")),
        "--nice": compute_nice(order.get("rank", 0)) or None,
    }
    return (
        "sbatch",
        *pool.options,
        *(f"{name}={value}" for name, value in (chosen | asked).items() if value is not None),
        f"--cpus-per-task={max(1, math.ceil(order.get('cpu') or 1))}",
        "--parsable",
        "--no-requeue",
        "--export=NONE",
        "--output=/dev/null",
        f"--job-name={make_name(order['run'])}",
        f"--wrap=exec {shlex.join(command)}",
    )


def compute_minutes(timeout: float | None, grace: float | None) -> int | None:
    """Return Slurm's time limit for a task with a timeout, or None for that of the partition."""
    if timeout is None:
        return None
    return math.ceil((timeout + (grace or 0.0)) / 60) + SPARE_MINUTES


def compute_nice(rank: int) -> int:
    """Return the nice value of a priority rank; 0 is the first rank. A user may only add."""
    return min(max(0, rank) * NICE_STEP, MAX_NICE)


LIST_JOBS = ("squeue", "--noheader", "--me", "--states=all", f"--format={JOB_FORMAT}")
LIST_NODES = ("sinfo", "--noheader", "--Node", f"--format={NODE_FORMAT}")
LIST_PARTITIONS = ("sinfo", "--noheader", "--all", "--format=%R")
PING = ("scontrol", "ping")


def build_lookup(runid: str) -> tuple[str, ...]:
    """Return the arguments that list the jobs of one run."""
    return (*LIST_JOBS, f"--name={make_name(runid)}")


def build_signal(runid: str, name: str) -> tuple[str, ...]:
    """Return the arguments that send a signal to the process group of a job.

    The name selects the jobs, never the id, which Slurm may have given to another job.
    """
    return ("scancel", "--me", "--full", f"--signal={name}", f"--name={make_name(runid)}")


def build_batch_signal(runid: str, name: str) -> tuple[str, ...]:
    """Return the arguments that send a signal to the job program of a run alone."""
    return ("scancel", "--me", "--batch", f"--signal={name}", f"--name={make_name(runid)}")


def build_cancel(runid: str) -> tuple[str, ...]:
    """Return the arguments that cancel the jobs of a run: TERM to all processes, then KILL."""
    return ("scancel", "--me", f"--name={make_name(runid)}")


def build_suspend(job: str, is_resume: bool) -> tuple[str, ...]:
    """Return the arguments that suspend or resume a job just looked up."""
    return ("scontrol", "resume" if is_resume else "suspend", job)


class CommandRunner:
    """Threads that run the commands of Slurm. No method blocks the event loop."""

    def __init__(self, folder: str = "", conf: str | None = None) -> None:
        self._folder, self._conf = folder, conf
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="slurm command")
        self._running: set[subprocess.Popen[bytes]] = set()

    async def run(self, argv: Sequence[str], time_limit: float = TIME_LIMIT) -> CommandAnswer:
        """Run a command and return its answer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._run, argv, time_limit)

    def close(self) -> None:
        """Start no command any more, and end those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in list(self._running):
            process.kill()

    def _run(self, argv: Sequence[str], time_limit: float) -> CommandAnswer:
        program = os.path.join(self._folder, argv[0]) if self._folder else argv[0]
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=make_environment(os.environ, self._conf),
                start_new_session=True,
            )
        except FileNotFoundError:
            return CommandAnswer(None, "", f"{_clean(program)} was not found")
        except OSError as error:
            return CommandAnswer(None, "", f"{_clean(program)}: {error.strerror}")
        self._running.add(process)
        try:
            with process:
                return self._read(argv[0], process, time_limit)
        finally:
            self._running.discard(process)

    def _read(
        self, name: str, process: subprocess.Popen[bytes], time_limit: float
    ) -> CommandAnswer:
        """Read both outputs up to the limits. A process beyond a limit is killed."""
        assert process.stdout and process.stderr
        found, why = {process.stdout: bytearray(), process.stderr: bytearray()}, ""
        deadline = time.monotonic() + time_limit
        with selectors.DefaultSelector() as selector:
            for stream in found:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map() and not why:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                for key, _ in ready:
                    chunk = os.read(key.fd, _CHUNK)
                    found[key.fileobj] += chunk  # pyright: ignore[reportArgumentType]
                    if not chunk:
                        selector.unregister(key.fileobj)
                if not ready:
                    why = f"{name} did not answer within {time_limit:.0f} s"
                elif sum(map(len, found.values())) > MAX_OUTPUT:
                    why = f"{name} printed more than {MAX_OUTPUT >> 20} MiB"
        if why:
            process.kill()
            return CommandAnswer(None, "", why)
        try:
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            return CommandAnswer(None, "", f"{name} closed its output and did not end")
        output, error = (bytes(data).decode("utf-8", "replace") for data in found.values())
        sentence = "" if code == 0 else make_sentence(error) or f"{name} ended with {code}"
        return CommandAnswer(code, output, sentence)


def make_environment(environ: Mapping[str, str], conf: str | None = None) -> dict[str, str]:
    """Return the environment of Slurm's commands: times as UNIX time, no options of the user.

    `conf` replaces the SLURM_CONF of the runtime, which depends on who started it.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT_NAMES or not name.startswith((*_FOREIGN_PREFIXES, "TASKDECK_", "LC_"))
    }
    kept |= {"SLURM_CONF": conf} if conf else {}
    return kept | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}


def make_sentence(error: str) -> str:
    """Return the error output of a command as one sentence, without its prefixes."""
    parts: list[str] = []
    for line in error.splitlines()[-6:]:
        head, sign, rest = line.strip().partition("error: ")
        part = (rest if sign and head.endswith(": ") else line.strip()).rstrip(".")
        part = part.removeprefix("Batch job submission failed: ")
        if part and part not in parts:
            parts.append(part)
    return _clean("; ".join(parts))


def _clean(text: str) -> str:
    return truncate(sanitize(text), _MAX_SENTENCE)
