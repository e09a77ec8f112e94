"""Why a task waits, from the same facts that the plan decides on, with numbers; and when it is likely to start."""

from collections.abc import Sequence
from dataclasses import replace

from app.core.scheduling.forecast import DECISIONS, Range
from app.core.scheduling.plan import Active, View, decide, known_end
from app.core.scheduling.reasons import reasons
from app.core.scheduling.waiting_task import Case, Parent, Reason, Scene, Subject, Why
from db.states import WAITING

__all__ = ["Parent", "Reason", "Subject", "Why", "case_of", "explain", "explain_all", "scene_of"]


def explain(view: View, subject: Subject, position: int | None, decisions: int = DECISIONS) -> Why:
    """Why the task waits. `position` is its place in its queue's order, 0 first, and may lie beyond the view's window.

    A task that does not wait has no reasons. With fewer `decisions` it is not looked as far ahead.
    """
    return _why(scene_of(view, [subject], decisions), subject, position)


def explain_all(view: View, asked: Sequence[tuple[Subject, int | None]]) -> tuple[Why, ...]:
    """The same for several tasks at the price of one plan and one forecast a pool."""
    scene = scene_of(view, [subject for subject, _ in asked])
    return tuple(_why(scene, subject, position) for subject, position in asked)


def scene_of(view: View, subjects: Sequence[Subject], decisions: int = DECISIONS) -> Scene:
    """What follows from a view, for these tasks."""
    done = decide(view)
    queues = {queue.name: queue for queue in view.queues}
    holders: dict[str, list[Active]] = {pool.name: [] for pool in view.pools}
    for run in sorted(view.active, key=lambda run: known_end(run.ends_in)):
        holders[queues[run.queue].pool].append(run)
    wanted = frozenset(n for s in subjects for n in (s.number, *(parent.number for parent in s.parents)))
    starts = {task.uuid: task for task in done.starts}
    return Scene(view, wanted, queues, done.rooms, done.slots, starts, holders, decisions)


def case_of(scene: Scene, subject: Subject, position: int | None) -> Case:
    """One task in it; a position in line that is not known is looked up."""
    queue = scene.queues[subject.queue]
    case = Case(scene, subject, position, queue, scene.rooms[queue.pool], scene.holders[queue.pool])
    return replace(case, position=case.index) if position is None and subject.status == "queued" else case


def _why(scene: Scene, subject: Subject, position: int | None) -> Why:
    if subject.status not in WAITING:
        return Why((), None)
    case = case_of(scene, subject, position)
    return Why(reasons(case), _expected(case))


def _expected(case: Case) -> tuple[float, float] | None:
    """The range in which it may start, or for one that is not in line yet, may join it."""
    subject = case.subject
    if case.scene.view.halted is not None or subject.status == "held" or subject.held_by or not case.open:
        return None
    if subject.status == "queued":
        ranges = [case.scene.future(case.queue.pool).may_start.get(subject.number)]
    else:
        ranges = [_end_of(case.scene, parent.number) for parent in subject.unmet]
    known = [found for found in ranges if found]
    if len(known) < len(ranges):
        return None
    exact = max(0.0, subject.not_before_in or 0.0, subject.retry_in or 0.0)
    return max([exact, *(soonest for soonest, _ in known)]), max([exact, *(latest for _, latest in known)])


def _end_of(scene: Scene, number: int) -> Range | None:
    """When a task that others wait for may end; None when that cannot be known."""
    return next((found for pool in scene.holders if (found := scene.future(pool).may_end.get(number))), None)
