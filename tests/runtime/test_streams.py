"""Tests of output and error output told apart, with a real runtime."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime_process import RuntimeProcess

pytestmark = pytest.mark.process
SCRIPT = "for i in 1 2 3; do echo out $i; echo err $i >&2; done"


def test_a_task_has_one_log_and_a_file_for_each_part(
    runtime: RuntimeProcess, run_cli: Callable[..., subprocess.CompletedProcess[str]]
):
    task = runtime.submit("sh", "-c", SCRIPT, output="{number}.out", error="{number}.err")

    assert runtime.wait_for_end(task)[0]["status"] == "succeeded"

    home, (run,) = runtime.home, runtime.call("log", id=task)["runs"]
    assert (home / f"{task}.out").read_text() == "out 1\nout 2\nout 3\n"
    assert (home / f"{task}.err").read_text() == "err 1\nerr 2\nerr 3\n"
    assert sorted(Path(run["path"]).read_text().splitlines()) == sorted(
        f"{part} {n}" for part in ("out", "err") for n in (1, 2, 3)
    )
    assert run_cli("logs", task, "--stderr", "-n", "2").stdout == "err 2\nerr 3\n"
    assert run_cli("logs", "-f", task, "--stdout").stdout == "out 1\nout 2\nout 3\n"


def test_a_log_that_is_not_told_apart_says_so(
    runtime: RuntimeProcess, run_cli: Callable[..., subprocess.CompletedProcess[str]]
):
    task = runtime.submit("true")

    done = run_cli("logs", task, "--stderr")

    assert done.returncode == 4
    assert "does not tell output and error output apart" in done.stderr
    assert "submit --split -- COMMAND" in done.stderr
