"""A dispatcher on a real database, with a fake keeper that records its orders."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from db.engine import Database


@pytest.fixture
def direct_reads() -> None:
    """Keep the threads of readers, as in a runtime."""


class FakeKeeper:
    """A keeper client that records the orders it gets."""

    pid = guard_pid = 0

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []

    def spawn(self, run: dict[str, Any]) -> None:
        self.orders.append(("spawn", run))

    def stop(self, runid: str, reason: str, grace: float) -> None:
        self.orders.append(("stop", runid, reason, grace))

    def signal(self, runid: str, number: int) -> None:
        self.orders.append(("signal", runid, number))

    def signal_early(self, runid: str) -> None:
        self.orders.append(("early", runid))

    def refuse(self, runid: str) -> None:
        self.orders.append(("refuse", runid))

    def forget(self, runids: list[str]) -> None:
        self.orders.append(("forget", *runids))

    def get_orders(self, what: str) -> list[tuple[Any, ...]]:
        """Return the arguments of all orders of one kind."""
        return [order[1:] for order in self.orders if order[0] == what]

    @property
    def spawned_runs(self) -> list[str]:
        return [run["run"] for (run,) in self.get_orders("spawn")]


@pytest.fixture
def fake_keeper() -> FakeKeeper:
    return FakeKeeper()


@pytest.fixture
def dispatcher(db: Database, home: Path, fake_keeper: FakeKeeper) -> Dispatcher:
    """Return a dispatcher connected to a keeper that knows no run."""
    made = Dispatcher(db, home)
    made.keeper = fake_keeper  # type: ignore[assignment]
    made.handle_event({"is": "hello", "runs": []})
    return made


def make_started_event(runid: str, **more: Any) -> dict[str, Any]:
    """Return a keeper event for a started run."""
    return {
        "is": "started",
        "run": runid,
        "pid": 4242,
        "ticks": 1,
        "at": time.time(),
        "boot_at": 1.0,
        **more,
    }


def make_ended_event(runid: str, code: int | None = 0, **more: Any) -> dict[str, Any]:
    """Return a keeper event for an ended run."""
    return {"is": "ended", "run": runid, "code": code, "signal": None, "at": time.time(), **more}


@pytest.fixture
def duties(db: Database, dispatcher: Dispatcher, home: Path) -> Duties:
    """Return the duties of a runtime with that dispatcher."""
    return Duties(db, dispatcher, UsageSampler(home))
