"""What a deck knows of a board that nobody measured: without a runtime, what was measured while there was one."""

from __future__ import annotations

from typing import Any

from app.core.board import Board

DOWN = ("none", "stopped")
"""States of a runtime that is not there."""


def with_last_known(board: Board, before: Board | None) -> Board:
    """The board, with the measures of the one `before` where that has later ones: the database knows those of whole minutes, and none
    of single runs."""
    known_at = before and (before.measured_at or before.at)
    if board.runtime.state not in DOWN or before is None or not known_at or (board.measured_at or 0.0) > known_at:
        return board
    runs = {run.runid: run for run in before.running}
    pools = {pool.name: pool for pool in before.pools}
    return board._replace(
        measured_at=known_at, host=before.host if before.host.cpu_used is not None else board.host,
        running=tuple(_measured(run, runs.get(run.runid)) for run in board.running),
        pools=tuple(_measured(pool, pools.get(pool.name)) for pool in board.pools),
    )  # fmt: skip


def _measured(row: Any, was: Any) -> Any:
    if was is None or was.measured_cpu is None:
        return row
    return row._replace(measured_cpu=was.measured_cpu, measured_memory=was.measured_memory)
