"""Tests of the commands of Slurm: their arguments, and the limits under which they run."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from app.outer.slurm import commands
from app.outer.slurm.commands import CommandAnswer, CommandRunner, SlurmPool

RUN = "0193812e-5f3a-7c1d-8e2f-00a1b2c3d4e5"


def build(pool: SlurmPool | None = None, **order: object) -> list[str]:
    command = ["python3", "-I", "/a folder/job.py"]
    return list(commands.build_submit({"run": RUN} | order, pool or SlurmPool("big"), command))


@pytest.mark.unit
def test_a_small_order_asks_for_one_core_and_no_limit() -> None:
    assert build() == [
        "sbatch", "--cpus-per-task=1", "--parsable", "--no-requeue", "--export=NONE",
        "--output=/dev/null", f"--job-name=td-{RUN}", "--wrap=exec python3 -I '/a folder/job.py'",
    ]  # fmt: skip


@pytest.mark.unit
def test_what_a_task_asks_for_becomes_options() -> None:
    argv = build(cpu=2.5, memory=0.2, gpus=2, timeout=61, grace=5, rank=3)
    assert {"--cpus-per-task=3", "--mem=1M", "--gpus=2", "--time=4", "--nice=300"} <= {*argv}


@pytest.mark.unit
def test_options_of_the_pool_come_before_ours() -> None:
    pool = SlurmPool("big", "long", "bio", "high", ("--constraint=avx2", "--mem=9G"))
    argv = build(pool, memory=50)
    assert argv[1:6] == [
        "--constraint=avx2", "--mem=9G", "--partition=long", "--account=bio", "--qos=high",
    ]  # fmt: skip
    assert argv.index("--mem=50M") > argv.index("--mem=9G")


@pytest.mark.unit
def test_options_of_the_user_in_the_environment_are_left_out() -> None:
    given = {"PATH": "/bin", "SLURM_CONF": "/c", "SBATCH_PARTITION": "x", "SLURM_CLUSTERS": "y"}
    given |= {"TASKDECK_HOME": "/h", "SQUEUE_FORMAT": "%A", "LC_TIME": "de_DE"}
    assert commands.make_environment(given) == {
        "PATH": "/bin", "SLURM_CONF": "/c", "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s",
    }  # fmt: skip


@pytest.mark.unit
def test_the_configured_cluster_comes_before_that_of_the_environment() -> None:
    assert commands.make_environment({"SLURM_CONF": "/a"}, "/b")["SLURM_CONF"] == "/b"


@pytest.mark.unit
def test_the_error_output_becomes_one_sentence() -> None:
    error = (
        "sbatch: error: CPU count per node can not be satisfied\n"
        "sbatch: error: Batch job submission failed: Requested node configuration is not"
        " available\n"
    )
    assert commands.make_sentence(error) == (
        "CPU count per node can not be satisfied; Requested node configuration is not available"
    )


def run(script: str, folder: Path, time_limit: float = 60.0) -> CommandAnswer:
    """Run a script in place of squeue."""
    program = folder / "squeue"
    program.write_text(f"#!{sys.executable} -IS\nimport os, sys, time\n{script}\n")
    program.chmod(0o700)

    async def run_once() -> CommandAnswer:
        runner = CommandRunner(str(folder))
        try:
            return await runner.run(["squeue", "-h"], time_limit)
        finally:
            runner.close()

    return asyncio.run(run_once())


def test_a_command_answers_with_its_output(tmp_path: Path) -> None:
    assert run("print(sys.argv[1], os.getcwd())", tmp_path) == CommandAnswer(0, "-h /\n", "")


def test_a_failed_command_answers_with_a_safe_sentence(tmp_path: Path) -> None:
    answer = run("sys.exit('squeue: error: no \\x1b[1mcontroller')", tmp_path)
    assert answer == CommandAnswer(1, "", "no ␛[1mcontroller")


def test_a_command_that_hangs_is_killed_at_its_limit(tmp_path: Path) -> None:
    begun = time.monotonic()
    answer = run("time.sleep(600)", tmp_path, time_limit=0.2)
    assert answer == CommandAnswer(None, "", "squeue did not answer within 0 s")
    assert time.monotonic() - begun < 300


def test_a_command_that_prints_without_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MAX_OUTPUT", 1 << 20)
    answer = run("while True: print('x' * 65536)", tmp_path)
    assert answer == CommandAnswer(None, "", "squeue printed more than 1 MiB")


def test_a_missing_command_is_named(tmp_path: Path) -> None:
    async def run_once() -> CommandAnswer:
        return await CommandRunner(os.fspath(tmp_path)).run(["sbatch"])

    answer = asyncio.run(run_once())
    assert answer.code is None and answer.error.endswith("/sbatch was not found")
