"""The systemd scope of the keeper.

Test machines need no systemd: a script named `systemd-run` replaces the program.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runtime import systemd_scope
from app.runtime.dispatch.keeper_client import KeeperUnavailableError, start_keeper
from tests.runtime_process import RuntimeProcess, wait_until

EXEC_COMMAND = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
"""Shell code that executes the given command, as `systemd-run --scope` does."""


@pytest.fixture
def fake_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that installs a fake `systemd-run` and returns its log file."""
    monkeypatch.setattr(systemd_scope, "SYSTEMD_FOLDER", tmp_path)
    monkeypatch.setattr(systemd_scope, "LINGER_FOLDER", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def is_like(script: str) -> Path:
        said, program = tmp_path / "said", tmp_path / "systemd-run"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{said}"\nenv > "{tmp_path}/env"\n{script}\n'
        )
        program.chmod(0o755)
        return said

    return is_like


def is_keeper_up(living: RuntimeProcess) -> bool:
    """Tell whether a keeper serves the home."""
    return len(list(living.list_processes())) == 2 and any(
        (living.home / "run").glob("keeper*.sock")
    )


def test_the_keeper_starts_in_its_own_scope(fake_systemd, lazy_runtime: RuntimeProcess):
    said = fake_systemd(EXEC_COMMAND)

    start_keeper(lazy_runtime.home)

    words = said.read_text().splitlines()
    assert words[:3] == ["--scope", "--quiet", "--collect"] and "--user" not in words
    assert f"--description=Taskdeck keeper of {lazy_runtime.home}" in words
    assert {"TasksMax=infinity", "OOMPolicy=continue"} <= set(words) and words[-2] == str(
        lazy_runtime.home
    )
    wait_until(lambda: is_keeper_up(lazy_runtime), "the keeper is up")


def test_only_homes_that_enforce_limits_get_a_scope_to_divide(
    fake_systemd, lazy_runtime: RuntimeProcess
):
    said = fake_systemd('echo "$*" >&2; exit 5')  # as a keeper that cannot use its home

    for delegates in (False, True):
        with pytest.raises(KeeperUnavailableError):
            start_keeper(lazy_runtime.home, delegates)

    first, _, second = said.read_text().partition("taskdeck-keeper-")[2].partition("--scope")
    assert "Delegate" not in first and not first.rstrip().endswith("own")
    assert "Delegate=memory cpu" in second and second.rstrip().endswith("own")


def test_scope_names_are_unique_and_free_of_outside_text(fake_systemd, tmp_path: Path):
    fake_systemd(EXEC_COMMAND)
    home = tmp_path / "my $HOME 100%\n"

    first, second = (systemd_scope.build_command(home, ()) or [] for _ in range(2))

    names = {word for word in first + second if word.startswith("--unit=")}
    assert len(names) == 2 and all(
        name.removeprefix("--unit=taskdeck-keeper-").replace("-", "")[:16].isalnum()
        for name in names
    )
    assert not any("\n" in word for word in first)


def test_no_taskdeck_variable_reaches_the_keeper(
    fake_systemd, lazy_runtime: RuntimeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake_systemd(EXEC_COMMAND)
    monkeypatch.setenv("TASKDECK_RUNID", "another")

    start_keeper(lazy_runtime.home)

    assert "TASKDECK_" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(("code", "raises"), [(4, False), (5, True)])
def test_an_error_of_the_keeper_itself_is_raised_without_a_retry(
    fake_systemd, lazy_runtime: RuntimeProcess, code: int, raises: bool
):
    said = fake_systemd(f"echo the keeper says so >&2; exit {code}")

    if raises:
        with pytest.raises(KeeperUnavailableError, match="the keeper says so"):
            start_keeper(lazy_runtime.home)
    else:
        start_keeper(lazy_runtime.home)

    assert said.read_text().count("--scope") == 1 and not list(lazy_runtime.list_processes())


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo Failed to connect to bus >&2; exit 1", "Failed to connect to bus"),
        ("exit 203", "systemd-run exited with 203"),
        ("exec sleep 60", "no answer within"),
    ],
)
def test_a_failing_or_hanging_systemd_run_falls_back_to_a_direct_start(
    fake_systemd,
    lazy_runtime: RuntimeProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str,
    fault: str,
):
    fake_systemd(script)
    monkeypatch.setattr(systemd_scope, "TIMEOUT", 0.5)

    with caplog.at_level(logging.WARNING):
        start_keeper(lazy_runtime.home)

    wait_until(lambda: is_keeper_up(lazy_runtime), "the keeper is up")
    assert fault in caplog.text and "started directly" in caplog.text


def test_an_older_systemd_gets_fewer_properties(
    fake_systemd, lazy_runtime: RuntimeProcess, caplog: pytest.LogCaptureFixture
):
    said = fake_systemd(
        'case "$*" in *OOMPolicy*) echo "Unknown assignment: OOMPolicy=continue" >&2; exit 1;;'
        f" esac\n{EXEC_COMMAND}"
    )

    start_keeper(lazy_runtime.home)

    wait_until(lambda: is_keeper_up(lazy_runtime), "the keeper is up")
    assert said.read_text().count("--scope") == 2 and not caplog.text


def test_a_user_gets_a_scope_only_with_lingering_enabled(
    fake_systemd, lazy_runtime: RuntimeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake_systemd(EXEC_COMMAND)
    me = systemd_scope.pwd.getpwuid(os.getuid())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(systemd_scope.pwd, "getpwuid", lambda uid: me)
    assert systemd_scope.build_command(lazy_runtime.home, ()) is None

    (tmp_path / me.pw_name).touch()

    assert "--user" in (systemd_scope.build_command(lazy_runtime.home, ()) or [])


def test_a_user_manager_is_found_by_its_folder_without_a_login(
    fake_systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(systemd_scope, "USER_RUNTIME_FOLDER", tmp_path)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert systemd_scope.build_environment() == {}

    (tmp_path / "0").mkdir()

    assert systemd_scope.build_environment() == {b"XDG_RUNTIME_DIR": os.fsencode(tmp_path / "0")}
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert systemd_scope.build_environment() == {}


def test_without_systemd_no_systemd_run_is_called(
    fake_systemd, lazy_runtime: RuntimeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said = fake_systemd(EXEC_COMMAND)
    monkeypatch.setattr(systemd_scope, "SYSTEMD_FOLDER", tmp_path / "no such")

    start_keeper(lazy_runtime.home)

    assert not said.exists()
    wait_until(lambda: is_keeper_up(lazy_runtime), "the keeper is up")
