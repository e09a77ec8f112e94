"""Independent check of each decision: sums, promises and order, without the code of the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf

from app.core.scheduling.limits import RUNNING
from app.core.scheduling.plan import DispatchView, Plan, QueuedTask, Reservation
from app.core.scheduling.resources import GPU
from tests.long.dispatch.shares import BookedShares, count_groups
from tests.long.dispatch.world import AGEING, Job, World, decide, get_end

SLACK = 1e-6


class DispatchError(AssertionError):
    """A decision that breaks a promise."""


class Checker:
    """What a world must keep, decision by decision."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.promised: dict[int, float] = {}
        """Latest start of a reserved task, by number, in a calm world."""
        self.shares = BookedShares(world)

    def check_plan(self, view: DispatchView, decided: Plan) -> None:
        """Check a plan before its tasks start."""
        self._check_repeated(view, decided)
        for task in decided.starts:
            if not self._is_open(task):
                raise DispatchError(f"#{task.number} starts in a closed queue")
        self._check_order(view, decided)
        if self.world.is_calm:
            self._check_promises(decided)
        else:
            self._check_oldest(decided)

    def check_starts(self, decided: Plan, started: Sequence[Job]) -> None:
        """Check sums, devices and idle resources after the start."""
        running = self.world.running
        if excess := self._find_excess([job.task for job in running]):
            raise DispatchError(f"over the limit: {excess}")
        if inside := self.shares.find_excess(running):
            raise DispatchError(f"inside a reservation: {inside}")
        if many := [f"{one} of g{n}" for n, one in count_groups(running).items()
                    if one > self.world.groups[n]]:  # fmt: skip
            raise DispatchError(f"too many at once: {many}")
        held = Counter(name for job in running for name in job.devices)
        if twice := [name for name, count in held.items() if count > 1]:
            raise DispatchError(f"given twice: {twice}")
        broken = {one.uuid for one in self.world.devices if one.failure or one.user}
        for job in started:
            if len(job.devices) != job.task.needs.get(GPU, 0) or broken & set(job.devices):
                raise DispatchError(f"#{job.task.number} got {job.devices}")
        self._check_idle(decided, started)

    def check_end(self) -> None:
        """Check that every task of an open queue has run."""
        left = [job.task for job in self.world.waiting if job.task.queue != "closed"]
        if able := [task.number for task in left if not self._find_excess([task], empty=True)]:
            raise DispatchError(f"these wait for ever: {able}")

    def _check_repeated(self, view: DispatchView, decided: Plan) -> None:
        mixed = list(view.active)
        self.world.random.shuffle(mixed)
        again = decide(replace(view, active=tuple(mixed)))
        if [task.number for task in again.starts] != [task.number for task in decided.starts]:
            raise DispatchError("the same input gives another plan")

    def _is_open(self, task: QueuedTask) -> bool:
        queue, now = self.world.queues[task.queue], self.world.now
        is_in = queue.windows is None or now % 100 < 50
        return queue.status == "active" and is_in

    def _check_order(self, view: DispatchView, decided: Plan) -> None:
        """Check that of two tasks that ask for the same, the one before in its queue starts."""
        started = {task.number for task in decided.starts}
        for queue in view.queues:
            line = sorted(queue.waiting, key=_get_place)
            for at, task in enumerate(line):
                if task.number in started:
                    passed = [one for one in line[:at] if one.number not in started]
                    if any(_is_alike(one, task) for one in passed):
                        raise DispatchError(f"#{task.number} passes one that asks for the same")

    def _check_promises(self, decided: Plan) -> None:
        now = self.world.now
        for task in decided.starts:
            if now > self.promised.get(task.number, inf) + SLACK:
                raise DispatchError(f"#{task.number} starts later than reserved")
        for one in decided.reservations:
            at = inf if one.starts_in is None else now + one.starts_in
            self.promised[one.number] = min(at, self.promised.get(one.number, inf))
            if at > self.promised[one.number] + SLACK:
                raise DispatchError(f"the reservation of #{one.number} is put off")

    def _check_oldest(self, decided: Plan) -> None:
        """Check that the task that has waited longest goes first, unless an older one runs."""
        world = self.world
        old = [job for job in world.waiting if world.now - job.submitted > AGEING]
        if not old:
            return
        first = min(old, key=lambda job: (job.submitted, job.task.number))
        task, pool = first.task, world.queues[first.task.queue].pool
        beside = [job for job in world.running if world.queues[job.task.queue].pool == pool]
        used = sum(job.task.queue == task.queue for job in beside)
        is_bound = any(map(self._get_limit, task.subjects)) or any(
            task.needs.get(name) for name in world.shared
        )
        is_bound = is_bound or bool(self.shares.list_taken(first))
        if (
            self._is_open(task)
            and not is_bound
            and used < world.queues[task.queue].capacity
            and all(job.submitted > first.submitted for job in beside)
            and task.number not in {one.number for one in (*decided.starts, *decided.reservations)}
        ):
            raise DispatchError(f"#{task.number} has waited longest and does not go first")

    def _check_idle(self, decided: Plan, started: Sequence[Job]) -> None:
        """Check that a task which fits waits only for a reservation, or for one under its limit."""
        world, kept = self.world, {one.pool: one for one in decided.reservations}
        tasks = [job.task for job in world.running]
        for job in world.waiting:
            task = job.task
            fits = self._is_open(task) and not self._find_excess([*tasks, task])
            if not fits or self.shares.find_excess([*world.running, job]):
                continue
            if world.is_calm:
                self._check_backfill(task, kept)
            elif not kept and not self._is_behind(job, started):
                raise DispatchError(f"#{task.number} fits and does not start")
        self._check_reserved(decided)

    def _is_behind(self, job: Job, started: Sequence[Job]) -> bool:
        """Return True if another task may wait before this one for an amount that both need.

        Behind a task that bookings stop, only tasks wait that may run when it could start.
        """
        others = [one for one in self.world.waiting if one is not job]
        taken, seconds = self.shares.list_taken(job), job.task.expected or inf
        if any(
            not taken.isdisjoint(self.shares.list_taken(one))
            and self.shares.find_excess([*self.world.running, one])
            and seconds > self.shares.find_start(one, started) - SLACK
            for one in others
        ):
            return True
        bound = {one for one in job.task.subjects if self._bounds_amount(one)}
        return any(not bound.isdisjoint(one.task.subjects) for one in others)

    def _bounds_amount(self, subject: str) -> bool:
        """Return True if more than the number of running tasks is limited."""
        return bool({*self._get_limit(subject)} - {RUNNING})

    def _get_limit(self, subject: str) -> Mapping[str, float]:
        """Return the amounts that bound a tag or a group."""
        limits = self.world.limits
        return limits.get(subject, limits.get(subject.partition("=")[0], {}))

    def _check_backfill(self, task: QueuedTask, kept: Mapping[str, Reservation]) -> None:
        """Check that a task which would end before the reserved one starts has started."""
        head = next(iter(kept.values()), None)
        if head is None:
            raise DispatchError(f"#{task.number} fits and does not start")
        number = head.number
        begins = self._find_start(number)
        if task.number == number or (task.expected or inf) <= begins - self.world.now - SLACK:
            raise DispatchError(f"#{task.number} ends before the reservation, and does not start")

    def _find_start(self, number: int) -> float:
        """Return when a task would start if nothing else started, from the ends of runs."""
        world, begins = self.world, self.world.now
        task = next(job.task for job in world.waiting if job.task.number == number)
        left = sorted(world.running, key=get_end)
        while self._find_excess([*(job.task for job in left), task]):
            begins = get_end(left[0]) if left else inf
            if begins == inf:
                return inf
            left = [job for job in left if get_end(job) > begins]
        return begins

    def _check_reserved(self, decided: Plan) -> None:
        """Check that the first task of a pool that does not fit has a reservation."""
        if not self.world.is_calm or decided.reservations:
            return
        tasks = [job.task for job in self.world.running]
        for job in self.world.waiting:
            able = not self._find_excess([job.task], empty=True)
            if able and self._find_excess([*tasks, job.task]):
                raise DispatchError(f"#{job.task.number} waits without a reservation")

    def _find_excess(self, tasks: Sequence[QueuedTask], empty: bool = False) -> str | None:
        """Return which amount the tasks exceed together; `empty` ignores broken devices."""
        world = self.world
        for queue in world.queues.values():
            if sum(task.queue == queue.name for task in tasks) > queue.capacity:
                return f"slots of {queue.name}"
        for pool in world.pools.values():
            inside = [task for task in tasks if world.queues[task.queue].pool == pool.name]
            for name, total in pool.totals.items():
                if _sum(inside, name) > total + SLACK:
                    return f"{name} of {pool.name}"
        held = {name for job in world.running for name in job.devices}
        broken = [
            one for one in world.devices if (one.failure or one.user) and one.uuid not in held
        ]
        for name, total in world.shared.items():
            gone = len(broken) if name == GPU and not empty else 0
            if _sum(tasks, name) > total - gone + SLACK and _sum(tasks[-1:], name):
                return name
        return self._find_limit_excess(tasks)

    def _find_limit_excess(self, tasks: Sequence[QueuedTask]) -> str | None:
        for subject in {one for task in tasks for one in task.subjects}:
            bound = [task for task in tasks if subject in task.subjects]
            for resource, most in self._get_limit(subject).items():
                used = len(bound) if resource == RUNNING else _sum(bound, resource)
                if used > most + SLACK:
                    return f"{resource} of {subject}"
        return None


def _sum(tasks: Iterable[QueuedTask], name: str) -> float:
    return sum(task.needs.get(name, 0.0) for task in tasks)


def _get_place(task: QueuedTask) -> tuple[float, ...]:
    rank = -task.priority if task.rank is None else task.rank
    return task.aged_since is None, -task.front, rank, task.number


def _is_alike(one: QueuedTask, other: QueuedTask) -> bool:
    return (
        one.needs == other.needs
        and one.subjects == other.subjects
        and (one.limit or inf) <= (other.limit or inf)
    )
