"""Health check of Slurm pools: commands, controller and spool."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app import config
from app.core.slurm.pool_options import SLURM
from app.core.slurm.settings import SlurmSettings
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, quote_word
from app.outer.slurm.commands import PING, CommandRunner
from app.outer.spool import Spool
from app.paths import get_config_path

COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")
PATIENCE = 10.0
"""Seconds for the answer of the controller."""
HELP = "taskdeck help slurm-pools"


def check_slurm(status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check what Slurm pools need; nothing without such a pool or setting."""
    pools = [pool["name"] for pool in (status or {}).get("pools", ()) if pool.get("kind") == SLURM]
    settings = config.read(get_config_path()).slurm
    if settings.spool is None:
        if pools:
            names = sanitize(", ".join(pools))
            text = f"pool {names} is of kind slurm, but config.toml has no [slurm] spool"
            yield Finding("slurm", text, "broken", HELP)
        return
    if missing := _find_missing(settings):
        where = sanitize(settings.commands or "the PATH")
        text = f"{', '.join(missing)} not found in {where}: set commands in [slurm]"
        yield Finding("slurm", text, "broken", HELP)
    else:
        yield asyncio.run(_ask_controller(settings))
    yield _check_spool(settings.spool)


def _find_missing(settings: SlurmSettings) -> list[str]:
    return [name for name in COMMANDS if not shutil.which(name, path=settings.commands)]


async def _ask_controller(settings: SlurmSettings) -> Finding:
    runner = CommandRunner(settings.commands or "", settings.conf)
    try:
        answer = await runner.run(PING, PATIENCE)
    finally:
        runner.close()
    text = sanitize(" ".join(answer.output.split()))
    if answer.code != 0 or " UP" not in f" {text}":
        why = text or answer.error or "no answer"
        return Finding("slurm", f"Slurm does not answer: {why}", "broken", "scontrol ping")
    return Finding("slurm", text)


def _check_spool(path: str) -> Finding:
    shown = sanitize(path)
    try:
        Spool(Path(path)).prepare()
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        name = sanitize(os.fspath(error.filename or ""))
        text = f"the spool {shown} cannot be used: {why}" + (f" ({name})" if name else "")
        above = os.path.dirname(path)
        cure = HELP if os.path.isdir(above) else f"mkdir -p {quote_word(above)}"
        return Finding("slurm", text, "broken", cure)
    return Finding("slurm", f"spool {shown} can be written")
