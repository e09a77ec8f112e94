"""Tests of broken streams, interrupts and internal errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.cli.builders import make_list_answer, make_task
from tests.cli.terminal_command import run_on_terminal
from tests.runtime_process import is_alive, wait_until

pytestmark = pytest.mark.process

LONG_LIST = make_list_answer([make_task(n, "x" * 100, "queued") for n in range(3000)], 3000, 3000)


def start_command(home, *words, **streams):
    argv = [sys.executable, "-P", "-m", "taskdeck", "--home", str(home), *words]
    return subprocess.Popen(
        argv, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    )


@pytest.mark.parametrize("how", [(), ("--json",), ("--jsonl",)])
def test_a_closed_pipe_is_no_error(fake_runtime, home, how):
    fake_runtime(ls=LONG_LIST)
    with start_command(home, "ls", "--limit", "0", *how) as command:
        command.stdout.read(10)
        command.stdout.close()
        assert b"roken" not in command.stderr.read()
    assert command.returncode == 141


def test_a_full_disk_behind_stdout_is_reported(fake_runtime, home):
    fake_runtime(ls=LONG_LIST)
    with open("/dev/full", "wb") as full, start_command(home, "ls", stdout=full) as command:
        assert b"the output could not be written: no space left on device" in command.stderr.read()
    assert command.returncode == 1


def test_closed_streams_are_ignored(fake_runtime, home):
    fake_runtime(ls=LONG_LIST)
    command = f'exec "{sys.executable}" -P -m taskdeck --home "{home}" ls >&- 2>&- <&-'

    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


def test_an_interrupt_is_quiet_and_says_that_the_task_continues(home, runtime):
    task = runtime.submit("sleep", "60")
    with start_command(home, "submit", "--wait", "--after", task, "--", "true") as command:
        number = command.stdout.readline().decode().strip()
        os.kill(command.pid, signal.SIGINT)
        assert (
            command.stderr.read().decode()
            == f"taskdeck: #{number} continues. See: taskdeck --home {home} show {number}\n"
        )
    assert command.returncode == -signal.SIGINT
    assert runtime.show(number)["status"] == "blocked"


def test_an_internal_error_is_one_line(fake_runtime, cli):
    fake_runtime(ls={"no": "tasks"})

    said = cli("ls")

    assert said.code == 1 and said.err.startswith(
        "taskdeck: internal error: KeyError: 'lines' (cli/commands/tasks/ls.py, line "
    )


def test_stop_returns_once_the_runtime_has_ended(home, runtime, run_cli):
    pid = runtime.pid

    done = run_cli("stop")

    assert (done.returncode, done.stdout) == (0, "") and "the runtime was stopped" in done.stderr
    assert not is_alive(pid)
    assert run_cli("stop").returncode == 4 and "no runtime is running" in run_cli("stop").stderr
    assert run_cli("submit", "--", "true").returncode == 4
    assert run_cli("serve", "--detach").returncode == 0 and wait_until(
        lambda: run_cli("status", "--check").returncode == 0
    )


def test_autostart_can_be_disabled(home, tmp_path, run_cli):
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("autostart = false\n")

    done = run_cli("submit", "--", "true", env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)})

    assert done.returncode == 4 and f"taskdeck --home {home} serve --detach" in done.stderr


def test_an_invalid_setting_is_named_and_the_others_apply(home, tmp_path, run_cli):
    path = tmp_path / "taskdeck" / "config.toml"
    path.parent.mkdir()
    path.write_text('theme = "neon"\nautostart = false\n')

    done = run_cli("submit", "--", "true", env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)})

    said = f"taskdeck: {path}, line 1: theme must be one of quiet, light, contrast. Ignored."
    assert done.returncode == 4 and done.stderr.splitlines()[0] == said


def test_a_closed_stderr_does_not_change_the_result(home):
    with open("/dev/full", "w") as full, start_command(home, "ls", stderr=full) as command:
        assert command.wait() == 0


def test_an_error_wraps_at_blanks_on_a_terminal(home):
    said = (
        run_on_terminal(home, "--home", str(home), "pauze", "1", columns=30).decode().splitlines()
    )

    assert len(said) > 1 and all(len(line) <= 30 for line in said)
    assert "\n".join(said).replace("\n", " ").startswith("taskdeck: ")
    assert all(not line.startswith(" ") and not line.endswith(" ") for line in said)


def test_a_command_that_reads_from_the_terminal_says_so(home):
    said = run_on_terminal(home, "submit", "--each", "--", "echo", "{}", typed=b"\x04").decode()

    assert "reading lines from the terminal; end with Ctrl-D." in said
    assert "--each read no items from standard input" in " ".join(said.split())


def test_an_error_is_one_line_in_a_pipe(home):
    with start_command(home, "pauze", "1") as command:
        said = command.stderr.read().decode()
    assert said.startswith("taskdeck: ") and said.count("\n") == 1


def test_suggested_commands_name_the_given_home(cli, tmp_path):
    home = tmp_path / "a home"

    said = cli("--home", str(home), "stop")

    assert said.err == "taskdeck: no runtime is running.\n"
    assert f"taskdeck --home '{home}' show 42" in cli("--home", str(home), "ls", "word").err
    assert "--home" not in cli("ls", "word").err
