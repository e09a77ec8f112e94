"""A cure for a waiting task: one verb, what it would bring, and how it is taken back.

What it brings is what `explain` says of the world as it would be then, so the text never promises what the dispatcher
would not do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

from app.core.scheduling.explain import explain
from app.core.scheduling.plan import QueueView, View, Waiting, rank
from app.core.scheduling.run_stats import Past, typed_memory
from app.core.scheduling.waiting_task import Subject, Why
from app.core.text.units import estimate, plain

AHEAD = 24
"""Decisions for which a changed world is looked ahead: what takes longer is no cure, and several are tried for one answer."""
SOONER = 0.9
"""It is sooner when it is a tenth sooner, at least."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The verb that takes a cure back, and the words that say so."""

    verb: str
    args: Mapping[str, Any]
    said: str


@dataclass(frozen=True, slots=True)
class Cure:
    """One thing that could be done. `command` is the same on the command line; both are empty for what only informs.

    `said` begins the sentence when it was done ("Priority 5 → 6:"), about `object` where the answer names no task.
    `asks` is the number of the running task whose work would be lost.
    """

    name: str
    text: str
    gain: str
    verb: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    said: str = ""
    undo: tuple[Undo, ...] = ()
    object: str = ""
    asks: int | None = None
    worth: int = 0
    """Smaller is better: 0 starts at once, 1 sooner, 2 takes one obstacle away, 3 no sooner, 4 only informs."""


class Held(NamedTuple):
    """What is known of an active run beside what the plan needs: seconds it has run, its priority."""

    elapsed: float
    priority: int


@dataclass(frozen=True, slots=True)
class World:
    """The task as the plan sees it (`task`, queued or not yet), the view, and what may be changed.

    `runs` is by number. `cores` and `memory` (MiB) are the machine's, None when not known; `past` what past runs took.
    """

    view: View
    subject: Subject
    task: Waiting
    why: Why
    runs: Mapping[int, Held] = field(default_factory=dict)
    past: Past | None = None
    cores: float | None = None
    memory: float | None = None


def brings(world: World, view: View, task: Waiting, **changed: Any) -> tuple[int, str]:
    """The worth of a changed world, and what it brings in words."""
    subject = replace(
        world.subject, queue=task.queue, priority=task.priority, cpu=task.cpu, memory=task.memory, **changed
    )
    placed = _with(view, task) if subject.status == "queued" else view
    after = explain(placed, subject, None, AHEAD)
    first, before = after.reasons[0], world.why.reasons[0]
    if first.code == "starting-soon":
        return 0, "it starts at once"
    old, new = _middle(world.why), _middle(after)
    if new < old * SOONER:
        return 1, f"starts in {estimate(new)}" + (f" instead of {estimate(old)}" if old < inf else "")
    if before.code in {reason.code for reason in after.reasons}:
        return 3, f"{'not soon' if new == inf else 'no sooner'}: {first.short}"
    return 2, "then its turn comes" if _far_down(placed, task) else f"then {first.short}"


def _far_down(view: View, task: Waiting) -> bool:
    """Whether more tasks are before it than the view shows, so that its place in it says nothing."""
    queue = next(queue for queue in view.queues if queue.name == task.queue)
    return bool(queue.waiting) and queue.waiting[-1].uuid == task.uuid and queue.waiting_total > len(queue.waiting)


def _middle(why: Why) -> float:
    """The middle of its range; the end of one that only says by when, which is what the plan reckons with."""
    if why.expected_in is None:
        return inf
    return why.expected_in[1] if why.starts_in is None else sum(why.expected_in) / 2


def _with(view: View, task: Waiting) -> View:
    """The view with the task where it belongs, and nowhere else."""
    return replace(view, queues=tuple(_line(queue, task) for queue in view.queues))


def _line(queue: QueueView, task: Waiting) -> QueueView:
    others = tuple(other for other in queue.waiting if other.uuid != task.uuid)
    if queue.name != task.queue:
        return replace(queue, waiting=others)
    line = tuple(sorted((*others, task), key=rank))
    return replace(queue, waiting=line, waiting_total=max(queue.waiting_total, len(line)))


def with_queue(view: View, name: str, **changed: Any) -> View:
    return replace(view, queues=tuple(replace(q, **changed) if q.name == name else q for q in view.queues))


def with_pool(view: View, name: str, **changed: Any) -> View:
    return replace(view, pools=tuple(replace(p, **changed) if p.name == name else p for p in view.pools))


def ids_of(world: World) -> dict[str, Any]:
    return {"ids": [world.subject.uuid]}


def in_view(world: World) -> bool:
    """Whether the plan sees it: what is asked of one far down in its queue changes nothing now."""
    return any(task.uuid == world.task.uuid for queue in world.view.queues for task in queue.waiting)


def on_task(world: World, cure: Cure, word: str, options: tuple[str, ...], undo: Undo) -> Cure:
    """A cure with the verb's words for the task itself."""
    command = ("taskdeck", word, str(world.subject.number), *options)
    return replace(cure, args={**ids_of(world), **cure.args}, command=command, undo=(undo,))


def setting(world: World, cure: Cure, old: Mapping[str, Any], new: Mapping[str, Any]) -> Cure:
    """A cure that sets something of the task."""
    was, now = ({name: _typed(name, value) for name, value in amounts.items()} for amounts in (old, new))
    said, unsaid = (_sentence(parts) for parts in ([f"{n} {was[n]} → {now[n]}" for n in new], [f"{n} {was[n]} again" for n in old]))
    back = Undo("set", {**ids_of(world), "fields": dict(old)}, unsaid)
    changed = replace(cure, verb="set", args={"fields": dict(new)}, said=said)
    return on_task(world, changed, "set", tuple(word for name in new for word in (f"--{name}", now[name])), back)


def _sentence(parts: Sequence[str]) -> str:
    said = ", ".join(parts)
    return f"{said[:1].upper()}{said[1:]}:"


_TYPED: dict[str, Callable[[Any], str]] = {"memory": typed_memory, "cpu": plain, "timeout": lambda seconds: f"{plain(seconds)}s"}


def _typed(name: str, value: Any) -> str:
    """A value as a person would type it after its option."""
    return "none" if value is None else _TYPED.get(name, str)(value)
