"""Runtime launcher. Concurrent callers start the background runtime of a home only once."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from app import client, cluster, paths
from app.errors import Problem, Remote, Storage, make_process_limit_error
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.core.http_settings import HttpSettings

ANSWER_TIMEOUT = 30.0
"""Seconds within which a runtime that holds the lock must answer."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts while another process holds the lock. Each attempt costs a process."""
POLL_INTERVAL = 0.02
"""Seconds between checks for the end of a runtime inside a deck."""


def ensure_runtime(
    home: str,
    *,
    resume: bool = False,
    demo: bool = False,
    by_cluster: bool = False,
    serve_words: Sequence[str] = (),
) -> None:
    """Return when a runtime answers, starting one if needed.

    Raise Stopped if the runtime was stopped on purpose, unless `resume` is set, or the error of the
    failed start. In cluster mode raise Refused, except `by_cluster` and for a demo. A new runtime
    gets the options `serve_words`.
    """
    if not (demo or by_cluster):
        cluster.refuse_start(home)
    with _hold_start_lock(home):
        line = client.connect(home)
        if line is not None:
            return line.close()
        if not resume and paths.read_stop_marker(home):
            raise client.make_stopped_error(home)
        _start_and_wait(home, [*serve_words, *(["--demo"] if demo else [])])


def stop_for_replacement(home: str) -> bool:
    """Stop the runtime of `home`, of any version, so that another can replace it.

    Return False if none was running. Jobs keep running.
    """
    sock = client.open_socket(home)
    if sock is None:
        return False
    # The pid comes from the kernel: the greeting of another version cannot be trusted.
    pid = client.get_peer_pid(sock)
    in_deck = is_in_deck(home, pid)
    exit_fd = os.pidfd_open(pid)
    try:
        if in_deck:  # TERM would also close the deck; every version understands `stop`
            sock.sendall(b'{"verb": "stop", "args": {}}\n')
        else:
            # after TERM the runtime would first replicate its database
            signal.pidfd_send_signal(exit_fd, signal.SIGINT)
        if not wait_for_end(home, pid, exit_fd, in_deck, ANSWER_TIMEOUT):
            raise Problem(
                "the runtime, pid {pid}, did not end within {answer_timeout:.0f} s.",
                "See it: taskdeck status",
                pid=pid,
                answer_timeout=ANSWER_TIMEOUT,
            )
    finally:
        os.close(exit_fd)
        sock.close()
    return True


def refuse_faulty_http(home: str, http: HttpSettings) -> None:
    """Raise Problem if a new runtime could not serve HTTP so, before the old runtime is stopped."""
    from app.http import listener, server

    server.check_settings(http)
    assert http.listen is not None
    try:
        line = client.connect(home)
        served = line and (line.ask("status", {}, None).get("http") or {}).get("url")
    except Problem:  # a runtime of another version
        return
    if line is not None:
        line.close()
    if not served or not http.listen.is_taken_by(served):
        listener.probe_address(http.listen)


def wait_for_end(
    home: str, pid: int, process: int, in_deck: bool, seconds: float | None = None
) -> bool:
    """Wait until the runtime has ended; return False on a timeout.

    `process` is the pidfd of `pid`. Pass `in_deck` as found before the stop request: the process of
    a deck outlives its runtime.
    """
    if not in_deck:
        return bool(select.select([process], [], [], seconds)[0])
    last = None if seconds is None else time.monotonic() + seconds
    while is_in_deck(home, pid) and not select.select([process], [], [], POLL_INTERVAL)[0]:
        if last is not None and time.monotonic() > last:
            return False
    return True


def is_in_deck(home: str, pid: int) -> bool:
    """Return True if the runtime of `pid` runs inside a deck, according to the lock file."""
    try:
        with open(
            os.path.join(home, "run", paths.LOCK_FILE), encoding="utf-8", errors="replace"
        ) as file:
            said = file.read(200)
    except OSError:
        return False
    return said.startswith(f"pid {pid},") and "in a deck" in said


@contextmanager
def _hold_start_lock(home: str) -> Iterator[None]:
    """Hold the lock that serializes starts; create the home. Raise Storage."""
    from pathlib import Path

    try:
        paths.make_home(Path(home))
        lock = _open_private(os.path.join(home, "run", "start.lock"), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        message = tr(
            "the home {home} cannot be used: {reason}. Nothing was done.",
            home=home,
            reason=(error.strerror or "unknown").lower(),
        )
        raise Storage(message, "Choose another: --home DIR") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open_private(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)  # regardless of the umask
    return fd


def _start_and_wait(home: str, words: Sequence[str]) -> None:
    until, pause = time.monotonic() + ANSWER_TIMEOUT, FIRST_PAUSE
    # A runtime that ends without a message was killed; the next one may survive.
    reply = _spawn(home, words) or _spawn(home, words)
    while (line := client.connect(home)) is None:
        if "error" in reply and reply["error"]["code"] != "runtime-exists":
            raise Remote(**reply["error"])
        if not reply or time.monotonic() > until:
            what = (
                tr("did not answer within {seconds:.0f} s", seconds=ANSWER_TIMEOUT)
                if reply
                else tr("did not start")
            )
            raise Problem(
                "the runtime {what}.",
                "See the log: {path}",
                what=what,
                path=paths.get_runtime_log_path(home),
            )
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
        # the new runtime, or the holder of the lock, may be gone
        if "error" in reply or not os.path.exists(f"/proc/{reply['pid']}"):
            reply = _spawn(home, words)
    line.close()


def _spawn(home: str, words: Sequence[str]) -> dict:
    """Start `serve` in its own session and return its first message, {} if it ended early."""
    read_end, write_end = os.pipe()
    log = _open_private(paths.get_runtime_log_path(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    argv = [sys.executable, "-P", "-m", "taskdeck", "--home", home]
    argv += ["serve", "--ready-fd", "3", *words]
    try:
        pid = os.posix_spawn(
            sys.executable, argv, {k: v for k,
            v in os.environ.items() if not k.startswith("TASKDECK_")}, setsid=True,
            # Ignored or blocked signals of the shell are not meant for the runtime, which needs
            # SIGCHLD and TERM.
            setsigmask=(), setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
                          *_pass_as_fd3(write_end)],
        )  # fmt: skip
    except BlockingIOError as error:
        os.close(read_end)
        raise make_process_limit_error(error) or error from None
    finally:
        for fd in (write_end, log, null):
            os.close(fd)
    with open(read_end, "rb") as pipe:
        reply = pipe.readline()
    with suppress(ChildProcessError):  # with SIGCHLD ignored there is no child to wait for
        os.waitpid(pid, 0)
    return json.loads(reply) if reply else {}


def _pass_as_fd3(fd: int) -> list[tuple[int, ...]]:
    """Return the file actions that give `fd` to the child as 3.

    A dup2 onto itself would leave the descriptor closed at exec.
    """
    return (
        [(os.POSIX_SPAWN_DUP2, fd, 9), (os.POSIX_SPAWN_DUP2, 9, 3), (os.POSIX_SPAWN_CLOSE, 9)]
        if fd == 3
        else [(os.POSIX_SPAWN_DUP2, fd, 3)]
    )
