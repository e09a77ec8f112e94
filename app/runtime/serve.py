"""Runtime of a home: its parts, started in order and stopped in reverse.

`serve` runs it as a separate process; `app.runtime.embedded` runs it in a thread of the deck.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from app import cluster, paths
from app.core.board import DRAINING, HostFacts, RuntimeFacts, RunUse
from app.core.http_settings import HttpSettings
from app.core.ids import make_uuid7
from app.core.maintenance_settings import MaintenanceSettings
from app.core.notifications import messages
from app.core.notifications.channels import NotificationSettings
from app.core.rules.levels import Level
from app.core.runtime_counts import RuntimeCounts
from app.core.scheduling.enforcement import Lack
from app.core.text.joining import end_sentence
from app.errors import Problem, Storage, make_process_limit_error, problem_to_dict
from app.home.clock_guard import ClockGuard
from app.home.database_presence import RESCUE_INFIX, format_put_back_command
from app.home.lock import hold_lock
from app.home.restore_advice import add_restore_advice, advise_restore
from app.home.setup import mark_clean_shutdown, prepare_in_subprocess
from app.http.server import HttpServer, make_server
from app.keeper.marks import leave_marks
from app.paths import refuse_replica
from app.runtime import file_limit
from app.runtime.change_feed import ChangeFeed
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.control_server import ControlServer
from app.runtime.dispatch import keeper_cgroup
from app.runtime.dispatch.dispatcher import HALT_REASONS, Dispatcher
from app.runtime.dispatch.keeper_client import KeeperClient, KeeperUnavailableError
from app.runtime.duties.periodic import Duties, watch_clock
from app.runtime.duties.replicator import Replicator
from app.runtime.duties.schedule_trigger import ScheduleTrigger
from app.runtime.duties.usage import UsageSampler
from app.runtime.messages.channel_sender import ChannelSender
from app.runtime.messages.hook_runner import HookRunner
from app.runtime.messages.notifier import Notifier
from app.service import enforced_limits, outer
from app.service.context import Call
from app.service.rules.evaluation.levels import AlertText, LevelLog, make_level_key
from db import statement_timer
from db.engine import Database, open_database
from db.errors import DamagedDatabase, DiskFull, GoneDatabase
from db.queries import reads
from db.queries.home.replicas import Replica
from db.queries.scheduling import dispatch
from db.rows import SlaRow

log = logging.getLogger("app.runtime")

HOME_CHECK_INTERVAL = 2.0
"""Seconds between checks of the home."""
LAST_SYNC_TIMEOUT = 10.0
"""Maximum seconds of the last sync, so that an unreachable host does not delay the stop."""


@dataclass
class Runtime:
    """The running runtime, as seen by the verbs (`service.context.RuntimeHandle`)."""

    home: Path
    dispatcher: Dispatcher
    sampler: UsageSampler
    feed: ChangeFeed
    demo: bool = False
    settings: ConfigWatcher = field(default_factory=lambda: ConfigWatcher(paths.get_config_path()))
    http: HttpServer = field(default_factory=HttpServer)
    sender: ChannelSender = field(init=False)
    clock_guard: ClockGuard = field(default_factory=ClockGuard)
    levels: LevelLog = field(default_factory=LevelLog)
    duties: Duties | None = None
    since: float = field(default_factory=time.time)
    boottime: float = field(default_factory=lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    loops: Sequence[asyncio.Task[None]] = ()
    is_stop_requested: bool = False
    """True after a stop by a user or a signal, as opposed to a takeover. The replica may then be
    promoted."""

    def __post_init__(self) -> None:
        self.sender = ChannelSender(self.settings)

    @property
    def halted(self) -> str | None:
        """Reason why nothing starts, or None."""
        return DRAINING if self.dispatcher.draining else self.dispatcher.halted

    def get_facts(self) -> RuntimeFacts:
        """Return the state of the runtime itself."""
        client = self.dispatcher.keeper
        keeper = client if client and client.connected else None
        return RuntimeFacts(
            state="running", pid=os.getpid(), since=self.since, tick_lag=self.dispatcher.tick_lag,
            halted=self.halted, demo=self.demo,
            boottime=self.boottime, cure=self._find_restore_hint() or self._find_drain_advice(),
            keeper_pid=keeper.pid if keeper else None,
            guard_pid=keeper.guard_pid if keeper else None,
            http=self.http.url, http_problem=self.http.problem,
        )  # fmt: skip

    def _find_restore_hint(self) -> str:
        """Return the restore advice for a damaged database, else ""."""
        damaged = (self.dispatcher.halted or "").startswith(HALT_REASONS[DamagedDatabase.code])
        return advise_restore(self.home, DamagedDatabase("")).hint if damaged else ""

    def _find_drain_advice(self) -> str:
        """Return the advice for a drain by a cluster, which no person can end, else ""."""
        return cluster.advise_stop(str(self.home)) if self.dispatcher.draining else ""

    @property
    def maintenance(self) -> MaintenanceSettings:
        """Current maintenance settings."""
        return self.settings.maintenance

    @property
    def notifications(self) -> NotificationSettings:
        """Current settings of notifications."""
        return self.settings.notifications

    @property
    def counts(self) -> RuntimeCounts:
        """Runs, rounds and errors since the start of the runtime."""
        return self.dispatcher.counts

    async def send_test(self, channel: str, by: str) -> str | None:
        """Send a test message to a channel; return why it was not sent, or None."""
        key = make_uuid7()
        message = messages.make_test_message(channel, by, socket.gethostname(), key)
        data = {"key": key, "event": "test", "subject": message.subject}
        return (await self.sender.send(channel, message, key, data)).error

    @property
    def clock_doubt(self) -> str:
        """Reason why ages by the clock are in doubt, or an empty string."""
        return self.clock_guard.explain_doubt()

    @property
    def clock_ahead(self) -> float:
        """Seconds that the clock may be ahead."""
        return self.clock_guard.get_lead()

    async def find_unreadable(self, halts: bool = False) -> str | None:
        """Return the value of the database that explains an unexpected error, or None.

        With `halts`, nothing starts until it can be read.
        """
        return await self.dispatcher.find_unreadable(halts)

    async def replicate(self, to: str | None, by: str) -> Replica | None:
        """Set the replication target, or disable replication."""
        return await Replicator(self.dispatcher.db, self.home).choose_target(to, by)

    def get_host(self) -> HostFacts:
        """Return the last measurement of the host."""
        return self.sampler.host

    def get_starts(self, queue: str) -> int:
        """Return the starts of a queue since the last sample."""
        tally = self.dispatcher.tallies.get(queue)
        return tally.started if tally else 0

    def get_usage(self, runid: str) -> tuple[float, float] | None:
        """Return cores and MiB of a run, as last measured, or None."""
        run = self.sampler.runs.get(runid)
        return (run.cpu, run.memory) if run else None

    def get_run_use(self, runid: str) -> RunUse | None:
        """Return the resource use of a run, or None."""
        run = self.sampler.runs.get(runid)
        return run.to_run_use() if run else None

    def list_levels(self, rule: SlaRow) -> Sequence[Level]:
        """Return the present values of a rule of the general form."""
        return self.levels.find(make_level_key(rule))

    def get_left_out(self, rule: SlaRow) -> str:
        """Return what a rule leaves out since there is too much, in words, or ""."""
        return self.levels.get_left_out(make_level_key(rule))

    async def evaluate_rules(self) -> None:
        """Run a pass of the rules of the general form if something has changed."""
        if self.duties is not None:
            await self.duties.evaluate_for_reader()

    def get_alert_text(self, fingerprint: str) -> AlertText | None:
        """Return why an alert of a rule of the general form fires now, or None."""
        return self.duties.rules.find_alert_text(fingerprint) if self.duties else None

    def list_trail(self, rule: SlaRow) -> list[Level]:
        """Return the values of a rule in the last hour, oldest first."""
        return self.levels.list_trail(make_level_key(rule))

    def signal(self, runids: Sequence[str], number: int) -> None:
        """Send a signal to runs."""
        for runid in runids:
            if client := self.dispatcher.find_client(runid):
                client.signal(runid, number)

    async def enable_limits(self, names: Sequence[str]) -> Lack | None:
        """Prepare the keeper to enforce limits; return what it lacks, or None."""
        return await keeper_cgroup.acquire_cgroup(self.dispatcher.keeper, names)

    def mark_stopped(self, by: str, resource: str = "") -> None:
        """Write the marker that names who stopped the runtime, and the resource of a cluster.

        Raise DiskFull if no file can be created, else Storage.
        """
        try:
            paths.write_stop_marker(self.home, by, f"{datetime.now():%H:%M}", resource)
        except OSError as error:
            if error.errno in paths.DISK_FULL_ERRORS:
                raise DiskFull(
                    "the disk takes no more files, so the stop of the runtime cannot be recorded"
                ) from None
            message = (
                f"the stop cannot be recorded: {(error.strerror or 'unknown').lower()}."
                " The runtime keeps running."
            )
            raise Storage(message, f"To end it anyway: kill {os.getpid()}") from None

    def stop(self, drain: bool) -> None:
        """Stop now, or with `drain` once nothing is running. A drain starts nothing in its end."""
        self.dispatcher.draining |= drain
        self.is_stop_requested = True
        if not drain:
            self.ending.set()
        self.dispatcher.wake()
        self.feed.wake()

    def terminate(self) -> None:
        """Stop because of a signal, as at a machine shutdown."""
        self.is_stop_requested = True
        self.ending.set()

    async def run_last_sync(self) -> None:
        """Sync the replica after all writes, so that it can be promoted without loss."""
        if not self.is_stop_requested:
            return
        try:
            async with asyncio.timeout(LAST_SYNC_TIMEOUT):
                replica = await Replicator(self.dispatcher.db, self.home).sync()
            problem = replica.problem if replica else None
        except TimeoutError:
            problem = f"the sync took more than {LAST_SYNC_TIMEOUT:.0f} s"
        except (Problem, OSError) as error:
            problem = str(error)
        if problem:
            log.warning("the replica lacks the latest changes: %s", problem)

    def end_run(self, runid: str, grace: float) -> None:
        """End a run whose row cannot be written; the keeper records the cancel."""
        if client := self.dispatcher.find_client(runid):
            client.stop(runid, "cancel", grace)

    def cancel_drain(self) -> None:
        """Cancel a drain and remove its marker."""
        if self.dispatcher.draining and not self.ending.is_set():
            self.dispatcher.draining = self.is_stop_requested = False
            Path(paths.get_stop_marker_path(self.home)).unlink(missing_ok=True)
            log.info("the drain was cancelled")
            self.dispatcher.wake()

    def watch_changes(self) -> AsyncIterator[None]:
        """Yield now, then after each change."""
        return self.feed.watch_changes()

    async def watch_drain(self) -> None:
        """Stop the runtime once a drain is complete. Jobs of Slurm need no runtime to go on."""
        statement_timer.current_caller.set("drain")
        async for _ in self.feed.watch_changes():
            if not self.dispatcher.draining:
                continue
            runs = await self.dispatcher.db.read(dispatch.list_active)
            if all(self.dispatcher.outer.has(run.runid) for run in runs):
                self.ending.set()

    async def watch_home(self) -> None:
        """Stop the runtime if its home, lock or socket was removed.

        Nobody could reach such a runtime, and it would block the next one.
        """
        inodes, saved = self._read_inodes(), False
        while self._read_inodes() == inodes:
            if not saved and not self.dispatcher.db.is_in_place():
                await self._rescue_database()
                saved = True
            await asyncio.sleep(HOME_CHECK_INTERVAL)
        log.error("the home is gone, or its lock or socket was removed: this runtime ends")
        self.ending.set()

    async def _rescue_database(self) -> None:
        """Stop writing to a removed database and save its content beside the old path."""
        db = self.dispatcher.db
        to = db.path.with_name(f"{db.path.name}{RESCUE_INFIX}{time.strftime('%Y%m%dT%H%M%S')}")
        message = f"the database was removed or replaced while a runtime had it: {db.path}."
        try:
            await db.save_copy(to)
        except (Problem, OSError) as error:
            log.error("%s It could not be saved: %s", message, error)
        else:
            back = f"taskdeck stop && {format_put_back_command(db.path, to)}"
            db.mark_damaged(
                GoneDatabase(
                    "{problem} All that was in it is saved: {to}.",
                    "Put it back: {back}",
                    problem=message,
                    to=to,
                    back=back,
                )
            )
            log.error("%s", db.damage)

    def _read_inodes(self) -> list[int]:
        """Return the inodes of lock and socket, 0 for a missing one."""
        found = []
        for name in (paths.LOCK_FILE, paths.CONTROL_SOCKET):
            try:
                found.append(os.stat(self.home / "run" / name).st_ino)
            except OSError:
                found.append(0)
        return found

    async def wait_for_end(self) -> None:
        """Wait for the end. A failed task ends the runtime too, with its error."""
        ending, keeper = asyncio.create_task(self.ending.wait()), self.dispatcher.keeper
        work = {ending, *self.loops, *([keeper.task] if keeper and keeper.task else [])}
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {ending}:
            task.result()
        ending.cancel()


@asynccontextmanager
async def open_runtime(
    home: Path, demo: bool = False, http: HttpServer | None = None
) -> AsyncIterator[Runtime]:
    """Start a runtime, and yield it once it answers.

    The caller holds the lock of `home`, whose database has the current version. `http` may listen
    already.
    """
    statement_timer.current_caller.set("start")
    async with AsyncExitStack() as stack:
        http = http or make_server(None, demo)
        stack.push_async_callback(http.close)
        opened: list[Database] = []
        stack.enter_context(mark_clean_shutdown(home, opened))
        db = await stack.enter_async_context(
            open_database(paths.get_database_path(home), writable=True)
        )
        opened.append(db)
        feed, dispatcher, usage = ChangeFeed(), Dispatcher(db, home), UsageSampler(home)
        runtime = Runtime(home, dispatcher, usage, feed, demo, http=http)
        stack.push_async_callback(runtime.run_last_sync)
        stack.push_async_callback(runtime.sender.close)
        db.after_commit(feed.wake)
        db.after_commit(dispatcher.wake)
        delegates = any(pool.enforce for pool in await db.read(reads.list_pools))
        dispatcher.keeper = await KeeperClient.open(home, dispatcher.handle_event, delegates)
        stack.push_async_callback(dispatcher.keeper.close)
        await dispatcher.greeted.wait()
        stack.callback(outer.set_trouble, outer.NO_RUNTIME)
        stack.push_async_callback(dispatcher.outer.close)
        await dispatcher.outer.load()
        stack.callback(enforced_limits.set_cgroups, None)
        duties = Duties(db, dispatcher, usage, runtime.settings, runtime.clock_guard)
        stack.push_async_callback(duties.close)
        runtime.levels, runtime.duties = duties.rules.levels, duties
        await duties.prepare()  # before dispatching, because the disk may be full
        await dispatcher.run_round()
        runtime.loops = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("dispatch", dispatcher.run()),
                ("drain", runtime.watch_drain()),
                ("outer runs", dispatcher.outer.run(lambda: runtime.settings.slurm)),
            )
        ]
        stack.push_async_callback(_cancel_tasks, runtime.loops)
        notifier = Notifier(Call(db, "", home, runtime), runtime.sender)
        stack.push_async_callback(notifier.close)
        hook_runner = HookRunner(Call(db, "", home, runtime), runtime.settings)
        await hook_runner.prepare()
        stack.push_async_callback(hook_runner.close)
        duties.notifier, duties.hook_runner = notifier, hook_runner
        scheduler = duties.make_scheduler()
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        control = ControlServer(home, Call(db, "", home, runtime), feed)
        await control.start()
        stack.push_async_callback(control.close)
        await http.start(Call(db, "", home, runtime))
        stack.push_async_callback(http.close)
        stack.callback(feed.close)
        schedules = ScheduleTrigger(db, scheduler, dispatcher)
        watching = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("home", runtime.watch_home()),
                ("clock", watch_clock(scheduler, schedules.notice_set_back)),
                ("schedules", schedules.run()),
                ("notifier", notifier.run()),
                ("hooks", hook_runner.run()),
            )
        ]
        runtime.loops = [*runtime.loops, *watching]
        stack.push_async_callback(_cancel_tasks, watching)
        Path(paths.get_stop_marker_path(home)).unlink(missing_ok=True)
        log.info("runtime up, pid %d, home %s", os.getpid(), home)
        statement_timer.current_caller.set("stop")  # this task continues at the end
        yield runtime
        log.info("runtime ends")


SWITCH_SECONDS = 0.0005
"""Seconds after which a busy thread lets another one run. SQLite releases the interpreter for each
statement. With the default of 5 ms, a transaction waited 1.4 s beside the check of 200,000 lines;
now 0.04 s, for 7 % more CPU."""


def serve(
    home: Path, ready_fd: int | None = None, demo: bool = False, http: HttpSettings | None = None
) -> int:
    """Run until TERM, INT or `stop`, and return the exit code.

    With `ready_fd`, run in the background and write one JSON line there: the pid, or the start
    error. `http` is what the command line says about HTTP.
    """
    os.umask(0o077)
    try:
        with translate_errors(home):
            if ready_fd is not None and os.fork():
                os._exit(0)
            reset_environment()
            os.chdir("/")
            if ready_fd is not None:  # an inherited pipe of a script would stay open for good
                os.closerange(ready_fd + 1, os.sysconf("SC_OPEN_MAX"))
            refuse_replica(home)
            paths.make_home(home)
            configure_logging(paths.get_runtime_log_path(home), foreground=ready_fd is None)
            with hold_lock(home):
                prepare_in_subprocess(home)
                file_limit.raise_soft_limit()
                gc.freeze()  # a full collection would scan all modules, 50 ms without an answer
                sys.setswitchinterval(SWITCH_SECONDS)
                asyncio.run(_main(home, ready_fd, demo, make_server(http, demo)))
        return paths.STOPPED_CODE if _is_systemd_service() and paths.read_stop_marker(home) else 0
    except Problem as problem:
        return _report_problem(problem, ready_fd)


def _is_systemd_service() -> bool:
    """Return True if systemd started this very process."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


