"""Programs of rules and hooks, with the event as JSON on stdin."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from app.core.text.sanitize import sanitize, truncate
from app.output_tail import collect_tail

TIMEOUT = 60.0
"""Seconds after which the program of a rule and its children are killed."""
KEY_VARIABLE = "TASKDECK_KEY"
"""Variable with the key of the delivery, the same for each attempt."""


async def run(
    argv: Sequence[str],
    key: str,
    data: dict[str, Any],
    timeout: float | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """Run a program; return why it failed, or None after exit code 0.

    `timeout` is in seconds, `TIMEOUT` if None; `variables` are added to the environment.
    Only the program itself counts: its children may go on, and keep stderr open.
    """
    stdin, (stderr, write_end) = os.memfd_create("event"), os.pipe()
    try:
        text = json.dumps(data, ensure_ascii=False)
        os.pwrite(stdin, text.encode(errors="replace"), 0)
        added = {**variables, KEY_VARIABLE: key}
        seconds = TIMEOUT if timeout is None else timeout
        with collect_tail(stderr) as read_tail:
            return await _run(argv, added, seconds, stdin, write_end, read_tail)
    finally:
        for fd in (stdin, stderr, write_end):
            os.close(fd)


async def _run(
    argv: Sequence[str],
    variables: Mapping[str, str],
    timeout: float,
    stdin: int,
    stderr: int,
    read_tail: Callable[[], bytes],
) -> str | None:
    shown = sanitize(argv[0])
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **variables},
        )
    except OSError as error:
        return f"{shown} cannot be started: {(error.strerror or 'unknown').lower()}"
    try:
        async with asyncio.timeout(timeout):
            await process.wait()
    except TimeoutError:
        return f"{shown} was killed after {timeout:.3g} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode == 0:
        return None
    said = truncate(sanitize(read_tail().decode("utf-8", "replace").strip()), 200)
    return f"{shown} ended with {process.returncode}" + (f": {said}" if said else "")
