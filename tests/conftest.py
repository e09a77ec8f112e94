"""A home, its database, a verb's call, a living runtime and the command line."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from app import paths
from app.home import setup
from app.service.context import Call
from db.engine import Database, open_database
from tests.long.chaos.results import open_runtime
from tests.runtime_process import RuntimeProcess, run_command

GC_THRESHOLDS = (20_000, 20, 50)
"""Thresholds of the collector: the apps of the deck are made by the thousand, and what is left of those of a module goes after it."""


def pytest_configure() -> None:
    """Undo what tests were started with and the processes that they start would inherit."""
    gc.set_threshold(*GC_THRESHOLDS)
    # Each of thousands of processes would compile the whole program anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A shell ignores it in its background jobs, and a command that ignores it cannot be interrupted.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait for other processes, and for screens to come to rest, for a third of their time."""
    return len(os.sched_getaffinity(0)) + 1


SLOWEST_FILES = (
    "test_snapshots", "test_query_plans", "test_every_key", "test_restore", "test_create", "test_deck_keys",
    "test_schema_form_cases",
)  # fmt: skip
"""The files that take longest. The rest is in the order of the folders, which has the slow ones before those that take a moment each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No worker is left alone with a long file at the end."""
    items.sort(key=lambda item: SLOWEST_FILES.index(item.path.stem) if item.path.stem in SLOWEST_FILES else len(SLOWEST_FILES))


@pytest.fixture(scope="module", autouse=True)
def freeze_garbage() -> Iterator[None]:
    """What a module has left for good, as the apps of the deck, is not looked through again with each of the modules after it."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home with a short path."""
    path = Path(tempfile.mkdtemp(prefix="td-"))
    paths.make_home(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def fresh_database() -> Iterator[Path]:
    """A database as a fresh home has it: copied, since making one takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="td-"))
    setup.prepare_database(folder)
    yield paths.database_path(folder)
    shutil.rmtree(folder)


@pytest.fixture
def database_path(home: Path, fresh_database: Path) -> Path:
    """The file of a fresh home's database."""
    return Path(shutil.copy(fresh_database, paths.database_path(home)))


@pytest.fixture
async def db(database_path: Path) -> AsyncIterator[Database]:
    """A fresh home's database, writable."""
    async with open_database(database_path, writable=True) as opened:
        yield opened


@pytest.fixture
def call(db: Database, home: Path) -> Call:
    """A verb called by ann, without a runtime."""
    return Call(db, "ann", home)


@pytest.fixture
def lazy_runtime(home: Path) -> Iterator[RuntimeProcess]:
    """A home whose processes are ended with the test; its runtime is started by the first verb."""
    living = RuntimeProcess(home)
    yield living
    living.kill_all()


@pytest.fixture
def runtime(lazy_runtime: RuntimeProcess) -> RuntimeProcess:
    """A home with its runtime up."""
    lazy_runtime.start()
    return lazy_runtime


@pytest.fixture(scope="module")
def module_runtime() -> Iterator[RuntimeProcess]:
    """A home for several tests of a module; its runtime was up once."""
    with open_runtime() as living:
        yield living


@pytest.fixture
def shared_runtime(module_runtime: RuntimeProcess) -> RuntimeProcess:
    """That home with its runtime up, whatever became of the one before."""
    module_runtime.start()
    return module_runtime


@pytest.fixture
def run_cli(lazy_runtime: RuntimeProcess) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line on the home."""
    return partial(run_command, lazy_runtime.home)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wall times are UTC here."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
