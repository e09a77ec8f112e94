"""A keeper for each test, or for those of a module that only have it run something."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.keeper.keeper_home import Home, alive, until


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose keeper is up and has been greeted."""
    home = Home(tmp_path / "home")
    try:
        assert home.up() == 0
        home.greet()
        yield home
    finally:
        home.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a keeper for the tests of a module."""
    home = Home(tmp_path_factory.mktemp("kept") / "home")
    try:
        assert home.up() == 0
        yield home
    finally:
        home.end()


@pytest.fixture
def kept(shared: Home) -> Iterator[Home]:
    """That home, for a test that leaves its keeper as it is: which remembers nothing of the tests before."""
    shared.greet()
    yield shared
    for event in shared.greet()["runs"]:
        shared.send("stop", run=event["run"], reason="tidy", grace=0)
    until(lambda: all(event["is"] in ("ended", "refused") for event in shared.greet()["runs"]), "all runs are over")
    shared.send("forget", runs=[event["run"] for event in shared.hello["runs"]])
    shared.settle()
    assert shared.greet()["runs"] == []


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Home]:
    """A home without a keeper."""
    home = Home(tmp_path / "home")
    try:
        yield home
    finally:
        home.end()


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    """Is there such a process, not a zombie?"""
    return alive


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for a condition."""
    return until
