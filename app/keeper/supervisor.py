"""Base of guard and keeper: wait for children, record exits, and reap.

An exit is recorded before the process is reaped. If the record cannot be written, the zombie stays
and the write is tried again each second.
"""

from __future__ import annotations

import os
import select
import signal
import time

from app.keeper.log import describe_error, log_message
from app.keeper.members import find_members
from app.keeper.processes import Process, has_group, is_empty_session, list_processes, read_process
from app.keeper.run import Run
from app.keeper.shared_state import SharedState
from app.keeper.system_calls import EndedChild, find_ended_child
from app.keeper.wire import JsonSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Supervisor:
    """Base of guard and keeper: wait, record exits, and reap."""

    knows_stops = False
    """True for the role that may kill what a run leaves: a stop can still give it a grace."""

    def __init__(self, shared: SharedState, link: JsonSocket) -> None:
        self.shared_state, self.journal, self.link = shared, shared.journal, link
        self.is_finished = False
        self.table: dict[int, Process] = {}  # process table of the current reap
        self.retry_at: float | None = 0.0  # a child may have ended before we listened
        self.handlers: dict[int, Callable[[], None]] = {}
        self.blocked: set[int] = set()
        self.poll = select.epoll()
        self.wake, self.waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        self.listen(self.wake, self.on_wake)
        self.listen(link.sock.fileno(), self.on_link)

    def listen(self, fd: int, handler: Callable[[], None]) -> None:
        """Call a handler whenever a descriptor is readable."""
        self.handlers[fd] = handler
        self.poll.register(fd, select.EPOLLIN)

    def stop_listening(self, fd: int) -> None:
        """Stop listening to a descriptor."""
        del self.handlers[fd]
        self.blocked.discard(fd)
        self.poll.unregister(fd)

    def on_wake(self) -> None:
        """Drain the wake-up pipe after SIGCHLD."""
        os.read(self.wake, 4096)

    def step(self) -> None:
        """Wait for events and handle them."""
        for fd, _ in self.poll.poll(self.get_wait()):
            if handler := self.handlers.get(fd):
                handler()
        self.reap()
        self.do_due()
        self.flush()

    def get_wait(self) -> float:
        """Return the seconds until something is due, -1 for nothing."""
        times = [moment for moment in self.list_due_times() if moment is not None]
        return max(0.0, min(times) - time.monotonic()) if times else -1

    def list_due_times(self) -> list[float | None]:
        """Return the monotonic times at which something is due."""
        return [self.journal.sync_at, self.retry_at]

    def do_due(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self.journal.sync_at and now >= self.journal.sync_at:
            try:
                self.journal.sync_exits()
            except OSError as error:
                log_message(f"journal not synced: {describe_error(error)}")

    def flush(self) -> None:
        """Send queued messages."""
        self.flush_line(self.link)

    def flush_line(self, to: JsonSocket) -> None:
        """Send queued messages to one socket, and watch for writability if some are left."""
        if to.unsent:
            to.flush()
        fd = to.sock.fileno()
        if bool(to.unsent) != (fd in self.blocked):
            self.poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if to.unsent else 0))
            self.blocked ^= {fd}

    def reap(self) -> None:
        """Handle ended children one after another."""
        self.retry_at, self.table = None, {}
        while not self.is_finished and (child := find_ended_child()):
            run = self.shared_state.own_runs.get(child.pid)
            if not (self.record_exit_and_reap(run, child) if run else self.reap_stranger(child)):
                return

    def record_exit_and_reap(self, run: Run, child: EndedChild) -> bool:
        """Record an exit, reap the process, and report the end.

        Return False if the exit cannot be recorded now.
        """
        run.end_seen = run.end_seen or (time.time(), time.monotonic() - run.records["i"]["mono"])
        usage = {"cpu": child.cpu + run.cpu, "rss": max(run.estimate_peak(child), 1)}
        if cgroup := run.cgroup:
            usage |= cgroup.end(kills=self.knows_stops and "s" not in run.records)
        record = run.make_exit_record(
            code=child.code,
            signal=child.signal,
            at=run.end_seen[0],
            seconds=run.end_seen[1],
            **usage,
        )
        try:
            self.journal.record_fact(run, "e", record)
        except OSError as error:
            log_message(f"exit of {run.id} not written yet: {describe_error(error)}")
            self.retry_at = time.monotonic() + 1
            return False
        run.is_session_empty = "s" in run.records and self.has_empty_session(child.pid)
        os.waitpid(child.pid, 0)
        del self.shared_state.own_runs[child.pid]
        run.leftover_count = 0 if "s" in run.records or cgroup else self.count_left(run)
        self.on_end(run)
        return True

    def has_empty_session(self, pid: int) -> bool:
        """Return whether the session of a dead child has no other process.

        One process table serves all children that were dead by then.
        """
        if pid not in self.table or not self.table[pid].dead:
            self.table = list_processes()
        return is_empty_session(pid, self.table)

    def count_left(self, run: Run) -> int:
        """Count the processes that outlive a run.

        The process table is read only if there is a sign of one.
        """
        self.shared_state.find_strangers()
        if has_group(run.pid) or any(
            run.pid == session or run.id == cookie or (mark and run.mark == mark)
            for session, cookie, mark in self.shared_state.strangers.values()
        ):
            return len(find_members([run])[run.id])
        return 0

    def reap_stranger(self, child: EndedChild) -> bool:
        """Reap a child that is not a run. Its usage counts for the run of its session."""
        found = read_process(child.pid)
        run = self.shared_state.own_runs.get(found.session) if found else None
        if run:
            run.cpu, run.rss = run.cpu + child.cpu, max(run.rss, child.rss)
        os.waitpid(child.pid, 0)
        self.shared_state.strangers.pop(child.pid, None)
        return True

    def on_end(self, run: Run) -> None:
        """Report an ended run."""
        raise NotImplementedError

    def on_link(self) -> None:
        """Handle messages of the other process."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the resources of this role."""
        signal.set_wakeup_fd(-1)
        for fd in (self.wake, self.waker):
            os.close(fd)
        self.link.sock.close()
        self.poll.close()
