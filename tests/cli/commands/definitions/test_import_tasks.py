"""Tests of `import pueue` without a runtime: what it shows and refuses."""

from __future__ import annotations

import json
import os

import pytest

from app.cli.commands.definitions import import_tasks

STATE = {
    "tasks": {
        str(n): {
            "id": n, "created_at": f"2026-03-01T10:00:0{n}Z", "command": command, "path": "/src",
            "envs": {"API_TOKEN": "s3cr3t"}, "group": group, "dependencies": after, "priority": 0,
            "label": label, "status": status,
        }
        for n, command, group, after, label, status in (
            (0, "make all", "build", [], "first\x1b[31m", {"Queued": {}}),
            (1, "make test", "build", [0], None, {"Stashed": {"enqueue_at": None}}),
            (2, "sleep 9", "default", [], None, {"Running": {}}),
            (3, "echo \x1b]0;x\x07", "default", [2], None, {"Queued": {}}),
            (4, "true", "default", [], None, {"Done": {"result": {"Failed": 3}}}),
        )
    },
    "groups": {
        "default": {"status": "Running", "parallel_tasks": 1},
        "build": {"status": "Paused", "parallel_tasks": 4},
    },
}  # fmt: skip


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps(STATE))
    return path


def test_each_task_is_shown_with_what_it_becomes(cli, state):
    done = cli("--read-only", "import", "pueue", str(state), "--wide")

    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert (done.code, lines[:3]) == (0, [
        "ID NAME STATE QUEUE OPTIONS COMMAND",
        "0 first [31m new build make all",
        "1 make new build --hold --after ID-0 make test",
    ])  # fmt: skip
    assert "build new, capacity 4, paused (group build)" in lines
    assert "2: runs there, and ends there: sleep 9" in lines
    assert "3: waits for 2, which runs there: echo ␛]0;x␇" in lines
    assert "ended there, left out: 1 Failed 3" in lines
    assert "0: the label has characters that a name cannot have" in lines
    assert f"To take them over: taskdeck import pueue {state} --wide --apply" not in done.err
    assert f"To take them over: taskdeck import pueue {state} --apply" in done.err


def test_json_lists_all_tasks_without_their_variables(cli, state):
    out = cli("--read-only", "import", "pueue", str(state), "--json").out

    found = json.loads(out)
    assert [item["outcome"] for item in found["items"]] == ["new", "new", "stays", "stays", "ended"]
    assert "s3cr3t" not in out


def test_the_usual_state_file_is_that_of_the_settings(cli, state, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    assert "none/pueue/state.json does not exist" in cli("import", "pueue").err

    settings = tmp_path / "config" / "pueue" / "pueue.yml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"shared:\n  pueue_directory: {state.parent}\n")
    assert cli("--read-only", "import", "pueue").code == 0
    settings.write_text("shared: [")
    assert "pueue.yml cannot be read" in cli("import", "pueue").err


def test_a_link_or_a_pipe_is_no_state_file(cli, state, tmp_path):
    os.symlink(state, tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")

    for name in ("link", "pipe"):
        done = cli("import", "pueue", str(tmp_path / name))
        assert (done.code, "is a link, or no regular file" in done.err) == (2, True)


def test_a_huge_file_is_refused(cli, tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(65 * 1024 * 1024)

    assert "larger than 64 MiB" in cli("import", "pueue", str(tmp_path / "huge")).err


def test_two_files_are_refused(cli, state):
    assert "give one FILE" in cli("import", "pueue", str(state), str(state)).err


def test_an_interrupted_import_is_named(cli, home, state):
    (home / "import-pueue.journal").write_text("{}\n")

    done = cli("--read-only", "import", "pueue", str(state))

    assert f"interrupted. To finish it: taskdeck import pueue {state} --apply" in done.err


def test_a_take_over_is_refused_in_read_only_mode(cli, state):
    done = cli("--read-only", "import", "pueue", str(state), "--apply")

    assert (done.code, "which --read-only forbids" in done.err) == (4, True)


def test_each_peer_has_examples():
    for command in import_tasks.PEER_COMMANDS.values():
        assert "--apply" in command.examples
