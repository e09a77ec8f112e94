"""Tests of hooks: real programs on a real database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.help import read_topic
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages import hook_runner
from app.runtime.messages.hook_runner import HookRunner
from app.service import notifications
from app.service.context import Call
from db.engine import Connection
from db.queries.rules import alerts, hook_alerts, hooks
from tests.acceptance.doc_commands import find_code_blocks
from tests.db.builders import TaskBuilder
from tests.service.calls import open_call, reopen_call, wait_for_change


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once after each commit and often at the settings."""
    monkeypatch.setattr(hook_runner, "DEBOUNCE_SECONDS", 0.0)
    monkeypatch.setattr(hook_runner, "LOOK_SECONDS", 0.02)


@asynccontextmanager
async def run_hooks(call: Call, config: Path) -> AsyncIterator[HookRunner]:
    made = HookRunner(Call(call.db, "", call.home), ConfigWatcher(os.fspath(config)))
    await made.prepare()
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.close()


def write_hook(folder: Path, script: str, on: str = "end", more: str = "") -> Path:
    """Write the settings of a hook that runs a shell script; `$out` is a file beside them."""
    config = folder / "config.toml"
    argv = json.dumps(["sh", "-c", f"out={folder}/out; {script}"])
    words = json.dumps(on.split())
    config.write_text(f"[hooks.tell]\non = {words}\nargv = {argv}\n{more}\n")
    return config


KEEP_EVENT = 'cat >> "$out"; echo >> "$out"'


def read_events(folder: Path) -> list[dict[str, Any]]:
    out = folder / "out"
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


async def end_tasks(call: Call, count: int = 1, code: int = 0, **more: Any) -> None:
    def end(c: Connection) -> None:
        builder = TaskBuilder(c)
        for _ in range(count):
            builder.complete_run(builder.submit_task(**more), code)

    await call.db.write(end)


async def wait_for_events(call: Call, folder: Path, count: int) -> list[dict[str, Any]]:
    async def look() -> Any:
        found = read_events(folder)
        return found if len(found) >= count else None

    return await wait_for_change(call.db, look)


async def wait_for_state(call: Call, is_right: Any) -> hooks.HookState:
    """Return the state of the hook once it is right."""

    async def look() -> Any:
        found = await call.db.read(hooks.list_states)
        return found[0] if found and is_right(found[0]) else None

    return await wait_for_change(call.db, look)


async def poll(is_true: Callable[[], object]) -> None:
    """Wait for what follows a commit."""
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.005)


async def is_handled(call: Call) -> Any:
    cursors = await call.db.read(hooks.map_cursors)
    return cursors.get("tell") == await call.db.read(hooks.find_last_event)


async def fire_alert(call: Call, **problems: str) -> None:
    await call.db.write(alerts.set_system_alerts, problems)


async def test_start_and_end_of_each_run_are_told_in_order(call: Call, tmp_path: Path):
    config = write_hook(tmp_path, KEEP_EVENT, "start end")
    async with run_hooks(call, config):
        await end_tasks(call, code=3, name="train", retries=1, tags={"k": "v"})
        await end_tasks(call)
        found = await wait_for_events(call, tmp_path, 3)

    assert [(one["event"], one["task"]["number"]) for one in found] == [
        ("start", 1), ("start", 2), ("end", 2),
    ]  # fmt: skip  # the first task waits for its retry
    start, end = found[0], found[2]
    assert (start["version"], start["hook"], start["home"]) == (1, "tell", str(call.home))
    assert start["task"]["tags"] == {"k": "v"} and start["task"]["attempt"] == 1
    assert end["task"]["status"] == "succeeded" and end["task"]["exit_code"] == 0
    assert end["task"]["log"].startswith(f"{call.home}/runs/") and end["alert"] is None
    assert len({one["key"] for one in found}) == 3


async def test_an_alert_is_told_with_or_without_a_task(call: Call, tmp_path: Path):
    async with run_hooks(call, write_hook(tmp_path, KEEP_EVENT, "alert")):
        await wait_for_state(call, lambda state: True)
        await fire_alert(call, backup="no backup since monday")
        (found,) = await wait_for_events(call, tmp_path, 1)

    assert found["task"] is None and found["event"] == "alert"
    assert found["alert"] | {"id": 0, "since": ""} == {
        "id": 0, "rule": "backup", "severity": "critical", "status": "firing", "silenced": False,
        "object": "taskdeck", "text": "no backup since monday", "value": None, "limit": None,
        "since": "",
    }  # fmt: skip
    assert await call.db.read(hook_alerts.list_waiting, "tell", 9) == []


