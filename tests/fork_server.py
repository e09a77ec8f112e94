"""Fork server for commands and runtimes, which saves the start-up cost of each.

Without a runtime, a command imports half of the program, which takes several times as long as its
work. A runtime imports nearly all of it. The first use of each verb in a test run still takes a new
process, once with a runtime and once without, so that missing imports are found. So does the first
runtime, and each runtime that a deck or a command in a new process starts.

A second server forks the programs of terminals, with Textual imported. The first of them and those
with settings that act while modules load take a new process.
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
from functools import cache
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
DECK_PACKAGES = ("app.tui", "app.cli", "app.offline", "app.runtime")
UTF8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
PROGRAM = Path(sys.executable).with_name("taskdeck")
IMPORT_VARIABLES = ("LD_", "PYTHON", "TEXTUAL", "ESCDELAY", "LC_")
"""Variables that act while a program or its modules load."""
TITLE_ROOM = 20_000
"""Bytes for the command line, and for the environment, that a runtime shows in /proc."""


class ForkServer:
    """Process that has imported the program and runs one command at a time."""

    def __init__(self, kind: str = "runtime") -> None:
        self.line, child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(TIMEOUT)
        with child_socket:
            argv = [sys.executable, "-P", __file__, str(child_socket.fileno()), kind]
            argv += ["." * TITLE_ROOM]
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

    def start_runtime(self, home: str, words: Sequence[str]) -> dict[str, Any]:
        """Start a runtime as `app.runtime_launcher` does."""
        read, write = os.pipe()
        log = os.open(paths.get_runtime_log_path(Path(home)), LOG_FLAGS, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        env = {k: v for k, v in os.environ.items() if not k.startswith("TASKDECK_")}
        self._send(make_runtime_command(home, words), env, os.getcwd(), [null, null, log, write])
        with open(read, "rb") as answer:
            line = answer.readline()
        self._receive_exit_code()
        return json.loads(line) if line else {}

    def start_on_terminal(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, terminal: int
    ) -> TerminalProgram:
        """Start a program as the leader of a session on a terminal."""
        line, other = socket.socketpair()
        name = os.ttyname(terminal)
        self._send([*argv], env, cwd, [other.detach(), os.dup(terminal)], name)
        self._receive_exit_code()
        return TerminalProgram(line.detach())

    def _send(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, streams: Sequence[int],
        terminal: str = "",
    ) -> None:  # fmt: skip
        """Request a process with these streams, and close them here."""
        os.umask(umask := os.umask(0o077))
        request = {"argv": argv, "env": dict(env), "cwd": cwd, "umask": umask}
        request |= {"terminal": terminal}
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


class TerminalProgram:
    """Forked program on a terminal; its parent is a waiting process, which sends the status."""

    def __init__(self, line: int) -> None:
        self._line = line
        self.pid = int(os.read(line, 100))
        self.pidfd = os.pidfd_open(self.pid)
        os.write(line, b"reap")

    def wait(self) -> int:
        """Return the wait status of the ended program."""
        status = int(os.read(self._line, 100))
        os.close(self._line)
        return status


LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def make_runtime_command(home: str, words: Sequence[str]) -> list[str]:
    """Return the command line with which `app.runtime_launcher` starts a runtime."""
    options = ["--home", home, "serve", "--ready-fd", "3", *words]
    return [sys.executable, "-P", "-m", "taskdeck", *options]


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
    except BaseException:
        _discard_server()
        raise
    finally:
        _server_lock.release()


def _discard_server() -> None:
    """Kill the server; the exit code of a late command would pass for that of the next one."""
    while _servers:
        server = _servers.pop()
        server.process.kill()
        server.close()


def _get_server() -> ForkServer:
    if not _servers:
        _servers.append(ForkServer())
    return _servers[0]


@cache
def _get_deck_server() -> ForkServer:
    return ForkServer("deck")


def start_on_terminal(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, terminal: int
) -> TerminalProgram | None:
    """Fork the program of a terminal, or return None if a new process must run it."""
    acts_on_import = any(name.startswith(IMPORT_VARIABLES) for name in env)
    if (
        Path(argv[0]) != PROGRAM
        or acts_on_import
        or env.get("LANG") != UTF8["LANG"]
        or not _can_fork(env, argv)
        or _is_first_use(("terminal", *filter(str.isalpha, argv[1:3])))
    ):
        return None
    return _get_deck_server().start_on_terminal(argv, env, cwd, terminal)


_start_process = runtime_launcher._spawn
MAX_FORKED_WORDS = 1
"""Maximum number of options of a forked runtime: its command line must fit in that of the server.
"""


def _list_loader_variables() -> dict[str, str]:
    """Return the variables that act when a program is executed, such as LD_PRELOAD."""
    return {k: v for k, v in os.environ.items() if k.startswith(("LD_", "PYTHON"))}


_LOADER_VARIABLES = _list_loader_variables()


def _can_fork_runtime(home: str) -> bool:
    """Return true if a copy of the fork server is the same as a new process."""
    return (
        _can_fork(os.environ, [home])
        and _list_loader_variables().items() <= _LOADER_VARIABLES.items()
    )


def _can_fork(env: Mapping[str, str], argv: Sequence[str]) -> bool:
    """Return true if command line and environment fit where /proc shows them."""
    length = sum(len(name) + len(value) + 2 for name, value in env.items())
    return max(length, sum(map(len, argv))) < TITLE_ROOM // 2


def start_runtime(home: str, words: Sequence[str]) -> dict[str, Any]:
    """Start a runtime in the fork server, or in a new process if the server cannot do so."""
    if (
        _is_first_use(("runtime",))
        or len(words) > MAX_FORKED_WORDS
        or not _can_fork_runtime(home)
        or not _server_lock.acquire(blocking=False)
    ):
        return _start_process(home, words)
    try:
        return _get_server().start_runtime(home, words)
    finally:
        _server_lock.release()


# --- the server process
# -------------------------------------------------------------------------------------------------


_set_by_imports: dict[str, str] = {}
"""Variables that modules set in their own environment while they load."""


def serve(line: socket.socket) -> None:
    """Fork for each request and send the exit status, until the client disconnects."""
    while True:
        text, fds, _, _ = socket.recv_fds(line, 1 << 20, 4)
        if not text:
            return
        if not (pid := os.fork()):
            line.close()
            request = json.loads(text)
            if request["terminal"]:
                _become_terminal_program(request, *fds)
            _become_command(request, fds)
        for fd in fds:
            os.close(fd)
        line.send(str(os.waitpid(pid, 0)[1]).encode())


def _become_terminal_program(request: Mapping[str, Any], line_fd: int, terminal: int) -> None:
    """Start the program on its terminal, tell its pid, and its status after its end.

    Reading the other side of a terminal that nobody has open would fail, so the program has it open
    from its first moment.
    """
    line = socket.socket(fileno=line_fd)
    if os.fork():
        os._exit(0)
    if not (pid := os.fork()):
        os.setsid()
        # a session leader that opens a terminal gets it as its controlling terminal
        opened = os.open(request["terminal"], os.O_RDWR)
        _become_command(request, [opened, opened, opened])
    os.close(terminal)
    line.send(str(pid).encode())
    line.recv(10)
    line.send(str(os.waitpid(pid, 0)[1]).encode())
    os._exit(0)


def _open_streams() -> None:
    """Open the streams of Python as at the start of a process on a terminal."""
    sys.stdin = sys.__stdin__ = os.fdopen(0)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace")


def _become_command(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Turn this process into the command. Does not return."""
    for place, fd in enumerate(streams):
        os.dup2(fd, place)
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(_set_by_imports | request["env"])
    time.tzset()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    # a program may execute itself again
    words = sys.argv if sys.argv[0] == sys.executable else ["", os.fspath(PROGRAM), *sys.argv[1:]]
    sys.orig_argv = [sys.executable, *words[1:]]
    if sys.argv[1:4] == ["-P", "-m", "taskdeck"]:
        os.setsid()
        _become_runtime()
    if request["terminal"]:
        _show_command([sys.executable, *sys.argv], os.environ)
        _reset_signals()
        _open_streams()
    else:
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
    _reset_signals()


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _fork_runtime(home: str, words: Sequence[str]) -> dict[str, Any]:
    """Start a runtime as a copy of this command, like `runtime_launcher._spawn`."""
    if len(words) > MAX_FORKED_WORDS or not _can_fork_runtime(home):
        return _start_process(home, words)
    read, write = os.pipe()
    log = os.open(paths.get_runtime_log_path(Path(home)), LOG_FLAGS, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    env = {k: v for k, v in os.environ.items() if not k.startswith("TASKDECK_")}
    os.umask(umask := os.umask(0o077))
    argv = make_runtime_command(home, words)
    request = {"argv": argv, "env": env, "cwd": os.getcwd(), "umask": umask}
    request |= {"terminal": ""}
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

    known = {**os.environ}
    for folder in DECK_PACKAGES if sys.argv[2] == "deck" else PRELOADED_PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(folder).__path__, f"{folder}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    _set_by_imports.update({k: v for k, v in os.environ.items() if k not in known})
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
