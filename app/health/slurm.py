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
from app.core.text.sanitize import sanitize, truncate
from app.health.finding import Finding, quote_word
from app.outer.slurm.commands import LIST_PARTITIONS, PING, CommandAnswer, CommandRunner
from app.outer.spool import Spool
from app.paths import get_config_path
from app.translation import tr

COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")
PATIENCE = 10.0
"""Seconds for the answer of the controller."""
MAX_LISTED = 200
HELP = "taskdeck help slurm-pools"


def check_slurm(status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check what Slurm pools need; nothing without such a pool or setting."""
    found = [pool for pool in (status or {}).get("pools", ()) if pool.get("kind") == SLURM]
    pools = [pool["name"] for pool in found]
    settings = config.read(get_config_path()).slurm
    if settings.spool is None:
        if pools:
            names = sanitize(", ".join(pools))
            text = tr(
                "pool {names} is of kind slurm, but config.toml has no [slurm] spool", names=names
            )
            yield Finding("slurm", text, "broken", HELP)
        return
    if missing := _find_missing(settings):
        where = sanitize(settings.commands or "the PATH")
        text = tr(
            "{missing} not found in {where}: set commands in [slurm]",
            missing=", ".join(missing),
            where=where,
        )
        yield Finding("slurm", text, "broken", HELP)
    else:
        yield from asyncio.run(_ask_controller(settings, _map_partitions(status)))
    yield _check_spool(settings.spool)
    for trouble in {pool["outer"]["trouble"] for pool in found if pool.get("outer")} - {""}:
        yield Finding("slurm", tr("the runtime: {trouble}", trouble=trouble), "broken", HELP)


def _find_missing(settings: SlurmSettings) -> list[str]:
    return [name for name in COMMANDS if not shutil.which(name, path=settings.commands)]


def _map_partitions(status: dict[str, Any] | None) -> dict[str, str]:
    """Return the partition of each Slurm pool that names one."""
    pools = (status or {}).get("pools", ())
    return {
        pool["name"]: pool["partition"]
        for pool in pools
        if pool.get("kind") == SLURM and pool.get("partition")
    }


async def _ask_controller(settings: SlurmSettings, partitions: dict[str, str]) -> list[Finding]:
    runner = CommandRunner(settings.commands or "", settings.conf)
    try:
        found = [_judge_ping(await runner.run(PING, PATIENCE))]
        if partitions and found[0].state == "well":
            listed = await runner.run(LIST_PARTITIONS, PATIENCE)
            found += _find_unknown(partitions, listed) if listed.code == 0 else ()
    finally:
        runner.close()
    return found


def _find_unknown(partitions: dict[str, str], listed: CommandAnswer) -> Iterator[Finding]:
    """Yield the pools whose partition Slurm does not have."""
    known = list(dict.fromkeys(listed.output.split()))
    for pool, names in partitions.items():
        if unknown := [name for name in names.split(",") if name not in known]:
            there = truncate(sanitize(", ".join(known)), MAX_LISTED) or "none"
            text = tr(
                "pool {pool}: Slurm has no partition {unknown}. There are: {there}",
                pool=sanitize(pool),
                unknown=sanitize(", ".join(unknown)),
                there=there,
            )
            yield Finding("slurm", text, "broken", _build_cure(pool))


def _build_cure(pool: str) -> str:
    return f"taskdeck pool set {quote_word(pool)} --partition NAME"


def _judge_ping(answer: CommandAnswer) -> Finding:
    text = sanitize(" ".join(answer.output.split()))
    if answer.code != 0 or " UP" not in f" {text}":
        why = text or answer.error or "no answer"
        return Finding(
            "slurm", tr("Slurm does not answer: {why}", why=why), "broken", "scontrol ping"
        )
    return Finding("slurm", text)


def _check_spool(path: str) -> Finding:
    shown = sanitize(path)
    try:
        Spool(Path(path)).prepare()
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        name = sanitize(os.fspath(error.filename or ""))
        text = tr("the spool {shown} cannot be used: {why}", shown=shown, why=why) + (
            f" ({name})" if name else ""
        )
        above = os.path.dirname(path)
        cure = HELP if os.path.isdir(above) else f"mkdir -p {quote_word(above)}"
        return Finding("slurm", text, "broken", cure)
    return Finding("slurm", tr("spool {shown} can be written", shown=shown))