async def test_the_topic_describes_the_events(call: Call, tmp_path: Path):
    task, alert = map(json.loads, find_code_blocks(read_topic("hooks"), "json"))
    async with run_hooks(call, write_hook(tmp_path, KEEP_EVENT, "end alert")):
        await end_tasks(call)
        await wait_for_events(call, tmp_path, 1)
        await fire_alert(call, backup="none")
        ended, fired = await wait_for_events(call, tmp_path, 2)

    assert list(ended) == list(task) == list(fired)
    assert list(ended["task"]) == list(task["task"]) and list(fired["alert"]) == list(alert)
    kinds = {key: type(value) for key, value in task["task"].items() if value is not None}
    assert {key: type(ended["task"][key]) for key in kinds if key != "reason"} == {
        key: kind for key, kind in kinds.items() if key != "reason"
    }


async def test_secrets_of_a_command_are_masked(call: Call, tmp_path: Path):
    launch = {"argv": ["curl", "--token=hunter2"]}
    async with run_hooks(call, write_hook(tmp_path, KEEP_EVENT)):
        await end_tasks(call, launch=launch, parameters={"token": "hunter2"})
        (found,) = await wait_for_events(call, tmp_path, 1)

    assert found["task"]["argv"] == ["curl", "--token=•••"]
    assert "parameters" not in found["task"]


@pytest.mark.parametrize(
    ("script", "more", "said"),
    [
        ("echo no route >&2; exit 3", "", "sh ended with 3: no route"),
        ("sleep 1000", 'timeout = "50ms"', "sh was killed after 0.05 s"),
        ("kill -KILL $$", "", "sh ended with -9"),
        ("head -c 20000000 /dev/zero >&2; echo full >&2; exit 1", "", "sh ended with 1: "),
    ],
)
async def test_a_failure_is_recorded_and_not_repeated(
    call: Call, tmp_path: Path, script: str, more: str, said: str
):
    config = write_hook(tmp_path, f'echo >> "$out"; {script}', more=more)
    async with run_hooks(call, config):
        await end_tasks(call, name="train")
        state = await wait_for_state(call, lambda state: state.failing)
        await end_tasks(call)
        await wait_for_state(call, lambda state: state.failing == 2)

    assert state.last_error is not None and state.last_error.startswith(said)
    latest = (await notifications.ls(call))["deliveries"]
    assert [(one["target"], one["about"], one["status"]) for one in latest] == [
        ("hook tell", "#2 work", "given_up"), ("hook tell", "#1 train", "given_up"),
    ]  # fmt: skip
    assert (tmp_path / "out").read_text() == "\n\n"


async def test_a_missing_program_is_a_failure_and_success_ends_the_problem(
    call: Call, tmp_path: Path
):
    config = tmp_path / "config.toml"
    config.write_text('[hooks.tell]\non = ["end"]\nargv = ["/no/such/program"]\n')
    async with run_hooks(call, config) as runner:
        await end_tasks(call, 3)
        state = await wait_for_state(call, lambda state: state.failing == 3)
        assert state.last_error == ("/no/such/program cannot be started: no such file or directory")
        await poll(lambda: "failed 3 times in a row" in runner.problems.get("hooks", ""))
        write_hook(tmp_path, KEEP_EVENT)
        await end_tasks(call)
        await wait_for_state(call, lambda state: not state.failing)
        await poll(lambda: runner.problems == {})


async def test_a_hook_that_was_removed_is_no_problem_despite_another_mistake(
    call: Call, tmp_path: Path
):
    config = tmp_path / "config.toml"
    config.write_text('[hooks.tell]\non = ["end"]\nargv = ["/no/such/program"]\n')
    async with run_hooks(call, config) as runner:
        await end_tasks(call, 3)
        await poll(lambda: "hooks" in runner.problems)
        config.write_text('[keys.commands.K]\nargv = ["less", "{no}"]\n')
        await end_tasks(call)
        await poll(lambda: runner.problems == {})


async def test_a_flood_of_ends_is_told_in_order(call: Call, tmp_path: Path):
    script = 'IFS= read -r line; echo "$line" >> "$out"'
    async with run_hooks(call, write_hook(tmp_path, script)):
        await end_tasks(call, 3 * hook_runner.BATCH)
        await wait_for_change(call.db, lambda: is_handled(call))
    numbers = [one["task"]["number"] for one in read_events(tmp_path)]
    assert numbers == list(range(1, 3 * hook_runner.BATCH + 1))


