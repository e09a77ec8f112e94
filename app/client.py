"""Control-socket client of the runtime. Starts the runtime when none is running.

A submit must feel instant: nothing here imports the database, and rarely used modules load late.
Each message is one line of JSON. The server sends a greeting first, then for each request any
number of `note` lines and one `result` or `error`.
"""

from __future__ import annotations

import json
import os
import socket
import time

from app import paths, translation
from app.core.ids import make_uuid7
from app.core.shell_context import identify_terminal
from app.errors import Conflict, Problem, Remote, Stopped, Storage
from app.translation import tr
from app.version import PROTOCOL, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

READ_ONLY_VERBS = frozenset({
    "about", "alert.ls", "alert.show", "alert.silences", "away", "board", "board.at", "browse",
    "cancel.preview", "db.backups",
    "db.check", "db.replica.status",
    "db.slow", "db.stats", "db.verify", "definition.check", "definition.show", "doctor", "export",
    "forecast",
    "flow", "group.ls", "group.show", "group.tasks", "history", "instances", "limit.ls",
    "limit.show", "log", "logs",
    "ls", "notify.ls", "operations", "pool.ls", "pool.show", "queue.line", "queue.ls",
    "queue.show", "reserve.ls", "resource.ls", "review", "right_size", "schedule.ls",
    "schedule.preview_import",
    "schedule.show",
    "schedule.timeline",
    "show", "sla.checkins", "sla.history", "sla.ls",
    "sla.show", "sla.test", "status", "template.ls", "template.show", "usage", "why",
})  # fmt: skip
"""Verbs that change nothing. Without a runtime they are answered from the database."""

SUBMIT_VERBS = frozenset({"submit", "submit.lines"})
"""Verbs that carry the uuid of the new task, so a resend is the same submission."""

UNREPEATABLE_VERBS = frozenset({
    "apply", "db.repair", "definition.set", "front", "limit.rm", "limit.set", "notify.test",
    "pool.create", "pool.rm", "reserve.create", "reserve.rm", "queue.create",
    "queue.rm", "resource.rm", "resource.set", "retry", "rm", "schedule.backfill",
    "schedule.create", "schedule.import",
    "schedule.rm", "schedule.run", "schedule.skip_next", "send", "sla.create", "sla.forget_checkin",
    "sla.rm", "template.create",
    "template.rm", "undo",
})  # fmt: skip
"""Verbs whose effect or answer could differ when sent again after a lost answer."""

GREETING_TIMEOUT = 15.0
"""Seconds to wait for the greeting."""

MAX_ATTEMPTS = 5
STABLE_LIFETIME = 15.0
"""Seconds. If a runtime ends sooner after a request, the request counts as a failed attempt; a
later end is not blamed on the request."""


def make_stopped_error(home: str) -> Stopped:
    """Return the error for a home without a runtime, which names who stopped it."""
    from app import cluster

    mark = paths.read_stop_marker(home)
    why = (
        tr("the runtime was stopped by {who} at {time}", who=mark[0], time=mark[1])
        if mark
        else tr("no runtime is running")
    )
    return Stopped(f"{why}. Nothing was done.", cluster.advise_start(home))


