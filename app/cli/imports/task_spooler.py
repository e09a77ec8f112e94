"""Task-spooler: its server, asked by `tsp`, and the clients of its queued jobs.

`tsp -r` removes a job that has ended, too. So the client is stopped while its job is removed: a
stopped client can neither start nor end the job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from app.cli.imports.journal import BEGAN, TAKEN, ImportJournal, JournalEntry
from app.cli.imports.programs import describe_failure, run_program
from app.cli.imports.take_over import withdraw_each
from app.core.imports import spooler_jobs
from app.core.imports.items import PeerItem, PeerQueue, PeerState, clean_name
from app.core.imports.spooler_jobs import SpoolerClient, SpoolerJob
from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Problem, Usage

PROGRAM = "tsp"
CLIENT_TIMEOUT = 10.0
"""Seconds until a client must have stopped, or have started its command."""


class TaskSpooler:
    """Server of task-spooler on the socket of TS_SOCKET, or the usual one."""

    name = "task-spooler"

    def __init__(self) -> None:
        self.path = _find_socket(os.environ)

    def read(self) -> PeerState:
        self._check_server()
        slots = self._ask("-S").strip()
        jobs = [job for job in map(self._read_job, self._list_numbers()) if job is not None]
        spooler_jobs.assign_clients(jobs, self._list_clients())
        for job in jobs:
            if job.state == "running" and job.client is not None:
                job.state = self._find_state(job.id, job.client)
        usual = self.path == _find_socket({})
        stem = os.path.splitext(os.path.basename(self.path))[0]
        queue = self.name if usual else clean_name(f"{self.name}-{stem}") or self.name
        return PeerState(
            source=self.path,
            queues=[
                PeerQueue(
                    name=queue,
                    origin=f"-S {slots}",
                    capacity=min(int(slots), 100_000) if slots.isdigit() else 1,
                )
            ],
            items=[spooler_jobs.make_item(job, queue) for job in jobs],
        )

    def prepare(self) -> None:
        """Do nothing: a running server removes jobs."""

    def recover(self) -> None:
        """Continue clients that an import, killed meanwhile, has left stopped."""
        for client in self._list_clients():
            _send(client, signal.SIGCONT)

    def withdraw(
        self, items: Sequence[PeerItem], journal: ImportJournal
    ) -> Iterator[tuple[PeerItem, str]]:
        return withdraw_each(items, lambda item: self._withdraw(item, journal))

    def has_given_up(self, entry: JournalEntry, proof: str | None) -> bool:
        return proof == entry.key  # nothing else ended the job, since its client was stopped

    def _withdraw(self, item: PeerItem, journal: ImportJournal) -> str:
        client: SpoolerClient = item.handle
        if _send(client, signal.SIGSTOP):
            try:
                _wait_until_stopped(client)
                if self._get_state(item.id) == "queued":
                    journal.set_proof(item.key)
                    if self._run("-r", str(item.id)).returncode == 0:
                        return TAKEN
            finally:
                _send(client, signal.SIGCONT)
        return TAKEN if self._find_state(item.id, client) == "skipped" else BEGAN

    def _get_state(self, number: int) -> str:
        return os.fsdecode(self._run("-s", str(number)).stdout).strip()

    def _find_state(self, number: int, client: SpoolerClient) -> str:
        """Return the state of a job once its client has started or skipped the command.

        A job whose parent was removed is `running` until its client has heard that it is skipped.
        """
        end = time.monotonic() + CLIENT_TIMEOUT
        while (state := self._get_state(number)) == "running" and time.monotonic() < end:
            if _has_child(client):
                break
            time.sleep(0.005)
        return state

    def _check_server(self) -> None:
        """Raise NotFound if no server of this user answers; `tsp` itself would start one."""
        shown = truncate(sanitize(self.path), 200)
        try:
            found = os.stat(self.path)
            if stat.S_ISSOCK(found.st_mode) and found.st_uid != os.geteuid():
                raise Usage("{file} belongs to another user. Nothing was changed.", file=shown)
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(self.path)
        except (OSError, ValueError):
            raise NotFound(
                "no server of task-spooler answers at {file}, so nothing waits there."
                " Nothing was changed.",
                "For another server: TS_SOCKET=PATH taskdeck import task-spooler",
                file=shown,
            ) from None

    def _list_numbers(self) -> list[int]:
        return spooler_jobs.list_numbers(self._ask("-l"))

    def _read_job(self, number: int) -> SpoolerJob | None:
        state = self._get_state(number)
        facts = self._run("-i", str(number))
        if facts.returncode:
            return None
        return spooler_jobs.parse_job(number, state, os.fsdecode(facts.stdout))

    def _ask(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode:
            raise Problem(
                "tsp {words}: {why}. Repeat the import.",
                words=" ".join(words),
                why=describe_failure(done),
            )
        return os.fsdecode(done.stdout)

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return run_program([PROGRAM, *words], {"TS_SOCKET": self.path}, "task-spooler")

    def _list_clients(self) -> list[SpoolerClient]:
        """Return the processes of this user that wait for jobs of this server."""
        server = _find_listener(self.path)
        found = (_read_client(int(name)) for name in os.listdir("/proc") if name.isdigit())
        return [
            client
            for client in found
            if client is not None
            and _find_socket(client.env) == self.path
            and not _holds_socket(client.pid, server)
        ]


def _find_socket(env: Mapping[str, str]) -> str:
    """Return the socket of tsp with these variables."""
    folder = env.get("TMPDIR") or "/tmp"
    return env.get("TS_SOCKET") or os.path.join(folder, f"socket-ts.{os.getuid()}")


def _read_client(pid: int) -> SpoolerClient | None:
    """Return the client of a job, None for any other process."""
    folder = f"/proc/{pid}"
    try:
        if os.stat(folder).st_uid != os.geteuid() or _read(f"{folder}/comm").strip() != PROGRAM:
            return None
        words = _read(f"{folder}/cmdline").removesuffix("\0").split("\0")
        parsed = spooler_jobs.parse_command_line(words[1:])
        if parsed is None:
            return None
        pairs = (word.partition("=") for word in _read(f"{folder}/environ").split("\0"))
        return SpoolerClient(
            pid,
            _read_start(pid),
            parsed[1],
            parsed[0],
            os.readlink(f"{folder}/cwd"),
            _read_umask(pid),
            {name: value for name, equals, value in pairs if name and equals},
        )
    except (OSError, ValueError, IndexError):  # the process has ended
        return None


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return os.fsdecode(file.read())


def _read_fields(pid: int) -> list[str]:
    """Return the fields of a process from its state on."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read_start(pid: int) -> int:
    return int(_read_fields(pid)[19])


