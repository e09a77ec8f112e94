"""The database's own health, as people see it: what was slow, how large it is, and what its indexes are worth."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from app.service.context import Call
from db.errors import DiskFull, ReadOnlyDisk
from db.maintenance import size_stats, slow_queries


async def list_slow(call: Call) -> list[dict[str, Any]]:
    """The statements that were slow, the slowest first: see `db.slowlog.SlowRow`; seconds, and the plan as text or null."""
    await _flush_slow_log(call)
    return [asdict(row) for row in await call.db.read(slow_queries.list_slow)]


async def clear_slow(call: Call) -> dict[str, Any]:
    """Begin anew: {"cleared": how many statements are forgotten}."""
    await _flush_slow_log(call)
    return {"cleared": await call.db.write_quietly(slow_queries.clear_slow)}


async def read_stats(call: Call) -> dict[str, Any]:
    """{"bytes", "page_bytes", "pages", "free_pages", "fragmentation": 0 to 1, "exact", "wal_bytes", "tables": [{name, rows, bytes,
    index_bytes, unused}], "indexes": [{name, table, columns, bytes, used, serves, unused}], "missing": [{table, columns, statements}],
    "used_since", "lock_waits": {count, total, worst} in seconds since the runtime began, null without one, "cache": {bytes, from_disk,
    hits: 0 to 1} of what the runtime has read since it began, null without one}."""
    await _flush_slow_log(call)
    found = await call.db.read(size_stats.read_stats)
    waits, read = call.db.slow.waits, size_stats.read_counts() if call.live else None
    return {
        "bytes": found.pages * found.page_bytes, "page_bytes": found.page_bytes, "pages": found.pages,
        "free_pages": found.free_pages, "fragmentation": found.fragmentation, "exact": found.exact,
        "wal_bytes": slow_queries.get_wal_size(call.db.path),
        "lock_waits": {"count": waits.count, "total": waits.total, "worst": waits.worst} if call.live else None,
        "cache": read._asdict() | {"hits": read.hits} if read else None,
        "tables": [table._asdict() for table in found.tables],
        "indexes": [index._asdict() | {"unused": index.unused} for index in found.indexes],
        "missing": [one._asdict() for one in found.missing],
        "used_since": found.used_since,
    }  # fmt: skip


async def _flush_slow_log(call: Call) -> None:
    """What was slow a moment ago is told, too, unless the disk takes nothing."""
    if call.live is None:
        return
    with suppress(DiskFull, ReadOnlyDisk):
        await slow_queries.store_slow_statements(call.db)
        while call.db.slow.fresh:
            await slow_queries.store_slow_statements(call.db)
