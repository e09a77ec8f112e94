"""Fork server for commands, which saves the start-up cost of each.

Without a runtime, a command imports half of the program, which takes several times as long as its
work. The first use of each verb still runs in a new process, once with a runtime and once without,
so that missing imports are found.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import selectors
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app import paths

TIMEOUT = 60.0
PRELOADED_PACKAGES = "app.cli", "app.core", "app.offline", "app.service", "db"
MAX_REQUEST = 60_000
"""Size limit of a request in bytes; a larger request does not fit in one message."""
UTF8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


class ForkServer:
    """Process that has imported the program and runs one command at a time."""

    def __init__(self) -> None:
        self.line, child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(TIMEOUT)
        with child_socket:
            argv = [sys.executable, "-P", __file__, str(child_socket.fileno())]
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            self.process = subprocess.Popen(
                argv, env=os.environ | UTF8, pass_fds=[child_socket.fileno()], **quiet
            )
        atexit.register(self.close)

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, input: bytes
    ) -> subprocess.CompletedProcess[str]:
        """Run a command like `subprocess.run` and return the completed process."""
        os.umask(umask := os.umask(0o077))
        (read, feed), (out, write), (err, complain) = (os.pipe() for _ in range(3))
        request = {"argv": argv, "env": env, "cwd": cwd, "umask": umask}
        socket.send_fds(self.line, [json.dumps(request).encode()], [read, write, complain])
        for fd in (read, write, complain):
            os.close(fd)
        # the command may end without reading its input
        with open(feed, "wb", 0) as stdin, contextlib.suppress(BrokenPipeError):
            stdin.write(input)
        said = _read_pipes(out, err)
        ended = self.line.recv(100)
        assert ended, (
            "the modules of the commands cannot be imported, or the fork server was killed"
        )
        return subprocess.CompletedProcess([*argv], os.waitstatus_to_exitcode(int(ended)), *said)

    def close(self) -> None:
        self.line.close()
        self.process.wait()


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
    known, fed = verb in _known_verbs, input.encode()
    _known_verbs.add(verb)
    if (
        not known
        or len(fed) + sum(map(len, words)) > MAX_REQUEST
        or not _server_lock.acquire(blocking=False)
    ):
        return None
    try:
        if not _servers:
            _servers.append(ForkServer())
        return _servers[0].run(["taskdeck", *words], env, os.fspath(cwd), fed)
    finally:
        _server_lock.release()


# --- the server process
# -------------------------------------------------------------------------------------------------


def serve(line: socket.socket) -> None:
    """Fork for each request and send the exit status, until the client disconnects."""
    while True:
        text, fds, _, _ = socket.recv_fds(line, 1 << 20, 3)
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
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    try:
        main()
    except BaseException:
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    from app.__main__ import main

    for folder in PRELOADED_PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(folder).__path__, f"{folder}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
