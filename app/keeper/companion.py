"""Companion of one run: a process that holds the run's input open and marks its error output.

The keeper starts the companion before the program, as `python -I -S companion.py SOCKET INODE
LISTENER INPUT ERRORS LOG INDEX`. Socket and inode are those of its path; the others are numbers of
inherited descriptors, -1 for none. The companion is no process of the run. The signals that the
keeper ignores do not end the companion, nor does the death of runtime, keeper or guard. The
companion ends once no process can read the input nor write to the error output.

* The input is a pipe. The program sees its end after the request to close it, or never.
* The error output is a pipe, too, appended to the log as it comes. The program writes its other
  output to the log itself. The index says which parts of the log came through the companion:
  pairs of 64-bit numbers, offset and length. A last pair with the length 0 marks an offset at
  which a part may begin. If the companion is killed, the program gets SIGPIPE.

The wire format is JSON lines, one answer for each request:

    {"do": "write", "text": …}   {"taken": bytes written, "unread": bytes that wait in the pipe}
    {"do": "close"}              {"closed": true}
    {"do": "drain"}              {"drained": true}: what was written so far is in the log

A write takes all of at most 4 KiB or nothing, and maybe a part of more. No write waits. The answer
to a write to a closed input is {"closed": true}.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_REQUEST = 1024 * 1024  # bytes of one request
ACCEPTED = 16  # connections at a time
BLOCK = 64 * 1024  # bytes read from the error output at once
RETRY_DELAY = 1.0  # seconds between two tries to write to a full disk
LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
PAIR = struct.Struct("=QQ")


# --- the keeper's side ------------------------------------------------------------------


def start_companion(path: bytes, log: int, has_input: bool, index: bytes | None) -> dict[int, int]:
    """Start the companion of a run that is about to start.

    `index` is the path of the index, if error output is to be marked. Return the ends of pipes
    that become the run's streams, by number. Raise OSError.
    """
    listener, inode = make_listener(path)
    streams, given = dict[int, int](), [-1, -1, -1, -1]
    with listener:
        try:
            if has_input:
                streams[0], given[0] = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(given[0], False)
            if index is not None:
                given[1], streams[2] = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(given[1], False)
                # a description of its own, whose position the program does not move
                given[2] = os.open(f"/proc/self/fd/{log}", LOG_FLAGS)
                flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                given[3] = os.open(index, flags, 0o600)
            spawn_companion(path, inode, [listener.fileno(), *given])
        except BaseException:
            for fd in streams.values():
                os.close(fd)
            raise
        finally:
            for fd in given:
                if fd >= 0:
                    os.close(fd)
        return streams


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


def spawn_companion(path: bytes, inode: int, descriptors: list[int]) -> None:
    """Start the program of this file with descriptors, in the session of the keeper."""
    words = [sys.executable, "-I", "-S", __file__, path, str(inode), *map(str, descriptors)]
    for fd in descriptors:
        if fd >= 0:
            os.set_inheritable(fd, True)
    try:
        os.posix_spawn(sys.executable, words, {}, setsigmask=())
    finally:
        for fd in descriptors:
            if fd >= 0:
                os.set_inheritable(fd, False)


def remove_dead_sockets(folder: bytes) -> None:
    """Remove the sockets of companions that were killed, or that ran before a restart."""
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # no task ever had a companion
    try:
        for name in map(os.fsencode, os.listdir(at)):
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)
                try:
                    client.connect(b"/proc/self/fd/%d/%s" % (at, name))
                except ConnectionRefusedError:
                    os.unlink(name, dir_fd=at)
                except OSError:
                    pass  # it is busy
    finally:
        os.close(at)


# --- the companion ----------------------------------------------------------------------


class MarkedLog:
    """The log as the companion writes it: the error output, with its parts in the index."""

    def __init__(self, log: int, index: int) -> None:
        self.log, self.index = log, index
        self.begin = self.end = 0  # the last part
        self.at = 0  # position in the index behind the last part
        self.pending = b""  # what a full disk did not take

    def write(self, data: bytes) -> None:
        """Append to the log and mark the part; keep what does not fit now in `pending`."""
        self.pending += data
        try:
            while self.pending:
                self.put(self.at, os.fstat(self.log).st_size, 0)
                written = os.write(self.log, self.pending)
                self.pending = self.pending[written:]
                self.mark(os.lseek(self.log, 0, os.SEEK_CUR), written)
        except OSError:
            pass  # the next try follows

    def mark(self, end: int, length: int) -> None:
        """Store a part that ends at an offset; the kernel moved the position there."""
        if self.end and end - length == self.end:
            self.end = end
            self.put(self.at - PAIR.size, self.begin, self.end - self.begin)
            os.ftruncate(self.index, self.at)
        else:
            self.begin, self.end = end - length, end
            self.put(self.at, self.begin, length)
            self.at += PAIR.size

    def put(self, at: int, offset: int, length: int) -> None:
        """Write a pair of the index."""
        os.pwrite(self.index, PAIR.pack(offset, length), at)


class Companion:
    """The streams of one run, and the connections of those who ask."""

    def __init__(
        self,
        path: bytes,
        inode: int,
        listener: socket.socket,
        pipe: int,
        errors: int,
        marked: MarkedLog,
    ) -> None:
        self.path, self.inode, self.listener = path, inode, listener
        self.pipe, self.errors, self.marked = pipe, errors, marked
        self.clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)
        if pipe >= 0:
            self.poll.register(pipe, 0)  # reports only that no reader is left
        if errors >= 0:
            self.poll.register(errors, select.POLLIN)

    @property
    def is_needed(self) -> bool:
        """True while a stream is open, or error output waits for space."""
        return self.pipe >= 0 or self.errors >= 0 or bool(self.marked.pending)

    def run(self) -> None:
        """Serve until both streams are closed."""
        while self.is_needed:
            wait = RETRY_DELAY * 1000 if self.marked.pending else None
            for fd, _ in self.poll.poll(wait):
                self.handle(fd)
            if self.marked.pending:
                self.marked.write(b"")
                self.watch_errors()
        self.remove_socket()

    def handle(self, fd: int) -> None:
        """Handle a descriptor that is ready."""
        if fd == self.pipe:
            self.close_input()
        elif fd == self.errors:
            self.copy_errors()
        elif fd == self.listener.fileno():
            self.accept()
        elif fd in self.clients:
            self.serve(fd)

    def copy_errors(self) -> int:
        """Copy some error output to the log; return the number of bytes."""
        try:
            data = os.read(self.errors, BLOCK)
        except BlockingIOError:
            return 0
        if data:
            self.marked.write(data)
            self.watch_errors()
        else:
            self.poll.unregister(self.errors)
            os.close(self.errors)
            self.errors = -1
        return len(data)

    def drain(self) -> bool:
        """Copy the error output that was written so far; return False if the disk is full."""
        left = count_unread(self.errors) if self.errors >= 0 else 0
        while left > 0 and not self.marked.pending:
            left -= self.copy_errors()
        return not self.marked.pending

    def watch_errors(self) -> None:
        """Read more only if the disk took what was read."""
        if self.errors >= 0:
            self.poll.modify(self.errors, 0 if self.marked.pending else select.POLLIN)

    def close_input(self) -> None:
        """Let the program see the end of its input; without a stream, remove the socket before."""
        if self.pipe < 0:
            return
        pipe, self.pipe = self.pipe, -1
        if not self.is_needed:
            self.remove_socket()
        self.poll.unregister(pipe)
        os.close(pipe)

    def remove_socket(self) -> None:
        """Remove the socket, unless another companion has put its own there."""
        try:
            if os.stat(self.path).st_ino == self.inode:
                os.unlink(self.path)
        except OSError:
            pass  # removed already

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
        client, unread = self.clients[fd]
        try:
            data = client.recv(65536)
            unread += data
            while b"\n" in unread:
                line, _, rest = unread.partition(b"\n")
                unread[:] = rest
                client.sendall(json.dumps(self.answer(json.loads(line))).encode() + b"\n")
        except Exception:  # whatever a client sends, the streams of the run stay open
            data = b""
        if not data or len(unread) > MAX_REQUEST:
            self.drop(fd)

    def answer(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Do a request and return its answer."""
        if ask["do"] == "drain":
            return {"drained": self.drain()}
        data = b"" if ask["do"] == "close" else ask["text"].encode("utf-8", "surrogateescape")
        if ask["do"] == "close" or self.pipe < 0:
            self.close_input()
            return {"closed": True}
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


def main(path: str, inode: str, *numbers: str) -> None:
    """Serve the streams of a run until they are closed."""
    listener, pipe, errors, log, index = map(int, numbers)
    waiting = socket.socket(fileno=listener)
    marked = MarkedLog(log, index)
    Companion(os.fsencode(path), int(inode), waiting, pipe, errors, marked).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
