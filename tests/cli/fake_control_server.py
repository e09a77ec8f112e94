"""A fake control server: the control protocol on a real socket, with every request recorded."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

from app.errors import Problem, problem_to_dict
from app.version import PROTOCOL, VERSION


class FakeControlServer:
    """Server of one home.

    `answers` maps a verb to its result, a Problem, or an AnswerSequence for successive calls.
    """

    def __init__(self, home: Path) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.told: list[Any] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.fspath(home / "run" / "control.sock"))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def get_last_args(self, verb: str) -> dict[str, Any]:
        """Return the arguments of the verb's last request."""
        return [args for asked, args in self.asked if asked == verb][-1]

    def close(self) -> None:
        """Stop listening; an open connection ends with its caller's."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, line.makefile("rwb") as file:
                self._converse(file)

    def _converse(self, file: Any) -> None:
        self._say(file, {"taskdeck": VERSION, "protocol": PROTOCOL, "pid": os.getpid()})
        for text in file:
            request = json.loads(text)
            self.asked.append((request["verb"], request["args"]))
            self._say(file, self._answer(request["verb"]))

    def _answer(self, verb: str) -> dict[str, Any]:
        found = self.answers[verb]
        if isinstance(found, AnswerSequence):
            found = found.pop(0)
        return (
            {"error": problem_to_dict(found)} if isinstance(found, Problem) else {"result": found}
        )

    def _say(self, file: Any, message: dict[str, Any]) -> None:
        line = json.dumps(message, default=lambda time: time.text())
        self.told.append(json.loads(line).get("result"))
        file.write(line.encode() + b"\n")
        file.flush()


class AnswerSequence(list[Any]):
    """Answers for successive calls."""