@contextmanager
def translate_errors(home: Path) -> Iterator[None]:
    """Translate errors of the block to Problem."""
    try:
        with add_restore_advice(home):
            yield
    except (OSError, RuntimeError) as error:
        if problem := make_process_limit_error(error):
            raise problem from error
        if isinstance(error, RuntimeError):
            raise
        raise Storage(
            "the home {home} cannot be used: {reason}.", home=home, reason=error.strerror
        ) from error
    except KeeperUnavailableError as error:
        raise Problem(end_sentence(str(error))) from error


def _report_problem(problem: Problem, ready_fd: int | None) -> int:
    if ready_fd is None:
        raise problem
    _write_ready(ready_fd, {"error": problem_to_dict(problem)})
    return problem.exit_code


def _write_ready(fd: int, answer: dict[str, object]) -> None:
    os.write(fd, json.dumps(answer).encode() + b"\n")
    os.close(fd)


def reset_environment() -> None:
    """Remove the variables and the mark of a run that started this process.

    A sweep for processes of that run reads the initial environment, so execute the program again if
    needed.
    """
    leave_marks()
    if "TASKDECK_RUNID" in os.environ:
        environment = {
            n: v
            for n, v in os.environ.items()
            if not n.startswith("TASKDECK_") or n == "TASKDECK_HOME"
        }
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    for name in [name for name in os.environ if name.startswith("TASKDECK_")]:
        del os.environ[name]


