"""Tests of the job program, which they start as an engine does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.outer.spool import Spool
from app.runtime.dispatch.run_verdict import judge_run
from db.queries.tasks.run_end import RunFacts
from db.states import RunStatus

RUN = "01990a5e-0000-7000-8000-0000000000ab"
SECONDS = 60.0
"""Limit of each wait, for slow machines."""


def wait_until(is_done: Callable[[], Any]) -> Any:
    limit = time.monotonic() + SECONDS
    while not (found := is_done()):
        assert time.monotonic() < limit
        time.sleep(0.005)
    return found


class Site:
    """A spool and the jobs that run from it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.spool = folder, Spool(folder / "spool")
        self.spool.prepare()
        self.log = folder / "logs" / "run.log"
        self.jobs: list[subprocess.Popen[bytes]] = []

    def order(self, *argv: str, **more: Any) -> None:
        order = {"run": RUN, "argv": argv, "cwd": str(self.folder), "umask": 0o22, "beat": 0.02}
        order |= {"env": {"PATH": os.environ["PATH"]}, "log": str(self.log), "timeout": None}
        self.spool.write_order(RUN, order | {"grace": 30.0, "early": None} | more)

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self.spool.build_command(RUN)[1:]]
        self.jobs.append(subprocess.Popen(command, env={**os.environ, **env}))
        return self.jobs[-1]

    def run(self, *argv: str, **more: Any) -> dict[str, Any]:
        """Run a task to its end, and return the end."""
        self.order(*argv, **more)
        self.start().wait(SECONDS)
        end = self.spool.read_end(RUN)
        assert end is not None
        return end

    def read_log(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill_job(self, job: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal from a process that is not the parent of the job."""
        subprocess.run(["kill", f"-{number}", str(job.pid)], check=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for job in made.jobs:
        job.kill()
        job.wait()


def test_a_task_runs_and_its_end_is_recorded(site: Site):
    end = site.run("sh", "-c", "echo out; echo err >&2; pwd; umask; exit 7")

    assert site.read_log() == f"out\nerr\n{site.folder}\n0022\n"
    assert (end["code"], end["signal"], end["stop"], end["lost"]) == (7, None, None, False)
    assert end["started_at"] <= end["at"] and end["run_seconds"] > 0
    assert end["cpu"] >= 0 and 100 < end["maxrss"] < 100_000 and end["pid"] > 1
    assert judge_run(make_facts(), end).status is RunStatus.FAILED


def make_facts() -> RunFacts:
    return RunFacts(RUN, "t", "running", None, None, 0, 0, 0.0, None, None, None, "main", None)
