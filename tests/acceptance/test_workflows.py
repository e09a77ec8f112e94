"""A workflow, its retry and a batch script on a real runtime."""

from __future__ import annotations

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import wait_until

FLOW = """\
[parameters]
sample = "s1"

[tasks.align]
command = "test -e allowed && echo align-{sample} >> order"
needs = ["fetch"]

[tasks.fetch]
command = "echo fetch >> order"

[tasks.call]
command = "echo call >> order"
needs = ["align"]

[tasks.mail]
command = "echo mail >> order"
needs = [{ task = "align", on = "failure" }]
"""


def test_a_workflow_fails_and_is_retried_from_the_failed_step(acceptance_home: AcceptanceHome):
    house = acceptance_home
    (house.work / "flow.toml").write_text(FLOW)

    failed = house.run_cli("submit", "--from", "flow.toml", "-p", "sample=x", "--wait")
    states = {row["name"]: row["status"] for row in house.run_json("flow", "g1")["tasks"]}
    (house.work / "allowed").touch()
    house.run_ok("retry", "--with-dependents", "align")
    house.run_ok("wait", "align", "call")

    assert failed.returncode == 1 and states == {
        "fetch": "succeeded",
        "align": "failed",
        "call": "cancelled",
        "mail": "succeeded",
    }
    assert (house.work / "order").read_text().split() == ["fetch", "mail", "align-x", "call"]
    assert "critical path" in house.run_ok("flow", "g1")


def test_an_array_of_a_batch_script_runs_with_its_variables(acceptance_home: AcceptanceHome):
    house = acceptance_home
    (house.work / "job.sh").write_text(
        "#!/bin/bash\n#SBATCH -J part -a 3-4%1 -o %x-%a.txt\n"
        'echo "$SLURM_ARRAY_TASK_ID $SLURM_JOB_NAME $1"\n'
    )

    house.run_ok("submit", "job.sh", "one", "--wait")

    read = [(house.work / f"part-{n}.txt").read_text() for n in (3, 4)]
    assert read == ["3 part one\n", "4 part one\n"]


def test_a_retry_waits_for_a_task_that_is_being_cancelled(acceptance_home: AcceptanceHome):
    house = acceptance_home
    script = "trap 'sleep 0.3; exit' TERM; touch ready; while ! test -e done; do sleep 0.02; done"
    first = house.run_ok("submit", "-c", script).strip()
    second = house.run_ok("submit", "--after", first, "--", "true").strip()
    wait_until((house.work / "ready").exists, "the first run")
    house.run_ok("cancel", first)
    (house.work / "done").touch()

    house.run_ok("retry", "--with-dependents", first)

    house.run_ok("wait", first, second)
