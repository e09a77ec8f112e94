"""Fixtures of the keeper tests: one keeper per test, or one for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import wait_until


@pytest.fixture
def keeper_home(tmp_path: Path) -> Iterator[KeeperHome]:
    """Yield a home whose keeper runs and has been greeted."""
    keeper_home = KeeperHome(tmp_path / "home")
    try:
        assert keeper_home.start_keeper() == 0
        keeper_home.greet()
        yield keeper_home
    finally:
        keeper_home.kill_all()


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperHome]:
    """Yield a home with one keeper for the tests of a module."""
    keeper_home = KeeperHome(tmp_path_factory.mktemp("kept") / "home")
    try:
        assert keeper_home.start_keeper() == 0
        yield keeper_home
    finally:
        keeper_home.kill_all()


@pytest.fixture
def shared_home(module_home: KeeperHome) -> Iterator[KeeperHome]:
    """Yield the module's home for a test that keeps its keeper.

    The keeper remembers no run of earlier tests.
    """
    module_home.greet()
    yield module_home
    for event in module_home.greet()["runs"]:
        module_home.send("stop", run=event["run"], reason="tidy", grace=0)
    wait_until(
        lambda: all(event["is"] in ("ended", "refused") for event in module_home.greet()["runs"]),
        "all runs are over",
    )
    module_home.send("forget", runs=[event["run"] for event in module_home.hello["runs"]])
    module_home.drain()
    assert module_home.greet()["runs"] == []


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[KeeperHome]:
    """Yield a home without a keeper."""
    keeper_home = KeeperHome(tmp_path / "home")
    try:
        yield keeper_home
    finally:
        keeper_home.kill_all()
