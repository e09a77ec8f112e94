"""Live tests of spool and job program: jobs of a real Slurm, whose controller is killed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.core.ids import make_uuid7
from app.outer.spool import Spool
from tests.outer.slurm.loopback_cluster import LoopbackCluster, wait_for


class SlurmSite:
    """A spool whose jobs run in the cluster."""

    def __init__(self, folder: Path, cluster: LoopbackCluster) -> None:
        self.cluster, self.spool, self.marks = cluster, Spool(folder / "spool"), folder / "marks"
        self.folder, self.run = folder, make_uuid7()
        folder.mkdir()
        self.spool.prepare()

    def order(self, *argv: str) -> None:
        order: dict[str, Any] = {"run": self.run, "argv": argv, "env": {}}
        order |= {"cwd": str(self.folder), "umask": 0o22, "log": str(self.marks), "grace": 30.0}
        self.spool.write_order(self.run, order | {"timeout": None, "early": None, "beat": 0.2})

    def submit(self) -> str:
        command = [sys.executable, *self.spool.build_command(self.run)[1:]]
        options = ["--parsable", "--no-requeue", "--export=NONE", "--mem=10", "-o", "/dev/null"]
        wrapped = f"exec {shlex.join(command)}"
        return self.cluster.run(
            "sbatch", *options, "-J", f"td-{self.run}", "--wrap", wrapped
        ).strip()

    def list_jobs(self) -> list[str]:
        name = f"--name=td-{self.run}"
        return self.cluster.run("squeue", "-h", "--me", name, "-o", "%i").split()

    def wait_for_mark(self, mark: str) -> None:
        wait_for(lambda: self.marks.exists() and mark in self.marks.read_text())

    def wait_for_end(self) -> dict[str, Any]:
        wait_for(lambda: self.spool.read_end(self.run) is not None)
        end = self.spool.read_end(self.run)
        assert end is not None
        return end


@pytest.fixture
def make_site(tmp_path: Path, cluster: LoopbackCluster) -> Callable[[], SlurmSite]:
    made = iter(range(100))
    return lambda: SlurmSite(tmp_path / f"site-{next(made)}", cluster)


def test_a_run_that_is_handed_over_twice_begins_once(make_site: Callable[[], SlurmSite]):
    site = make_site()
    site.order("/bin/sh", "-c", "echo began; sleep 0.5; exit 7")
    site.submit()
    site.cluster.restart("ctl")  # it may have forgotten the job, or may start it once more
    second = site.submit()

    wait_for(lambda: site.cluster.resume() or not site.list_jobs())
    assert second and site.marks.read_text() == "began\n"
    gate, end = site.spool.read_gate(site.run), site.spool.read_end(site.run)
    assert gate is not None and gate.node in site.cluster.nodes and gate.job.isdigit()
    assert end is None or end["code"] == 7  # Slurm ends a job that it would start twice


COUNT_TERM = """
import signal, sys, time
count = []
signal.signal(signal.SIGTERM, lambda *_: count.append(1))
print("began", flush=True)
while not count:
    time.sleep(0.01)
time.sleep(1)
sys.exit(len(count))
"""


def test_each_kind_of_stop_sends_term_once(make_site: Callable[[], SlurmSite]):
    sites = {kind: make_site() for kind in ("ask", "full", "plain")}
    jobs = {}
    for kind, site in sites.items():
        site.order(sys.executable, "-c", COUNT_TERM)
        jobs[kind] = site.submit()
    for site in sites.values():
        site.wait_for_mark("began")
    sites["ask"].spool.ask_stop(sites["ask"].run, "cancel", 30.0)
    cancel = partial(sites["ask"].cluster.run, "scancel")
    cancel("--batch", "--signal=USR1", jobs["ask"])
    cancel("--full", "--signal=TERM", jobs["full"])
    cancel(jobs["plain"])

    ends = {kind: site.wait_for_end() for kind, site in sites.items()}
    assert {kind: (end["code"], end["stop"]) for kind, end in ends.items()} == {
        "ask": (1, "cancel"),
        "full": (1, None),
        "plain": (1, None),
    }
