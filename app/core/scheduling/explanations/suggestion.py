"""Suggestion for a waiting task: one verb, its predicted gain, and its undo.

The gain comes from `explain` on the changed view, so the text matches the dispatcher's behavior.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any, NamedTuple

from app.core.scheduling.explanations.explain import explain
from app.core.scheduling.explanations.waiting_task import (
    Explanation,
    TaskState,
    simulate_until,
    skip_forecast,
)
from app.core.scheduling.forecasts.run_stats import RunStats, format_exact_memory
from app.core.scheduling.plan import Amounts, DispatchView, QueuedTask, QueueView, get_sort_key
from app.core.scheduling.resources import GPU
from app.core.text.joining import end_heading, join_commas
from app.core.text.units import format_exact_duration, format_number, format_wait_range
from app.translation import tr, tr_noop

SOONER_RATIO = 0.9
"""Maximum ratio of new to old waiting time that counts as sooner."""


@dataclass(frozen=True, slots=True)
class SuggestionUndo:
    """Verb that undoes a suggestion, with the sentence that reports the undo."""

    verb: str
    args: Mapping[str, Any]
    said: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One possible action for a waiting task.

    `command` is the equivalent command line; `verb` and `command` are empty for pure information.
    `said` starts the report of the action ("Priority 5 → 6:"). `object` names the changed object if
    the reply names no task. `asks` is the number of the running task whose work would be lost.
    """

    name: str
    text: str
    gain: str
    verb: str = ""
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    command: tuple[str, ...] = ()
    said: str = ""
    undo: tuple[SuggestionUndo, ...] = ()
    object: str = ""
    asks: int | None = None
    other_pool: bool = False
    """True if the task would leave its pool, which may be on another kind of machine."""
    worth: int = 0
    """Rank, smaller is better: 0 starts at once, 1 sooner, 2 removes one obstacle, 3 no sooner, 4
    informs only."""


