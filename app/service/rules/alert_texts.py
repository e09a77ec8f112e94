"""Texts of alerts that fire, also of those that a pass leaves out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from app.core.rules.amounts import format_seconds
from app.core.rules.evaluate import SubjectTimes, evaluate
from app.core.rules.rule_plan import RulePlan
from app.service.rules.levels import AlertText
from app.service.rules.rule_changes import get_finite
from app.service.rules.snapshot import Snapshot
from app.service.rules.subjects import Subject
from app.service.rules.values import SubjectValues


def describe_steady(plan: RulePlan, subject: Subject, now: float) -> AlertText:
    """Return the text of an alert about an instance that has not changed since it was judged."""
    # The only metric of a steady rule is an age of the instance: it needs no more than the time.
    values = SubjectValues(cast(Snapshot, SimpleNamespace(now=now)), subject, 0.0)
    verdict = evaluate(plan.conditions.when, values.read, SubjectTimes(), now)
    text = verdict.text + describe_wait(plan)
    return AlertText(text, get_finite(verdict.value))


def describe_wait(plan: RulePlan) -> str:
    """Return how long the condition of a rule holds before it fires, or ""."""
    return f" for {format_seconds(plan.timing.wait)}" if plan.timing.wait else ""
