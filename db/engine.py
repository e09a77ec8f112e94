"""Database access: one writer thread and several query-only readers.

A transaction is one synchronous function of a SQLAlchemy `Connection`. The writer thread runs it
between BEGIN IMMEDIATE and COMMIT, so no await can split it. A transaction costs one thread hop,
however many statements it has. A read is the same kind of function on an aiosqlite connection with
`query_only=ON`, inside one read transaction, so its results are one snapshot. Readers have the
search index attached (`search.index_file`), the writer an empty one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

import aiosqlite
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import AsyncAdaptedQueuePool, StaticPool
from sqlalchemy.util import greenlet_spawn

from db import memory, raw_sql, schema, statement_timer, timestamps
from db.error_translation import BUSY_SECONDS, translate_error
from db.errors import DamagedDatabase, GoneDatabase, ReadOnlyDisk
from db.lock_monitor import REPORT_AFTER, LockHolder, LockWaits, WriteLock
from db.search import index_file
from db.search.index_file import AttachedIndex, IndexWriter
from db.sqlite_files import make_existing_uri, make_read_only_uri
from db.statement_timer import SlowLog, TimedConnection


def test_write(c: Connection) -> None:
    """Make a harmless change, which is on disk once the transaction commits."""
    now = timestamps.now()
    c.exec_driver_sql(
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES ('tried out', 1, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = value + 1, updated_at = excluded.updated_at",
        (now, now),
    )


def create_write_engine(
    path: Path, log: SlowLog | None = None, lock: WriteLock | None = None
) -> Engine:
    """Return an engine with one permanent connection.

    Python 3.11 rolls DDL back only with the driver's own BEGIN switched off. `log` keeps the slow
    statements.
    """
    factory: Any = log.make_connection if log else sqlite3.Connection

    def connect() -> sqlite3.Connection:
        c = sqlite3.connect(os.fspath(path), timeout=BUSY_SECONDS, isolation_level=None,
        check_same_thread=False,
                            cached_statements=512, factory=factory)  # fmt: skip
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"cache_size=-{WRITER_CACHE}",
        ):
            c.execute(f"PRAGMA {pragma}")
        index_file.attach_empty(c.execute)
        return c

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    event.listen(engine, "begin", (lock or WriteLock(path)).begin_immediate)
    return engine


P = ParamSpec("P")
T = TypeVar("T")

READER_COUNT = 3
WRITER_CACHE = 4096
"""KiB of the writer's page cache, which holds the pages of the largest usual transaction. With
2,048 KiB, transactions of bulk submissions spill: 10 % more CPU. 8,192 KiB save nothing."""
READ_ERRORS = (DBAPIError, *raw_sql.DRIVER_ERRORS)
"""Exceptions of a reader's statement, raised through SQLAlchemy or by the driver."""


