"""Tests of the state files of pueue, of version 4 and of older ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.core.imports.items import PeerPhase, choose_items
from app.core.imports.pueue_state import load_state, parse_state
from app.errors import Usage

FOLDERS = [Path(os.environ.get("TASKDECK_CASES", "/nonexistent"))] + [
    folder / "shared" / "cases" for folder in Path(__file__).resolve().parents
]


def make_task(number: int, status, **more):
    return {
        "id": number, "created_at": "2026-03-01T10:00:00.123456789+01:00",
        "original_command": "ll", "command": f"make {number}", "path": "/src", "envs": {"A": "1"},
        "group": "default", "dependencies": [], "priority": 0, "label": None, "status": status,
    } | more  # fmt: skip


def parse(*tasks, **more):
    state = {"tasks": {str(task["id"]): task for task in tasks}, "groups": {}} | more
    return parse_state(state, "/state.json")


def test_a_queued_task_keeps_command_folder_and_variables():
    (item,) = parse(make_task(3, {"Queued": {"enqueued_at": "x"}}, label="nightly/1", priority=7,
                              envs={"A": "1", "TERM": "xterm"})).items  # fmt: skip

    assert item.task == {"argv": ["sh", "-c", "make 3"], "name": "nightly-1", "priority": 7}
    assert (item.cwd, item.env, item.phase) == ("/src", {"A": "1"}, PeerPhase.WAITING)
    assert item.losses == ["the label has characters that a name cannot have"]


def test_a_stashed_task_is_held_or_gets_its_start_time():
    held, later = parse(
        make_task(0, {"Stashed": {"enqueue_at": None}}),
        make_task(1, {"Stashed": {"enqueue_at": "2026-03-02T09:00:00+01:00"}}),
    ).items

    assert (held.is_held, "at" in held.task) == (True, False)
    assert (later.is_held, later.task["at"]) == (False, "2026-03-02T08:00:00+00:00")


def test_groups_become_queues():
    state = parse(
        groups={
            "default": {"status": "Running", "parallel_tasks": 3},
            "build": {"status": "Paused", "parallel_tasks": 0},
            "old": "Running",
        },
        settings={"daemon": {"groups": {"old": 4}}},
    )

    assert [(q.name, q.capacity, q.is_paused) for q in state.queues] == [
        ("pueue", 3, False), ("build", 100, True), ("old", 4, False),
    ]  # fmt: skip


def test_groups_with_similar_names_stay_apart():
    state = parse(groups=dict.fromkeys(["default", "pueue", "a/b", "a-b", "pueue-a-b"], "Running"))

    assert len({queue.name for queue in state.queues}) == 5


def test_states_before_version_four_are_read():
    state = parse(
        make_task(0, "Queued", dependencies=[3]),
        make_task(1, {"Stashed": {"enqueue_at": None}}),
        make_task(2, "Running"),
        make_task(3, {"Done": "Success"}),
        make_task(4, "Done", result={"Failed": 2}),
        make_task(5, {"Done": "DependencyFailed"}),
    )

    assert [item.phase.value for item in state.items] == [
        "waiting", "waiting", "active", "ended", "ended", "ended",
    ]  # fmt: skip
    assert [item.id for item in choose_items(state.items)] == [0, 1]
    assert [item.status for item in state.items[3:]] == ["Success", "Failed 2", "DependencyFailed"]
    assert [item.never_ran for item in state.items[3:]] == [False, False, True]


def test_a_locked_task_stays():
    (item,) = parse(make_task(0, {"Locked": {"previous_status": "Queued"}})).items

    assert choose_items([item]) == []
    assert item.obstacle == "is being edited there"


def test_an_unknown_status_is_taken_for_a_running_one():
    (item,) = parse(make_task(0, {"Dreaming\x1b": {}})).items

    assert (item.phase, item.status) == (PeerPhase.ACTIVE, "Dreaming␛")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "has no tasks"),
        (b'{"tasks": []}', "tasks is not as pueue writes it"),
        (b'{"tasks": {"1": 3}}', "tasks.1 is not as pueue writes it"),
        (json.dumps({"tasks": {"7": make_task(8, "Queued")}}).encode(), "task 7 has another id"),
        (json.dumps({"tasks": {"8": make_task(8, "Queued", envs={"A": 1})}}).encode(), "envs.A"),
    ],
)
def test_a_damaged_state_is_refused(data, message):
    with pytest.raises(Usage, match=message):
        parse_state(load_state(data, "/state.json"), "/state.json")


def test_a_recorded_state_is_read():
    files = [folder / "jobs" / "pueue" / "v4.0.0_state.json" for folder in FOLDERS]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        pytest.skip("the recorded cases are not here")

    state = parse_state(load_state(file.read_bytes(), str(file)), str(file))

    assert [item.id for item in choose_items(state.items)] == [2, 4, 5]
    assert [item.is_held for item in state.items] == [False, False, True, False, False, False]
