"""The runtime of a home: its parts started in order and stopped in reverse, in one visible place.

`serve` makes a process of its own of it; `app.runtime.embedded` puts it into a thread of the deck.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import logging.handlers
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app import paths
from app.core.board import DRAINING, HostFacts, RuntimeFacts, RunUse
from app.core.maintenance_settings import MaintenanceSettings
from app.errors import Problem, Storage, problem_to_dict
from app.home.clock_guard import ClockGuard
from app.home.database_presence import RESCUE_INFIX, format_put_back_command
from app.home.lock import hold_lock
from app.home.restore_advice import add_restore_advice, advise_restore
from app.home.setup import mark_clean_shutdown, prepare_in_subprocess, was_unclean_shutdown
from app.paths import refuse_copy
from app.runtime.change_feed import ChangeFeed
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.control_server import ControlServer
from app.runtime.dispatcher import HALT_REASONS, Dispatcher
from app.runtime.keeper_client import KeeperClient, NoKeeper
from app.runtime.periodic import Duties, watch_clock
from app.runtime.replicator import Replicator
from app.runtime.usage import UsageSampler
from app.service.context import Call
from db import statement_timer
from db.engine import Database, open_database
from db.errors import DamagedDatabase, DiskFull, GoneDatabase
from db.queries import dispatch
from db.queries.replicas import Replica

log = logging.getLogger("app.runtime")

HOME_CHECK_INTERVAL = 2.0
"""Seconds between two looks at the home."""
LAST_SYNC_TIMEOUT = 10.0
"""Seconds that the last copy of the database may take: a host that does not answer keeps nobody from stopping."""


@dataclass
class Runtime:
    """The living part of a home, as the verbs see it (`service.call.Live`)."""

    home: Path
    dispatcher: Dispatcher
    sampler: UsageSampler
    feed: ChangeFeed
    demo: bool = False
    settings: ConfigWatcher = field(default_factory=lambda: ConfigWatcher(paths.get_config_path()))
    clock_guard: ClockGuard = field(default_factory=ClockGuard)
    since: float = field(default_factory=time.time)
    boottime: float = field(default_factory=lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    loops: Sequence[asyncio.Task[None]] = ()
    is_stop_requested: bool = False
    """Whether somebody wished it to end, and not another runtime to take over: then what is copied elsewhere may be promoted there."""

    @property
    def halted(self) -> str | None:
        """Why nothing starts at all."""
        return DRAINING if self.dispatcher.draining else self.dispatcher.halted

    def get_facts(self) -> RuntimeFacts:
        """What there is to know of the runtime itself."""
        client = self.dispatcher.keeper
        keeper = client if client and client.connected else None
        return RuntimeFacts(
            state="running", pid=os.getpid(), since=self.since, tick_lag=self.dispatcher.tick_lag, halted=self.halted, demo=self.demo,
            boottime=self.boottime, cure=self._find_restore_hint(),
            keeper_pid=keeper.pid if keeper else None, guard_pid=keeper.guard_pid if keeper else None,
        )  # fmt: skip

    def _find_restore_hint(self) -> str:
        """What to do about a damaged database; "" in good times."""
        damaged = (self.dispatcher.halted or "").startswith(HALT_REASONS[DamagedDatabase.code])
        return advise_restore(self.home, DamagedDatabase("")).hint if damaged else ""

    @property
    def upkeep(self) -> MaintenanceSettings:
        """How the data is to be looked after."""
        return self.settings.maintenance

    @property
    def clock_doubt(self) -> str:
        """Why the clock may not say what is old."""
        return self.clock_guard.explain_doubt()

    @property
    def clock_ahead(self) -> float:
        """Seconds that the clock may be ahead."""
        return self.clock_guard.get_lead()

    async def quarantine_rows(self) -> list[str]:
        """Look for rows that cannot be read and set them aside; what was done, in words."""
        return await self.dispatcher.quarantine.search_everywhere()

    async def replicate(self, to: str | None, by: str) -> Replica | None:
        """Copy the database there from now on, or nowhere."""
        return await Replicator(self.dispatcher.db, self.home).choose_target(to, by)

    def get_host(self) -> HostFacts:
        """The machine, as last measured."""
        return self.sampler.host

    def get_starts(self, queue: str) -> int:
        """Starts of a queue since the last sample."""
        tally = self.dispatcher.tallies.get(queue)
        return tally.started if tally else 0

    def get_usage(self, runid: str) -> tuple[float, float] | None:
        """Cores and MiB of a run, as last measured."""
        run = self.sampler.runs.get(runid)
        return (run.cpu, run.memory) if run else None

    def get_run_use(self, runid: str) -> RunUse | None:
        """What a run took so far."""
        run = self.sampler.runs.get(runid)
        return run.to_run_use() if run else None

    def signal(self, runids: Sequence[str], number: int) -> None:
        """Send a signal to runs."""
        for runid in runids:
            if self.dispatcher.keeper is not None:
                self.dispatcher.keeper.signal(runid, number)

    def mark_stopped(self, by: str) -> None:
        """Leave the mark that says who wished the runtime to end. Raises DiskFull where no file more can be made, else Storage."""
        try:
            paths.write_stop_marker(self.home, by, f"{datetime.now():%H:%M}")
        except OSError as error:
            if error.errno in paths.DISK_FULL_ERRORS:
                raise DiskFull("the disk takes no file more, so no mark is left that the runtime was stopped") from None
            said = f"no mark can be left that the runtime was stopped: {(error.strerror or 'unknown').lower()}. It goes on."
            raise Storage(said, f"To end it all the same: kill {os.getpid()}") from None

    def stop(self, drain: bool) -> None:
        """End, now or when nothing runs any more."""
        self.dispatcher.draining, self.is_stop_requested = drain, True
        if not drain:
            self.ending.set()
        self.dispatcher.wake()

    def terminate(self) -> None:
        """End by a signal, as a machine that is shut down sends it."""
        self.is_stop_requested = True
        self.ending.set()

    async def run_last_sync(self) -> None:
        """Copy the database elsewhere once more, when nothing writes to it any more: nothing is missing where the copy is promoted now."""
        if not self.is_stop_requested:
            return
        try:
            async with asyncio.timeout(LAST_SYNC_TIMEOUT):
                replica = await Replicator(self.dispatcher.db, self.home).sync()
            problem = replica.problem if replica else None
        except TimeoutError:
            problem = f"it took over {LAST_SYNC_TIMEOUT:.0f} s"
        except (Problem, OSError) as error:
            problem = str(error)
        if problem:
            log.warning("the replica lacks what was written last: %s", problem)

    def end_run(self, runid: str, grace: float) -> None:
        """Begin to end a run; the keeper keeps that it was cancelled."""
        if self.dispatcher.keeper is not None:
            self.dispatcher.keeper.stop(runid, "cancel", grace)

    def cancel_drain(self) -> None:
        """End a drain, and lift the mark that it left."""
        if self.dispatcher.draining:
            self.dispatcher.draining = self.is_stop_requested = False
            Path(paths.stop_marker_path(self.home)).unlink(missing_ok=True)
            log.info("the drain was ended")
            self.dispatcher.wake()

    def watch_changes(self) -> AsyncIterator[None]:
        """One item now, then one after each change."""
        return self.feed.watch_changes()

    async def watch_drain(self) -> None:
        """End once a drain has nothing left to wait for."""
        statement_timer.current_caller.set("drain")
        async for _ in self.feed.watch_changes(1.0):
            if self.dispatcher.draining and not await self.dispatcher.db.read(dispatch.list_active):
                self.ending.set()

    async def watch_home(self) -> None:
        """End when the home was taken away or its socket removed: nobody could reach us, and the next would be locked out."""
        ours, saved = self._read_inodes(), False
        while self._read_inodes() == ours:
            if not saved and not self.dispatcher.db.is_in_place():
                await self._rescue_database()
                saved = True
            await asyncio.sleep(HOME_CHECK_INTERVAL)
        log.error("the home is gone, or its lock or socket was removed: this runtime ends")
        self.ending.set()

    async def _rescue_database(self) -> None:
        """The database was taken away: nothing more is written to it, and what it holds is put beside where it was."""
        db = self.dispatcher.db
        to = db.path.with_name(f"{db.path.name}{RESCUE_INFIX}{time.strftime('%Y%m%dT%H%M%S')}")
        said = f"the database was removed or replaced while a runtime had it: {db.path}."
        try:
            await db.save_copy(to)
        except (Problem, OSError) as error:
            log.error("%s It could not be saved: %s", said, error)
        else:
            back = f"taskdeck stop && {format_put_back_command(db.path, to)}"
            db.mark_damaged(GoneDatabase(f"{said} All that was in it is saved: {to}.", f"Put it back: {back}"))
            log.error("%s", db.damage)

    def _read_inodes(self) -> list[int]:
        """The inodes of lock and socket; 0 where there is none."""
        found = []
        for name in (paths.LOCK_FILE, paths.CONTROL_SOCKET):
            try:
                found.append(os.stat(self.home / "run" / name).st_ino)
            except OSError:
                found.append(0)
        return found

    async def wait_for_end(self) -> None:
        """Return when it is to end; a loop of ours that fails ends it too, with its error, and the next one takes over."""
        ending, keeper = asyncio.create_task(self.ending.wait()), self.dispatcher.keeper
        work = {ending, *self.loops, *([keeper.task] if keeper and keeper.task else [])}
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {ending}:
            task.result()
        ending.cancel()


@asynccontextmanager
async def open_runtime(home: Path, demo: bool = False) -> AsyncIterator[Runtime]:
    """A runtime that answers. The caller holds the lock of `home`, whose database is of this version."""
    async with AsyncExitStack() as stack:
        opened: list[Database] = []
        doubtful = was_unclean_shutdown(home)
        stack.enter_context(mark_clean_shutdown(home, opened))
        db = await stack.enter_async_context(open_database(paths.database_path(home), writable=True))
        opened.append(db)
        feed, dispatcher, usage = ChangeFeed(), Dispatcher(db, home), UsageSampler(home)
        runtime = Runtime(home, dispatcher, usage, feed, demo)
        stack.push_async_callback(runtime.run_last_sync)
        db.after_commit(feed.wake)
        db.after_commit(dispatcher.wake)
        dispatcher.keeper = await KeeperClient.open(home, dispatcher.handle_event)
        stack.push_async_callback(dispatcher.keeper.close)
        await dispatcher.greeted.wait()
        duties = Duties(db, dispatcher, usage, runtime.settings, runtime.clock_guard)
        with statement_timer.set_caller("start"):
            if doubtful:
                await dispatcher.quarantine.search()
            await duties.prepare()  # before anything may start: the disk may have no room for it
            await dispatcher.run_round()
        runtime.loops = [
            asyncio.create_task(work, name=name)
            for name, work in (("dispatch", dispatcher.run()), ("drain", runtime.watch_drain()))
        ]
        stack.push_async_callback(_cancel_tasks, runtime.loops)
        scheduler = duties.make_scheduler()
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        control = ControlServer(home, Call(db, "", home, runtime), feed)
        await control.start()
        stack.push_async_callback(control.close)
        stack.callback(feed.close)
        watching = [
            asyncio.create_task(work, name=name)
            for name, work in (("home", runtime.watch_home()), ("clock", watch_clock(scheduler)))
        ]
        runtime.loops = [*runtime.loops, *watching]
        stack.push_async_callback(_cancel_tasks, watching)
        Path(paths.stop_marker_path(home)).unlink(missing_ok=True)
        log.info("runtime up, pid %d, home %s", os.getpid(), home)
        yield runtime
        log.info("runtime ends")


def serve(home: Path, ready_fd: int | None = None, demo: bool = False) -> int:
    """Run until TERM, INT or `stop`. With `ready_fd` in the background: one JSON line there says that it is up, or what it failed with."""
    os.umask(0o077)
    if ready_fd is not None and os.fork():
        os._exit(0)
    reset_environment()
    os.chdir("/")
    if ready_fd is not None:  # a pipe that our starter's script left open would wait for us for good
        os.closerange(ready_fd + 1, os.sysconf("SC_OPEN_MAX"))
    try:
        with translate_errors(home):
            refuse_copy(home)
            paths.make_home(home)
            configure_logging(paths.runtime_log_path(home), foreground=ready_fd is None)
            with hold_lock(home):
                prepare_in_subprocess(home)
                gc.freeze()  # each full collection would look through all modules again: 50 ms in which nobody is answered
                asyncio.run(_main(home, ready_fd, demo))
        return paths.STOPPED_CODE if _is_systemd_service() and paths.read_stop_marker(home) else 0
    except Problem as problem:
        return _report_problem(problem, ready_fd)


def _is_systemd_service() -> bool:
    """Whether systemd started this very process."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


