"""Keeper, which starts, signals and stops runs for the runtime.

A run without a living supervisor cannot be waited for: its process is checked each second, and the
run ends as `lost`.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time

from app.keeper.agenda import EARLY, Agenda
from app.keeper.cgroups import CgroupError
from app.keeper.companion import start_companion
from app.keeper.launch import Streams, delete_empty_log, open_log, start_program
from app.keeper.log import describe_error, describe_fork_error
from app.keeper.marks import read_mark
from app.keeper.members import find_members
from app.keeper.own_process import read_own_peak, trim_memory
from app.keeper.processes import is_caught, read_boot_time, read_process, read_tree_peak
from app.keeper.programs import StartError, format_bytes
from app.keeper.requests import SpawnRequest, parse_run_id, parse_seconds
from app.keeper.run import Run, make_ended_event, make_started_event
from app.keeper.server import Server
from app.keeper.shared_state import SharedState
from app.keeper.signals import send_signal
from app.keeper.stops import Stops
from app.keeper.system_calls import EndedChild
from app.keeper.wire import JsonSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

IDLE_TIMEOUT = 60.0
# seconds between memory samples of a job smaller than the keeper
FIRST_SAMPLE, MAX_SAMPLE_PAUSE = 0.01, 300.0
TRIM_GROWTH = 2048  # KiB of growth after which the keeper frees memory
NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)


class Keeper(Server):
    """The server of the runtime: starts and stops runs."""

    knows_stops = True

    def __init__(self, shared: SharedState, link: JsonSocket, guard: int) -> None:
        super().__init__(shared, link, guard)
        self.cgroups = shared.cgroups
        # living runs that are not our children: the guard's, and orphans
        self.non_children: dict[str, Run] = {}
        self.orphans: dict[str, Run] = {}  # runs of dead supervisors
        self.agenda = Agenda(self.journal, self.count_living)
        self.signals: list[tuple[Run, int]] = []
        self.stops = Stops(self.journal, guard, self.report)
        self.idle_since = time.monotonic()
        self.trim_above = 0
        self.supervise_all()
        self.listen(shared.listener.fileno(), self.accept)

    # -- lifecycle

    def run(self) -> bool:
        """Run until the guard is dead.

        With nothing left to supervise, the process exits by itself.
        """
        while not self.is_finished:
            self.step()
        return False

    def supervise_all(self) -> None:
        """Supervise all known runs."""
        guards, self.shared_state.own_runs = set(self.shared_state.own_runs), {}
        self.shared_state.strangers = {}
        for run in list(self.journal.runs.values()):
            if run.is_alive:
                self.non_children[run.id] = run
                if run.cgroup:
                    run.cgroup.limit_again()
                if run.pid not in guards:
                    self.watch_orphan(run)
        self.check_orphans()
        for run in self.journal.runs.values():
            if run.is_alive:
                self.agenda.plan_deadline(run)
        for path in self.cgroups.list_unknown(set(self.journal.runs)):
            self.cgroups.remove(path)
        self.stops.resume()

    def watch_orphan(self, run: Run) -> None:
        """Watch a run without a supervising parent, or mark it lost."""
        if run.segments[0].boot != self.journal.boot:
            return self.record_lost(run, run.make_lost_elsewhere_record())
        self.orphans[run.id] = run

    def check_orphans(self) -> None:
        """Mark orphaned runs as lost when their leader is gone."""
        for run in list(self.orphans.values()):
            leader = read_process(run.pid)
            if not leader or leader.dead or leader.ticks != run.ticks:
                del self.orphans[run.id]
                self.record_lost(run, run.make_lost_record("supervisors killed"))

    def record_lost(self, run: Run, record: dict[str, Any]) -> None:
        """Record that the outcome of a run is unknown. What it left in its cgroup ends, too."""
        if run.is_alive:
            if run.cgroup:
                record |= run.cgroup.end(kills="s" not in run.records)
            self.journal.record_fact_if_possible(run, "e", record)
            self.on_end(run)

    def on_link(self) -> None:
        """Handle exits reported by the guard, or its death."""
        for text in self.link.receive():
            record = json.loads(text)
            run = self.journal.runs.get(record["e"])
            if run and run.is_alive:
                run.leftover_count = record.pop("left")
                run.add_record("e", record)
                self.on_end(run)
        self.is_finished = not self.link.open

    def on_end(self, run: Run) -> None:
        """Report an ended run; during a stop, only when its whole tree is gone."""
        self.non_children.pop(run.id, None)
        if run.id in self.stops.runs:
            self.stops.schedule_sweep()
        else:
            self.report(run)

    def reap_stranger(self, child: EndedChild) -> bool:
        """Reap a stranger, which may belong to a stopping tree."""
        if self.stops.runs:
            self.stops.note_stranger(read_mark(child.pid))
        return super().reap_stranger(child)

    def is_idle(self) -> bool:
        """Return whether nothing is left to supervise."""
        return not (self.shared_state.own_runs or self.non_children or self.stops.runs)

    def exit_if_unused(self) -> None:
        """Exit, and the guard with us, unless a client is connecting."""
        if not any(fd == self.shared_state.listener.fileno() for fd, _ in self.poll.poll(0)):
            self.journal.close()
            os._exit(0)

    # -- time

    def list_due_times(self) -> list[float | None]:
        """Return the monotonic times at which something is due.

        Suspend of the machine is noticed within a minute.
        """
        now, more = time.monotonic(), super().list_due_times() + [self.stops.sweep_at]
        more.append(self.cgroups.retry_at)
        if self.agenda.timers:
            more.append(now + min(IDLE_TIMEOUT, self.agenda.timers[0][0] - read_boot_time()))
        if self.orphans:
            more.append(now + 1)
        if not self.clients and self.is_idle():
            more.append(self.idle_since + IDLE_TIMEOUT)
        return more

    def do_due(self) -> None:
        """Handle deadlines, samples, signals, stops, and the exit of an idle keeper."""
        super().do_due()
        self.process_agenda()
        self.check_orphans()
        self.send_signals()
        self.cgroups.retry_removals()
        now = time.monotonic()
        if self.stops.sweep_at is not None and now >= self.stops.sweep_at:
            self.stops.sweep_stops()
        if self.clients or not self.is_idle():
            self.idle_since = now
        elif now >= self.idle_since + IDLE_TIMEOUT:
            self.exit_if_unused()

    def count_living(self) -> int:
        """Return the number of living runs."""
        return len(self.shared_state.own_runs) + len(self.non_children)

    def process_agenda(self) -> None:
        """Stop overdue runs, send early signals and take due memory samples."""
        for run, pause in self.agenda.take_due():
            if pause == EARLY:
                self.send_early(run)
            elif pause:
                self.sample_memory(run, pause)
            elif "s" not in run.records:
                self.stops.begin_stop(run, "timeout", run.records["i"]["grace"])
                self.send_event({"is": "stopping", "run": run.id, "reason": "timeout"})

    def send_early(self, run: Run) -> None:
        """Send the signal before the deadline, unless it was sent or the run is stopping.

        Only processes that handle the signal get it: it would end a shell around the program.
        The record comes first, so that a keeper that takes over does not send it again.
        """
        if run.early_at is not None and "s" not in run.records:
            self.journal.record_fact_if_possible(run, "w", {"w": run.id, "at": time.time()})
            number, tree = run.records["i"]["early"][0], find_members([run]).get(run.id, {})
            send_signal({pid: at for pid, at in tree.items() if is_caught(pid, number)}, number)

    def sample_memory(self, run: Run, pause: float) -> None:
        """Sample a run's memory until the kernel's own figure is usable."""
        run.sampled_peak = max(run.sampled_peak, read_tree_peak(run.pid))
        if run.sampled_peak <= run.inherited_peak:
            pause = min(2 * pause, MAX_SAMPLE_PAUSE)
            self.agenda.plan(read_boot_time() + pause, run, pause)

    def make_state_event(self, run: Run) -> dict[str, Any]:
        """Return the event with the state of a run."""
        if "r" in run.records:
            return {"is": "refused", "run": run.id}
        return (
            make_ended_event(run)
            if "e" in run.records and run.id not in self.stops.runs
            else make_started_event(run)
        )

    # -- requests

    def do_request(self, ask: dict[str, Any]) -> None:
        """Do what the client asks for. Raise KeyError if the request is unknown."""
        REQUESTS[ask["do"]](self, ask)

    def on_spawn(self, ask: dict[str, Any]) -> None:
        """Start an unknown run; report the state of a known one."""
        launch = SpawnRequest(ask)
        if known := self.journal.runs.get(launch.run):
            return self.report(known)
        if launch.limits and (why := self.cgroups.find_lack(launch.limits)):
            return self.report_failure(launch.run, "no-cgroup", why)
        try:
            log = open_log(launch.log)
        except (OSError, ValueError) as error:
            return self.handle_log_error(launch, error)
        streams = {1: log, 2: log}
        try:
            if launch.companion is not None:
                streams |= start_companion(launch.companion, log, launch.input, launch.errors)
            self.start_run(launch, streams)
        except OSError as error:  # of the companion
            self.report_failure(launch.run, "no-process", describe_fork_error(error))
        finally:
            if launch.run not in self.journal.runs:
                delete_empty_log(launch.log, log)
            for fd in {log, *streams.values()}:
                os.close(fd)

    def handle_log_error(self, launch: SpawnRequest, error: Exception) -> None:
        """Handle a log that cannot be opened.

        A full disk can be waited for; any other error ends the run.
        """
        reason = f"cannot write log {format_bytes(launch.log)}: {describe_error(error)}"
        if getattr(error, "errno", None) in NO_SPACE_ERRNOS:
            self.report_failure(launch.run, "no-space", reason)
        elif run := self.record_intent(launch):
            self.record_failed_start(run, StartError(126, reason))

    def record_intent(self, launch: SpawnRequest) -> Run | None:
        """Record the intent to start a run, or return None.

        Without a guard nothing starts: the run would have only one supervisor. The time of the
        intent is taken before the guard is checked. A run whose guard dies in between therefore
        began before the death of the guard.
        """
        limits = launch.limits
        intent = launch.make_intent(limits and self.cgroups.make_record(launch.run, limits))
        if os.getppid() != self.guard:
            self.is_finished = True
            return None
        try:
            return self.journal.record_intent(intent)
        except OSError as error:
            self.report_failure(
                launch.run, "no-space", f"cannot write the journal: {describe_error(error)}"
            )
            return None

    def start_run(self, launch: SpawnRequest, streams: Streams) -> None:
        """Record the intent, start the program, and record the pid."""
        if not (run := self.record_intent(launch)):
            return
        if read_own_peak() > self.trim_above:
            trim_memory()
            self.trim_above = read_own_peak() + TRIM_GROWTH
        try:
            pid = start_program(launch, streams, run.cgroup)
        except StartError as why:
            return self.record_failed_start(run, why)
        except CgroupError as why:
            self.journal.revoke_intent(run)
            return self.report_failure(run.id, "no-cgroup", str(why))
        except OSError as error:
            self.journal.revoke_intent(run)
            return self.report_failure(run.id, "no-process", describe_fork_error(error))
        self.record_start(run, pid)

    def record_start(self, run: Run, pid: int) -> None:
        """Record the pid with its start time, and report the start."""
        found = read_process(pid)
        if found:
            self.journal.record_fact_if_possible(run, "p", run.make_pid_record(found))
            self.agenda.plan(read_boot_time() + FIRST_SAMPLE, run, FIRST_SAMPLE)
        self.shared_state.own_runs[pid] = run
        self.agenda.plan_deadline(run)
        self.report(run)

    def record_failed_start(self, run: Run, why: StartError) -> None:
        """Record the end of a run that could not be started."""
        self.journal.record_fact_if_possible(
            run, "e", run.make_exit_record(code=why.code, reason=why.reason)
        )
        self.report(run)

    def on_stop(self, ask: dict[str, Any]) -> None:
        """Stop a run; report the state of an ended one."""
        reason, grace = str(ask["reason"]), parse_seconds(ask["grace"])
        run = self.journal.runs.get(parse_run_id(ask))
        if not run:
            self.report_failure(parse_run_id(ask), "unknown-run", "no such run")
        elif run.is_alive or run.id in self.stops.runs:
            self.stops.begin_stop(run, reason, grace)
        else:
            self.report(run)

    def on_signal(self, ask: dict[str, Any]) -> None:
        """Send a signal to all processes of a run."""
        number, run = int(ask["signal"]), self.journal.runs.get(parse_run_id(ask))
        if run and run.is_alive and 0 < number < signal.NSIG:
            self.signals.append((run, number))

    def on_early(self, ask: dict[str, Any]) -> None:
        """Send the signal before the deadline now, once: the runtime has shortened the limit."""
        if run := self.journal.find_living(parse_run_id(ask)):
            self.send_early(run)

    def send_signals(self) -> None:
        """Send the requested signals in order, with one search of the processes."""
        requests, self.signals = self.signals, []
        found = find_members(run for run, _ in requests) if requests else {}
        for run, number in requests:
            send_signal(found.get(run.id, {}), number)

    def on_refuse(self, ask: dict[str, Any]) -> None:
        """Refuse an unknown run for good; report the state of a known one."""
        name = parse_run_id(ask)
        try:
            self.report(self.journal.runs.get(name) or self.journal.record_refusal(name))
        except OSError as error:
            self.report_failure(
                name, "no-space", f"cannot write the journal: {describe_error(error)}"
            )

    def on_forget(self, ask: dict[str, Any]) -> None:
        """Forget runs whose end the runtime has stored."""
        dropped = self.journal.forget_runs(
            [str(run) for run in ask["runs"] if run not in self.stops.runs]
        )
        for run in dropped:
            if (cgroup := run.cgroup) and not cgroup.remove():
                cgroup.kill()  # what a run of the guard left
                self.cgroups.remove(cgroup.path)
        shared = [run.id for run in dropped if run.is_known_to_guard]
        if shared:
            self.link.send({"f": shared})

    def on_bye(self, ask: dict[str, Any]) -> None:
        """Handle the end of the runtime. Exit if nothing is left to supervise.

        The runtime sees the exit as the end of the connection: if that came before, a runtime that
        connects at once would keep the keeper.
        """
        if self.is_idle():
            self.exit_if_unused()
        if self.client:
            self.close_client(self.client)


REQUESTS: dict[str, Callable[[Keeper, dict[str, Any]], None]] = {
    "spawn": Keeper.on_spawn,
    "stop": Keeper.on_stop,
    "signal": Keeper.on_signal,
    "early": Keeper.on_early,
    "refuse": Keeper.on_refuse,
    "forget": Keeper.on_forget,
    "bye": Keeper.on_bye,
}
