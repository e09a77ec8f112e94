"""A home made ready: the database at this version, with the pool and queue that every home has."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil
from sqlalchemy import Connection

from app import paths
from db import migrate, named, schema
from db.engine import write_engine
from db.moves import SYSTEM


def prepare_apart(home: Path) -> None:
    """`prepare` where there is work to do, in a process of its own: Alembic takes 50 MB that a runtime would keep for life."""
    if migrate.version_of(paths.database(home)) != migrate.HEAD:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as apart:
            apart.submit(prepare, home).result()


def prepare(home: Path) -> list[str]:
    """Make or upgrade the database, and what a fresh one holds; what was done. The caller holds the lock."""
    path = paths.database(home)
    done = migrate.migrate(path)
    if done:
        engine = write_engine(path)
        try:
            with engine.begin() as c:
                seed(c)
        finally:
            engine.dispose()
    return done


def seed(c: Connection) -> None:
    """Pool `default`: this machine. Queue `default` on it. Only where there is no pool at all."""
    if c.execute(schema.pools.select().limit(1)).first() is not None:
        return
    cores = len(os.sched_getaffinity(0))
    memory = round(psutil.virtual_memory().total / 2**20)
    named.create(c, schema.pools, "default", {"total_cpu": float(cores), "total_memory": float(memory)}, SYSTEM)
    named.create(c, schema.queues, "default", {"pool": "default", "capacity": cores}, SYSTEM)
