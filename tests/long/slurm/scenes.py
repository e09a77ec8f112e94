"""Failures of a site, each with what the runs of a client must come to."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.long.slurm.marked_runs import MarkedRuns, Report
from tests.outer.slurm.client_site import ClientSite, wait_until
from tests.outer.slurm.loopback_cluster import LoopbackCluster, open_cluster

BEAT = 1.0
SILENT_SECONDS = 60.0

Scene = Callable[[Path, LoopbackCluster, Report], Awaitable[None]]


async def silence_controller(
    folder: Path, cluster: LoopbackCluster, report: Report, seconds: float = SILENT_SECONDS
) -> None:
    """Keep the controller down: what runs goes on and ends, what is new waits."""
    site = ClientSite(folder, cluster.conf, beat=BEAT)
    async with site.open() as client:
        runs = MarkedRuns(site, cluster, report)
        before = [runs.spawn(seconds / 2) for _ in range(3)]
        for run in before:
            await site.wait_for("started", run)
        cluster.kill("ctl")
        down_at = time.monotonic()
        await asyncio.sleep(6.0)  # the controller had not saved its newest jobs when it died
        late = [runs.spawn(0.5) for _ in range(2)]
        await runs.wait(before)
        report.notes.append(f"ends of a silent site after {time.monotonic() - down_at:.0f} s")
        await wait_until(lambda: client.trouble)
        report.notes.append(client.trouble or "")
        if any(map(runs.is_over, late)):
            report.faults.append("a run was handed over to a silent controller")
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - down_at)))
        cluster.up("ctl")
        await runs.wait()
        await runs.judge()
        if client.trouble:
            report.faults.append(f"still in trouble: {client.trouble}")


async def lose_node(folder: Path, cluster: LoopbackCluster, report: Report) -> None:
    """Take the power from a node: its runs are lost, with the name of the node."""
    site = ClientSite(folder, cluster.conf, beat=BEAT)
    async with site.open():
        run = site.spawn("sleep 1000")
        node = (await site.wait_for("started", run))["node"]
        cluster.lose(node)
        began = time.monotonic()
        end = await wait_until(lambda: site.find("ended", run), 300)
        report.notes.append(f"node lost: {end['reason']}, after {time.monotonic() - began:.0f} s")
        if not end["lost"] or node not in end["reason"]:
            report.faults.append(f"node lost: {end}")
        cluster.up(node)


async def take_over_by_backup(folder: Path, report: Report) -> None:
    """Kill the first controller of two: the second knows all jobs and takes new ones."""
    settings = {"SlurmctldTimeout": "5"}
    with open_cluster(2, has_backup=True, settings=settings) as cluster:
        site = ClientSite(folder, cluster.conf, beat=BEAT)
        async with site.open():
            runs = MarkedRuns(site, cluster, report)
            runs.spawn(8.0)
            await site.wait_for("started", runs.runs[0])
            await asyncio.sleep(6.0)  # until the state is saved
            cluster.kill("ctl")
            began = time.monotonic()
            await runs.wait([runs.spawn(0.2)])
            report.notes.append(f"backup controller: new run over {time.monotonic() - began:.0f} s"
                                " after the kill")  # fmt: skip
            await runs.wait()
            await runs.judge()


async def fill_spool(folder: Path, report: Report) -> None:
    """Fill the file system of the spool: nothing starts, and an end is recorded later."""
    mount = folder / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "td-spool", mount], check=True)
    try:
        with open_cluster(1) as cluster:  # whose nodes see the mount
            await _run_out_of_space(mount, cluster, report)
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


async def _run_out_of_space(mount: Path, cluster: LoopbackCluster, report: Report) -> None:
    site = ClientSite(mount, cluster.conf, beat=BEAT)
    async with site.open() as client:
        runs = MarkedRuns(site, cluster, report)
        first = runs.spawn(2.0)
        await site.wait_for("started", first)
        filler = mount / "filler"
        _fill(filler)
        second = runs.spawn(0.2)
        await wait_until(lambda: client.trouble)
        report.notes.append(client.trouble or "")
        await asyncio.sleep(5.0)  # the first run has ended, and cannot say so
        if runs.is_over(first) or runs.is_over(second):
            report.faults.append("an end came from a full spool")
        filler.unlink()
        await runs.wait()
        await runs.judge()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


async def outlive_job_age(folder: Path, report: Report) -> None:
    """End a run while no runtime lives, and let Slurm forget it: the record tells the end."""
    with open_cluster(1, settings={"MinJobAge": "2"}) as cluster:
        site = ClientSite(folder, cluster.conf, beat=BEAT)
        runs = MarkedRuns(site, cluster, report)
        async with site.open():
            short, long = runs.spawn(1.0), runs.spawn(15.0)
            await site.wait_for("started", short)
            await site.wait_for("started", long)
        look = ("squeue", "-h", "--states=all", f"--name=td-{short}", "-o", "%T")
        await wait_until(lambda: not cluster.run(*look), 300)
        async with site.open((short, "running"), (long, "running")):
            await runs.wait()
            await runs.judge()


async def kill_runtimes(
    folder: Path, cluster: LoopbackCluster, report: Report, rounds: int = 5
) -> None:
    """Kill the process that hands over, at random moments; the next one takes over all its runs."""
    rng = random.Random(5)
    for number in range(rounds):
        home = folder / f"home-{number}"
        home.mkdir()
        site = ClientSite(home, cluster.conf, beat=BEAT)
        runs = MarkedRuns(site, cluster, report)
        command = [sys.executable, "-m", "tests.long.slurm.hand_over", home, cluster.conf, "12"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            runs.runs = process.stdout.readline().split()  # the claims are committed
            time.sleep(rng.uniform(0.0, 0.6))
            process.send_signal(signal.SIGKILL)
        async with site.open(*((run, "starting") for run in runs.runs)):
            await runs.wait()
            await runs.judge()


async def stop_after_restart(folder: Path, cluster: LoopbackCluster, report: Report) -> None:
    """Stop a run, die, and stop it again: it gets its grace and ends as stopped."""
    site = ClientSite(folder, cluster.conf, beat=BEAT)
    async with site.open() as client:
        run = site.spawn("trap 'sleep 1; exit 3' TERM; sleep 1000 & wait")
        await site.wait_for("started", run)
        client.stop(run, "cancel", 30.0)
    async with site.open((run, "stopping")) as client:
        client.stop(run, "cancel", 30.0)
        end = await site.wait_for("ended", run)
        if (end["code"], end["stop"]) != (3, "cancel"):
            report.faults.append(f"stopped after a restart: {end}")
    report.outcomes["stopped after a restart"] += 1


async def stop_a_deaf_run(folder: Path, cluster: LoopbackCluster, report: Report) -> None:
    """Stop a run that ignores TERM: KILL follows the grace."""
    site = ClientSite(folder, cluster.conf, beat=BEAT)
    async with site.open() as client:
        run = site.spawn("trap '' TERM; touch deaf; while :; do sleep 0.1; done")
        await site.wait_for("started", run)
        await wait_until((folder / "deaf").exists)
        client.stop(run, "cancel", 1.0)
        began = time.monotonic()
        end = await site.wait_for("ended", run)
        report.notes.append(f"KILL {time.monotonic() - began:.1f} s after the stop, grace 1 s")
        if end["signal"] != signal.SIGKILL:
            report.faults.append(f"a deaf run: {end}")


def make_folder(parent: Path, name: str) -> Path:
    """Make the folder of a scene."""
    folder = parent / name
    folder.mkdir()
    os.chmod(folder, 0o755)
    return folder