@contextmanager
def translate_errors(home: Path) -> Iterator[None]:
    """What keeps a runtime from its work, as a Problem."""
    try:
        with add_restore_advice(home):
            yield
    except OSError as error:
        raise Storage(f"the home {home} cannot be used: {error.strerror}.") from error
    except NoKeeper as error:
        raise Problem(f"{error}.") from error


def _report_problem(problem: Problem, ready_fd: int | None) -> int:
    if ready_fd is None:
        raise problem
    _write_ready(ready_fd, {"error": problem_to_dict(problem)})
    return problem.exit_code


def _write_ready(fd: int, said: dict[str, object]) -> None:
    os.write(fd, json.dumps(said).encode() + b"\n")
    os.close(fd)


def reset_environment() -> None:
    """Drop what belongs to a run we may have been started from, so that no sweep takes us for a part of it.

    A sweep reads what a process began with, so where that names a run we begin again without.
    """
    if "TASKDECK_RUNID" in os.environ:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("TASKDECK_") or n == "TASKDECK_HOME"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)
    for name in [name for name in os.environ if name.startswith("TASKDECK_")]:
        del os.environ[name]


class _QuietFileHandler(logging.handlers.RotatingFileHandler):
    """A log that a full disk does not make talk on stderr, which may be the screen of a deck."""

    def handleError(self, record: logging.LogRecord) -> None:
        """What cannot be written down is no further trouble."""


def configure_logging(path: str, foreground: bool) -> None:
    """Write the log to a file, and where nothing else stands on stderr there too."""
    handlers: list[logging.Handler] = [_QuietFileHandler(path, maxBytes=2**20, backupCount=1, encoding="utf-8")]
    if foreground:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=handlers, force=True
    )
    logging.getLogger("app.runtime").setLevel(logging.INFO)


async def _main(home: Path, ready_fd: int | None, demo: bool) -> None:
    async with open_runtime(home, demo) as runtime:
        _install_signal_handlers(runtime, foreground=ready_fd is None)
        if ready_fd is not None:
            _write_ready(ready_fd, {"pid": os.getpid()})
        await runtime.wait_for_end()


def _install_signal_handlers(runtime: Runtime, foreground: bool) -> None:
    """TERM and INT end it; in the background INT is how one that takes over does so. A terminal that hangs up is nothing to it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, runtime.terminate)
    loop.add_signal_handler(signal.SIGINT, runtime.terminate if foreground else runtime.ending.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)


async def _cancel_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
