"""A keeper for each test, or for those of a module that only have it run something."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.keeper.keeper_home import KeeperHome, is_running, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[KeeperHome]:
    """A home whose keeper is up and has been greeted."""
    home = KeeperHome(tmp_path / "home")
    try:
        assert home.start_keeper() == 0
        home.greet()
        yield home
    finally:
        home.kill_all()


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperHome]:
    """A home with a keeper for the tests of a module."""
    home = KeeperHome(tmp_path_factory.mktemp("kept") / "home")
    try:
        assert home.start_keeper() == 0
        yield home
    finally:
        home.kill_all()


@pytest.fixture
def shared_home(module_home: KeeperHome) -> Iterator[KeeperHome]:
    """That home, for a test that leaves its keeper as it is: which remembers nothing of the tests before."""
    module_home.greet()
    yield module_home
    for event in module_home.greet()["runs"]:
        module_home.send("stop", run=event["run"], reason="tidy", grace=0)
    wait_for(lambda: all(event["is"] in ("ended", "refused") for event in module_home.greet()["runs"]), "all runs are over")
    module_home.send("forget", runs=[event["run"] for event in module_home.hello["runs"]])
    module_home.drain()
    assert module_home.greet()["runs"] == []


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[KeeperHome]:
    """A home without a keeper."""
    home = KeeperHome(tmp_path / "home")
    try:
        yield home
    finally:
        home.kill_all()


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    """Is there such a process, not a zombie?"""
    return is_running


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for a condition."""
    return wait_for
