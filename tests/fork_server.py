"""Fork server for commands and runtimes, which saves the start-up cost of each.

Without a runtime, a command imports half of the program, which takes several times as long as its
work. A runtime imports nearly all of it. The first use of each verb in a test run still takes a new
process, once with a runtime and once without, so that missing imports are found. So does the first
runtime, and each runtime that a deck or a command in a new process starts.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app import paths, runtime_launcher

TIMEOUT = 60.0
PRELOADED_PACKAGES = (
    "app.cli", "app.core", "app.engines", "app.health", "app.home", "app.offline", "app.runtime",
    "app.service", "db",
)  # fmt: skip
MAX_REQUEST = 60_000
"""Size limit of a request in bytes; a larger request does not fit in one message."""
UTF8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
TITLE_ROOM = 20_000
"""Bytes for the command line, and for the environment, that a runtime shows in /proc."""


class ForkServer:
    """Process that has imported the program and runs one command at a time."""

    def __init__(self) -> None:
        self.line, child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(TIMEOUT)
        with child_socket:
            argv = [sys.executable, "-P", __file__, str(child_socket.fileno()), "." * TITLE_ROOM]
            self.process = subprocess.Popen(
                argv,
                env={**os.environ, **UTF8, "ROOM": "." * TITLE_ROOM},
                pass_fds=[child_socket.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, input: bytes
    ) -> subprocess.CompletedProcess[str]:
        """Run a command like `subprocess.run` and return the completed process."""
        (read, feed), (out, write), (err, complain) = (os.pipe() for _ in range(3))
        self._send(argv, env, cwd, [read, write, complain])
        # the command may end without reading its input
        with open(feed, "wb", 0) as stdin, contextlib.suppress(BrokenPipeError):
            stdin.write(input)
        said = _read_pipes(out, err)
        return subprocess.CompletedProcess([*argv], self._receive_exit_code(), *said)

    def start_runtime(self, home: str, demo: bool) -> dict[str, Any]:
        """Start a runtime as `app.runtime_launcher` does."""
        read, write = os.pipe()
        log = os.open(paths.get_runtime_log_path(Path(home)), LOG_FLAGS, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        env = {k: v for k, v in os.environ.items() if not k.startswith("TASKDECK_")}
        self._send(make_runtime_command(home, demo), env, os.getcwd(), [null, null, log, write])
        with open(read, "rb") as answer:
            line = answer.readline()
        self._receive_exit_code()
        return json.loads(line) if line else {}

    def _send(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, streams: Sequence[int]
    ) -> None:
        """Request a process with these streams, and close them here."""
        os.umask(umask := os.umask(0o077))
        request = {"argv": argv, "env": dict(env), "cwd": cwd, "umask": umask}
        socket.send_fds(self.line, [json.dumps(request).encode()], streams)
        for fd in set(streams):
            os.close(fd)

    def _receive_exit_code(self) -> int:
        ended = self.line.recv(100)
        assert ended, (
            "the modules of the commands cannot be imported, or the fork server was killed"
        )
        return os.waitstatus_to_exitcode(int(ended))

    def close(self) -> None:
        self.line.close()
        self.process.wait()


LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def make_runtime_command(home: str, demo: bool) -> list[str]:
    """Return the command line with which `app.runtime_launcher` starts a runtime."""
    options = ["--home", home, "serve", "--ready-fd", "3", *(["--demo"] if demo else [])]
    return [sys.executable, "-P", "-m", "app", *options]


def _read_pipes(*pipes: int) -> list[str]:
    """Return the decoded output of each pipe after all writers have closed them."""
    said = dict.fromkeys(pipes, b"")
    with selectors.DefaultSelector() as open_ones:
        for fd in pipes:
            open_ones.register(fd, selectors.EVENT_READ)
        while open_ones.get_map():
            ready = open_ones.select(TIMEOUT)
            assert ready, f"the command still runs after {TIMEOUT:.0f} s"
            for key, _ in ready:
                said[key.fd] += (data := os.read(key.fd, 65536))
                if not data:
                    open_ones.unregister(key.fd)
                    os.close(key.fd)
    return [text.decode().replace("\r\n", "\n").replace("\r", "\n") for text in said.values()]


_servers: list[ForkServer] = []
_server_lock = threading.Lock()
_known_verbs: set[tuple[str, ...]] = set()
first_uses: Path | None = None
"""Folder shared by all workers of a test run, with a file for each verb that was used."""


def _is_first_use(verb: tuple[str, ...]) -> bool:
    """Return true if no worker of this test run has used the verb before."""
    if verb in _known_verbs:
        return False
    _known_verbs.add(verb)
    if first_uses is None:
        return True
    try:
        (first_uses / f"used-{'-'.join(verb)[:100]}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def run(
    words: Sequence[str], home: Path, env: Mapping[str, str], cwd: Path, input: str = ""
) -> subprocess.CompletedProcess[str] | None:
    """Run a command in the fork server.

    Return None, with nothing done, if a new process must run the command.
    """
    named = 2 * (words[:1] == ["--home"])
    verb = (
        *filter(str.isalpha, words[named : named + 2]),
        str((home / "run" / paths.CONTROL_SOCKET).exists()),
    )
    fed = input.encode()
    if (
        _is_first_use(verb)
        or len(fed) + sum(map(len, words)) > MAX_REQUEST
        or not _server_lock.acquire(blocking=False)
    ):
        return None
    try:
        return _get_server().run(["taskdeck", *words], env, os.fspath(cwd), fed)
    finally:
        _server_lock.release()


def _get_server() -> ForkServer:
    if not _servers:
        _servers.append(ForkServer())
    return _servers[0]


_start_process = runtime_launcher._spawn


def _list_loader_variables() -> dict[str, str]:
    """Return the variables that act when a program is executed, such as LD_PRELOAD."""
    return {k: v for k, v in os.environ.items() if k.startswith(("LD_", "PYTHON"))}


_LOADER_VARIABLES = _list_loader_variables()


def _can_fork_runtime(home: str) -> bool:
    """Return true if a copy of the fork server is the same as a new process."""
    length = sum(len(name) + len(value) for name, value in os.environ.items())
    has_room = max(length, len(home)) < TITLE_ROOM // 2
    return has_room and _list_loader_variables().items() <= _LOADER_VARIABLES.items()


def start_runtime(home: str, demo: bool) -> dict[str, Any]:
    """Start a runtime in the fork server, or in a new process if the server cannot do so."""
    if (
        _is_first_use(("runtime",))
        or not _can_fork_runtime(home)
        or not _server_lock.acquire(blocking=False)
    ):
        return _start_process(home, demo)
    try:
        return _get_server().start_runtime(home, demo)
    finally:
        _server_lock.release()


# --- the server process
# -------------------------------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    """Fork for each request and send the exit status, until the client disconnects."""
    while True:
        text, fds, _, _ = socket.recv_fds(line, 1 << 20, 4)
        if not text:
            return
        if not (pid := os.fork()):
            line.close()
            _become_command(json.loads(text), fds)
        for fd in fds:
            os.close(fd)
        line.send(str(os.waitpid(pid, 0)[1]).encode())


def _become_command(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Turn this process into the command. Does not return."""
    for place, fd in enumerate(streams):
        os.dup2(fd, place)
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    if sys.argv[1:4] == ["-P", "-m", "app"]:
        os.setsid()
        _become_runtime()
    runtime_launcher._spawn = _fork_runtime
    try:
        main()
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def _become_runtime() -> None:
    """Show the command line and the environment of a runtime; reset signals as Python begins."""
    _show_command(sys.argv, os.environ)
    del sys.argv[1:4]
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _fork_runtime(home: str, demo: bool) -> dict[str, Any]:
    """Start a runtime as a copy of this command, like `runtime_launcher._spawn`."""
    if not _can_fork_runtime(home):
        return _start_process(home, demo)
    read, write = os.pipe()
    log = os.open(paths.get_runtime_log_path(Path(home)), LOG_FLAGS, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    env = {k: v for k, v in os.environ.items() if not k.startswith("TASKDECK_")}
    os.umask(umask := os.umask(0o077))
    argv = make_runtime_command(home, demo)
    request = {"argv": argv, "env": env, "cwd": os.getcwd(), "umask": umask}
    if not (pid := os.fork()):
        _become_command(request, [null, null, log, write])
    for fd in (write, log, null):
        os.close(fd)
    with open(read, "rb") as answer:
        line = answer.readline()
    os.waitpid(pid, 0)
    return json.loads(line) if line else {}


def _show_command(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Write a command line and an environment where /proc reads those of this process."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    arg_start, arg_end, env_start, env_end = map(int, fields[45:49])
    words = b"\0".join(map(os.fsencode, argv)) + b"\0"
    words = words.rjust(arg_end - arg_start, b"/")  # readers count the words
    pairs = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in env.items())
    for start, end, text in ((arg_start, arg_end, words), (env_start, env_end, pairs)):
        assert len(text) <= end - start
        ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    from app.__main__ import main

    for folder in PRELOADED_PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(folder).__path__, f"{folder}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
