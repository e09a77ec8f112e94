"""Calls in threads that do not keep the process alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from app.outer.slow_calls import call_in_thread


async def test_results_and_errors_come_back():
    assert await call_in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(FileNotFoundError):
        await call_in_thread(open, "/no/such/file")


def test_a_process_ends_while_a_call_hangs():
    script = (
        "import asyncio, threading\n"
        "from app.outer.slow_calls import call_in_thread\n"
        "async def main():\n"
        "    task = asyncio.create_task(call_in_thread(threading.Event().wait))\n"
        "    await asyncio.sleep(0)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == 0


async def test_a_cancelled_call_ends_in_silence():
    task = asyncio.create_task(call_in_thread(sum, (1, 2)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await call_in_thread(sum, (1, 2)) == 3
