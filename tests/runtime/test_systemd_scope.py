"""The keeper's scope: how systemd is asked for it, and that the keeper comes up whatever systemd says.

No machine that tests run on need have systemd, so a program of its name stands in for `systemd-run`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runtime import systemd_scope
from app.runtime.keeper_client import NoKeeper, start_keeper
from tests.runtime_process import Living, until

BECOME = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
"""What `systemd-run --scope` comes to: it becomes the command."""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A machine with systemd, whose systemd-run does as the script says; gives the file that its words are written to."""
    monkeypatch.setattr(systemd_scope, "BOOTED", tmp_path)
    monkeypatch.setattr(systemd_scope, "LINGER", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def is_like(script: str) -> Path:
        said, program = tmp_path / "said", tmp_path / "systemd-run"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{said}"\nenv > "{tmp_path}/env"\n{script}\n')
        program.chmod(0o755)
        return said

    return is_like


def keeper_is_up(living: Living) -> bool:
    """Whether a keeper serves the home."""
    return len(list(living.processes())) == 2 and any((living.home / "run").glob("keeper*.sock"))


def test_the_keeper_is_started_in_a_scope_of_its_own(systemd, living: Living):
    said = systemd(BECOME)

    start_keeper(living.home)

    words = said.read_text().splitlines()
    assert words[:3] == ["--scope", "--quiet", "--collect"] and "--user" not in words
    assert f"--description=Taskdeck keeper of {living.home}" in words
    assert {"TasksMax=infinity", "OOMPolicy=continue"} <= set(words) and words[-1] == str(living.home)
    until(lambda: keeper_is_up(living), "the keeper is up")


def test_no_two_scopes_have_one_name_and_none_carries_text_from_outside(systemd, tmp_path: Path):
    systemd(BECOME)
    home = tmp_path / "my $HOME 100%\n"

    first, second = (systemd_scope.command(home, ()) or [] for _ in range(2))

    names = {word for word in first + second if word.startswith("--unit=")}
    assert len(names) == 2 and all(name.removeprefix("--unit=taskdeck-keeper-").replace("-", "")[:16].isalnum() for name in names)
    assert not any("\n" in word for word in first)


def test_nothing_of_taskdecks_own_environment_reaches_it(systemd, living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    systemd(BECOME)
    monkeypatch.setenv("TASKDECK_RUNID", "another")

    start_keeper(living.home)

    assert "TASKDECK_" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(("code", "raises"), [(4, False), (5, True)])
def test_what_the_keeper_itself_answers_comes_through_and_is_not_tried_again(systemd, living: Living, code: int, raises: bool):
    said = systemd(f"echo the keeper says so >&2; exit {code}")

    if raises:
        with pytest.raises(NoKeeper, match="the keeper says so"):
            start_keeper(living.home)
    else:
        start_keeper(living.home)

    assert said.read_text().count("--scope") == 1 and not list(living.processes())


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo Failed to connect to bus >&2; exit 1", "Failed to connect to bus"),
        ("exit 203", "systemd-run exited with 203"),
        ("exec sleep 60", "no answer within"),
    ],
)
def test_where_systemd_fails_or_is_silent_the_keeper_is_started_directly_and_that_is_told(
    systemd, living: Living, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str, told: str
):
    systemd(script)
    monkeypatch.setattr(systemd_scope, "PATIENCE", 0.5)

    with caplog.at_level(logging.WARNING):
        start_keeper(living.home)

    until(lambda: keeper_is_up(living), "the keeper is up")
    assert told in caplog.text and "started directly" in caplog.text


def test_an_older_systemd_is_asked_for_less(systemd, living: Living, caplog: pytest.LogCaptureFixture):
    said = systemd(f'case "$*" in *OOMPolicy*) echo "Unknown assignment: OOMPolicy=continue" >&2; exit 1;; esac\n{BECOME}')

    start_keeper(living.home)

    until(lambda: keeper_is_up(living), "the keeper is up")
    assert said.read_text().count("--scope") == 2 and not caplog.text


def test_a_user_gets_a_scope_only_where_the_users_own_manager_stays_after_the_last_logout(
    systemd, living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    systemd(BECOME)
    me = systemd_scope.pwd.getpwuid(os.getuid())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(systemd_scope.pwd, "getpwuid", lambda uid: me)
    assert systemd_scope.command(living.home, ()) is None

    (tmp_path / me.pw_name).touch()

    assert "--user" in (systemd_scope.command(living.home, ()) or [])


def test_a_manager_that_no_login_told_us_of_is_found_by_its_folder(systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(systemd_scope, "USERS", tmp_path)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert systemd_scope.environment() == {}

    (tmp_path / "0").mkdir()

    assert systemd_scope.environment() == {b"XDG_RUNTIME_DIR": os.fsencode(tmp_path / "0")}
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert systemd_scope.environment() == {}


def test_without_systemd_nothing_is_asked_of_it(systemd, living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = systemd(BECOME)
    monkeypatch.setattr(systemd_scope, "BOOTED", tmp_path / "no such")

    start_keeper(living.home)

    assert not said.exists()
    until(lambda: keeper_is_up(living), "the keeper is up")
