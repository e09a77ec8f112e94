"""What the tests on a real terminal share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app import paths
from app.cli.commands.demo_teardown import ACTIVE
from app.client import Client
from app.service.database import backups
from tests.acceptance.acceptance_home import House
from tests.core.scheduling.trace_files import CASES
from tests.service.calls import submitted

collect_ignore = [] if CASES and (CASES / "terminal").is_dir() else ["test_recordings.py"]


@contextmanager
def opened() -> Iterator[House]:
    """A home of its own, emptied of processes afterwards. Its path is short: it stands on screens."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        found = House(Path(root))
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def house() -> Iterator[House]:
    """A home for one test."""
    with opened() as found:
        yield found


@pytest.fixture
def tidied(shared_house: House) -> Iterator[House]:
    """The home of a module, in which nothing is left of the tests before but the numbers that were given."""
    yield shared_house
    with closing(Client(shared_house.home)) as client:
        if left := [row["uuid"] for row in client.call("ls", {})["tasks"]]:
            client.call("cancel", {"select": {"status": ACTIVE}, "grace": 0.1})
            client.call("wait", {"ids": left, "timeout": 20.0})
            client.call("rm", {"ids": left})
        client.call("queue.set", {"name": "default", "capacity": len(os.sched_getaffinity(0))})
    for path in shared_house.work.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def idle(house: House, fresh_database: Path) -> House:
    """A home with one held task, #1, in which no runtime was up yet."""
    paths.make_home(house.home)
    shutil.copy(fresh_database, paths.database(house.home))
    house.here(lambda call: submitted(call, hold=True))
    return house


@pytest.fixture
def saved(idle: House) -> House:
    """Such a home, with a backup of it."""
    idle.here(backups.backup)
    return idle


@pytest.fixture(scope="module")
def shared_house() -> Iterator[House]:
    """A home for the tests of a module, which only look at it."""
    with opened() as found:
        yield found
