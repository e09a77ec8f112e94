"""Three agents with few tasks, and the check of moments itself."""

from __future__ import annotations

from pathlib import Path

from tests.long.agents.trial import BOUNDS, find_peaks, run_trial
from tests.runtime_process import RuntimeProcess


async def test_limits_of_three_agents_hold_at_every_moment(
    lazy_runtime: RuntimeProcess, tmp_path: Path
):
    found = await run_trial(lazy_runtime, tmp_path / "config", 45, kills=1)

    assert found.faults == []
    assert found.tasks >= 45 and all(found.errors[name]["conflict"] for name in BOUNDS)


def test_the_check_finds_the_moment_with_most_tasks():
    def make_task(*moments: tuple[str, str, str | None]) -> dict[str, object]:
        events = [{"at": at, "status": status, "runid": run} for at, status, run in moments]
        return {"events": events, "cpu": 1.5, "memory": 8.0}

    one = make_task(
        ("1", "queued", None), ("2", "running", None), ("2", "starting", "r"),
        ("4", "failed", "r"), ("4", "failed", None),
    )  # fmt: skip
    other = make_task(("3", "queued", None), ("4", "running", None), ("4", "starting", "s"))

    assert find_peaks([one, other]) == {"tasks": 2, "running": 1, "cpu": 1.5, "memory": 8.0}
    assert find_peaks([one, one])["cpu"] == 3.0
