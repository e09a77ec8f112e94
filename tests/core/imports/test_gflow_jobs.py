"""Tests of what jobs of gflow become, with the form of answers of gflowd 0.4.18."""

from __future__ import annotations

import json

import pytest

from app.core.imports.gflow_jobs import parse_jobs
from app.core.imports.items import PeerItem, PeerPhase, choose_items
from app.errors import Usage


def make_job(number: int, state: str = "Queued", **more):
    return {
        "id": number, "script": None, "command": f"make {number}", "gpus": 0, "conda_env": None,
        "run_dir": "/src", "priority": 10, "depends_on": None, "depends_on_ids": [],
        "dependency_mode": None, "auto_cancel_on_dependency_failure": True, "task_id": None,
        "time_limit": None, "memory_limit_mb": None, "submitted_by": "ann", "max_retries": 0,
        "parameters": {}, "group_id": None, "max_concurrent": None, "run_name": f"gjob-{number}",
        "project": None, "state": state, "started_at": None, "scheduled_at": None,
        "submitted_at": {"secs_since_epoch": 1796088107, "nanos_since_epoch": 500000000},
        "gpu_sharing_mode": "Exclusive", "gpu_memory_limit_mb": None,
    } | more  # fmt: skip


def parse(*jobs) -> list[PeerItem]:
    return parse_jobs(json.dumps(jobs).encode(), "ann", {"A": "1"})


def test_a_queued_job_keeps_command_folder_and_requests():
    (item,) = parse(
        make_job(
            3, gpus=2, priority=15, memory_limit_mb=2048, time_limit={"secs": 600, "nanos": 0},
            max_retries=2, run_name="gjob-3-train", project="x", parameters={"lr": "0.1"},
            command="python t.py --lr '{lr}'",
            scheduled_at={"secs_since_epoch": 1796095307, "nanos_since_epoch": 0},
        )
    )  # fmt: skip

    assert item.task == {
        "argv": ["bash", "-c", "python t.py --lr '0.1'"], "name": "train", "gpu": 2,
        "priority": 5, "memory": 2048, "timeout": 600.0, "retries": 2,
        "at": "2026-12-01T03:21:47+00:00", "tags": {"project": "x"},
    }  # fmt: skip
    assert (item.cwd, item.env, item.created) == ("/src", {"A": "1"}, 1796088107.5)


def test_a_script_a_conda_environment_and_an_index_are_kept():
    (item,) = parse(
        make_job(1, command=None, script="/src/s.sh", conda_env="ml", task_id=4,
                 group_id="9a00f46b-4d60-4752", max_concurrent=2)
    )  # fmt: skip

    assert item.task["argv"][-3:] == ["ml", "bash", "/src/s.sh"]
    assert item.task["env"] == {"GFLOW_ARRAY_TASK_ID": "4"}
    assert item.task["tags"] == {"gflow-group": "9a00f46b"}
    assert "taskdeck limit set gflow-group=9a00f46b --running 2" in item.losses[-1]


def test_parts_that_cannot_be_kept_are_named():
    (item,) = parse(
        make_job(1, gpu_sharing_mode="Shared", auto_cancel_on_dependency_failure=False,
                 notifications={"emails": ["a@b.c"]})
    )  # fmt: skip

    assert [loss.split(":")[0] for loss in item.losses[1:]] == [
        "--shared", "--no-auto-cancel", "--notify-email",
    ]  # fmt: skip


def test_states_tell_what_waits_runs_and_never_ran():
    items = parse(
        make_job(1, "Hold"), make_job(2, "Running"), make_job(3, "Finished"),
        make_job(4, "Cancelled"), make_job(5, "Cancelled", started_at={"secs_since_epoch": 1}),
        make_job(6, "Dreaming"),
    )  # fmt: skip

    assert [item.phase for item in items] == [
        PeerPhase.WAITING, PeerPhase.ACTIVE, *[PeerPhase.ENDED] * 3, PeerPhase.ACTIVE,
    ]  # fmt: skip
    assert [item.never_ran for item in items] == [False, False, False, True, False, False]
    assert items[0].is_held


def test_any_one_of_several_jobs_is_no_dependency_here():
    items = parse(
        make_job(1), make_job(2, "Finished"), make_job(3),
        make_job(4, depends_on_ids=[1, 2], dependency_mode="Any"),
        make_job(5, depends_on_ids=[1, 3], dependency_mode="Any"),
    )  # fmt: skip

    assert [item.id for item in choose_items(items)] == [4]
    assert items[4].obstacle == "waits for any one of several jobs (--depends-on-any)"


def test_jobs_of_others_stay():
    (item,) = parse(make_job(1, submitted_by="bob"))

    assert item.obstacle == "was submitted by bob"


@pytest.mark.parametrize("data", [b"", b"{}", b"[3]", b'[{"id": "x", "state": "Queued"}]'])
def test_other_answers_are_refused(data):
    with pytest.raises(Usage, match="answers otherwise than expected"):
        parse_jobs(data, "ann", {})
