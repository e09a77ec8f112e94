"""A process that runs hooks until one of them kills it, for a test."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app import paths
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages.hook_runner import HookRunner
from app.service.context import Call
from db.engine import open_database


async def main(home: Path, config: str) -> None:
    """Run the hooks of a home."""
    async with open_database(paths.get_database_path(home), writable=True) as db:
        runner = HookRunner(Call(db, "", home), ConfigWatcher(config))
        await runner.prepare()
        await runner.run()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
