"""Tests of requests sized by what similar runs used."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Problem
from app.service.context import Call
from app.service.registry import call_verb
from app.service.tasks.changes import right_size
from app.service.tasks.inspection import views
from app.service.undo import undo
from tests.service.calls import submit_task
from tests.service.tasks.inspection.test_detail import run_task


@pytest.fixture
async def sized(runtime_call: Call, worker: Any) -> Call:
    """Run six tasks of `lr-N` that used 0.5 cores and 1,000 MiB, and submit others."""
    for n in range(6):
        await run_task(
            runtime_call, worker, seconds=10.0, cpu=5.0, peak=500.0 + 100 * n, name=f"lr-{n}"
        )
    await submit_task(runtime_call, name="lr-77", memory="4G", tags={"exp": "lr"}, hold=True)
    await submit_task(runtime_call, name="other", tags={"exp": "lr"}, hold=True)
    return runtime_call


async def test_the_95th_percentile_and_a_margin_are_suggested(sized: Call):
    found = await right_size.suggest(sized, select={"tag": {"exp": "lr"}, "status": ["held"]})

    (task,) = found["tasks"]
    assert (task["number"], task["runs"], task["name"]) == (7, 6, "lr-77")
    assert task["cpu"] == [1.0, 0.6]
    assert task["memory"][0] == 4096.0 and 1200.0 <= task["memory"][1] <= 1240.0
    (refusal,) = found["refused"]
    assert "#8 has fewer than 3 similar runs that succeeded, but 5 are needed." in str(refusal)


async def test_new_sizes_are_set_and_taken_back_at_once(sized: Call):
    (task,) = (await right_size.suggest(sized, ids=[7]))["tasks"]
    sizes = {task["uuid"]: {name: task[name][1] for name in ("cpu", "memory")}}

    done = await call_verb(sized, "set.sizes", {"sizes": sizes})

    assert done["refused"] == []
    assert done["done"][0]["changes"] == {"cpu": task["cpu"], "memory": task["memory"]}
    await undo.undo(sized, ids=done["operations"])
    shown = await views.show(sized, id=7)
    assert (shown["cpu"], shown["memory"]) == (1.0, 4096.0)


async def test_sizes_that_no_pool_holds_and_other_fields_are_refused(sized: Call):
    uuid = (await views.show(sized, id=7))["uuid"]

    done = await right_size.set_sizes(sized, sizes={uuid: {"memory": 1e9}})
    assert done["done"] == [] and "#7" in done["refused"][0]["message"]
    with pytest.raises(Problem, match="cpu and memory are sized"):
        await right_size.set_sizes(sized, sizes={uuid: {"priority": 1}})
    ended = await right_size.suggest(sized, ids=[1])
    assert "only waiting tasks are sized" in ended["refused"][0]["message"]
