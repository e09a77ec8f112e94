"""A Slurm pool as a user has it: from config.toml to the log of a job, on a real Slurm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.acceptance.conftest import open_home
from tests.outer.slurm.loopback_cluster import LoopbackCluster, wait_for

CALL = ("submit", "-q", "sims")


@pytest.fixture
def slurm_home(cluster: LoopbackCluster) -> Iterator[AcceptanceHome]:
    """Yield a home with a Slurm pool and its queue `sims`."""
    with open_home() as home:
        home.env |= {"PATH": f"{home.env['PATH']}:{cluster.env['PATH']}"}
        config = home.home.parent / "config/taskdeck/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[slurm]\nspool = "{home.work}/spool"\nconf = "{cluster.conf}"\npoll = 0.5\n'
        )
        home.run_ok("pool", "create", "big", "--kind", "slurm")
        home.run_ok("queue", "create", "sims", "--pool", "big")
        yield home


def test_a_job_runs_on_a_node_and_its_code_and_output_come_home(
    slurm_home: AcceptanceHome, cluster: LoopbackCluster
):
    script = "echo from $SLURM_JOB_ID on $SLURMD_NODENAME; exit 3"

    done = slurm_home.run_cli(
        *CALL, "--cpu", "2", "--memory", "50M", "--wait", "--", "sh", "-c", script
    )

    assert done.returncode == 3
    (run,) = slurm_home.run_json("show", "1")["instances"]
    assert run["node"] in cluster.nodes and run["exit_code"] == 3
    assert slurm_home.run_ok("logs", "1") == f"from {run['outer_job']} on {run['node']}\n"
    checks = {one["text"] for one in slurm_home.run_json("doctor") if one["check"] == "slurm"}
    assert any(text.endswith("is UP") for text in checks)


def is_running(home: AcceptanceHome) -> bool:
    return [run["status"] for run in home.run_json("show", "1")["instances"]] == ["running"]


def test_a_job_outlives_the_runtime_and_is_cancelled_by_the_next_one(
    slurm_home: AcceptanceHome, cluster: LoopbackCluster
):
    slurm_home.submit(
        "-q", "sims", "--", "sh", "-c", "trap 'echo asked; exit 0' TERM; sleep 99 & wait"
    )
    wait_for(lambda: is_running(slurm_home))

    slurm_home.run_ok("stop", "--drain")
    slurm_home.run_ok("serve", "--detach")
    slurm_home.run_ok("cancel", "1", "--grace", "30")
    slurm_home.run_cli("wait", "1")

    task = slurm_home.run_json("show", "1")
    assert (task["status"], len(task["instances"])) == ("cancelled", 1)
    assert slurm_home.run_ok("logs", "1") == "asked\n"
