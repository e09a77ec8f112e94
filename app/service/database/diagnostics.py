"""Database diagnostics: slow statements, size and index usage."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from app.service.context import Call
from db import timestamps
from db.errors import DiskFull, ReadOnlyDisk
from db.maintenance import size_stats, slow_queries

MIN_USAGE_PERIOD = 86400.0
"""Seconds of recorded usage before an index is called unused."""


async def list_slow(call: Call) -> list[dict[str, Any]]:
    """Return the slow statements, slowest first.

    Rows are those of `slow_queries.SlowRow`, with times in seconds and the plan as text or None.
    """
    await _flush_slow_log(call)
    return [asdict(row) for row in await call.db.read(slow_queries.list_slow)]


async def clear_slow(call: Call) -> dict[str, Any]:
    """Clear the list of slow statements. Return {"cleared": how many}."""
    await _flush_slow_log(call)
    return {"cleared": await call.db.write_quietly(slow_queries.clear_slow)}


async def read_stats(call: Call) -> dict[str, Any]:
    """Return the size of the database and the usage of its indexes.

    Keys: "bytes", "page_bytes", "pages", "free_pages", "fragmentation" (0 to 1), "exact",
    "wal_bytes", "tables" ([{name, rows, bytes, index_bytes, unused}]), "indexes" ([{name, table,
    columns, bytes, used, serves, unused}]), "missing" ([{table, columns, statements}]),
    "used_since" (start of the runtime), "lock_waits" ({count, total, worst}, in seconds since then)
    and "cache" ({bytes, from_disk, hits: 0 to 1}, of the runtime's reads). The last three are None
    without a runtime.
    """
    await _flush_slow_log(call)
    live, waits = call.live, call.db.lock_waits
    # a copy: other connections add statements meanwhile
    found = await call.db.read(size_stats.read_stats, dict(call.db.slow.texts) if live else {})
    since = live.get_facts().since if live else None
    read = size_stats.read_counts() if live else None
    is_long = since is not None and timestamps.utcnow().timestamp() - since > MIN_USAGE_PERIOD
    return found._asdict() | {
        "bytes": found.pages * found.page_bytes, "fragmentation": found.fragmentation,
        "wal_bytes": slow_queries.get_wal_size(call.db.path),
        "lock_waits": {"count": waits.count, "total": waits.total,
                       "worst": waits.worst} if live else None,
        "cache": read._asdict() | {"hits": read.hits} if read else None,
        "tables": [table._asdict() for table in found.tables],
        "indexes": [index._asdict() | {"unused": is_long and not index.used and not index.serves}
                    for index in found.indexes],
        "missing": [one._asdict() for one in found.missing],
        "used_since": None if since is None else timestamps.from_unix(since),
    }  # fmt: skip


async def _flush_slow_log(call: Call) -> None:
    """Store the statements recorded so far, unless the disk refuses writes."""
    if call.live is not None:
        with suppress(DiskFull, ReadOnlyDisk):
            await slow_queries.store_slow_statements(call.db)