def _read_umask(pid: int) -> int:
    lines = _read(f"/proc/{pid}/status").splitlines()
    line = next((line for line in lines if line.startswith("Umask:")), "Umask: 0022")
    return int(line.split()[1], 8)


def _find_listener(path: str) -> str | None:
    """Return the inode of the socket on which the server listens."""
    for line in _read("/proc/net/unix").splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7] == path and fields[3] == "00010000":
            return fields[6]
    return None


def _holds_socket(pid: int, inode: str | None) -> bool:
    """Return True for the server, whose command line is that of the call which started it."""
    with contextlib.suppress(OSError):
        folder = f"/proc/{pid}/fd"
        return any(
            os.readlink(f"{folder}/{name}") == f"socket:[{inode}]" for name in os.listdir(folder)
        )
    return False


def _send(client: SpoolerClient, number: signal.Signals) -> bool:
    """Send a signal to a client; return False if it has ended."""
    try:
        fd = os.pidfd_open(client.pid)
    except OSError:
        return False
    try:
        if _read_start(client.pid) != client.started:
            return False
        signal.pidfd_send_signal(fd, number)
    except (OSError, ValueError, IndexError):
        return False
    finally:
        os.close(fd)
    return True


def _has_child(client: SpoolerClient) -> bool:
    with contextlib.suppress(OSError):
        return bool(_read(f"/proc/{client.pid}/task/{client.pid}/children").strip())
    return False


def _wait_until_stopped(client: SpoolerClient) -> None:
    """Wait until a client has stopped or ended. Raise Problem if it does neither."""
    end = time.monotonic() + CLIENT_TIMEOUT
    while time.monotonic() < end:
        try:
            if _read_fields(client.pid)[0] in "TtZX":
                return
        except (OSError, IndexError):
            return
        time.sleep(0.001)
    raise Problem("the client of task-spooler, process {pid}, does not stop.", pid=client.pid)
