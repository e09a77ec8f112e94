"""A state machine over evaluate, acknowledge, silence, resolve and crash, beside a plain model.

The model keeps what a person expects, in other words than the product: lists of observations
instead of states. After each step the database must agree with it.
"""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, Engine

from app.service.rules.evaluation import engine as engine_module
from app.service.rules.evaluation.engine import RuleEngine
from app.service.rules.facts.probes import RunProbe
from db import schema, timestamps
from db.engine import create_write_engine
from db.queries import definitions
from db.queries.rules import alerts, silences
from tests.service.calls import _prepare_once

START = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
WAIT, KEEP, ESCALATE = 30.0, 20.0, 100.0
RULES: Mapping[str, dict[str, Any]] = {
    "memory": {
        "scope": "host", "when": {"metric": "host.memory_ratio", "op": ">", "value": 0.9},
        "for": WAIT, "keep_firing_for": KEEP,
        "escalate": {"after": ESCALATE, "severity": "critical"},
    },
    "cpu": {
        "scope": "host", "when": {"metric": "host.cpu_ratio", "op": ">", "value": 0.9},
        "inhibited_by": ["memory"],
    },
}  # fmt: skip
clock = [START]


@cache
def _open_engine() -> Engine:
    """Return the engine of one database, which all examples share."""
    folder = Path(tempfile.mkdtemp(prefix="taskdeck-rules-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copy(_prepare_once(), folder / "taskdeck.db")
    engine = create_write_engine(folder / "taskdeck.db")
    with engine.connect() as c:  # the machine kills no process, so nothing needs to be on disk
        assert isinstance(driver := c.connection.driver_connection, sqlite3.Connection)
        driver.execute("PRAGMA synchronous=OFF")
    return engine


class HostProbes:
    """The host, as the machine sets it; None means no data."""

    def __init__(self) -> None:
        self.values: dict[str, float | None] = {"memory_ratio": 0.1, "cpu_ratio": 0.1}

    def read_host(self) -> Mapping[str, float | None]:
        return dict(self.values)

    def read_run(self, runid: str) -> RunProbe:
        return RunProbe()

    def read_tick_lag(self) -> float | None:
        return None


@dataclass
class ExpectedRule:
    """What a person expects of one rule, from the passes that have been stored."""

    wait: float
    keep: float
    escalate: float | None
    seen: list[tuple[float, bool]] = field(default_factory=list)
    fired_at: float | None = None
    is_acknowledged: bool = False
    is_escalated: bool = False
    fires: int = 0

    def observe(self, now: float, truth: bool, is_inhibited: bool) -> None:
        """Take a stored pass into account."""
        self.seen.append((now, truth))
        since = self._find_change()
        if self.fired_at is None:
            if truth and now >= since + self.wait and not is_inhibited:
                self.fired_at, self.fires = since + self.wait, self.fires + 1
        elif not truth:
            if now >= since + self.keep:
                self.forget_alert()
        elif (
            self.escalate is not None
            and not self.is_escalated
            and now >= self.fired_at + self.escalate
        ):
            self.is_escalated, self.is_acknowledged = True, False

    def forget_alert(self) -> None:
        self.fired_at, self.is_acknowledged, self.is_escalated = None, False, False

    def _find_change(self) -> float:
        """Return since when the latest observations agree."""
        last = self.seen[-1][1]
        since = self.seen[-1][0]
        for at, truth in reversed(self.seen):
            if truth != last:
                break
            since = at
        return since


def _make_matchers(glob: str, severity: str | None) -> dict[str, list[str]]:
    return {"rule": [glob]} | ({"severity": [severity]} if severity else {})


class AlertMachine(RuleBasedStateMachine):
    """Rules, alerts, people and crashes."""

    @initialize()
    def begin(self) -> None:
        clock[0] = START
        timestamps.utcnow = lambda: datetime.fromtimestamp(clock[0], UTC)
        self.probes = HostProbes()
        self.expected = {
            "memory": ExpectedRule(WAIT, KEEP, ESCALATE),
            "cpu": ExpectedRule(0.0, 0.0, None),
        }
        self.silenced_until = 0.0
        self.matching: dict[tuple[str, str | None], float] = {}
        with _open_engine().begin() as c:
            tables = (schema.deliveries, schema.alerts, schema.rule_states, schema.silences,
                      schema.slas)  # fmt: skip
            for table in tables:
                c.execute(table.delete())
            rows = {
                name: {"conditions": conditions, "actions": {}, "priority": 2, "enabled": True}
                for name, conditions in RULES.items()
            }
            definitions.create_all(c, schema.slas, rows, "ann")
            self.ids = {row.name: row.id for row in definitions.list_slas(c)}
        self.restart()

    @rule()
    def restart(self) -> None:
        """Lose what the engine has in memory."""
        self.engine = RuleEngine(None, self.probes)  # type: ignore[arg-type]

    @rule(gaps=st.lists(st.sampled_from([1.0, 5.0, 9.0, 10.0, 20.0, 30.0]), min_size=1, max_size=6))
    def watch(self, gaps: list[float]) -> None:
        """Let time pass, with a pass after each gap."""
        for seconds in gaps:
            clock[0] += seconds
            self.evaluate()

    @rule(seconds=st.sampled_from([0.5, 100.0]))
    def wait(self, seconds: float) -> None:
        clock[0] += seconds

    @rule(memory=st.sampled_from([0.1, 0.95, 0.95, None]), cpu=st.sampled_from([0.1, 0.95, 0.95]))
    def change_host(self, memory: float | None, cpu: float) -> None:
        self.probes.values |= {"memory_ratio": memory, "cpu_ratio": cpu}

    @rule(
        gaps=st.lists(st.sampled_from([10.0, 31.0, 131.0]), min_size=1, max_size=3),
        cpu=st.sampled_from([0.1, 0.95]),
    )
    def stay_short_of_memory(self, gaps: list[float], cpu: float) -> None:
        """Let the memory be short for a time, which fires and may escalate."""
        self.change_host(0.95, cpu)
        self.evaluate()
        self.watch(gaps)

    @rule(gaps=st.lists(st.sampled_from([1.0, 15.0, 19.0]), min_size=1, max_size=3))
    def clear_for_a_moment(self, gaps: list[float]) -> None:
        """Let the memory be free for a time that may be too short to resolve."""
        self.change_host(0.1, self.probes.values["cpu_ratio"] or 0.1)
        self.watch(gaps)
        self.change_host(0.95, self.probes.values["cpu_ratio"] or 0.1)
        self.evaluate()

    @rule()
    def evaluate(self) -> None:
        """Run a pass, and store it."""
        with _open_engine().begin() as c:
            self._store(c, self.engine.decide(c, clock[0]).changes)
        self._observe()

    @rule()
    def evaluate_twice(self) -> None:
        """Store a pass twice, as after a crash before its answer."""
        with _open_engine().begin() as c:
            changes = self.engine.decide(c, clock[0]).changes
            self._store(c, changes)
        with _open_engine().begin() as c:
            fires = [change for change in changes if change.action == "fire"]
            self._store(c, fires)
        self._observe()

    @rule()
    def crash_before_the_commit(self) -> None:
        """Lose a pass that was not committed, and the engine."""
        with _open_engine().connect() as c, c.begin() as transaction:
            self._store(c, self.engine.decide(c, clock[0]).changes)
            transaction.rollback()
        self.restart()

    @rule(name=st.sampled_from(list(RULES)))
    def acknowledge(self, name: str) -> None:
        with _open_engine().begin() as c:
            ids = [row.id for row in alerts.list_of_rule(c, name)]
            alerts.acknowledge(c, ids, "ann", "seen")
        if self.expected[name].fired_at is not None:
            self.expected[name].is_acknowledged = True

    @rule(seconds=st.sampled_from([70.0, 101.0]))
    def acknowledge_and_let_it_get_worse(self, seconds: float) -> None:
        self.stay_short_of_memory([31.0], 0.1)
        self.acknowledge("memory")
        self.watch([seconds])

    @rule(name=st.sampled_from(list(RULES)))
    def unacknowledge(self, name: str) -> None:
        with _open_engine().begin() as c:
            alerts.unacknowledge(c, [row.id for row in alerts.list_of_rule(c, name)])
        self.expected[name].is_acknowledged = False

    @rule(seconds=st.sampled_from([10.0, 60.0]))
    def silence(self, seconds: float) -> None:
        until = timestamps.utcnow() + timedelta(seconds=seconds)
        with _open_engine().begin() as c:
            silences.silence_rule(
                c, self.ids["memory"], timestamps.format_time(until), "ann", None
            )  # fmt: skip
        self.silenced_until = until.timestamp()

    @rule(
        glob=st.sampled_from(["mem*", "cpu", "*"]),
        severity=st.sampled_from([None, "warning", "critical"]),
        seconds=st.sampled_from([10.0, 60.0, 200.0]),
    )
    def silence_matching(self, glob: str, severity: str | None, seconds: float) -> None:
        """Silence what the name of a rule and a severity select; the same ones get a new end."""
        until = timestamps.utcnow() + timedelta(seconds=seconds)
        with _open_engine().begin() as c:
            silences.put(
                c, _make_matchers(glob, severity), timestamps.format_time(until), "ann", None
            )
        self.matching[glob, severity] = until.timestamp()

    @rule()
    def unsilence(self) -> None:
        """End the first silence that has matchers."""
        active = [key for key, until in self.matching.items() if clock[0] < until]
        if not active:
            return
        with _open_engine().begin() as c:
            found = silences.find_matching(c, _make_matchers(*active[0]))
            assert found is not None, f"no silence of {active[0]}"
            silences.remove(c, found)
        del self.matching[active[0]]

    @rule(name=st.sampled_from(list(RULES)))
    def switch_off_and_on(self, name: str) -> None:
        """Resolve the alerts of a rule by hand; the rule starts again."""
        with _open_engine().begin() as c:
            for enabled in (False, True):
                definitions.update(c, schema.slas, name, {"enabled": enabled}, "ann")
                alerts.restart_rule(c, self.ids[name])
        self.expected[name].forget_alert()
        self.expected[name].seen = []

    def _store(self, c: Connection, changes: Any) -> None:
        engine_module.apply_changes(c, changes, clock[0])

    def _observe(self) -> None:
        values = self.probes.values
        memory, cpu = self.expected["memory"], self.expected["cpu"]
        was_firing = memory.fired_at is not None
        memory.observe(clock[0], (values["memory_ratio"] or 0.0) > 0.9, False)
        is_inhibited = was_firing or memory.fired_at is not None
        cpu.observe(clock[0], (values["cpu_ratio"] or 0.0) > 0.9, is_inhibited)
        with _open_engine().connect() as c:
            again = self.engine.decide(c, clock[0])
        # One step of each subject a pass: what is due besides follows in the next one.
        more = [change for change in again.changes if change.action not in ("fire", "escalate")]
        assert not more, f"a repeated pass changes something: {more[0].subject} {more[0].state}"
        due = [change for change in again.changes if change.action == "fire"]
        assert all(change.rule.name == "cpu" for change in due), f"fires late: {due[0].subject}"

    @invariant()
    def agrees_with_the_database(self) -> None:
        if not hasattr(self, "ids"):
            return
        with _open_engine().connect() as c:
            for name, expected in self.expected.items():
                self._check_rule(c, name, expected)
            found = silences.find_silenced(c)
            live = {name: alerts.list_of_rule(c, name) for name in self.expected}
        silenced = {name for name, rows in live.items() if any(row.id in found for row in rows)}
        expected = {name for name in self.expected if self._is_silenced(name)}
        assert silenced == expected, f"silenced: {silenced}, not {expected}"

    def _is_silenced(self, name: str) -> bool:
        expected = self.expected[name]
        if expected.fired_at is None:
            return False
        severity = "critical" if expected.is_escalated else "warning"
        return (name == "memory" and clock[0] < self.silenced_until) or any(
            clock[0] < until and fnmatchcase(name, glob) and wanted in (None, severity)
            for (glob, wanted), until in self.matching.items()
        )

    def _check_rule(self, c: Connection, name: str, expected: ExpectedRule) -> None:
        live = alerts.list_of_rule(c, name)
        assert len(live) == (expected.fired_at is not None), f"{name}: live alerts {live}"
        firing = c.exec_driver_sql(
            "SELECT count(*) FROM rule_states WHERE sla_id = ? AND status = 'firing'",
            (self.ids[name],),
        ).scalar_one()
        assert firing == len(live), f"{name}: state and alert differ"
        total = c.exec_driver_sql(
            "SELECT count(*) FROM alerts WHERE sla_id = ?", (self.ids[name],)
        ).scalar_one()
        assert total == expected.fires, f"{name} fired {total} times, not {expected.fires}"
        if not live:
            return
        (alert,) = live
        word = "acknowledged" if expected.is_acknowledged else "firing"
        assert alert.status == word, f"{name} is {alert.status}, not {word}"
        assert (alert.note == "seen") == expected.is_acknowledged
        assert alert.severity == ("critical" if expected.is_escalated else "warning")
        assert abs(timestamps.to_unix(alert.fired_at) - (expected.fired_at or 0.0)) < 0.01