class _QuietFileHandler(logging.handlers.RotatingFileHandler):
    """Log handler that stays silent on a full disk: stderr may be a deck's screen."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a record that cannot be written."""


def configure_logging(path: str, foreground: bool) -> None:
    """Log to a file, and in the foreground to stderr too."""
    handlers: list[logging.Handler] = [
        _QuietFileHandler(path, maxBytes=2**20, backupCount=1, encoding="utf-8")
    ]
    if foreground:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=handlers,
        force=True,
    )
    for name in ("app.runtime", "app.http"):
        logging.getLogger(name).setLevel(logging.INFO)


async def _main(home: Path, ready_fd: int | None, demo: bool, http: HttpServer) -> None:
    async with open_runtime(home, demo, http) as runtime:
        _install_signal_handlers(runtime, foreground=ready_fd is None)
        if ready_fd is not None:
            _write_ready(ready_fd, {"pid": os.getpid()})
        await runtime.wait_for_end()


def _install_signal_handlers(runtime: Runtime, foreground: bool) -> None:
    """Install the signal handlers.

    TERM and INT stop the runtime. In the background, a successor sends INT. HUP is ignored.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, runtime.terminate)
    loop.add_signal_handler(signal.SIGINT, runtime.terminate if foreground else runtime.ending.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)


async def _cancel_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
