"""Eight stand-in GPUs for an hour of virtual time, with a checker of devices and reasons.

Devices fail and come back, unrelated programs take some. The checker counts from runs and devices
alone, and compares each device that a run gets and each reason of a waiting task with that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from app.core.scheduling import plan
from app.core.scheduling.devices import Device
from app.core.scheduling.explanations.explain import explain_all
from app.core.scheduling.explanations.waiting_task import TaskState, WaitReason
from app.core.scheduling.forecasts.forecast import Forecast
from app.core.scheduling.plan import DispatchView, Plan, PoolView, QueuedTask, QueueView
from app.core.scheduling.resources import GPU, make_amounts
from tests.long.dispatch.world import Job, World

GPUS, HOUR, EXPLAINED = 8, 3600.0, 12
"""Devices, seconds of arrivals, and waiting tasks whose reasons are checked in each round."""
_FREES = re.compile(r"#(\d+) frees (\d+)")
_NEEDS = re.compile(r"needs (\d+) gpu.*?, (\d+) free")


class GpuFault(AssertionError):  # noqa: N818 - a finding of the program, not an error of it
    """A device or a reason that contradicts runs and devices."""


class GpuMachine(World):
    """A world of one pool with eight GPUs, which fail and are taken now and then."""

    def _change_devices(self) -> None:
        for at, device in enumerate(self.devices):
            luck = self.random.random()
            if luck < 0.002:
                self.devices[at] = device._replace(failure="uncorrected memory errors")
            elif luck < 0.005:
                self.devices[at] = device._replace(user=(900 + at, f"game{at}"))
            elif luck > 0.96 or not self.coming:
                self.devices[at] = device._replace(failure=None, user=None)


def make_machine(seed: int, tasks: int) -> GpuMachine:
    """Return the machine with its tasks; two queues share its pool."""
    random = Random(seed)
    pool = PoolView("gpu", make_amounts(64.0, 512.0, {GPU: GPUS}), "active")
    queues = {
        name: QueueView(name, "gpu", capacity, priority, "active", (), 0, None, None)
        for name, capacity, priority in (("train", 6, 0), ("debug", 3, 1))
    }
    devices = [Device(n, f"GPU-{n:08d}-0000", "H100") for n in range(GPUS)]
    shared = {GPU: float(GPUS)}
    machine = GpuMachine(random, False, {"gpu": pool}, queues, {}, shared, devices, [])
    moments = sorted(random.uniform(0, HOUR) for _ in range(tasks))
    machine.coming = [_make_job(random, n, at, tasks) for n, at in enumerate(moments, 1)]
    return machine


def _make_job(random: Random, number: int, submitted: float, tasks: int) -> Job:
    gpus = random.choice((0, 1, 1, 1, 2, 2, 4, 8))
    run = random.uniform(1, 2 * HOUR * GPUS / tasks / 4.5)
    limit = random.choice((None, 1.5 * run, 3.0 * run))
    needs = make_amounts(float(random.randint(1, 8)), float(random.randint(0, 64)), {GPU: gpus})
    queue = random.choice(("train", "train", "debug"))
    task = QueuedTask(
        str(number), number, f"job-{number}", queue, random.randint(0, 2), 0, needs, limit, limit
    )
    return Job(task, submitted, run)


class Watch:
    """Checks of rounds, and counts of what they have seen."""

    def __init__(self, machine: GpuMachine) -> None:
        self.machine = machine
        self.seen = Counter[str]()

    def run_round(self) -> None:
        """Decide, check all reasons before the start and all devices after it."""
        view = self.machine.build_view()
        decided = plan.make_plan(view)
        self._check_reasons(view, decided)
        before = {name: job for job in self.machine.running for name in job.devices}
        started = self.machine.start(decided)
        self._check_devices(before, started)
        self.seen["rounds"] += 1
        self.seen["starts"] += len(started)

    def _check_devices(self, before: Mapping[str, Job], started: Sequence[Job]) -> None:
        """Check that each run got as many devices as it asked for: the lowest good free ones."""
        free = [
            one.uuid
            for one in self.machine.devices
            if one.uuid not in before and not one.failure and not one.user
        ]
        for job in started:
            amount = int(job.task.needs[GPU])
            if job.devices != tuple(free[:amount]):
                raise GpuFault(f"#{job.task.number} got {job.devices} of {free}")
            del free[:amount]

    def _check_reasons(self, view: DispatchView, decided: Plan) -> None:
        starts = {task.number for task in decided.starts}
        lines = [task for queue in view.queues for task in queue.waiting[:EXPLAINED]]
        subjects = [_make_subject(task) for task in lines]
        places = [_find_place(view, task) for task in lines]
        told = explain_all(
            view, list(zip(subjects, places, strict=True)), lambda part: Forecast({}, {}, {}, {})
        )
        after = {one.number for one in decided.reservations}
        for task, why in zip(lines, told, strict=True):
            self._check_reason(view, task, why.reasons, task.number in starts)
            codes = {reason.code for reason in why.reasons}
            if (task.number in after) is not ("reservation" in codes):
                raise GpuFault(f"#{task.number}: {codes} and the reservation of {after}")

    def _check_reason(
        self, view: DispatchView, task: QueuedTask, reasons: Sequence[WaitReason], starts: bool
    ) -> None:
        codes = [reason.code for reason in reasons if reason.code not in ("order", "ageing")]
        if not codes or starts is not (codes == ["starting-soon"]):
            raise GpuFault(f"#{task.number} starts: {starts}, but it is told {codes}")
        self.seen.update(codes)
        machine = self.machine
        load = sum(job.task.queue == task.queue for job in machine.running)
        is_full = load >= machine.queues[task.queue].capacity
        if is_full is not ("queue-full" in codes):
            raise GpuFault(f"#{task.number}: {codes} with {load} runs in its queue")
        for name in ("cpu", "memory", GPU):
            self._check_amount(task, name, codes)
        for reason in reasons:
            self._check_text(task, reason)

    def _check_amount(self, task: QueuedTask, name: str, codes: Sequence[str]) -> None:
        """Check that a lack of a resource is told if, and only if, there is one."""
        used = sum(job.task.needs.get(name, 0.0) for job in self.machine.running)
        total = self.machine.pools["gpu"].totals[name]
        own, common = total - used, total - used - len(self._list_withheld())
        need = task.needs.get(name, 0.0)
        if (need > own + 1e-6) is not (f"pool-{name}" in codes):
            raise GpuFault(f"#{task.number} needs {need} {name} of {own}, but {codes}")
        if name == GPU and (need > common) is not ("shared-gpu" in codes):
            raise GpuFault(f"#{task.number} needs {need} of {common} good GPUs, but {codes}")

    def _check_text(self, task: QueuedTask, reason: WaitReason) -> None:
        """Check the numbers, the runs and the devices that a reason names."""
        runs = {job.task.number: job.task.needs for job in self.machine.running}
        if reason.code not in ("pool-gpu", "shared-gpu"):
            return
        withheld = self._list_withheld() if reason.code == "shared-gpu" else []
        used = sum(needs[GPU] for needs in runs.values())
        found = _NEEDS.search(reason.text)
        told = tuple(map(int, found.groups())) if found else ()
        if told != (task.needs[GPU], GPUS - used - len(withheld)):
            raise GpuFault(f"#{task.number}: {reason.text}, but {used} used, {len(withheld)} kept")
        for device in withheld[:5]:
            who = device.user[1] if device.user and not device.failure else device.failure or ""
            if f"GPU {device.number} " not in reason.text or who not in reason.text:
                raise GpuFault(f"#{task.number}: {reason.text}, without GPU {device.number}")
        for number, amount in _FREES.findall(reason.text):
            if runs.get(int(number), {}).get(GPU) != int(amount):
                raise GpuFault(f"#{task.number}: {reason.text}, but #{number} does not hold that")

    def _list_withheld(self) -> list[Device]:
        held = {name for job in self.machine.running for name in job.devices}
        return [
            one
            for one in self.machine.devices
            if one.uuid not in held and (one.failure or one.user)
        ]


def _make_subject(task: QueuedTask) -> TaskState:
    return TaskState(
        task.uuid, task.number, task.name, task.queue, "queued", task.priority, task.needs, None,
        None, None, None, 0, 0, 0, (),
    )  # fmt: skip


def _find_place(view: DispatchView, task: QueuedTask) -> int:
    line = next(queue.waiting for queue in view.queues if queue.name == task.queue)
    return [one.number for one in line].index(task.number)


def run_hour(seed: int = 1, tasks: int = 2000) -> Counter[str]:
    """Run all tasks and return what was seen: rounds, starts, and reasons by code."""
    machine = make_machine(seed, tasks)
    watch = Watch(machine)
    while machine.advance():
        watch.run_round()
    if machine.waiting:
        raise GpuFault(f"{len(machine.waiting)} tasks never started")
    return watch.seen
