"""Programs of rules: what counts as their end, and how much of their output is kept."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from pathlib import Path

import pytest

from app.runtime.messages import action_program


async def test_a_program_gets_the_event_and_its_key(tmp_path: Path):
    event = {"subject": "ü" * 100_000}
    program = ["sh", "-c", f'cat > {tmp_path}/event; echo "$TASKDECK_KEY" > {tmp_path}/key']

    assert await action_program.run(program, "k1", event) is None
    assert (tmp_path / "event").read_bytes().count("ü".encode()) == 100_000
    assert (tmp_path / "key").read_text() == "k1\n"


async def test_a_child_that_goes_on_does_not_delay_the_answer(tmp_path: Path):
    waiting = tmp_path / "waiting"
    os.mkfifo(waiting)  # the child waits, with stderr open, until the test writes
    program = ["sh", "-c", f"read line < {waiting} & exit 0"]

    assert await action_program.run(program, "k", {}) is None

    waiting.write_text("go\n")


async def test_much_output_takes_little_memory():
    program = ["sh", "-c", "head -c 50000000 /dev/zero >&2; echo the end >&2; exit 3"]
    tracemalloc.start()
    try:
        said = await action_program.run(program, "k", {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert said is not None and said.startswith("sh ended with 3: ")
    assert peak < 5_000_000


async def test_the_last_words_of_a_program_are_told():
    said = await action_program.run(["sh", "-c", "echo no route >&2; exit 3"], "k", {})

    assert said == "sh ended with 3: no route"


async def test_a_program_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(action_program, "TIMEOUT", 0.0)

    said = await action_program.run(["sleep", "1000"], "k", {})

    assert said == "sleep was killed after 0 s"
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