class Client:
    """Client of the runtime of one home.

    Use a client from one thread at a time; only `close` may be called from any thread.
    """

    def __init__(
        self, home: Path | str, autostart: bool = True, source: str = "cli", origin: str = ""
    ) -> None:
        self.home = os.fspath(home)
        self.autostart = autostart
        self.origin = origin
        """Origin recorded in the operation log; the terminal if empty."""
        self.source = source
        """Source recorded in the operation log: cli or deck."""
        self.on_wait: Callable[[str], object] | None = None
        """Callback for each notice that a verb waits for the database. Without a callback the
        notice is a note, sent once."""
        self._connection: RuntimeConnection | None = None
        self._closed = False

    def call(
        self,
        verb: str,
        args: dict[str, Any] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> Any:
        """Send a verb and return its answer. Raise the Problem that the runtime reports."""
        args = dict(args or {})
        if verb in SUBMIT_VERBS:
            args.setdefault("uuid", make_uuid7())
        tries = 0
        while True:
            line = self._get_connection(
                reading=verb in READ_ONLY_VERBS or verb == "wait" and not self._can_start()
            )
            if line is None:
                from app.offline import read_only

                return read_only.read(self.home, verb, args)
            began = time.monotonic()
            try:
                return line.ask(
                    verb,
                    args,
                    note,
                    {
                        "source": self.source,
                        "origin": self.origin or identify_terminal(),
                        "language": translation.get_language(),
                    },
                    self.on_wait,
                )
            except (OSError, EOFError):
                self._drop_connection()
                lasted = time.monotonic() - began
                tries = 1 if lasted > STABLE_LIFETIME else tries + 1
                if tries == MAX_ATTEMPTS or self._closed or not _is_repeatable(verb, args):
                    raise _make_lost_answer_error(verb) from None
                if verb == "wait" and isinstance(args.get("timeout"), (int, float)):
                    args["timeout"] = max(0.0, args["timeout"] - lasted)

    def watch(self) -> Iterator[None]:
        """Yield once immediately, then per change and every two seconds.

        The iterator ends when the runtime does.
        """
        line = self._get_connection(reading=True)
        if line is None:
            return
        try:
            yield from line.iter_wakeups()
        except (OSError, EOFError):
            pass
        finally:
            self._drop_connection()

    def is_runtime_up(self) -> bool:
        """Return True if a runtime answers."""
        return self._get_connection(reading=True) is not None

    def start(self, resume: bool = False) -> None:
        """Start a runtime if none is running.

        Raise Stopped if the runtime was stopped on purpose, unless `resume` is set. `resume` also
        ends a drain. Any other Problem is the error of the failed start.
        """
        self._drop_connection()  # an open connection may belong to a dead runtime
        if self._get_connection(reading=True) is None:
            from app import runtime_launcher

            runtime_launcher.ensure_runtime(self.home, resume=resume)
        elif resume:
            self.call("start")

    def close(self) -> None:
        """Close the connection and end a `watch` in another thread."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def _get_connection(self, reading: bool) -> RuntimeConnection | None:
        """Return the connection, or None if `reading` works without a runtime."""
        if self._connection is None:
            self._connection = connect(self.home)
        if self._connection is None and not reading:
            if not self.autostart:
                raise make_stopped_error(self.home)
            self.start()
            self._connection = connect(self.home)
            if self._connection is None:
                raise _make_lost_answer_error("start")
        return self._connection

    def _can_start(self) -> bool:
        return self.autostart and paths.read_stop_marker(self.home) is None

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class RuntimeConnection:
    """Connection to the control socket after the greeting."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")
        sock.settimeout(GREETING_TIMEOUT)
        try:
            greeting = self._read()
        except BaseException:
            self._file.close()
            raise
        sock.settimeout(None)
        if greeting.get("taskdeck") != VERSION or greeting.get("protocol") != PROTOCOL:
            self.close()
            raise Conflict(
                "the runtime of this home is version {theirs}, this command is version"
                " {ours}. Nothing was done.",
                "Use that version, or replace the runtime: taskdeck serve --replace --detach",
                theirs=greeting.get("taskdeck"),
                ours=VERSION,
            )
        if "error" in greeting:
            self.close()
            raise Remote(**greeting["error"])
        self.pid = greeting["pid"]

    def ask(
        self, verb: str, args: dict[str, Any], note: Callable[[str], None] | None,
        origin: dict[str, str] | None = None,
        on_wait: Callable[[str], object] | None = None,
    ) -> Any:  # fmt: skip
        """Send one request and return its answer.

        `origin` names caller and terminal. Raise EOFError if the runtime ends before it answers.
        """
        self._sock.sendall(
            json.dumps({"verb": verb, "args": args, "from": origin or {}}).encode() + b"\n"
        )
        while True:
            message = self._read()
            if "result" in message:
                return message["result"]
            if "error" in message:
                raise self._make_problem(message["error"])
            if on_wait is not None and "waits" in message:
                on_wait(message["waits"])
            elif note is not None and "note" in message:
                note(message["note"])

    def _make_problem(self, error: dict[str, Any]) -> Remote:
        """Return the problem of an answer; an old runtime may not know a verb or argument."""
        problem = Remote(**error)
        if problem.code in ("usage", "internal") and not problem.hint:
            from app.health.procfs import is_outdated

            if is_outdated(self.pid):
                problem.hint = (
                    "The runtime began before this Taskdeck was installed. Replace it: taskdeck"
                    " serve --replace --detach"
                )
        return problem

    def iter_wakeups(self) -> Iterator[None]:
        """Yield once per line that the runtime sends."""
        self._sock.sendall(b'{"verb": "watch", "args": {}}\n')
        while True:
            self._read()
            yield

    def close(self) -> None:
        """Close the socket and end a pending read. Safe to call from any thread."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._file.close()
        self._sock.close()

    def _read(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
        except ValueError:  # closed by another thread
            raise EOFError from None
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)


def connect(home: str) -> RuntimeConnection | None:
    """Return a connection to the runtime of `home`, or None if none is running."""
    sock = open_socket(home)
    if sock is None:
        return None
    try:
        return RuntimeConnection(sock)
    except (ConnectionResetError, EOFError):
        sock.close()
        return None
    except TimeoutError:
        pid = get_peer_pid(sock)
        sock.close()
        raise Problem(
            "the runtime (pid {pid}) of {home} has not answered for {greeting_timeout:.0f}"
            " s. Nothing was done.",
            "If it is suspended, continue it: kill -CONT {pid}",
            pid=pid,
            home=home,
            greeting_timeout=GREETING_TIMEOUT,
        ) from None


def read_greeting(sock: socket.socket, seconds: float = GREETING_TIMEOUT) -> None:
    """Read the greeting of a runtime of any version. Raise Problem if none comes in time."""
    sock.settimeout(seconds)
    try:
        if sock.recv(1):
            return
    except OSError:  # also a timeout
        pass
    pid = get_peer_pid(sock)
    raise Problem(
        "the runtime (pid {pid}) does not answer.", "If it hangs: kill -KILL {pid}", pid=pid
    )


def get_peer_pid(sock: socket.socket) -> int:
    """Return the pid of the process listening at the other end, as the kernel reports it."""
    return paths.read_peer(sock)[0]


def open_socket(home: str) -> socket.socket | None:
    """Return a socket connected to the runtime of `home` before the greeting.

    Return None if nobody listens. Raise Conflict if another user owns the home or listens there.
    """
    paths.refuse_foreign_home(home)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        folder = os.open(os.path.join(home, "run"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A path may exceed the length of a socket address; the descriptor of its folder does
            # not.
            sock.connect(f"/proc/self/fd/{folder}/{paths.CONTROL_SOCKET}")
        finally:
            os.close(folder)
        paths.refuse_foreign_peer(sock, home)
        return sock
    except Conflict:
        sock.close()
        raise
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except PermissionError:
        sock.close()
        raise Conflict(
            "permission denied for the home {home}. Nothing was done.",
            "Choose another: --home DIR",
            home=home,
        ) from None
    except OSError as error:
        sock.close()
        raise Storage(
            "the home {home} cannot be used: {reason}. Nothing was done.",
            "Choose another: --home DIR",
            home=home,
            reason=_format_os_error(error),
        ) from None


def _format_os_error(error: OSError) -> str:
    return (error.strerror or "unknown").lower()


def _is_repeatable(verb: str, args: dict[str, Any]) -> bool:
    """Return True if the request can safely be sent again.

    A repeated signal would reach the program twice.
    """
    return verb not in UNREPEATABLE_VERBS and not (
        verb == "cancel" and args.get("signal") is not None
    )


def _make_lost_answer_error(verb: str) -> Problem:
    return Problem(
        "the runtime ended before it answered; {verb} may or may not have been done.",
        "Check: taskdeck operations",
        verb=verb,
    )
