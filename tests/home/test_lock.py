"""The home lock: held by one runtime, which it names, and released when the runtime ends."""

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
from app.paths import get_user_name
from tests.long.chaos.results import open_runtime
from tests.runtime_process import RuntimeProcess, run_command

USER_NAME = get_user_name(os.getuid())


def test_the_lock_is_held_once_and_names_its_holder(home: Path):
    with hold_lock(home), pytest.raises(RuntimeExists) as told, hold_lock(home):
        pass

    assert str(told.value).startswith(
        f"a runtime already has this home: pid {os.getpid()}, {USER_NAME}, since "
    )
    assert isinstance(told.value, Conflict) and told.value.exit_code == 4


def test_a_released_lock_leaves_its_file(home: Path):
    with hold_lock(home):
        pass
    file = home / "run" / paths.LOCK_FILE
    node = file.stat().st_ino
    with hold_lock(home):
        pass

    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (node, 0o600)


def test_a_probe_keeps_nobody_out(home: Path, monkeypatch: pytest.MonkeyPatch):
    file = home / "run" / paths.LOCK_FILE
    file.write_text(f"pid {1 << 30}, {USER_NAME}, since 10:00")
    looking = os.open(file, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    waited: list[float] = []

    def let_go(seconds: float) -> None:
        waited.append(seconds)
        os.close(looking)

    monkeypatch.setattr(lock.time, "sleep", let_go)
    with hold_lock(home):
        assert waited == [lock.PROBE_DELAY] and f"pid {os.getpid()}," in file.read_text()


def test_two_homes_have_separate_locks(home: Path, tmp_path: Path):
    paths.make_home(tmp_path)
    with hold_lock(home), hold_lock(tmp_path):
        assert (tmp_path / "run" / paths.LOCK_FILE).exists()


@pytest.fixture(scope="module")
def lock_holder() -> Iterator[RuntimeProcess]:
    """Yield a running runtime, which the last test kills."""
    with open_runtime() as living:
        yield living


def test_a_second_runtime_is_refused_and_the_first_stays(lock_holder: RuntimeProcess):
    pid = lock_holder.pid

    done = run_command(lock_holder.home, "serve")

    assert done.returncode == 4
    assert f"a runtime already has this home: pid {pid}, {USER_NAME}" in done.stderr
    assert (lock_holder.pid, done.stderr.count("\n")) == (pid, 1)


def test_offline_verbs_need_the_lock_too(lock_holder: RuntimeProcess):
    done = run_command(lock_holder.home, "db", "migrate")

    assert (done.returncode, "already has this home" in done.stderr) == (4, True)


def test_a_downgrade_names_the_command_that_stops_the_runtime(lock_holder: RuntimeProcess):
    done = run_command(lock_holder.home, "db", "migrate", "--to", "0001")

    assert (done.returncode, done.stdout) == (4, "")
    assert "a runtime already has this home" in done.stderr
    assert "Nothing was changed." in done.stderr
    assert done.stderr.endswith(f"First: taskdeck --home {lock_holder.home} stop\n")
    assert not list(lock_holder.home.glob("backups/before-*"))


def test_a_killed_runtime_releases_the_home(lock_holder: RuntimeProcess):
    lock_holder.kill()

    with hold_lock(lock_holder.home):
        pass