async def test_a_hook_that_hangs_delays_no_other_hook(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hook_runner, "CLOSE_TIMEOUT", 0.0)
    config = write_hook(tmp_path, KEEP_EVENT)
    hang = '[hooks.hang]\non = ["end"]\nargv = ["sleep", "1000"]\n'
    config.write_text(config.read_text() + hang)
    async with run_hooks(call, config) as runner:
        await end_tasks(call, 2)
        await wait_for_events(call, tmp_path, 2)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("hook")]
    assert runner.problems == {}
    assert (await call.db.read(hooks.map_cursors))["hang"] == 0


async def test_a_database_that_takes_no_writes_does_not_delay_the_end(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(hook_runner, "CLOSE_TIMEOUT", 0.0)
    script = 'until [ -e "$out.go" ]; do sleep 0.01; done; ' + KEEP_EVENT
    async with asyncio.timeout(60), run_hooks(call, write_hook(tmp_path, script)):
        await end_tasks(call)
        await call.db.write(lambda c: c.exec_driver_sql("PRAGMA query_only=ON"))
        (tmp_path / "out.go").touch()
        await poll(lambda: "hook tell: " in caplog.text)
    assert len(read_events(tmp_path)) == 1
    assert (await call.db.read(hooks.map_cursors))["tell"] == 0


async def test_what_a_killed_runtime_did_not_store_runs_again_with_its_key(tmp_path: Path):
    config = write_hook(tmp_path, f'{KEEP_EVENT}; [ -e "$out.go" ] || kill -KILL $PPID')
    async with open_call(tmp_path / "home") as call:
        await call.db.write(hooks.follow, {"tell": False}, 0, False)
        await end_tasks(call)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.runtime.messages.killed_hook", tmp_path / "home", config
    )
    assert await child.wait() == -9
    (tmp_path / "out.go").touch()
    async with reopen_call(tmp_path / "home") as call, run_hooks(call, config):
        first, second = await wait_for_events(call, tmp_path, 2)
        await wait_for_change(call.db, lambda: is_handled(call))
    assert first == second


async def test_a_new_hook_begins_with_the_next_event_and_ends_with_its_settings(
    call: Call, tmp_path: Path
):
    await end_tasks(call)
    config = write_hook(tmp_path, KEEP_EVENT)
    async with run_hooks(call, config):
        await end_tasks(call, name="second")
        (found,) = await wait_for_events(call, tmp_path, 1)
        assert found["task"]["name"] == "second"
        config.write_text("")
        await wait_for_change(call.db, lambda: _has_no_cursor(call))


async def _has_no_cursor(call: Call) -> bool:
    return not await call.db.read(hooks.map_cursors)


async def test_a_hook_with_a_mistake_keeps_its_place(call: Call, tmp_path: Path):
    config = write_hook(tmp_path, KEEP_EVENT)
    async with run_hooks(call, config):
        await end_tasks(call)
        await wait_for_events(call, tmp_path, 1)
        good = config.read_text()
        config.write_text(good.replace("on =", "no ="))
        await end_tasks(call)
        config.write_text(good)
        assert len(await wait_for_events(call, tmp_path, 2)) == 2


async def test_a_file_that_is_empty_for_a_moment_ends_no_hook(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = 'touch "$out.begun"; until [ -e "$out.go" ]; do sleep 0.01; done; '
    async with run_hooks(call, write_hook(tmp_path, script + KEEP_EVENT)) as runner:
        await end_tasks(call)
        await poll((tmp_path / "out.begun").exists)  # now only the look reads the settings
        followed, empty = runner._settings.hooks, [{}]
        read = property(lambda _: empty.pop() if empty else followed)
        monkeypatch.setattr(ConfigWatcher, "hooks", read)
        await poll(lambda: not empty)
        await end_tasks(call)
        (tmp_path / "out.go").touch()
        found = await wait_for_events(call, tmp_path, 2)

    assert [one["task"]["number"] for one in found] == [1, 2]


async def test_events_too_far_behind_are_left_out_and_counted(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hooks, "MAX_LAG", 50)
    await call.db.write(hooks.follow, {"tell": True}, 0, False)
    await end_tasks(call, 40)
    monkeypatch.setattr(hook_alerts, "MAX_WAITING", 2)
    await fire_alert(call, one="1", two="2", three="3")
    async with run_hooks(call, write_hook(tmp_path, KEEP_EVENT, "end alert")):
        await wait_for_change(call.db, lambda: is_handled(call))
        state = await wait_for_state(call, lambda state: state.dropped)
    told = read_events(tmp_path)
    ends = [one for one in told if one["event"] == "end"]
    assert len(told) - len(ends) == 2
    assert 0 < len(ends) < 40 and state.dropped == 41 - len(ends)
