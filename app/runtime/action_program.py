"""Programs of rules: the action `command`, with the event as JSON on stdin."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import Any

from app.core.text.sanitize import sanitize, truncate

TIMEOUT = 60.0
"""Seconds after which the program and its children are killed."""
MAX_OUTPUT = 4096
KEY_VARIABLE = "TASKDECK_KEY"
"""Variable with the key of the delivery, the same for each attempt."""


async def run(argv: list[str], key: str, data: dict[str, Any]) -> str | None:
    """Run a program; return why it failed, or None after exit code 0."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env=os.environ | {KEY_VARIABLE: key},
        )
    except OSError as error:
        return f"{sanitize(argv[0])} cannot be started: {(error.strerror or 'unknown').lower()}"
    try:
        async with asyncio.timeout(TIMEOUT):
            _, stderr = await process.communicate(json.dumps(data, ensure_ascii=False).encode())
    except TimeoutError:
        return f"{sanitize(argv[0])} was killed after {TIMEOUT:.0f} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode == 0:
        return None
    said = truncate(sanitize(stderr[-MAX_OUTPUT:].decode("utf-8", "replace").strip()), 200)
    return f"{sanitize(argv[0])} ended with {process.returncode}" + (f": {said}" if said else "")
