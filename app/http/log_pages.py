"""Pages of the log of a run, by offset in bytes. A page is bounded; a log is not."""

from __future__ import annotations

import os
from typing import Any

from app.errors import NotFound
from app.paths import open_regular_descriptor
from db.states import ENDED

MAX_BYTES = 1 << 20
DEFAULT_BYTES = 64 << 10


def read_page(answer: dict[str, Any], offset: int, limit: int) -> dict[str, Any]:
    """Return a page of the only run of an answer of `log`, with its bytes as `data`.

    A negative offset counts from the end. `next` is the offset of the next page, None after the
    end of a run that has ended. If the file is gone, the stored end of the log takes its place.
    Raise NotFound without a run.
    """
    if not answer["runs"]:
        raise NotFound("#{number} has not started yet, so it has no log.", number=answer["number"])
    run = answer["runs"][-1]
    size, begin, data = _read_bytes(run, offset, limit)
    end = begin + len(data)
    return {
        "number": answer["number"], "attempt": run["attempt"], "runid": run["runid"],
        "status": run["status"], "size": size, "offset": begin,
        "next": None if run["status"] in ENDED and end >= size else end, "data": data,
    }  # fmt: skip


def _read_bytes(run: dict[str, Any], offset: int, limit: int) -> tuple[int, int, bytes]:
    """Return the size of the log, the offset where the page begins, and its bytes."""
    try:
        fd = open_regular_descriptor(run["path"])
    except OSError:
        stored = (run["logs"] or "").encode()
        begin = _find_begin(offset, len(stored))
        return len(stored), begin, stored[begin : begin + limit]
    try:
        size = os.fstat(fd).st_size
        begin = _find_begin(offset, size)
        return size, begin, os.pread(fd, min(limit, max(0, size - begin)), begin)
    finally:
        os.close(fd)


def _find_begin(offset: int, size: int) -> int:
    return min(offset, size) if offset >= 0 else max(0, size + offset)
