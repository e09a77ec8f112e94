"""Jobs of task-spooler, as the tasks that they become.

The server knows a command only as text, its words joined by blanks. The client of a queued job
waits as a process, which still has the words, the directory and the variables.
"""

from __future__ import annotations

import getopt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.core.imports.items import PeerItem, PeerPhase, clean_name
from app.core.schedules.crontab_names import make_name
from app.core.shell_context import leave_out_session
from app.translation import tr, tr_noop

OPTIONS = "+VhKgClnfmBEr:t:c:o:p:w:k:u:s:U:i:N:L:dS:D:"
"""Options of tsp 1.0, for getopt."""
_SUBMITTING = frozenset("gnfmBENLdD")
_ROW = re.compile(r"(\d{1,9}) +(queued|running|finished|skipped|holding_client)\b")
_DEPENDENCY = re.compile(r"\[(\d{1,9}(?:,\d{1,9})*)\]&& ")
_EXIT = re.compile(r"Exit status: died with exit code (-?\d+)\n")
_PHASES = {
    "queued": PeerPhase.WAITING, "holding_client": PeerPhase.WAITING,
    "running": PeerPhase.ACTIVE, "finished": PeerPhase.ENDED, "skipped": PeerPhase.ENDED,
}  # fmt: skip
_LOSSES = {
    "g": tr_noop("-g: the log is not compressed"),
    "m": tr_noop("-m: the output is not mailed; for a message: submit --notify"),
    "n": tr_noop("-n: the output is kept, as the log of the task"),
}


@dataclass(slots=True)
class SpoolerClient:
    """Process that waits until its job may start."""

    pid: int
    started: int
    """Start time in ticks since boot, which tells apart processes with the same pid."""
    argv: list[str]
    """Words of the command."""
    options: list[tuple[str, str]]
    cwd: str = "/"
    umask: int = 0o022
    env: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def text(self) -> str:
        """Command as the server has it."""
        return " ".join(self.argv)

    @property
    def has_parent(self) -> bool:
        """True if the job waits for another one."""
        return self.get_option("d") is not None or self.get_option("D") is not None

    def get_option(self, letter: str) -> str | None:
        """Return the value of an option: "" if it takes none, None if it is not given."""
        return next((value for name, value in reversed(self.options) if name == f"-{letter}"), None)


@dataclass(slots=True)
class SpoolerJob:
    """A job, as the server describes it."""

    id: int
    state: str
    command: str
    """Command, behind the number of the job that it waits for."""
    slots: int
    created: float
    exit_code: int | None = None
    client: SpoolerClient | None = None


def parse_command_line(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]] | None:
    """Return options and command of a call of tsp that submits a job, None for another call."""
    try:
        options, argv = getopt.getopt(list(words), OPTIONS.removeprefix("+"))
    except getopt.GetoptError:
        return None
    is_job = bool(argv) and all(name[1:] in _SUBMITTING for name, _ in options)
    return (options, argv) if is_job else None


def list_numbers(text: str) -> list[int]:
    """Return the numbers in a list of jobs. A command with line breaks may add wrong ones."""
    rows = (_ROW.match(line) for line in text.split("\n"))
    return list(dict.fromkeys(int(row[1]) for row in rows if row))


def parse_job(number: int, state: str, text: str) -> SpoolerJob | None:
    """Return a job from the output of `tsp -i`, None if the output describes none."""
    end = _EXIT.match(text)
    head, found, tail = text.rpartition("\nSlots required: ")
    _, begun, command = head.partition("Command: ")
    if not found or not begun:
        return None
    slots, _, more = tail.partition("\nEnqueue time: ")
    try:
        created = datetime.strptime(more.partition("\n")[0], "%a %b %d %H:%M:%S %Y").timestamp()
        return SpoolerJob(number, state, command, int(slots), created, end and int(end[1]))
    except (ValueError, OverflowError):
        return None


def assign_clients(jobs: Iterable[SpoolerJob], clients: Iterable[SpoolerClient]) -> None:
    """Give each job its client. Jobs with equal text get their clients in the order of start."""
    by_text: dict[tuple[bool, str], list[SpoolerClient]] = {}
    for client in sorted(clients, key=lambda client: (client.started, client.pid)):
        by_text.setdefault((client.has_parent, client.text), []).append(client)
    wanted: dict[tuple[bool, str], list[SpoolerJob]] = {}
    for job in sorted(jobs, key=lambda job: job.id):
        if _PHASES.get(job.state) in (PeerPhase.WAITING, PeerPhase.ACTIVE):
            key = True, _DEPENDENCY.sub("", job.command, count=1)
            if not _DEPENDENCY.match(job.command) or key not in by_text:
                key = False, job.command
            wanted.setdefault(key, []).append(job)
    for key, some in wanted.items():
        found = by_text.get(key, [])
        if len(found) == len(some):
            for job, client in zip(some, found, strict=True):
                job.client = client


def make_item(job: SpoolerJob, queue: str) -> PeerItem:
    """Return what a job becomes."""
    client = job.client
    has_parent = client is None or client.has_parent
    dependency = _DEPENDENCY.match(job.command) if has_parent else None
    item = PeerItem(
        id=job.id,
        created=job.created,
        command=job.command[dependency.end() :] if dependency else job.command,
        status=job.state if job.exit_code is None else f"{job.state} {job.exit_code}",
        phase=_PHASES.get(job.state, PeerPhase.ACTIVE),
        is_done=job.state == "finished" and job.exit_code == 0,
        never_ran=job.state == "skipped",
        queue=queue,
        parents=tuple(map(int, dependency[1].split(","))) if dependency else (),
        handle=client,
    )
    if item.phase is PeerPhase.WAITING:
        _set_task(item, job)
    return item


def _set_task(item: PeerItem, job: SpoolerJob) -> None:
    client = job.client
    if client is None:
        item.obstacle = tr("its client, which has the exact words, is not found")
        return
    if client.get_option("f") is not None:
        item.obstacle = tr("somebody waits for its end (-f)")
    item.cwd, item.umask, item.env = client.cwd, client.umask, leave_out_session(client.env)
    label = client.get_option("L")
    item.task = {"argv": client.argv, "name": clean_name(label) or make_name(client.text)}
    if client.get_option("E") is not None:
        item.task["split"] = True
    if job.slots > 1:
        item.task["cpu"] = job.slots
        item.losses.append(
            tr("-N: the slots become cores of the pool, not of the queue's capacity")
        )
    if label and clean_name(label) != label:
        item.losses.append(tr("the label has characters that a name cannot have"))
    item.losses += [
        tr(text) for letter, text in _LOSSES.items() if client.get_option(letter) is not None
    ]
    if client.env.get("TS_ONFINISH"):
        item.losses.append(tr("TS_ONFINISH is not called"))
