"""Instances of one pass: tasks that wait or run, and runs that ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain

from app.core.rules.rule_plan import Labels, RulePlan, is_any_match, list_exact_names
from app.service.rules.facts.home_facts import DAY, HomeFacts
from app.service.rules.facts.run_memory import RememberedRun
from app.service.rules.facts.subjects import InstanceGroup, Memory, Subject, get_age_key
from db import timestamps
from db.engine import Connection
from db.queries.rules import rule_values
from db.queries.rules.rule_values import CandidateRow, RunRow
from db.states import FAILED

NEW_INSTANCES = 1000
"""Waiting and active instances that a pass adds; the others follow in the next passes."""
LOOK_AHEAD = 6.0
"""Seconds by which waiting tasks are read before they can break a rule: until the next pass."""
FAILED_WORDS = frozenset(map(str, FAILED))


class Instances(HomeFacts):
    """Instances that the rules of a pass may judge.

    `known_tasks` have a state, so they are read although others are older.
    """

    def __init__(
        self, c: Connection, now: float, memory: Memory, plans: Sequence[RulePlan],
        known_tasks: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(c, now, memory, plans)
        self._known_tasks = known_tasks
        self._unread_tasks: set[str] = set()

    @cached_property
    def instances(self) -> Sequence[Subject]:
        """Return waiting and active instances, the oldest first."""
        rows = self._list_candidates()
        known = self.memory.instances
        new = [uuid for uuid in rows if uuid not in known]
        self._unread_tasks = {*new[NEW_INSTANCES:]}
        self.is_complete &= not self._unread_tasks
        for uuid in self._unread_tasks:
            del rows[uuid]
        fires = rule_values.map_fire_times(self.c, new[:NEW_INSTANCES]) if new else {}
        found = {
            uuid: self._remake_instance(row, known.get(uuid), fires.get(uuid))
            for uuid, row in rows.items()
        }
        self.memory.instances = found
        return sorted(found.values(), key=get_age_key)

    def _list_candidates(self) -> dict[str, rule_values.Candidate]:
        """Return {uuid: row} of the tasks that a rule may judge, or that have a state."""
        plans = [plan for plan in self._plans if "waiting" in plan.phases]
        ages = [plan.min_age for plan in plans if plan.base == "instance" or plan.has_forecast]
        lists = [rule_values.list_active(self.c)]
        if ages:
            before = timestamps.from_unix(self.now - min(ages) + LOOK_AHEAD)
            lists.append(rule_values.list_waiting(self.c, self.queues, before))
            lists.append(rule_values.list_not_queued(self.c))
        found: dict[str, rule_values.Candidate] = {}
        for row in chain.from_iterable(lists):
            found.setdefault(row[0], row)
        unseen = [uuid for uuid in self._known_tasks if uuid not in found]
        return {row[0]: row for row in rule_values.list_by_uuid(self.c, unseen)} | found

    def _remake_instance(
        self, row: rule_values.Candidate, before: Subject | None, fire: tuple[str, str] | None
    ) -> Subject:
        """Return the instance of the last pass if nothing about it has changed."""
        if before is None:
            return self._make_instance(CandidateRow(*row), fire)
        if before.candidate == row and (row[-2] or before.labels.pool == self._get_pool(row[4])):
            return before
        schedule, fire_time = before.labels.schedule, before.fire_time
        fire = (schedule, fire_time) if schedule and fire_time else None
        return self._make_instance(CandidateRow(*row), fire)

    def _get_pool(self, queue: str) -> str | None:
        return self.queues[queue].pool if queue in self.queues else None

    @cached_property
    def has_all_waiting(self) -> bool:
        """True if each queued task is among the instances."""
        found = sum(one.candidate.status == "queued" for one in self.instances if one.candidate)
        return found >= sum(n for (_, status), n in self.counters.items() if status == "queued")

    def find_full_queue(self, plan: RulePlan) -> str | None:
        """Return a queue with more old tasks than are read, if a rule may miss one of its tasks.

        A rule for all tasks of the queue misses none: the oldest ones are read.
        """
        match = plan.match
        is_narrow = match.task or match.template or match.schedule or match.tags
        if plan.base != "instance" or "waiting" not in plan.phases or not is_narrow:
            return None
        globs = match.queue
        full = self._phases["waiting"].full_queues
        return next((one for one in full if globs is None or is_any_match(one, globs)), None)

    def _make_instance(self, row: CandidateRow, fire: tuple[str, str] | None) -> Subject:
        tags: Mapping[str, str] = json.loads(row.tags) if row.tags and row.tags != "{}" else {}
        schedule, pool = fire[0] if fire else None, row.pool or self._get_pool(row.queue)
        labels = Labels(row.name, row.template, schedule, row.queue, pool, tags)
        return Subject(
            "instance", f"task:{row.uuid}", f"#{row.number} {row.name}", row.name, labels,
            row, None, fire[1] if fire else None,
            timestamps.to_unix(min(row.created_at, fire[1] if fire else row.created_at)),
        )  # fmt: skip

    @cached_property
    def failed_instances(self) -> Sequence[Subject]:
        """Return the tasks that failed in the last day, without a later success of the name.

        They are those with a state, and the latest ones of the others.
        """
        runs = self.memory.ended.list_since(self.now - DAY, self.now)
        last_failures = _map_last([one for one in runs if one.row.status in FAILED_WORDS])
        names = {one.row.name for one in last_failures.values()}
        successes: dict[str, float] = {}
        for one in runs:
            if one.row.name in names and one.row.status == "succeeded":
                successes[one.row.name] = max(one.at, successes.get(one.row.name, 0.0))
        failed = [
            one for uuid, one in last_failures.items()
            if one.at >= successes.get(one.row.name, 0.0) and not self.has_candidate(uuid)
        ]  # fmt: skip
        known = {*self._known_tasks}  # a newer failure must not end their alerts
        others = sorted(
            (one for one in failed if one.row.task_id not in known), key=_get_at, reverse=True
        )
        failed = [one for one in failed if one.row.task_id in known]
        failed += others[: rule_values.MAX_CANDIDATES]
        # A task that waits for its next attempt is not always among the candidates.
        statuses = self._map_statuses(failed)
        return self._make_all_ended(
            [one for one in failed if statuses.get(one.row.task_id) in FAILED_WORDS]
        )

    @cached_property
    def ended_instances(self) -> Sequence[Subject]:
        """Return the tasks that failed, and the latest ones that succeeded, in the last day."""
        runs = self.memory.ended.list_since(self.now - DAY, self.now)
        done = [one for one in _map_last(runs).values() if one.row.status == "succeeded"]
        done = sorted(done, key=_get_at, reverse=True)[: rule_values.MAX_CANDIDATES]
        return [*self.failed_instances, *self._make_all_ended(done)]

    def _map_statuses(self, runs: Sequence[RememberedRun]) -> Mapping[str, str]:
        uuids = [one.row.task_id for one in runs]
        return rule_values.map_statuses(self.c, uuids) if uuids else {}

    def is_old_failure(self, uuid: str) -> bool:
        """Return whether a task failed so long ago that the rules no longer judge its run."""
        ended = rule_values.find_end_of_failure(self.c, uuid)
        return ended is not None and timestamps.to_unix(ended) <= self.now - DAY

    @cached_property
    def new_ends(self) -> Sequence[Subject]:
        """Return the instances whose run has ended since the last pass, and did not fail."""
        new = self.memory.ended.newest
        return self._make_all_ended([one for one in new if one.row.status not in FAILED_WORDS])

    def _make_all_ended(self, runs: Sequence[RememberedRun]) -> list[Subject]:
        rows = [one.row for one in runs]
        fires = rule_values.map_fire_times(self.c, [row.task_id for row in rows]) if rows else {}
        return [self.make_ended(row, fires.get(row.task_id)) for row in rows]

    def make_ended(self, row: RunRow, fire: tuple[str, str] | None) -> Subject:
        """Return the instance of a run that ended."""
        tags: Mapping[str, str] = json.loads(row.tags) if row.tags else {}
        schedule = fire[0] if fire else None
        labels = Labels(row.name, row.template, schedule, row.queue, row.pool, tags)
        title = f"#{row.number} {row.name}"
        key = f"task:{row.task_id}"
        fire_time = fire[1] if fire else None
        return Subject("instance", key, title, row.name, labels, None, row, fire_time)

    def list_instances(self, phase: str, plan: RulePlan) -> Iterable[Subject]:
        """Return the instances of a phase; those of plain names come from an index."""
        group = self._phases[phase]
        for globs, index in ((plan.match.task, "by_name"), (plan.match.queue, "by_queue")):
            exact = list_exact_names(globs)
            if globs is not None and len(exact) == len(globs):
                found = getattr(group, index)
                chosen = [one for name in exact for one in found.get(name, ())]
                return sorted(chosen, key=get_age_key) if len(exact) > 1 else chosen
        return group.subjects

    @cached_property
    def _phases(self) -> Mapping[str, InstanceGroup]:
        """Return {phase: its instances}; those of the last pass if none has changed."""
        waiting, active = [], []
        for one in self.instances:
            has_run = one.candidate is not None and one.candidate.runid is not None
            (active if has_run else waiting).append(one)
        memory, asked = self.memory, {plan.ended for plan in self._plans}
        for phase, subjects in (("waiting", waiting), ("active", active)):
            if phase not in memory.phases or memory.phases[phase].subjects != subjects:
                memory.phases[phase] = InstanceGroup(subjects)
        return {
            **memory.phases,
            "ended": InstanceGroup(self.ended_instances if "ended" in asked else ()),
            "failed": InstanceGroup(self.failed_instances if "failed" in asked else ()),
        }

    def has_candidate(self, uuid: str) -> bool:
        """Return whether a task waits, or has an active run."""
        return bool(self.instances) and uuid in self.memory.instances

    def find_instances_of(self, subject: Subject) -> Sequence[Subject]:
        """Return the waiting and active instances of a task name or a schedule."""
        name = subject.labels.task or ""
        found = [
            one for phase in ("waiting", "active")
            for one in self._phases[phase].by_name.get(name, ())
        ]  # fmt: skip
        if subject.kind == "schedule":
            return [one for one in found if one.labels.schedule == subject.name]
        return found


def _map_last(runs: Iterable[RememberedRun]) -> Mapping[str, RememberedRun]:
    """Return {task: the last of its runs}."""
    found: dict[str, RememberedRun] = {}
    for one in runs:
        before = found.get(one.row.task_id)
        if before is None or before.at <= one.at:
            found[one.row.task_id] = one
    return found


def _get_at(one: RememberedRun) -> float:
    return one.at
