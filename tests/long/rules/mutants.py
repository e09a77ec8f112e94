"""Faults that the state machine must find, each as a patch of the product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from app.core.rules import alert_state
from app.core.rules.alert_state import FIRING, PENDING, Step, SubjectState
from app.service.rules.evaluation import engine, rule_changes
from db import schema
from db.queries.rules import alerts, rule_states, silences

_advance, _apply = alert_state.advance, engine.apply_changes
Patch = tuple[Any, str, Callable[..., Any]]


def _fire_without_waiting(state: Any, truth: bool, since: float, now: float, timing: Any,
                          is_inhibited: bool = False) -> Step:  # fmt: skip
    return _advance(state, truth, since, now, timing._replace(wait=0.0), is_inhibited)


def _resolve_at_once(state: Any, truth: bool, since: float, now: float, timing: Any,
                     is_inhibited: bool = False) -> Step:  # fmt: skip
    return _advance(state, truth, since, now, timing._replace(keep=0.0), is_inhibited)


def _ignore_inhibition(state: Any, truth: bool, since: float, now: float, timing: Any,
                       is_inhibited: bool = False) -> Step:  # fmt: skip
    return _advance(state, truth, since, now, timing)


def _stay_pending(state: Any, truth: bool, since: float, now: float, timing: Any,
                  is_inhibited: bool = False) -> Step:  # fmt: skip
    if state is not None and state.phase == PENDING and not truth:
        return Step(state)
    return _advance(state, truth, since, now, timing, is_inhibited)


def _keep_the_old_clear(state: Any, truth: bool, since: float, now: float, timing: Any,
                        is_inhibited: bool = False) -> Step:  # fmt: skip
    step = _advance(state, truth, since, now, timing, is_inhibited)
    if state is not None and step.state is not None and step.state.phase == FIRING:
        return step._replace(state=step.state._replace(clear_since=state.clear_since
                                                       or step.state.clear_since))  # fmt: skip
    return step


def _escalate_each_time(state: Any, truth: bool, since: float, now: float, timing: Any,
                        is_inhibited: bool = False) -> Step:  # fmt: skip
    step = _advance(state, truth, since, now, timing, is_inhibited)
    if step.change == "escalate" and step.state is not None:
        return step._replace(state=step.state._replace(is_escalated=False))
    return step


def _fire_at_the_pass(state: Any, truth: bool, since: float, now: float, timing: Any,
                      is_inhibited: bool = False) -> Step:  # fmt: skip
    step = _advance(state, truth, since, now, timing, is_inhibited)
    if step.change == "fire" and step.state is not None:
        return step._replace(state=SubjectState(FIRING, step.state.since, now))
    return step


def _forget_pending(c: Any, rows: Sequence[Any]) -> None:
    _store_states(c, [row for row in rows if row.status == "firing"])


def _keep_states(c: Any, keys: Sequence[Any]) -> None:
    return None


def _forget_escalation(c: Any, rows: Sequence[tuple[int, str]]) -> None:
    for key, severity in rows:
        c.exec_driver_sql("UPDATE alerts SET severity = ? WHERE id = ?", (severity, key))


def _fire_again(c: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    _fire_alerts(c, rows)
    for row in rows:
        c.exec_driver_sql(
            "UPDATE alerts SET fingerprint = fingerprint || '/' || id WHERE fingerprint = ?",
            (row["fingerprint"],),
        )


def _store_alerts_only(c: Any, changes: Sequence[Any], now: float) -> None:
    rule_changes._change_alerts(c, changes, now)


def _match_any_severity(matchers: Mapping[str, Any]) -> Any:
    return _compile_matchers({key: globs for key, globs in matchers.items() if key != "severity"})


def _list_ended_silences(c: Any) -> list[Any]:
    columns = [schema.silences.c[name] for name in silences.Silence._fields]
    return [silences.Silence._make(row) for row in c.execute(select(*columns))]


_compile_matchers = silences.compile_matchers
_store_states, _fire_alerts = rule_states.store_states, alerts.fire_alerts
MUTANTS: Mapping[str, Patch] = {
    "fires without waiting": (alert_state, "advance", _fire_without_waiting),
    "resolves at once": (alert_state, "advance", _resolve_at_once),
    "ignores inhibition": (alert_state, "advance", _ignore_inhibition),
    "stays pending when clear": (alert_state, "advance", _stay_pending),
    "keeps an old clear time": (alert_state, "advance", _keep_the_old_clear),
    "escalates each time": (alert_state, "advance", _escalate_each_time),
    "dates an alert at the pass": (alert_state, "advance", _fire_at_the_pass),
    "forgets pending states": (rule_states, "store_states", _forget_pending),
    "keeps the state of a resolved alert": (rule_states, "delete_states", _keep_states),
    "keeps an acknowledgement that got worse": (alerts, "escalate_alerts", _forget_escalation),
    "has several live alerts of a fingerprint": (alerts, "fire_alerts", _fire_again),
    "stores alerts without states": (engine, "apply_changes", _store_alerts_only),
    "silences any severity": (silences, "compile_matchers", _match_any_severity),
    "silences after the end": (silences, "list_active", _list_ended_silences),
}


@contextmanager
def apply_mutant(name: str) -> Iterator[None]:
    """Patch the product in the block."""
    module, attribute, fault = MUTANTS[name]
    before = getattr(module, attribute)
    setattr(module, attribute, fault)
    try:
        yield
    finally:
        setattr(module, attribute, before)
