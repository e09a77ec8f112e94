"""A random machine in virtual time, whose tasks start as the plan decides.

Time stands still during a decision. A calm world has nothing that may break a promised start: all
run times are known, priorities are equal, and nothing is closed, limited, booked, shared or
withheld.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import NamedTuple

from app.core.scheduling import devices, limits, order, plan
from app.core.scheduling.bookings import Booking
from app.core.scheduling.devices import Device
from app.core.scheduling.limits import RUNNING
from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    Plan,
    PoolView,
    QueuedTask,
    QueueView,
    Withheld,
)
from app.core.scheduling.resources import GPU, make_amounts
from app.service.scheduling import ageing
from db import timestamps

ARRIVALS = 60
"""Tasks of a world; with a stream, as many more that are short and go first by priority."""
AGEING = 400.0
"""Seconds of waiting after which the oldest task of a pool goes first."""
DEVICES = 4
EPOCH = 1_800_000_000.0


@dataclass(slots=True)
class Job:
    """A task of the world, and what happens to it."""

    task: QueuedTask
    submitted: float
    run: float
    began: float | None = None
    devices: tuple[str, ...] = ()
    group: int | None = None

    def get_last(self, now: float) -> float:
        """Return when the timeout ends the task, which starts now unless it runs; inf is never."""
        began = now if self.began is None else self.began
        return inf if self.task.limit is None else began + self.task.limit


class OldTask(NamedTuple):
    """A waiting task or a run as the ageing sees it: times are stored texts."""

    since: str
    number: int
    pool: str
    start_time: str | None


@dataclass(slots=True)
class World:
    """Pools, queues and jobs, the time in seconds, and what the plan said last."""

    random: Random
    is_calm: bool
    pools: dict[str, PoolView]
    queues: dict[str, QueueView]
    limits: dict[str, dict[str, float]]
    shared: dict[str, float]
    devices: list[Device]
    coming: list[Job]
    groups: dict[int, int] = field(default_factory=dict[int, int])
    """The most running tasks of each group."""
    bookings: list[Booking] = field(default_factory=list[Booking])
    """Bookings, with times in seconds of the world."""
    waiting: list[Job] = field(default_factory=list[Job])
    running: list[Job] = field(default_factory=list[Job])
    ended: list[Job] = field(default_factory=list[Job])
    now: float = 0.0

    def advance(self) -> bool:
        """Move to the next arrival, end or moment of change; return False when all is over."""
        ends = [(job.began or 0.0) + job.run for job in self.running]
        moments = [ends, [job.submitted for job in self.coming], self._list_changes()]
        later = [at for some in moments for at in some if at > self.now]
        open_ones = any(job.task.queue != "closed" for job in self.waiting)
        if not later or not (self.coming or open_ones or self.running):
            return False
        self.now = min(later)
        for job in [one for one in self.running if (one.began or 0.0) + one.run <= self.now]:
            self.running.remove(job)
            self.ended.append(job)
        while self.coming and self.coming[0].submitted <= self.now:
            self.waiting.append(self.coming.pop(0))
        if not self.is_calm:
            self._change_devices()
        return True

    def _list_changes(self) -> list[float]:
        """Return when a window, a booking or a device changes next, or a task ages."""
        if self.is_calm:
            return []
        ages = [job.submitted + AGEING + 1 for job in self.waiting]
        booked = [at for one in self.bookings for at in (one.begins_in, one.ends_in)]
        return [(self.now // 50 + 1) * 50.0, *(at for at in (*ages, *booked) if at > self.now)]

    def _change_devices(self) -> None:
        """Let devices fail, be taken by others, and come back; all are well after the arrivals."""
        for at, device in enumerate(self.devices):
            luck = self.random.random() if self.coming else 0.9
            if luck < 0.04:
                self.devices[at] = device._replace(failure="it is lost")
            elif luck < 0.08:
                self.devices[at] = device._replace(user=(7, "game"))
            elif luck > 0.7:
                self.devices[at] = device._replace(failure=None, user=None)

    def build_view(self) -> DispatchView:
        """Return the input of the plan."""
        held = [name for job in self.running for name in job.devices]
        withheld = [Withheld(GPU, text) for text in devices.list_withheld(self.devices, held)]
        first = self._find_aged()
        queues = tuple(self._build_queue(queue, first) for queue in self.queues.values())
        active = tuple(self._build_run(job) for job in self.running)
        return DispatchView(
            tuple(self.pools.values()), queues, active, None, self.now, (), self.shared,
            tuple(withheld), self.limits, tuple(self._shift(one) for one in self.bookings),
        )  # fmt: skip

    def _shift(self, booking: Booking) -> Booking:
        begins, ends = booking.begins_in - self.now, booking.ends_in - self.now
        return replace(booking, begins_in=begins, ends_in=ends)

    def _build_queue(self, queue: QueueView, first: int | None) -> QueueView:
        tasks = [job.task for job in self.waiting if job.task.queue == queue.name]
        line = [replace(t, aged_since=self.now) if t.number == first else t for t in tasks]
        coming = queue.windows and queue.windows[int(self.now // 100) :][:9]
        windows = coming and tuple((a - self.now, b - self.now) for a, b in coming)
        return replace(
            queue, waiting=tuple(sorted(line, key=plan.get_sort_key)), windows=windows,
            waiting_total=len(line),
        )  # fmt: skip

    def _build_run(self, job: Job) -> ActiveRun:
        task, began = job.task, job.began or 0.0
        left = None if task.expected is None else began + task.expected - self.now
        most = None if task.limit is None else began + task.limit - self.now
        return ActiveRun(
            task.number, task.name, task.queue, task.needs, left, most, subjects=task.subjects
        )

    def _find_aged(self) -> int | None:
        """Return the task that goes first in its pool, as the product decides for rows."""
        if self.is_calm:
            return None
        old = [job for job in self.waiting if self.now - job.submitted > AGEING]
        if not old:
            return None
        oldest = min(old, key=lambda job: (job.submitted, job.task.number))
        row, runs = self._to_row(oldest), [self._to_row(job) for job in self.running]
        goes = (ageing._goes_before(run, row.pool, row, AGEING, EPOCH + self.now) for run in runs)
        return None if any(goes) else oldest.task.number

    def _to_row(self, job: Job) -> OldTask:
        began = None if job.began is None else timestamps.from_unix(EPOCH + job.began)
        since = timestamps.from_unix(EPOCH + job.submitted)
        return OldTask(since, job.task.number, self.queues[job.task.queue].pool, began)

    def start(self, decided: Plan) -> list[Job]:
        """Start the tasks of a plan with their devices, and return their jobs."""
        by_number = {job.task.number: job for job in self.waiting}
        chosen = [by_number[task.number] for task in decided.starts]
        held = [name for job in self.running for name in job.devices]
        wanted = [int(job.task.needs.get(GPU, 0)) for job in chosen]
        known = devices.list_free(self.devices, held)
        given = devices.assign_devices(wanted, held, known)
        for job, names in zip(chosen, given, strict=True):
            job.began, job.devices = self.now, names
            self.waiting.remove(job)
            self.running.append(job)
        return chosen


def make_world(seed: int) -> World:
    """Return a random world; every third one is calm."""
    random = Random(seed)
    is_calm = seed % 3 == 0
    pools = {
        name: PoolView(
            name,
            make_amounts(random.randint(4, 12), random.randint(8, 32), {GPU: random.randint(1, 3)}),
            "active",
        )
        for name in ("p0", "p1")[: 1 if is_calm else 2]
    }
    queues = {f"q{n}": _make_queue(random, f"q{n}", pools, is_calm) for n in range(3)}
    if not is_calm:
        queues["closed"] = replace(queues["q0"], name="closed", status="draining")
    bounds = {"team": {RUNNING: 3.0}, "user=a": {"cpu": 6.0}, "user=b": {GPU: 2.0}}
    found = {} if is_calm else {name: bounds[name] for name in bounds if random.random() < 0.7}
    shared = {} if is_calm else {GPU: float(DEVICES), "licence": 2.0}
    machine = [Device(n, f"GPU-{n:08d}", "H100") for n in range(DEVICES + 4 * is_calm)]
    world = World(random, is_calm, pools, queues, found, shared, machine, [])
    if not is_calm:
        world.groups = {n: random.randint(1, 3) for n in range(1, random.choice((1, 2, 3, 3)))}
        subjects = {limits.make_group_subject(n): most for n, most in world.groups.items()}
        found |= {subject: {RUNNING: float(most)} for subject, most in subjects.items()}
        world.bookings = _make_bookings(random, pools)
    world.coming = sorted(_make_jobs(world), key=lambda job: (job.submitted, job.task.number))
    return world


def _make_queue(random: Random, name: str, pools: dict[str, PoolView], is_calm: bool) -> QueueView:
    capacity = 50 if is_calm else random.randint(2, 6)
    windows = None
    if not is_calm and random.random() < 0.3:
        windows = tuple((100.0 * n, 100.0 * n + 50) for n in range(1000))
    return QueueView(
        name, random.choice(list(pools)), capacity, 0 if is_calm else random.randint(0, 2),
        "active", (), 0, None, None, windows=windows,
    )  # fmt: skip


def _make_bookings(random: Random, pools: dict[str, PoolView]) -> list[Booking]:
    """Return up to three bookings of one pool, which may overlap."""
    made, pool = list[Booking](), random.choice(list(pools.values()))
    for number in range(random.choice((0, 2, 3, 3))):
        begins = float(random.randint(-50, 200))
        cpu = float(random.randint(1, max(1, int(pool.totals["cpu"]) // 3)))
        needs = {"cpu": cpu} | ({GPU: 1.0} if random.random() < 0.4 else {})
        tag, ends = random.choice(("team=x", "team=y", "user=c")), begins + random.randint(60, 400)
        made.append(Booking(f"r{number}", pool.name, tag, needs, begins, ends))
    return made


def _make_jobs(world: World) -> list[Job]:
    random = world.random
    policy = random.choice(order.POLICIES)
    moments = sorted(float(random.randint(0, 300)) for _ in range(ARRIVALS))
    jobs = [_make_job(world, number, at, policy) for number, at in enumerate(moments, 1)]
    for group in world.groups:
        _make_group(random, group, jobs)
    if world.is_calm or random.random() < 0.5:
        return jobs
    queue = random.choice([name for name in world.queues if name != "closed"])
    size = world.pools[world.queues[queue].pool].totals["cpu"]
    for number in range(ARRIVALS + 1, 3 * ARRIVALS):  # short ones that fill the pool together
        needs = make_amounts(size / 2, 0.0, None)
        task = QueuedTask(str(number), number, "stream", queue, 9, 0, needs, 20.0, 20.0)
        jobs.append(Job(task, float(10 * (number - ARRIVALS)), 20.0))
    return jobs


def _make_group(random: Random, group: int, jobs: list[Job]) -> None:
    """Make an array of some tasks in a row: all like the first one, submitted together."""
    first = random.randint(0, ARRIVALS - 12)
    members = jobs[first : first + 12]
    like, subject = members[0], limits.make_group_subject(group)
    for job in members:
        if job.group is None:
            task = replace(like.task, uuid=job.task.uuid, number=job.task.number)
            own = tuple(one for one in task.subjects if not one.startswith("="))
            job.task, job.group = replace(task, subjects=(*own, subject)), group
            job.run, job.submitted = like.run, like.submitted


def _make_job(world: World, number: int, submitted: float, policy: str) -> Job:
    random = world.random
    names = [name for name in world.queues if name != "closed" or random.random() < 0.1]
    queue = random.choice(names)
    totals = world.pools[world.queues[queue].pool].totals
    named = {GPU: random.randint(1, min(2, int(totals[GPU])))} if random.random() < 0.4 else {}
    if "licence" in world.shared and random.random() < 0.3:
        named["licence"] = random.randint(1, 2)
    cpu = random.choice((1.0, 1.0, 2.0, totals["cpu"] // 2, totals["cpu"]))
    needs = make_amounts(cpu, random.choice((0.0, 2.0, totals["memory"])), named)
    run = float(random.randint(1, 60))
    tags = {"team": random.choice("xy"), "user": random.choice("bc" if cpu > 6 else "abc")}
    limit = run if world.is_calm else random.choice((None, run, 2.0 * run, 3.0 * run))
    priority = 0 if world.is_calm else random.randint(0, 2)
    rank = None if world.is_calm else order.compute_rank(policy, submitted, limit)
    task = QueuedTask(
        str(number), number, f"job-{number}", queue, priority,
        0 if world.is_calm else int(random.random() < 0.1), needs, limit, limit, rank=rank,
        subjects=limits.list_subjects(world.limits, tags, {one.tag for one in world.bookings}),
    )  # fmt: skip
    return Job(task, submitted, run if limit is None else min(run, limit))


def decide(view: DispatchView) -> Plan:
    """Make the plan of a view."""
    return plan.make_plan(view)


def get_end(job: Job) -> float:
    """Return when a run is expected to end, inf if unknown."""
    expected = job.task.expected
    return inf if expected is None or job.began is None else job.began + expected
