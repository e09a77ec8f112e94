"""Recorded workflows in virtual time: a short form of `python -m tests.long.dags`."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.service.context import Call
from db import timestamps
from tests.core.scheduling.trace_files import CASES
from tests.long.dags.virtual_run import check_run, read_dag, run_dag

DAGS = sorted((CASES / "dags").glob("*.dag.json.gz")) if CASES else []


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.name.split("-")[0])
async def test_a_recorded_workflow_keeps_order_and_bounds(
    call: Call, monkeypatch: pytest.MonkeyPatch, path: Path
):
    tasks = read_dag(path)

    run = await run_dag(
        call, tasks, 4, lambda clock: monkeypatch.setattr(timestamps, "utcnow", clock.read)
    )

    check_run(tasks, 4, run)
