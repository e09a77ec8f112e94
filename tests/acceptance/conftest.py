"""Fixtures of the acceptance tests: homes with real processes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app import paths
from app.cli.demo.teardown import ACTIVE_STATES
from app.client import Client
from app.service.database import backups
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.core.scheduling.trace_files import CASES
from tests.service.calls import submit_task

collect_ignore = [] if CASES and (CASES / "terminal").is_dir() else ["test_recordings.py"]


@contextmanager
def open_home() -> Iterator[AcceptanceHome]:
    """Open a home and end its processes at exit. Its path is short because screens show it."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        found = AcceptanceHome(Path(root))
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def acceptance_home() -> Iterator[AcceptanceHome]:
    """Yield a home for one test."""
    with open_home() as found:
        yield found


@pytest.fixture
def clean_home(shared_home: AcceptanceHome) -> Iterator[AcceptanceHome]:
    """Yield the module's home, without the tasks and files of earlier tests.

    Task numbers keep counting.
    """
    yield shared_home
    with closing(Client(shared_home.home)) as client:
        if left := [row["uuid"] for row in client.call("ls", {})["tasks"]]:
            client.call("cancel", {"select": {"status": ACTIVE_STATES}, "grace": 0.1})
            client.call("wait", {"ids": left, "timeout": 20.0})
            client.call("rm", {"ids": left})
        client.call("queue.set", {"name": "default", "capacity": len(os.sched_getaffinity(0))})
    for path in shared_home.work.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def unstarted_home(acceptance_home: AcceptanceHome, fresh_database: Path) -> AcceptanceHome:
    """Return a home with one held task, #1, whose runtime was never started."""
    paths.make_home(acceptance_home.home)
    shutil.copy(fresh_database, paths.get_database_path(acceptance_home.home))
    acceptance_home.run_offline(lambda call: submit_task(call, hold=True))
    return acceptance_home


@pytest.fixture
def backed_up_home(unstarted_home: AcceptanceHome) -> AcceptanceHome:
    """Return an unstarted home with a backup."""
    unstarted_home.run_offline(backups.backup)
    return unstarted_home


@pytest.fixture(scope="module")
def shared_home() -> Iterator[AcceptanceHome]:
    """Yield a home for all tests of a module."""
    with open_home() as found:
        yield found