class RunProgress(NamedTuple):
    """Elapsed seconds and priority of an active run."""

    elapsed: float
    priority: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts from which suggestions follow: a task, the dispatch view, and past runs.

    `task` is the task as the plan sees it, queued or not. `runs` is by task number. `machine` has
    the known amounts of the machine. `past` holds statistics of past runs.
    """

    view: DispatchView
    subject: TaskState
    task: QueuedTask
    why: Explanation
    runs: Mapping[int, RunProgress] = field(default_factory=dict[int, RunProgress])
    past: RunStats | None = None
    machine: Amounts = field(default_factory=dict[str, float])


def predict_gain(
    facts: Facts, view: DispatchView, task: QueuedTask, **changed: Any
) -> tuple[int, str]:
    """Return rank (see `Suggestion.worth`) and gain in words of a changed view."""
    subject = replace(
        facts.subject, queue=task.queue, priority=task.priority, needs=task.needs, **changed
    )
    placed = _place_task(view, task) if subject.status == "queued" else view
    is_late = _is_position_unknown(placed, task)
    # The reserved task may start much later than this one, so its start is not waited for.
    numbers = {subject.number, *(parent.number for parent in subject.parents)}
    forecaster = skip_forecast if is_late else partial(simulate_until, numbers)
    after = explain(placed, subject, None, forecaster)
    first, before = after.reasons[0], facts.why.reasons[0]
    if first.code == "starting-soon":
        return 0, tr("it starts at once")
    old, new = _estimate_wait(facts.why), _estimate_wait(after)
    if after.expected_in and new < old * SOONER_RATIO:
        sooner = format_wait_range(*after.expected_in)
        later = format_wait_range(*facts.why.expected_in) if facts.why.expected_in else sooner
        if later == sooner:
            return 1, tr("starts {sooner}", sooner=sooner)
        later = later.removeprefix("in ")  # as English has it; others keep their words
        return 1, tr("starts {sooner} instead of {later}", sooner=sooner, later=later)
    if before.code in {reason.code for reason in after.reasons}:
        if new == inf:
            return 3, tr("not soon: {why}", why=first.short)
        return 3, tr("no sooner: {why}", why=first.short)
    return 2, tr("then its turn comes") if is_late else tr("then {why}", why=first.short)


def _is_position_unknown(view: DispatchView, task: QueuedTask) -> bool:
    """Return True if tasks beyond the view may precede the task."""
    queue = next(queue for queue in view.queues if queue.name == task.queue)
    return (
        bool(queue.waiting)
        and queue.waiting[-1].uuid == task.uuid
        and queue.waiting_total > len(queue.waiting)
    )


def _estimate_wait(why: Explanation) -> float:
    """Return the middle of the expected range, for comparisons only, or inf."""
    return inf if why.expected_in is None else sum(why.expected_in) / 2


def _place_task(view: DispatchView, task: QueuedTask) -> DispatchView:
    """Return the view with the task in its queue and in no other."""
    return replace(
        view,
        queues=tuple(_place_in_queue(queue, task) for queue in view.queues),
        later=tuple(later for later in view.later if later.task.uuid != task.uuid),
    )


def _place_in_queue(queue: QueueView, task: QueuedTask) -> QueueView:
    others = tuple(other for other in queue.waiting if other.uuid != task.uuid)
    if queue.name != task.queue:
        return replace(queue, waiting=others)
    line = tuple(sorted((*others, task), key=get_sort_key))
    return replace(queue, waiting=line, waiting_total=max(queue.waiting_total, len(line)))


def replace_queue(view: DispatchView, name: str, **changed: Any) -> DispatchView:
    """Return the view with one queue changed."""
    return replace(
        view, queues=tuple(replace(q, **changed) if q.name == name else q for q in view.queues)
    )


def replace_pool(view: DispatchView, name: str, **changed: Any) -> DispatchView:
    """Return the view with one pool changed."""
    return replace(
        view, pools=tuple(replace(p, **changed) if p.name == name else p for p in view.pools)
    )


def make_ids_args(facts: Facts) -> dict[str, Any]:
    """Return the verb arguments that select the task."""
    return {"ids": [facts.subject.uuid]}


def is_in_view(facts: Facts) -> bool:
    """Return True if the plan sees the task.

    Changes to a task beyond the view have no effect now.
    """
    return any(
        task.uuid == facts.task.uuid for queue in facts.view.queues for task in queue.waiting
    )


def add_task_command(
    facts: Facts, suggestion: Suggestion, word: str, options: tuple[str, ...], undo: SuggestionUndo
) -> Suggestion:
    """Complete a suggestion with the command and undo for the task itself."""
    command = ("taskdeck", word, str(facts.subject.number), *options)
    return replace(
        suggestion, args={**make_ids_args(facts), **suggestion.args}, command=command, undo=(undo,)
    )


def add_field_change(
    facts: Facts, suggestion: Suggestion, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Suggestion:
    """Complete a suggestion that sets fields of the task."""
    was, now = (
        {name: format_option(name, value) for name, value in amounts.items()}
        for amounts in (old, new)
    )
    report, undo_report = (
        _make_sentence(parts)
        for parts in (
            [f"{tr(n)} {was[n]} → {now[n]}" for n in new],
            [tr("{field} {old} again", field=tr(n), old=was[n]) for n in old],
        )
    )
    undone = {**make_ids_args(facts), "fields": _make_fields(old)}
    back = SuggestionUndo("set", undone, undo_report)
    changed = replace(suggestion, verb="set", args={"fields": _make_fields(new)}, said=report)
    return add_task_command(
        facts,
        changed,
        "set",
        tuple(word for name in new for word in (f"--{name}", now[name])),
        back,
    )


def _make_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as fields of the verb, which has GPUs among the named resources."""
    fields = {name: value for name, value in values.items() if name != GPU}
    return fields | ({"resources": {GPU: int(values[GPU])}} if GPU in values else {})


def _make_sentence(parts: Sequence[str]) -> str:
    said = join_commas(parts)
    return end_heading(f"{said[:1].upper()}{said[1:]}")


FIELD_WORDS = (
    tr_noop("memory"),
    tr_noop("cpu"),
    tr_noop("timeout"),
    tr_noop("priority"),
    tr_noop("queue"),
)
"""Fields that suggestions change."""


_OPTION_FORMATTERS: dict[str, Callable[[Any], str]] = {
    "memory": format_exact_memory,
    "cpu": format_number,
    "timeout": format_exact_duration,
}


def format_option(name: str, value: Any) -> str:
    """Format a value as typed after its option."""
    plain = format_number if isinstance(value, float) else str
    return "none" if value is None else _OPTION_FORMATTERS.get(name, plain)(value)
