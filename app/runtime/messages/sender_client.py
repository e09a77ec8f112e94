"""The runtime's side of the sender: a process that is started for messages and ends when idle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from itertools import count
from typing import Any

from app.core.notifications import channels
from app.core.text.sanitize import sanitize, truncate
from app.health.procfs import is_outdated

IDLE_SECONDS = 30.0
"""Seconds without a message after which the process ends."""
ANSWER_TIMEOUT = 120.0
"""Seconds after which a message counts as hanging. The process is then killed."""
_NO_ANSWER = "the sender ended without an answer"


def _describe_no_answer() -> str:
    upgraded = is_outdated(os.getpid())
    why = "; after an upgrade: taskdeck serve --replace --detach" if upgraded else ""
    return f"{_NO_ANSWER}{why}"


class SenderClient:
    """Client of the sender process.

    A message that gets no answer is an error like any other: the caller sends it again.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[str | None]] = {}
        self._ids = count(1)
        self._idle_timer: asyncio.TimerHandle | None = None
        self._starting = asyncio.Lock()

    async def send(self, request: dict[str, Any], secrets: list[str]) -> str | None:
        """Send one message; return why the message was not sent, or None.

        The reason contains none of the secrets.
        """
        number = next(self._ids)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._stop_timer()
        try:
            process = await self._get_process()
            assert process.stdin is not None
            process.stdin.write(json.dumps({**request, "id": number}).encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(ANSWER_TIMEOUT):
                error = await answer
        except TimeoutError:
            self._kill()
            error = f"no answer for {ANSWER_TIMEOUT:.0f} s"
        except OSError as problem:
            error = f"the sender cannot be used: {(problem.strerror or _NO_ANSWER).lower()}"
        finally:
            self._waiting.pop(number, None)
            self._start_timer()
        masked = channels.mask_secrets(error, secrets) if error else None
        return truncate(sanitize(masked), 300) if masked else None

    async def close(self) -> None:
        """End the process; messages on their way count as not sent."""
        self._stop_timer()
        self._kill()
        if self._reader:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _get_process(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "app.runtime.messages.sender",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    cwd="/",
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                )
                self._reader = asyncio.create_task(
                    self._read_answers(self._process), name="answers of the sender"
                )
            return self._process

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        """Pass answers on until the process ends; what is left then has no answer."""
        assert process.stdout is not None
        async for line in process.stdout:
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                self._answer(found["id"], found["error"])
        await process.wait()
        if process is self._process:
            self._process = None
            for number in list(self._waiting):
                self._answer(number, _describe_no_answer())

    def _answer(self, number: int, error: str | None) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(error)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _start_timer(self) -> None:
        """End the process once it has been idle for a while."""
        self._stop_timer()
        if not self._waiting:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(IDLE_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        self._kill()
        self._process = None  # the next message must not be written to a process that ends

    def _stop_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