class Database:
    """The database of a home.

    Only the holder of the runtime lock opens it for writing.
    """

    def __init__(
        self, path: Path, readers: Engine, writer: Engine | None,
        attached_index: AttachedIndex | None = None, log: SlowLog | None = None,
        lock: WriteLock | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self._lock = lock or WriteLock(path)
        self._asking: set[asyncio.Task[Any] | None] = set()
        self.slow = log or SlowLog()
        """Slow statements of all connections."""
        self.found = attached_index or AttachedIndex(index_file.get_index_path(path))
        """The search index as attached by readers."""
        self.index = IndexWriter(self.found.path)
        """Writer of the search index, for `run_on_index` only."""
        self._indexing = ThreadPoolExecutor(1, "taskdeck-index")
        self._readers = readers
        self._writer = writer
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, "taskdeck-writer") if writer is not None else None
        self._opened = _identify_file(path) if writer is not None else None
        self.damage: DamagedDatabase | None = None
        """Reason why writes stopped: a damaged or missing file."""
        self.changes = 0
        """Number of transactions of this process that changed something. Reads stay valid while it
        is constant."""
        self._posted = self._completed = 0
        """Transactions handed to the writer thread, and done by it."""
        self._after: list[Callable[[], None]] = []
        self._under_way: set[asyncio.Task[Any]] = set()
        self._trim: asyncio.TimerHandle | None = None
        self._large_writes = 0

    def find_lock_holder(self) -> LockHolder | None:
        """Return the process that holds the write lock, or None. Reads /proc."""
        return None if self.damage else self._lock.find_holder()

    @property
    def lock_waits(self) -> LockWaits:
        """Waits of the writer for the locks of other programs."""
        return self._lock.waits

    def is_delayed(self, task: asyncio.Task[Any]) -> bool:
        """Return True if a task waits for a write that another program's lock delays."""
        return task in self._asking and self._lock.is_held and self.damage is None

    def after_commit(self, wake: Callable[[], None]) -> None:
        """Call `wake` on the event loop after each transaction that changed something."""
        self._after.append(wake)

    @property
    def pending_writes(self) -> int:
        """Number of transactions that wait for the writer thread or run on it."""
        return self._posted - self._completed

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(c, …)` in one transaction on the writer thread, then send the wake-ups.

        Raise Storage if the disk or the file fails.
        """
        return await self._post(self._after, fn, *args, **kwargs)

    async def write_except(
        self,
        left_out: Collection[Callable[[], None] | None],
        fn: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `write` without the wake-ups `left_out`, such as that of the caller."""
        wakes = [wake for wake in self._after if wake not in left_out]
        return await self._post(wakes, fn, *args, **kwargs)

    async def write_quietly(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `write` without any wake-up."""
        return await self._post((), fn, *args, **kwargs)

    def _post(
        self,
        wakes: Sequence[Callable[[], None]],
        fn: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[T]:
        """Hand a transaction to the writer thread.

        The transaction completes and sends its wake-ups even if the caller is cancelled. It sees
        the context variables of the caller.
        """
        if self.damage is not None:
            raise self.damage
        if self._thread is None:
            raise ReadOnlyDisk("the database is open read-only. Nothing was changed.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._asking.add(task := asyncio.current_task())
        answer.add_done_callback(lambda _: self._asking.discard(task))
        self._posted += 1

        def work() -> None:
            try:
                result, changed = self._run_transaction(fn, *args, **kwargs)
            except DamagedDatabase as error:
                self.damage = error  # at once: other transactions may be queued
                loop.call_soon_threadsafe(self.mark_damaged, error)
                loop.call_soon_threadsafe(_set_error, answer, error)
            except BaseException as error:
                loop.call_soon_threadsafe(_set_error, answer, error)
            else:
                loop.call_soon_threadsafe(_set_result, answer, result, wakes if changed else ())
            finally:
                self._completed += 1

        self._thread.submit(copy_context().run, work)
        return answer

    def _run_transaction(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, bool]:
        """Run a transaction; return its result and whether to send wake-ups.

        Wake-ups follow a changed row or the end of a long lock wait.
        """
        if self.damage is not None:
            raise self.damage
        if not self.is_in_place():
            raise GoneDatabase(
                "the database was removed or replaced while it was open: {path}. Writing has"
                " stopped.",
                path=self.path,
            )
        with SqliteErrorTranslator(self.path), self._use_connection() as c, c.begin():
            driver = cast(sqlite3.Connection, c.connection.driver_connection)
            if isinstance(driver, TimedConnection):
                driver.caller = statement_timer.current_caller.get()
            before = driver.total_changes
            result = fn(c, *args, **kwargs)
            changed = driver.total_changes != before
        self.changes += changed
        return result, changed or self._lock.waited >= REPORT_AFTER

    def is_in_place(self) -> bool:
        """Return True if the opened file is still at its path.

        Nobody would find what is written to a moved or deleted file.
        """
        return _identify_file(self.path) == self._opened

    def mark_damaged(self, damage: DamagedDatabase) -> None:
        """Stop all writes and send the wake-ups."""
        self.damage = damage
        for wake in self._after:
            wake()

    async def save_copy(self, to: Path) -> None:
        """Save the content of the open file, wherever it is now, in a new file.

        Raise Storage.
        """
        assert self._thread is not None
        await asyncio.get_running_loop().run_in_executor(self._thread, self._save_copy, to)

    def _save_copy(self, to: Path) -> None:
        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            SqliteErrorTranslator(to),
            self._use_connection() as c,
            closing(sqlite3.connect(to)) as target,
        ):
            cast(sqlite3.Connection, c.connection.driver_connection).backup(target)

    @contextmanager
    def _use_connection(self) -> Iterator[Connection]:
        """Yield the writer's connection, reopened after a failure."""
        if self._connection is None:
            assert self._writer is not None
            self._connection = self._writer.connect()
        try:
            yield self._connection
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    async def checkpoint(self) -> None:
        """Checkpoint the WAL, to reuse its space on a full disk. Raise Storage."""
        if self._thread is not None and self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._checkpoint)

    def _checkpoint(self) -> None:
        with SqliteErrorTranslator(self.path), self._use_connection() as c:
            cast(sqlite3.Connection, c.connection.driver_connection).execute(
                "PRAGMA wal_checkpoint(RESTART)"
            ).fetchall()

    async def read(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(c, …)` on a query-only connection, inside one snapshot."""
        return await self._shield(self._read(fn, *args, **kwargs))

    async def _read(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            with SqliteErrorTranslator(self.path):
                return await self._read_with_fallback(fn, *args, **kwargs)
        except DamagedDatabase as error:
            if self._writer is not None and self.damage is None:
                self.mark_damaged(error)
            raise

    async def read_on_thread(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(c, …)` like `read`, but on another thread, so that the event loop stays free."""

        def work() -> T:
            with self.open_reader() as c:
                raw_sql.execute_statement(c, "BEGIN")
                return fn(c, *args, **kwargs)

        try:
            return await asyncio.to_thread(work)
        except DamagedDatabase as error:
            if self._writer is not None and self.damage is None:
                self.mark_damaged(error)
            raise

    async def _read_with_fallback(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await self._read_once(fn, *args, **kwargs)
        except READ_ERRORS as error:
            if (file := self.found.get_usable()) is None:
                raise
            self.found.disable(file, error)
        return await self._read_without_index(fn, *args, **kwargs)

    async def _read_once(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a read once.

        Equivalent to `AsyncConnection.run_sync`: importing `sqlalchemy.ext.asyncio` would load the
        whole ORM at each start.
        """

        def work() -> T:
            with self._readers.connect() as c:
                c.begin()  # also for raw statements (`raw_sql`); closing ends it
                return fn(c, *args, **kwargs)

        return await greenlet_spawn(work)

    async def _read_without_index(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Repeat a failed read without the search index.

        SQLite does not name the damaged file. If the read fails again, the index is not to blame.
        """
        try:
            return await self._read_once(fn, *args, **kwargs)
        except READ_ERRORS:
            self.found.enable()
            raise

    @contextmanager
    def open_reader(self) -> Iterator[Connection]:
        """Open a query-only connection for a thread of the caller.

        Each statement sees the latest commit: a long snapshot would keep the WAL from shrinking.
        """

        def connect() -> sqlite3.Connection:
            c = sqlite3.connect(make_existing_uri(self.path), uri=True, timeout=BUSY_SECONDS,
                                isolation_level=None, check_same_thread=False)  # fmt: skip
            c.execute("PRAGMA query_only=ON")
            return c

        engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
        try:
            with SqliteErrorTranslator(self.path), engine.connect() as c:
                yield c
        finally:
            engine.dispose()

    @property
    def has_large_write(self) -> bool:
        """True while a verb writes many tasks, in many transactions."""
        return self._large_writes > 0

    @contextmanager
    def announce_large_write(self) -> Iterator[None]:
        """Mark the block as a large write, so that other work can wait (`has_large_write`)."""
        self._large_writes += 1
        try:
            yield
        finally:
            self._large_writes -= 1

    def trim_later(self, seconds: float) -> None:
        """Give memory back to the system after a time, when a large answer has been sent.

        A later call replaces an earlier one.
        """
        if self._trim is not None:
            self._trim.cancel()
        self._trim = asyncio.get_running_loop().call_later(seconds, self._trim_memory)

    def _trim_memory(self) -> None:
        if self._thread is not None:
            self._thread.submit(self._shrink)

    def _shrink(self) -> None:
        """Empty the writer's page cache and trim the memory; runs on the writer thread."""
        with SqliteErrorTranslator(self.path), self._use_connection() as c:
            driver = cast(sqlite3.Connection, c.connection.driver_connection)
            driver.execute("PRAGMA shrink_memory")
        memory.trim_memory()

    async def run_on_index(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the search index's thread. Raise sqlite3.Error or OSError."""
        return await asyncio.get_running_loop().run_in_executor(
            self._indexing, partial(fn, *args, **kwargs)
        )

    async def _shield(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a read that completes even if its caller is cancelled.

        Closing an interrupted reader's connection would never return once its thread has ended.
        """
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for running operations, then close the file."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._trim is not None:
            self._trim.cancel()
        if self._thread is not None and self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, self._close_writer, self._writer
            )
            self._thread.shutdown()
        await greenlet_spawn(self._readers.dispose)
        self._indexing.shutdown()
        self.index.close()  # last, so that SQLite removes its WAL

    def _close_writer(self, writer: Engine) -> None:
        if self._connection is not None:
            self._connection.close()
        writer.dispose()


class WatchedRead(Generic[T]):
    """A read that is skipped while nothing was written since.

    An idle runtime would otherwise repeat it each second. Callers must not change the result.
    """

    def __init__(self, db: Database, fn: Callable[[Connection], T]) -> None:
        self._db, self._fn = db, fn
        self._last: tuple[int, T] | None = None

    async def read(self) -> T:
        """Return the result of the read, or the last one if it still holds."""
        changes = self._db.changes
        if self._last is None or self._last[0] != changes:
            self._last = changes, await self._db.read(self._fn)
        return self._last[1]


@asynccontextmanager
async def open_database(
    path: Path, *, writable: bool, make_uri: Callable[[Path], str] | None = None
) -> AsyncIterator[Database]:
    """Open the database at `path`, which exists and has the current version.

    `make_uri` makes the URI of the readers' connections. By default, a reader without a runtime
    opens the file read-only, so that a read never checkpoints or creates anything.
    """
    make_uri = make_uri or (make_existing_uri if writable else make_read_only_uri)
    attached_index = AttachedIndex(
        index_file.get_index_path(path), index_file.remove_mismatched(path) if writable else None
    )
    log = SlowLog()
    lock = WriteLock(path)
    db = Database(
        path,
        _create_read_engine(make_uri, path, attached_index, log),
        create_write_engine(path, log, lock) if writable else None,
        attached_index,
        log,
        lock,
    )
    try:
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def open_memory_database(fill: Callable[[Connection], None]) -> AsyncIterator[Database]:
    """Open a database in memory, filled by `fill`. Shows a home that was never used."""
    engine = create_engine("sqlite+aiosqlite://", poolclass=StaticPool)

    def make() -> None:
        with engine.begin() as c:
            schema.metadata.create_all(c)
            index_file.attach_empty(c.exec_driver_sql)
            fill(c)

    await greenlet_spawn(make)
    db = Database(Path(os.devnull), engine, None)
    try:
        yield db
    finally:
        await db.close()


def _identify_file(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, or None if it is missing."""
    try:
        attached_index = os.stat(path)
    except OSError:
        return None
    return attached_index.st_dev, attached_index.st_ino


def _create_read_engine(
    make_uri: Callable[[Path], str], path: Path, attached_index: AttachedIndex, log: SlowLog
) -> Engine:
    async def connect() -> aiosqlite.Connection:
        c = await aiosqlite.connect(
            make_uri(path),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            cached_statements=512,
            factory=log.make_connection,
        )
        await c.execute("PRAGMA query_only=ON")
        return c

    def set_caller(c: Connection) -> None:
        reader: Any = c.connection.driver_connection
        reader._conn.caller = statement_timer.current_caller.get()

    engine = create_engine(
        "sqlite+aiosqlite://",
        creator=lambda: engine.dialect.loaded_dbapi.connect(async_creator_fn=connect),
        poolclass=AsyncAdaptedQueuePool, pool_size=READER_COUNT, max_overflow=0,
    )  # fmt: skip
    event.listen(engine, "begin", set_caller)
    event.listen(engine, "begin", attached_index.attach_current)
    event.listen(engine, "begin", lambda c: raw_sql.execute_statement(c, "BEGIN"))
    return engine


def _set_error(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def _set_result(answer: asyncio.Future[T], result: T, wakes: Sequence[Callable[[], None]]) -> None:
    """Send the wake-ups, then complete an answer, unless its caller was cancelled.

    The dispatcher then begins its round before the caller encodes the answer.
    """
    for wake in wakes:
        wake()
    if not answer.done():
        answer.set_result(result)


class SqliteErrorTranslator:
    """Context manager that turns driver errors into problems with a hint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, raw_sql.DRIVER_ERRORS) and (
            problem := translate_error(cause, self.path)
        ):
            raise problem from error
