"""Fixtures shared by all tests: homes, databases, runtimes and the command line."""

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
from functools import cache, partial
from pathlib import Path

import aiosqlite
import pytest

from app import paths, runtime_launcher
from app.home import setup
from app.keeper import cgroups
from app.service.context import Call
from db.engine import Database, open_database
from tests import fork_server, precompilation
from tests.direct_reads import DirectQueue, NoThread
from tests.long.chaos.results import open_runtime
from tests.runtime_process import RuntimeProcess, run_command, wait_until

TESTS = Path(__file__).parent

GC_THRESHOLDS = (20_000, 20, 50)
"""Garbage collector thresholds. Deck tests create apps by the thousand; each module's remains are
collected after the module."""


FOLDER_MARKS = {
    "acceptance": "process",
    "bench": "process",
    "cli": "unit",
    "core": "unit",
    "db": "database",
    "engines": "unit",
    "health": "unit",
    "home": "process",
    "http": "database",
    "keeper": "process",
    "long": "process",
    "offline": "database",
    "outer": "process",
    "runtime": "process",
    "service": "database",
    "test_config.py": "unit",
    "test_data_model.py": "unit",
    "test_help.py": "unit",
    "test_packaging.py": "unit",
    "test_style.py": "unit",
    "tui": "terminal",
}
"""Marker of tests without one of their own, by folder or module; `process` for all others."""
FOLDER_MARK_NAMES = frozenset(FOLDER_MARKS.values())

MEMORY = Path("/dev/shm")
"""File system in memory. Homes on it save much waiting, and a seventh of the CPU time."""
MEMORY_NEEDED = 4 << 30
"""Bytes that must be free in memory; the tests use some hundred MiB at a time."""


def pytest_configure(config: pytest.Config) -> None:
    """Reset process state that the processes under test would inherit, and compile."""
    gc.set_threshold(*GC_THRESHOLDS)
    if "TMPDIR" not in os.environ and _has_memory():
        os.environ["TMPDIR"] = os.fspath(MEMORY)
        tempfile.tempdir = None  # otherwise the folder of an earlier call is kept
    # Otherwise each of thousands of processes would compile the whole program again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Shells ignore SIGINT in background jobs, and a command that ignores SIGINT cannot be
    # interrupted.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.tx and not config.option.file_or_dir:
        precompilation.compile_all(config)


