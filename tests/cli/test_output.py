"""Streams that break, keys that interrupt, and faults of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from app.cli import output
from tests.cli.builders import a_task, listed
from tests.cli.terminal_command import on_terminal
from tests.runtime_process import alive, until

MANY = listed([a_task(n, "x" * 100, "queued") for n in range(3000)], 3000, 3000)


def start(home, *words, **streams):
    """The command line as a process."""
    argv = [sys.executable, "-P", "-m", "app", "--home", str(home), *words]
    return subprocess.Popen(argv, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams})


@pytest.mark.parametrize("how", [(), ("--json",), ("--jsonl",)])
def test_a_reader_that_leaves_early_is_no_error(answering, home, how):
    answering(ls=MANY)
    with start(home, "ls", "--limit", "0", *how) as command:
        command.stdout.read(10)
        command.stdout.close()
        assert b"roken" not in command.stderr.read()
    assert command.returncode == 141


def test_a_full_disk_behind_stdout_is_told(answering, home):
    answering(ls=MANY)
    with open("/dev/full", "wb") as full, start(home, "ls", stdout=full) as command:
        assert b"the output could not be written: no space left on device" in command.stderr.read()
    assert command.returncode == 1


def test_closed_streams_do_not_matter(answering, home):
    answering(ls=MANY)
    command = f'exec "{sys.executable}" -P -m app --home "{home}" ls >&- 2>&- <&-'

    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


def test_an_interrupt_is_quiet_and_says_that_the_task_goes_on(home, runtime):
    task = runtime.submit("sleep", "60")
    with start(home, "submit", "--wait", "--after", task, "--", "true") as command:
        number = command.stdout.readline().decode().strip()
        os.kill(command.pid, signal.SIGINT)
        assert command.stderr.read().decode() == f"taskdeck: #{number} goes on. See: taskdeck --home {home} show {number}\n"
    assert command.returncode == -signal.SIGINT
    assert runtime.show(number)["status"] == "blocked"


def test_a_fault_of_our_own_is_one_line(answering, cli):
    answering(ls={"no": "tasks"})

    said = cli("ls")

    assert said.code == 1 and said.err.startswith(
        "taskdeck: a fault of Taskdeck itself: KeyError: 'lines' (cli/commands/ls.py, line "
    )


def test_stop_returns_when_the_runtime_has_gone(home, runtime, td):
    pid = runtime.pid

    done = td("stop")

    assert (done.returncode, done.stdout) == (0, "") and "the runtime was stopped" in done.stderr
    assert not alive(pid)
    assert td("stop").returncode == 4 and "nothing to stop" in td("stop").stderr
    assert td("submit", "--", "true").returncode == 4
    assert td("serve", "--detach").returncode == 0 and until(lambda: td("status", "--check").returncode == 0)


def test_a_setting_keeps_commands_from_starting_a_runtime(home, tmp_path, td):
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("autostart = false\n")

    done = td("submit", "--", "true", env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)})

    assert done.returncode == 4 and f"taskdeck --home {home} serve --detach" in done.stderr


def test_a_setting_that_is_wrong_is_named_and_the_others_hold(home, tmp_path, td):
    path = tmp_path / "taskdeck" / "config.toml"
    path.parent.mkdir()
    path.write_text('theme = "neon"\nautostart = false\n')

    done = td("submit", "--", "true", env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)})

    said = f"taskdeck: {path}, line 1: theme must be one of quiet, dark, light, contrast. That was passed over."
    assert done.returncode == 4 and done.stderr.splitlines()[0] == said


def test_what_people_cannot_be_told_changes_nothing_of_what_was_done(home):
    with open("/dev/full", "w") as full, start(home, "ls", stderr=full) as command:
        assert command.wait() == 0


def test_a_refusal_is_broken_at_spaces_on_a_terminal(home):
    said = on_terminal(home, "--home", str(home), "pauze", "1", columns=30).decode().splitlines()

    assert len(said) > 1 and all(len(line) <= 30 for line in said)
    assert "\n".join(said).replace("\n", " ").startswith("taskdeck: ")
    assert all(not line.startswith(" ") and not line.endswith(" ") for line in said)


def test_a_refusal_stays_one_line_in_a_pipe(home):
    with start(home, "pauze", "1") as command:
        said = command.stderr.read().decode()
    assert said.startswith("taskdeck: ") and said.count("\n") == 1


def test_a_word_longer_than_the_terminal_is_not_cut():
    assert output.broken("see /a/very/long/path now", 8) == "see\n/a/very/long/path\nnow"


def test_commands_that_are_told_are_for_the_home_that_was_asked_for(cli, tmp_path):
    home = tmp_path / "a home"

    said = cli("--home", str(home), "stop")

    assert said.err == "taskdeck: no runtime is up; there is nothing to stop.\n"
    assert f"taskdeck --home '{home}' show 42" in cli("--home", str(home), "ls", "word").err
    assert "--home" not in cli("ls", "word").err
