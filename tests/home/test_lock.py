"""One runtime per home: the lock is held by one, names its holder, and goes with it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import paths
from app.errors import Conflict
from app.home import lock
from app.home.lock import RuntimeExists, hold_lock
from app.paths import user_name
from tests.long.chaos.results import opened
from tests.runtime_process import Living, command

ME = user_name(os.getuid())


def test_the_lock_is_held_once_and_names_its_holder(home: Path):
    with hold_lock(home), pytest.raises(RuntimeExists) as told, hold_lock(home):
        pass

    assert str(told.value).startswith(f"a runtime already has this home: pid {os.getpid()}, {ME}, since ")
    assert isinstance(told.value, Conflict) and told.value.exit_code == 4


def test_the_lock_is_free_again_and_its_file_stays(home: Path):
    with hold_lock(home):
        pass
    file = home / "run" / paths.LOCK
    node = file.stat().st_ino
    with hold_lock(home):
        pass

    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (node, 0o600)


def test_somebody_who_only_looks_keeps_nobody_out(home: Path, monkeypatch: pytest.MonkeyPatch):
    file = home / "run" / paths.LOCK
    file.write_text(f"pid {1 << 30}, {ME}, since 10:00")
    looking = os.open(file, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    waited: list[float] = []

    def let_go(seconds: float) -> None:
        waited.append(seconds)
        os.close(looking)

    monkeypatch.setattr(lock.time, "sleep", let_go)
    with hold_lock(home):
        assert waited == [lock.LOOK] and f"pid {os.getpid()}," in file.read_text()


def test_two_homes_have_a_lock_each(home: Path, tmp_path: Path):
    paths.make_home(tmp_path)
    with hold_lock(home), hold_lock(tmp_path):
        assert (tmp_path / "run" / paths.LOCK).exists()


@pytest.fixture(scope="module")
def up() -> Iterator[Living]:
    """A home with its runtime up, which the last test kills."""
    with opened() as living:
        yield living


def test_a_second_runtime_is_refused_and_the_first_goes_on(up: Living):
    pid = up.pid

    done = command(up.home, "serve")

    assert done.returncode == 4
    assert f"a runtime already has this home: pid {pid}, {ME}" in done.stderr
    assert (up.pid, done.stderr.count("\n")) == (pid, 1)


def test_offline_verbs_want_the_lock_too(up: Living):
    done = command(up.home, "db", "migrate")

    assert (done.returncode, "already has this home" in done.stderr) == (4, True)


def test_a_runtime_that_was_killed_leaves_the_home_free(up: Living):
    up.kill()

    with hold_lock(up.home):
        pass
