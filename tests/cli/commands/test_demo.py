"""Tests of the demo: busy, seeded, small, and leaving nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from itertools import islice
from random import Random

import pytest

from app.cli.demo import workload
from app.core.definitions.document import parse_document
from tests.runtime_process import wait_until

DEMO_VARIABLE = "DEMO_TEST"


def start_demo(tmp_path, *words):
    """Start a headless demo whose home is below tmp_path."""
    env = {**os.environ, "TMPDIR": str(tmp_path), DEMO_VARIABLE: str(tmp_path)}
    argv = [sys.executable, "-P", "-m", "taskdeck", "demo", "--headless", *words]
    return subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def list_processes(tmp_path):
    """List the processes with this demo's environment."""
    mark = f"{DEMO_VARIABLE}={tmp_path}".encode()
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and mark in _read_environment(pid)]


def _read_environment(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


@pytest.mark.process
def test_a_headless_demo_works_and_leaves_nothing(tmp_path):
    with start_demo(tmp_path, "--for", "4s", "--seed", "3") as running:
        out, err = running.communicate(timeout=60)

    counts = {word: int(n) for word, n in re.findall(r"^  ([a-z ]+?) +(\d+)", out, re.M)}
    assert running.returncode == 0 and "seed 3" in out
    assert {
        "succeeded",
        "failed",
        "timed out",
        "held",
        "scheduled",
        "starts",
        "alerts",
    } <= counts.keys()
    assert (
        counts["starts"] >= counts["succeeded"] + counts["failed"] + counts["timed out"] > 3
        and counts["alerts"] > 0
    )
    assert "its runtime stopped" in err and not list(tmp_path.iterdir())
    wait_until(lambda: not list_processes(tmp_path), "the demo's processes gone")


@pytest.mark.process
def test_a_signal_ends_it_and_leaves_nothing(tmp_path):
    with start_demo(tmp_path) as running:
        wait_until(lambda: list(tmp_path.glob("*/home/runs/*/*.log")), "the demo at work")
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)

    assert running.returncode == 128 + signal.SIGTERM
    assert "its runtime stopped" in err and not list(tmp_path.iterdir())
    wait_until(lambda: not list_processes(tmp_path), "the demo's processes gone")


def test_a_seed_reproduces_the_stream():
    first, again, other = (
        list(islice(workload.generate_stream(Random(seed)), 200)) for seed in (1, 1, 2)
    )

    assert first == again != other


def test_the_stream_fits_the_pool_and_has_every_kind():
    tasks = [
        task for _, task in islice(workload.generate_stream(Random(7)), 400)
    ] + workload.make_opening_tasks()

    assert {task.get("tags", {}).get("demo") for task in tasks} >= {
        "hash",
        "ping",
        "compress",
        "load",
        "fetch",
        "fails",
        "hang",
        "sweep",
    }
    assert all(task.get("cpu", 0) <= 2 for task in tasks)
    assert all(
        task.get("template") in (None, "compress", "hash", "load", "fetch") for task in tasks
    )


def test_the_definitions_are_valid():
    found = parse_document(workload.DEFINITIONS, "toml")

    assert found is not None
