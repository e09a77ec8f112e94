"""Companion of one run: the process that holds the run's standard input open.

The keeper starts it as `python -I -S companion.py SOCKET INODE LISTENER INPUT` before the program:
a path and the inode of its socket, and the numbers of two inherited descriptors. The companion is
no process of the run. It ignores the signals that the keeper ignores, so the input stays open over
the death of runtime, keeper and guard. The companion ends by itself once nobody can read the input
any more, or after the request to close it. The program sees the end of its input in both cases.

The wire format is JSON lines, one answer for each request:

    {"do": "write", "text": …}   {"taken": bytes written, "unread": bytes that wait in the pipe}
    {"do": "close"}              {"closed": true}

A write takes all of at most 4 KiB or nothing, and maybe a part of more. It never waits.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_REQUEST = 1024 * 1024  # bytes of one request
ACCEPTED = 16  # connections at a time


# --- the keeper's side ------------------------------------------------------------------


def start_companion(path: bytes) -> int:
    """Start the companion of a run that is about to start.

    Return the end of the pipe that becomes the run's standard input. Raise OSError.
    """
    listener, inode = make_listener(path)
    with listener:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(writing, False)
            spawn_companion(path, inode, (listener.fileno(), writing))
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return reading


def make_listener(path: bytes) -> tuple[socket.socket, int]:
    """Return a listening socket in place of one that may lie there, and its inode. Raise OSError.

    The path may be longer than the name of a socket.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, 0o700, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        listener.bind(b"/proc/self/fd/%d/%s" % (at, name))
        listener.listen(ACCEPTED)
        return listener, os.stat(path).st_ino
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(at)


def spawn_companion(path: bytes, inode: int, descriptors: tuple[int, ...]) -> None:
    """Start the program of this file with descriptors, in the session of the keeper."""
    words = [sys.executable, "-I", "-S", __file__, path, str(inode), *map(str, descriptors)]
    for fd in descriptors:
        os.set_inheritable(fd, True)
    try:
        os.posix_spawn(sys.executable, words, {}, setsigmask=())
    finally:
        for fd in descriptors:
            os.set_inheritable(fd, False)


# --- the companion ----------------------------------------------------------------------


class Companion:
    """The input of one run, and the connections of those who send."""

    def __init__(self, path: bytes, inode: int, listener: socket.socket, pipe: int) -> None:
        self.path, self.inode, self.listener, self.pipe = path, inode, listener, pipe
        self.clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self.is_open = True
        self.poll = select.poll()
        self.poll.register(pipe, 0)  # reports only that no reader is left
        self.poll.register(listener, select.POLLIN)

    def run(self) -> None:
        """Serve until the input is closed."""
        while self.is_open:
            for fd, _ in self.poll.poll():
                if fd == self.pipe:
                    self.close_input()
                elif fd == self.listener.fileno():
                    self.accept()
                else:
                    self.serve(fd)

    def close_input(self) -> None:
        """Remove the socket, then let the program see the end of its input."""
        if not self.is_open:
            return
        self.is_open = False
        try:
            if os.stat(self.path).st_ino == self.inode:
                os.unlink(self.path)
        except OSError:
            pass  # removed with the home
        os.close(self.pipe)

    def accept(self) -> None:
        """Accept a connection; the oldest makes room."""
        client, _ = self.listener.accept()
        client.settimeout(1.0)
        if len(self.clients) == ACCEPTED:
            self.drop(next(iter(self.clients)))
        self.clients[client.fileno()] = client, bytearray()
        self.poll.register(client, select.POLLIN)

    def drop(self, fd: int) -> None:
        """Close a connection."""
        client, _ = self.clients.pop(fd)
        self.poll.unregister(fd)
        client.close()

    def serve(self, fd: int) -> None:
        """Answer the complete requests of a connection."""
        if fd not in self.clients:
            return
        client, unread = self.clients[fd]
        try:
            data = client.recv(65536)
            unread += data
            while b"\n" in unread and self.is_open:
                line, _, rest = unread.partition(b"\n")
                unread[:] = rest
                client.sendall(json.dumps(self.answer(json.loads(line))).encode() + b"\n")
        except (OSError, ValueError, KeyError, TypeError):
            data = b""
        if not data or len(unread) > MAX_REQUEST:
            self.drop(fd)

    def answer(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Do a request and return its answer."""
        if ask["do"] == "close":
            self.close_input()
            return {"closed": True}
        data = ask["text"].encode("utf-8", "surrogateescape")
        try:
            taken = os.write(self.pipe, data) if data else 0
        except BlockingIOError:
            taken = 0
        return {"taken": taken, "unread": count_unread(self.pipe)}


def count_unread(pipe: int) -> int:
    """Return the bytes in a pipe that its reader has not read."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def main(path: str, inode: str, listener: str, pipe: str) -> None:
    """Hold the input of a run until it is closed."""
    waiting = socket.socket(fileno=int(listener))
    Companion(os.fsencode(path), int(inode), waiting, int(pipe)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