def _has_memory() -> bool:
    """Return true if temporary files have room in memory and may be executed there."""
    try:
        space = os.statvfs(MEMORY)
    except OSError:
        return False
    return (
        os.access(MEMORY, os.W_OK)
        and not space.f_flag & os.ST_NOEXEC
        and space.f_bavail * space.f_frsize >= MEMORY_NEEDED
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return two workers a core: tests spend half of their time waiting.

    A run of single files or of tests by name needs no workers.
    """
    words = config.option.file_or_dir
    if config.option.keyword or (words and all(".py" in word for word in words)):
        return 0
    return 2 * len(os.sched_getaffinity(0))


@cache
def _get_folder_mark(path: Path) -> str:
    """Return the marker that a module's tests have by default."""
    folder = path.relative_to(TESTS).parts[0]
    return FOLDER_MARKS.get(folder, "process")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip `tests/long` and `tests/trials` unless named, and modules without the wanted marker.

    Imports take most of the time of a run with one marker.
    """
    if collection_path in (TESTS / "long", TESTS / "trials"):
        folder = f"tests/{collection_path.name}"
        return not any(folder in word for word in config.option.file_or_dir) or None
    wanted = config.option.markexpr
    if wanted not in FOLDER_MARKS.values() or not collection_path.name.startswith("test_"):
        return None
    if _get_folder_mark(collection_path) == wanted:
        return None
    return f"mark.{wanted}" not in collection_path.read_text(encoding="utf-8") or None


SLOWEST_FILES = (
    "test_snapshots", "test_deck_keys", "test_schema_form", "test_every_key", "test_query_plans",
    "test_schema_form_cases", "test_submit_form", "test_edit_form",
)  # fmt: skip
"""The slowest test files. Other files run in folder order, which puts slow folders first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its marker, and run the slowest files first.

    Otherwise one worker would end alone with a long file.
    """
    for item in items:
        if FOLDER_MARK_NAMES.isdisjoint(mark.name for mark in item.iter_markers()):
            item.add_marker(_get_folder_mark(item.path))
    items.sort(key=lambda item: _get_rank(item.path))


@cache
def _get_rank(path: Path) -> int:
    """Return the place of a file among the slowest ones; all others come last together."""
    found = path.stem in SLOWEST_FILES
    return SLOWEST_FILES.index(path.stem) if found else len(SLOWEST_FILES)


@pytest.fixture(scope="module", autouse=True)
def freeze_garbage() -> Iterator[None]:
    """Exclude the objects that a module leaves behind from later collections."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def share_first_uses(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let only the first use of a verb by any worker run in a process of its own."""
    folder = tmp_path_factory.getbasetemp()
    fork_server.first_uses = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def fork_runtimes() -> None:
    """Let runtimes start from a process that has imported the program."""
    runtime_launcher._spawn = fork_server.start_runtime


@pytest.fixture(autouse=True)
def forbid_processes_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a unit test fail that starts a process or a terminal."""
    if request.node.get_closest_marker("unit") is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", _refuse_process)
        for name in ("fork", "forkpty", "openpty", "posix_spawn"):
            patch.setattr(os, name, _refuse_process)
        yield


def _refuse_process(*_args: object, **_more: object) -> None:
    pytest.fail("a unit test started a process: mark it `process`")


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield an empty home with a short path."""
    path = Path(tempfile.mkdtemp(prefix="td-"))
    paths.make_home(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def fresh_database() -> Iterator[Path]:
    """Yield the database of a new home; to copy a database is faster than to create one."""
    folder = Path(tempfile.mkdtemp(prefix="td-"))
    setup.prepare_database(folder)
    yield paths.get_database_path(folder)
    shutil.rmtree(folder)


@pytest.fixture
def database_path(home: Path, fresh_database: Path) -> Path:
    """Return the path of a new home's database."""
    return Path(shutil.copy(fresh_database, paths.get_database_path(home)))


@pytest.fixture
def direct_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readers do without a thread; tests of threads override this fixture."""
    monkeypatch.setattr(aiosqlite.core, "SimpleQueue", DirectQueue)
    monkeypatch.setattr(aiosqlite.core, "Thread", NoThread)


@pytest.fixture
async def db(database_path: Path, direct_reads: None) -> AsyncIterator[Database]:
    """Yield the writable database of a new home."""
    async with open_database(database_path, writable=True) as opened:
        yield opened


@pytest.fixture
def call(db: Database, home: Path) -> Call:
    """Return the call context of user ann, without a runtime."""
    return Call(db, "ann", home)


@pytest.fixture
def lazy_runtime(home: Path) -> Iterator[RuntimeProcess]:
    """Yield a home whose runtime is started by the first verb."""
    living = RuntimeProcess(home)
    yield living
    living.kill_all()


@pytest.fixture
def runtime(lazy_runtime: RuntimeProcess) -> RuntimeProcess:
    """Return a home with a running runtime."""
    lazy_runtime.start()
    return lazy_runtime


@pytest.fixture(scope="module")
def module_runtime() -> Iterator[RuntimeProcess]:
    """Yield a home for several tests of a module; its runtime was started once."""
    with open_runtime() as living:
        yield living


@pytest.fixture
def shared_runtime(module_runtime: RuntimeProcess) -> RuntimeProcess:
    """Return the module's home with a running runtime, started again if necessary."""
    module_runtime.start()
    return module_runtime


@pytest.fixture
def run_cli(lazy_runtime: RuntimeProcess) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command line on the home."""
    return partial(run_command, lazy_runtime.home)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local time zone to UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def cgroup_tree() -> Iterator[Path]:
    """Yield a folder of the kernel's tree of cgroups that keepers may divide."""
    try:
        place = Path(cgroups.find_own_folder()) / f"taskdeck-test-{os.getpid()}"
        place.mkdir()
    except (OSError, ValueError) as error:
        pytest.skip(f"no tree of cgroup v2 that this user may change: {error}")
    yield place
    wait_until(lambda: cgroups.remove_folder(os.fspath(place)), "the folder is empty")
