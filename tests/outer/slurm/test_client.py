"""Tests of the client on a real Slurm."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from app.outer.slurm import cluster_watch
from app.outer.spool import Spool
from tests.outer.slurm.client_site import ClientSite, wait_until
from tests.outer.slurm.loopback_cluster import LoopbackCluster


@pytest.fixture
def site(tmp_path: Path, cluster: LoopbackCluster) -> ClientSite:
    return ClientSite(tmp_path, cluster.conf)


def list_states(cluster: LoopbackCluster, run: str) -> list[str]:
    found = cluster.run("squeue", "-h", "--me", "--states=all", f"--name=td-{run}", "-o", "%T")
    return found.split()


async def test_runs_end_with_their_codes_or_with_slurms_refusal(site: ClientSite):
    async with site.open() as client:
        failing = site.spawn("sleep 0.3; exit 7")
        too_big = site.spawn("true", cpu=99)
        ended, refusal = (
            await site.wait_for("ended", failing),
            await site.wait_for("ended", too_big),
        )
        assert (ended["code"], ended["by"], ended["node"][:1]) == (7, "job", "n")
        assert (refusal["code"], refusal["by"]) == (126, "slurm")
        assert "CPU count per node can not be satisfied" in refusal["reason"]
        client.forget([failing, too_big])
        await wait_until(lambda: not site.spool.list_runs())
    assert len([event for event in site.events if event["is"] == "ended"]) == 2


async def test_a_stop_ends_a_run_and_keeps_a_waiting_one_from_starting(
    site: ClientSite, cluster: LoopbackCluster
):
    async with site.open() as client:
        running = site.spawn("trap 'exit 3' TERM; sleep 100 & wait", cpu=4)
        started = await site.wait_for("started", running)
        assert started["node"] in cluster.nodes and started["job"].isdigit()
        cluster.drain("n1")
        waiting = [site.spawn("true", cpu=4) for _ in range(3)]
        await wait_until(lambda: len([r for r in waiting if client.facts[r].job]) == 3)
        for run in (running, *waiting):
            client.stop(run, "cancel", 30.0)
        ended = await site.wait_for("ended", running)
        assert (ended["code"], ended["stop"]) == (3, "cancel")
        for run in waiting:
            await wait_until(lambda run=run: site.find("refused", run) or site.find("ended", run))
            await wait_until(lambda run=run: "PENDING" not in list_states(cluster, run))


async def test_a_next_runtime_adopts_what_runs_and_refuses_what_has_no_job(
    site: ClientSite, cluster: LoopbackCluster
):
    async with site.open():
        run = site.spawn("while [ ! -e go ]; do sleep 0.05; done; exit 5")
        await site.wait_for("started", run)
    unclaimed = site.make_order("true")["run"]
    unordered = site.make_order("true")
    site.spool.write_order(unordered["run"], unordered)
    site.events.clear()
    starting = ((unclaimed, "starting"), (unordered["run"], "starting"))
    async with site.open((run, "running"), *starting):
        await site.wait_for_all("refused", [unclaimed, unordered["run"]])
        await site.wait_for("started", run)
        (site.folder / "go").touch()
        assert (await site.wait_for("ended", run))["code"] == 5


async def test_a_run_is_lost_when_its_beat_stops_without_a_record(site: ClientSite):
    async with site.open():
        run = site.spawn("echo $PPID >pid; sleep 1000")
        await site.wait_for("started", run)
        pid = await wait_until(lambda: read_number(site.folder / "pid"))
        os.kill(pid, signal.SIGKILL)
        ended = await site.wait_for("ended", run)
        assert ended["lost"] and ended["reason"] == "Slurm ended it and left no record"


def read_number(path: Path) -> int | None:
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text else None


async def test_runs_end_by_the_spool_while_slurm_does_not_answer(
    site: ClientSite, cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_watch, "SILENCE", 0.1)
    monkeypatch.setattr("app.outer.slurm.watched_run.SILENT_LOOK", 0.1)
    async with site.open() as client:
        run = site.spawn("while [ ! -e go ]; do sleep 0.05; done; exit 6")
        await site.wait_for("started", run)
        cluster.kill("munge")
        await wait_until(lambda: client.trouble)
        assert "Slurm has not answered since" in (client.trouble or "")
        assert not client.connected
        (site.folder / "go").touch()
        assert (await site.wait_for("ended", run))["code"] == 6
        cluster.up("munge")
        await wait_until(lambda: client.connected)


async def test_drained_nodes_are_told_with_reason_and_cure(
    site: ClientSite, cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_watch, "NODES_EVERY", 0.1)  # a node may still be draining
    told = "nodes n1, n2, n3 take nothing: drained, Duplicate jobid"
    for node in cluster.nodes:
        cluster.drain(node, "Duplicate jobid")
    async with site.open() as client:
        run = site.spawn("exit 4")
        await wait_until(lambda: client.facts[run].reason == told)
        facts = client.facts[run]
        assert client.cluster.usable_count == 0 and client.cluster.waiting == 1
        cluster.run(*facts.cure.split())
        assert (await site.wait_for("ended", run))["code"] == 4


async def test_a_spool_that_is_gone_stops_the_hand_over_until_it_is_back(
    site: ClientSite, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.outer.slurm.client.PROBE_EVERY", 0.1)
    async with site.open() as client:
        site.spool.root.rename(site.folder / "away")
        run = site.spawn("exit 8")
        await wait_until(lambda: client.trouble)
        assert "cannot be used: no such file or directory" in (client.trouble or "")
        assert not client.connected
        (site.folder / "away").rename(site.spool.root)
        assert (await site.wait_for("ended", run))["code"] == 8
        assert client.connected


async def test_another_spool_at_its_place_refuses_and_loses_nothing(
    site: ClientSite, cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.outer.slurm.client.PROBE_EVERY", 0.1)
    monkeypatch.setattr("app.outer.slurm.watched_run.STEADY_LOOK", 0.1)
    away, root = site.folder / "away", site.spool.root
    async with site.open() as client:
        running = site.spawn("while [ ! -e go ]; do sleep 0.05; done; exit 5")
        await site.wait_for("started", running)
        for node in cluster.nodes:
            cluster.drain(node, "full")
        waiting = site.spawn("exit 6")
        await wait_until(lambda: client.facts[waiting].job)
        root.rename(away)
        Spool(root).prepare()
        await wait_until(lambda: client.trouble)
    async with site.open((running, "running"), (waiting, "starting")) as client:
        assert "not the one with the jobs of this home" in (client.trouble or "")
        root.rename(site.folder / "other")
        away.rename(root)
        cluster.resume()
        (site.folder / "go").touch()
        assert (await site.wait_for("ended", running))["code"] == 5
        assert (await site.wait_for("ended", waiting))["code"] == 6
    assert site.find("refused", waiting) is None


async def test_the_slow_clock_of_a_node_starts_no_timeout_early(
    site: ClientSite, cluster: LoopbackCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.outer.slurm.watched_run.WAITING_LOOK", 0.1)
    for node in cluster.nodes:
        cluster.drain(node, "full")
    async with site.open() as client:
        before = time.time()
        run = site.spawn("true")
        await wait_until(lambda: client.facts[run].job)
        gate = site.spool.root / "runs" / run[-2:] / f"{run}.started"
        gate.write_text(json.dumps({"job": "1", "node": "n1", "at": before - 7200}))
        assert (await site.wait_for("started", run))["at"] >= before


async def test_a_cancel_in_slurm_is_told_as_such(site: ClientSite, cluster: LoopbackCluster):
    async with site.open():
        run = site.spawn("exec sleep 1000")
        await site.wait_for("started", run)
        cluster.run("scancel", f"--name=td-{run}")
        ended = await site.wait_for("ended", run)
        assert (ended["stop"], ended["reason"]) == ("cancel", "cancelled in Slurm")


async def test_a_run_is_suspended_and_resumed(site: ClientSite, cluster: LoopbackCluster):
    async with site.open() as client:
        run = site.spawn("sleep 0.5; exit 9")
        await site.wait_for("started", run)
        client.signal(run, signal.SIGSTOP)
        await wait_until(lambda: client.facts[run].state == "SUSPENDED")
        assert client.facts[run].reason == "suspended in Slurm"
        client.signal(run, signal.SIGCONT)
        assert (await site.wait_for("ended", run))["code"] == 9
