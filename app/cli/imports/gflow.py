"""Gflow: its daemon, asked over HTTP on this machine, and its commands `gjob` and `gcancel`.

`gcancel` would end a running job, too. So a job is put on hold first, which gflow refuses once the
job runs.
"""

from __future__ import annotations

import getpass
import http.client
import os
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from app.cli.imports.journal import BEGAN, TAKEN, ImportJournal, JournalEntry
from app.cli.imports.programs import describe_failure, run_program
from app.cli.imports.take_over import withdraw_each
from app.core.imports import gflow_jobs
from app.core.imports.items import PeerItem, PeerQueue, PeerState
from app.core.json_types import is_dict
from app.core.shell_context import read_environment
from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Problem, Usage
from app.paths import open_regular

PACKAGE = "runqd"
PORT = 59000
TIMEOUT = 30.0
"""Seconds until the daemon must have answered."""
MAX_BYTES = 64 * 1024 * 1024
_LOCAL_HOSTS = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "127.0.0.1": "127.0.0.1"}
_LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp."""


class Gflow:
    """Daemon of gflow that this user runs on this machine."""

    name = "gflow"

    def __init__(self) -> None:
        self.host, self.port = _read_address()
        self.source = f"http://{self.host}:{self.port}"

    def read(self) -> PeerState:
        self._check_owner()
        user = _get_user()
        items = gflow_jobs.parse_jobs(self._fetch("/jobs"), user, read_environment())
        queue = PeerQueue(name=gflow_jobs.QUEUE, origin=self.source)
        return PeerState(source=self.source, queues=[queue], items=items)

    def prepare(self) -> None:
        for program in ("gjob", "gcancel"):
            if shutil.which(program) is None:
                raise NotFound(
                    "there is no program {program} in PATH, of the package {package}."
                    " Nothing was changed.",
                    program=program,
                    package=PACKAGE,
                )

    def recover(self) -> None:
        """Do nothing: a job that an import has put on hold is found as such."""

    def withdraw(
        self, items: Sequence[PeerItem], journal: ImportJournal
    ) -> Iterator[tuple[PeerItem, str]]:
        return withdraw_each(items, self._withdraw)

    def has_given_up(self, entry: JournalEntry, proof: str | None) -> bool:
        return False  # gflow keeps cancelled jobs, so this one is of another daemon

    def _withdraw(self, item: PeerItem) -> str:
        _run("gjob", "hold", str(item.id))
        found = self._read_job(item)
        if found.status == "Hold":
            done = _run("gcancel", str(item.id))
            found = self._read_job(item)
            if found.status == "Hold":
                raise Problem(
                    "gcancel {number}: {why}. Repeat the import.",
                    number=item.id,
                    why=describe_failure(done),
                )
            return TAKEN if found.status == "Cancelled" else BEGAN
        return TAKEN if found.never_ran else BEGAN

    def _read_job(self, item: PeerItem) -> PeerItem:
        answer = self._fetch(f"/jobs/{item.id}")
        found = gflow_jobs.parse_jobs(b"[" + answer + b"]", _get_user(), {})[0]
        if found.key != item.key:
            raise Problem("another gflow answers now. Repeat the import.")
        return found

    def _fetch(self, path: str) -> bytes:
        line = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            data = answer.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException):
            raise NotFound(
                "no daemon of gflow answers at {address}. Nothing was changed.",
                "Start it: gflowd up",
                address=self.source,
            ) from None
        finally:
            line.close()
        if answer.status != http.client.OK or len(data) > MAX_BYTES:
            raise Usage(
                "the daemon of gflow answers {path} with {status} and {size} bytes.",
                path=path,
                status=answer.status,
                size=len(data),
            )
        return data

    def _check_owner(self) -> None:
        """Raise Usage if another user listens there: its jobs would run as this user."""
        owners = set(_list_owners(self.port))
        if owners and owners != {os.geteuid()}:
            raise Usage(
                "another user answers at {address}. Nothing was changed.", address=self.source
            )


def _run(*command: str) -> Any:
    return run_program(command, {}, PACKAGE)


def _get_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _read_address() -> tuple[str, int]:
    """Return host and port of the daemon by the settings of gflow. Raise Usage."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = os.path.join(config, "gflow", "gflow.toml")
    try:
        with open_regular(os.path.realpath(path)) as file:
            found = tomllib.loads(file.read(1024 * 1024).decode())
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError):
        raise Usage(
            "{file} cannot be read. Nothing was changed.", file=truncate(sanitize(path), 200)
        ) from None
    daemon = found.get("daemon")
    values: dict[str, Any] = daemon if is_dict(daemon) else {}
    host, port = values.get("host", "localhost"), values.get("port", PORT)
    if host not in _LOCAL_HOSTS or not isinstance(port, int) or not 0 < port < 65536:
        raise Usage(
            "gflow is not on this machine: {file} names {host}. Nothing was changed.",
            file=truncate(sanitize(path), 200),
            host=truncate(sanitize(f"{host}:{port}"), 80),
        )
    return _LOCAL_HOSTS[host], port


def _list_owners(port: int) -> Iterator[int]:
    """Yield the users that listen on a TCP port of this machine."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        for row in rows:
            if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port:
                yield int(row[7])
