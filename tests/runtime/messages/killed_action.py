"""A process that does one action of a rule and is killed at its commit, for a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event

from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages.channel_sender import ChannelSender
from app.runtime.messages.notifier import Notifier
from app.service.context import Call
from db.engine import Connection, open_database


def kill(*args: Any) -> None:
    """Kill this process, as nobody can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_with_record(c: Connection) -> None:
    """Kill this process in the transaction that records an attempt."""
    if c.exec_driver_sql("SELECT 1 FROM deliveries WHERE attempts > 0").first():
        kill()


async def main(path: Path, moment: str) -> None:
    """Do what is due; die before the commit of the action, or after it."""
    async with open_database(path, writable=True) as db:
        notifier = Notifier(Call(db, "", path.parent), ChannelSender(ConfigWatcher("/dev/null")))
        if moment == "before":
            event.listen(db._writer, "commit", kill_with_record)
        else:
            notifier._record = kill  # type: ignore[method-assign]
        await notifier.run()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
