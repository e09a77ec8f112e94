"""A dispatcher over a real database, with a keeper that only writes down what it is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.runtime.dispatcher import Dispatcher
from db.engine import Database


class FakeKeeper:
    """What a keeper was told, in order; stands where the line to a keeper does."""

    pid = guard_pid = 0

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []

    def spawn(self, run: dict[str, Any]) -> None:
        self.orders.append(("spawn", run))

    def stop(self, runid: str, reason: str, grace: float) -> None:
        self.orders.append(("stop", runid, reason, grace))

    def signal(self, runid: str, number: int) -> None:
        self.orders.append(("signal", runid, number))

    def refuse(self, runid: str) -> None:
        self.orders.append(("refuse", runid))

    def forget(self, runids: list[str]) -> None:
        self.orders.append(("forget", *runids))

    def get_orders(self, what: str) -> list[tuple[Any, ...]]:
        return [order[1:] for order in self.orders if order[0] == what]

    @property
    def spawned_runs(self) -> list[str]:
        return [run["run"] for (run,) in self.get_orders("spawn")]


@pytest.fixture
def fake_keeper() -> FakeKeeper:
    """What the keeper was told."""
    return FakeKeeper()


@pytest.fixture
def dispatcher(db: Database, home: Path, fake_keeper: FakeKeeper) -> Dispatcher:
    """A dispatcher that has met its keeper, which knows of no run."""
    made = Dispatcher(db, home)
    made.keeper = fake_keeper  # type: ignore[assignment]
    made.handle_event({"is": "hello", "runs": []})
    return made


def make_started_event(runid: str, **more: Any) -> dict[str, Any]:
    """The keeper's word that a run began."""
    return {"is": "started", "run": runid, "pid": 4242, "ticks": 1, "at": time.time(), "boot_at": 1.0, **more}


def make_ended_event(runid: str, code: int | None = 0, **more: Any) -> dict[str, Any]:
    """The keeper's word that a run ended."""
    return {"is": "ended", "run": runid, "code": code, "signal": None, "at": time.time(), **more}
