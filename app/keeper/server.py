"""Base of the keeper: connections of the runtime, its requests, and the events sent to it."""

from __future__ import annotations

import json
import os
import socket
import struct

from app.keeper.run import Run
from app.keeper.shared_state import SharedState
from app.keeper.supervisor import Supervisor
from app.keeper.wire import PROTOCOL, VERSION, JsonSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_CLIENTS = 32
MAX_UNSENT = 64 * 1024 * 1024


class Server(Supervisor):
    """A supervisor with clients. Only the last one that said hello is served."""

    def __init__(self, shared: SharedState, link: JsonSocket, guard: int) -> None:
        super().__init__(shared, link)
        self.guard = guard
        self.clients: dict[int, JsonSocket] = {}
        self.client: JsonSocket | None = None
        self.unreported: dict[str, Run] = {}

    def accept(self) -> None:
        """Accept a client of our own user or root."""
        try:
            sock, _ = self.shared_state.listener.accept()
        except OSError:
            return
        uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if uid not in (0, os.getuid()):
            sock.close()
            return
        client = JsonSocket(sock)
        self.clients[sock.fileno()] = client
        self.listen(sock.fileno(), lambda: self.on_client(client))
        if len(self.clients) > MAX_CLIENTS:
            self.close_client(
                next(other for other in self.clients.values() if other is not self.client)
            )

    def on_client(self, client: JsonSocket) -> None:
        """Handle a client's requests in order, unless it was closed meanwhile."""
        for text in client.receive():
            if client.sock.fileno() in self.clients and not self.is_finished:
                self.handle_request(client, text)
        if not client.open:
            self.close_client(client)

    def handle_request(self, client: JsonSocket, text: bytes) -> None:
        """Answer one request."""
        ask: Any = None
        try:
            ask = json.loads(text)
            if ask["do"] == "hello":
                self.greet_client(client)
            elif client is self.client:
                self.do_request(ask)
            else:
                raise ValueError("say hello first")
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            about = ask.get("run") if isinstance(ask, dict) else None
            client.send(
                {"is": "error", "run": about, "code": "bad-request", "message": repr(error)[:200]}
            )

    def do_request(self, ask: dict[str, Any]) -> None:
        """Do what the client asks for. Raise KeyError if the request is unknown."""
        raise NotImplementedError

    def greet_client(self, client: JsonSocket) -> None:
        """Register a new client. Older ones are closed and their requests dropped."""
        for other in [other for other in self.clients.values() if other is not client]:
            self.close_client(other)
        self.client = client
        self.unreported.clear()
        runs = [self.make_state_event(run) for run in self.journal.runs.values()]
        about = {"protocol": PROTOCOL, "version": VERSION, "pid": os.getpid(), "guard": self.guard}
        about |= {"boot": self.journal.boot, "cgroups": self.shared_state.cgroups.describe()}
        client.send({"is": "hello"} | about | {"runs": runs})

    def close_client(self, client: JsonSocket) -> None:
        """Close a client, once."""
        if self.clients.pop(client.sock.fileno(), None):
            self.stop_listening(client.sock.fileno())
            client.sock.close()
        if client is self.client:
            self.client = None

    def make_state_event(self, run: Run) -> dict[str, Any]:
        """Return the event with the state of a run."""
        raise NotImplementedError

    def report(self, run: Run) -> None:
        """Report the state of a run at the end of this step.

        A run that ends within the step is reported once.
        """
        self.unreported[run.id] = run

    def send_reports(self) -> None:
        """Send the pending reports."""
        runs, self.unreported = self.unreported, {}
        if client := self.client:
            for run in runs.values():
                client.send(self.make_state_event(run))

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event to the client, after the pending reports."""
        self.send_reports()
        if self.client:
            self.client.send(event)

    def report_failure(self, run: str, code: str, message: str) -> None:
        """Report that a request failed and had no effect."""
        self.send_event({"is": "error", "run": run, "code": code, "message": message})

    def flush(self) -> None:
        """Send queued messages. Close a client that does not read."""
        super().flush()
        self.send_reports()
        for client in list(self.clients.values()):
            self.flush_line(client)
            if len(client.unsent) > MAX_UNSENT:
                self.close_client(client)

    def close(self) -> None:
        """Close the clients and release the resources."""
        for client in self.clients.values():
            client.sock.close()
        super().close()
