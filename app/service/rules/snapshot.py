"""Data of one pass of the rules: subjects and facts, each read once for all rules."""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from app.core.rules.conditions import Match
from app.core.rules.rule_plan import Labels, RulePlan, is_any_match, is_matched, list_exact_names
from app.core.scheduling.expected_end import ExpectedEnd, ExpectedEnds, make_expected_end
from app.core.scheduling.run_times import PastRunTimes, learn_run_times, sample_run_times
from app.service import dispatch_view
from app.service.rules.probes import Probes
from app.service.rules.rings import Rings
from app.service.rules.run_memory import (
    RememberedRun,
    RunMemory,
    make_ended_memory,
    make_started_memory,
)
from db import timestamps
from db.engine import Connection
from db.queries import checkins, reads, rule_values, schedules
from db.queries.rule_values import CandidateRow, NameFacts, RunRow
from db.rows import PoolRow, QueueRow, ScheduleRow
from db.states import FAILED, TaskStatus

DAY = 86400.0
"""Seconds of a day."""
MAX_NAMES, MAX_SCHEDULES = 2000, 10_000
"""Most task names that a rule looks at, and most schedules that all rules look at."""
MAX_KNOWN_NAMES = 20_000
"""Distinct task names among which rules choose."""
NAMES_AT_ONCE = 200
"""Names whose outcomes a pass reads; the others follow in the next passes."""
NEW_INSTANCES = 1000
"""Waiting and active instances that a pass adds; the others follow in the next passes."""
LIST_NAMES_AFTER = 60.0
"""Seconds after which all names are listed again; those of ended runs are added at once."""
FORECAST_RUNS = 50
"""Past runs of a template or name that a forecast uses."""
LOOK_AHEAD = 6.0
"""Seconds by which waiting tasks are read before they can break a rule: until the next pass."""
REREAD_AFTER, REREADS = 300.0, 50
"""Seconds after which the outcomes of a name are read again without a new run; names a pass."""
FAILED_WORDS = frozenset(map(str, FAILED))
NEVER = float("-inf")
"""UNIX time of the last reading of outcomes that must be read now."""


class Subject(NamedTuple):
    """Something that a rule judges.

    `key` is stored, `title` is shown. `name` is that of the queue, task or schedule. An instance
    has a candidate row, or the row of its ended run.
    """

    kind: str
    key: str
    title: str
    name: str
    labels: Labels
    candidate: CandidateRow | None = None
    run: RunRow | None = None
    fire_time: str | None = None

    age_start: float = 0.0
    """Earliest UNIX time from which an age of a waiting or active instance counts."""


class InstanceGroup:
    """Instances of a phase, the oldest first, by name and by queue."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.subjects = subjects

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[Subject]]:
        """Return {name: instances}."""
        return _group(self.subjects, lambda one: one.name)

    @cached_property
    def by_queue(self) -> Mapping[str, Sequence[Subject]]:
        """Return {queue: instances}."""
        return _group(self.subjects, lambda one: one.labels.queue or "")

    @cached_property
    def full_queues(self) -> Sequence[str]:
        """Return the queues with as many queued tasks as are read."""
        counts = Counter(
            one.labels.queue or ""
            for one in self.subjects
            if one.candidate is not None and one.candidate.status == TaskStatus.QUEUED
        )
        return [name for name, many in counts.items() if many >= rule_values.MAX_CANDIDATES]


class Memory:
    """Facts that the engine keeps between passes."""

    def __init__(self, probes: Probes) -> None:
        self.probes = probes
        self.rings = Rings()
        self.ended: RunMemory = make_ended_memory()
        self.started: RunMemory = make_started_memory()
        self.names: dict[str, tuple[float, NameFacts]] = {}
        self.known_names: tuple[float, Sequence[str]] = (NEVER, ())
        self.chosen_names: dict[tuple[str, ...] | None, Sequence[str]] = {}
        """Known names that the globs of a rule match."""
        self.tasks: dict[str, Subject] = {}
        self.schedules: dict[str, tuple[float, tuple[str, str] | None]] = {}
        self.instances: Mapping[str, Subject] = {}
        """Waiting and active instances of the last pass, by uuid."""
        self.phases: dict[str, InstanceGroup] = {}
        self.baselines: dict[tuple[str, str, str, int], tuple[float, Sequence[RunRow]]] = {}


class Snapshot:
    """One consistent reading of the database at a UNIX time."""

    def __init__(
        self, c: Connection, now: float, memory: Memory, plans: Sequence[RulePlan],
        known_tasks: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.c, self.now, self.memory = c, now, memory
        self._plans = plans
        self._known_tasks = known_tasks
        """Tasks with a state, which are read although others are older."""
        self._grouped: dict[tuple[str, float, str], dict[str, list[RememberedRun]]] = {}
        self._matching: dict[Any, Sequence[Subject]] = {}
        self.levels: dict[Any, Any] = {}
        """Values of queues, pools and so on that another rule has read in this pass."""
        self._names_left = NAMES_AT_ONCE
        self._unread_tasks: set[str] = set()
        self.is_complete = True
        """False if tasks or names are left that the next passes read."""
        self._update_runs()
        for one in memory.ended.newest:
            if one.row.name in memory.names:
                memory.names[one.row.name] = (NEVER, memory.names[one.row.name][1])

    def _update_runs(self) -> None:
        refs = [ref for plan in self._plans for ref in plan.refs]
        spans = [ref.window for ref in refs if ref.metric.startswith("instance.") and ref.window]
        spans += [ref.window or DAY for ref in refs if ref.metric == "task.success_ratio"]
        if any(plan.covers_ended for plan in self._plans):
            spans.append(DAY)
        if any(ref.metric.startswith(("task.", "schedule.")) for ref in refs):
            spans.append(60.0)
        if spans or any(plan.base in ("task", "schedule") for plan in self._plans):
            self.memory.ended.update(self.c, self.now, max([60.0, *spans]))
        starts = [
            ref.rate_over or ref.window or 300.0
            for ref in refs
            if ref.metric in ("instance.attempt", "queue.drain_rate")
        ]
        if starts:
            self.memory.started.update(self.c, self.now, max(starts))

    # --- queues, pools, schedules ----------------------------------------------------------

    @cached_property
    def queues(self) -> Mapping[str, QueueRow]:
        return {row.name: row for row in reads.list_queues(self.c)}

    @cached_property
    def pools(self) -> Mapping[str, PoolRow]:
        return {row.name: row for row in reads.list_pools(self.c)}

    @cached_property
    def pools_of_rules(self) -> Mapping[int, frozenset[str]]:
        """Return {rule id: pools that refer to it}."""
        found: dict[int, set[str]] = {}
        for pool in self.pools.values():
            if pool.sla_id is not None:
                found.setdefault(pool.sla_id, set()).add(pool.name)
        return {key: frozenset(names) for key, names in found.items()}

    @cached_property
    def counters(self) -> Mapping[tuple[str, str], int]:
        return reads.read_counters(self.c)

    @cached_property
    def schedules(self) -> Mapping[str, ScheduleRow]:
        return {row.name: row for row in schedules.list_all(self.c)[:MAX_SCHEDULES]}

    @cached_property
    def checkins(self) -> Mapping[str, float]:
        """Return {name: UNIX time of the latest check-in}."""
        return {row.name: timestamps.to_unix(row.at) for row in checkins.list_checkins(self.c)}

    @cached_property
    def missed(self) -> Mapping[str, list[float]]:
        """Return the missed fire times of the longest window, by schedule."""
        refs = [ref for plan in self._plans for ref in plan.refs]
        span = max(
            [ref.window or ref.rate_over or DAY for ref in refs if ref.metric == "schedule.missed"],
            default=DAY,
        )
        found: dict[str, list[float]] = {}
        since = timestamps.from_unix(self.now - span)
        for name, at in rule_values.list_missed_fires(self.c, since):
            found.setdefault(name, []).append(timestamps.to_unix(at))
        return found

    @cached_property
    def host(self) -> Mapping[str, float | None]:
        return self.memory.probes.read_host()

    @cached_property
    def database_path(self) -> Path:
        from db.queries import metrics

        return metrics.find_database_path(self.c)

    # --- instances -------------------------------------------------------------------------

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
        return sorted(found.values(), key=_get_age_key)

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

    def count_names(self, plan: RulePlan) -> int:
        """Return the number of task names that a rule may judge, 0 if it judges others."""
        return len(self.choose_names(plan.match)) if plan.base == "task" else 0

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
        """Return the tasks that failed in the last day, without a later success of the name."""
        successes: dict[str, float] = {}
        for one in self._last_runs:
            if one.row.status == "succeeded":
                successes[one.row.name] = max(one.at, successes.get(one.row.name, 0.0))
        failed = [
            one for one in self._last_runs
            if one.row.status in FAILED_WORDS
            and one.at >= successes.get(one.row.name, 0.0)
            and not self.has_candidate(one.row.task_id)
        ]  # fmt: skip
        failed = sorted(failed, key=_get_at, reverse=True)[: rule_values.MAX_CANDIDATES]
        # A task that waits for its next attempt is not always among the candidates.
        statuses = self._map_statuses(failed)
        return self._make_all_ended(
            [one for one in failed if statuses.get(one.row.task_id) in FAILED_WORDS]
        )

    @cached_property
    def ended_instances(self) -> Sequence[Subject]:
        """Return the tasks that failed, and the latest ones that succeeded, in the last day."""
        done = [one for one in self._last_runs if one.row.status == "succeeded"]
        done = sorted(done, key=_get_at, reverse=True)[: rule_values.MAX_CANDIDATES]
        return [*self.failed_instances, *self._make_all_ended(done)]

    @cached_property
    def _last_runs(self) -> Iterable[RememberedRun]:
        """Return the last run of each task, of the runs that ended in the last day."""
        found: dict[str, RememberedRun] = {}
        for one in self.memory.ended.list_since(self.now - DAY, self.now):
            before = found.get(one.row.task_id)
            if before is None or before.at <= one.at:
                found[one.row.task_id] = one
        return found.values()

    def _map_statuses(self, runs: Sequence[RememberedRun]) -> Mapping[str, str]:
        uuids = [one.row.task_id for one in runs]
        return rule_values.map_statuses(self.c, uuids) if uuids else {}

    def has_failed(self, uuid: str) -> bool:
        """Return whether a task has ended, and failed."""
        return rule_values.map_statuses(self.c, [uuid]).get(uuid) in FAILED_WORDS

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

    # --- subjects of a kind ----------------------------------------------------------------

    def list_matching(self, plan: RulePlan) -> Sequence[Subject]:
        """Return the subjects that a rule may judge, once for all rules that match the same.

        Instances come oldest first, and ended ones last.
        """
        key = (plan.base, plan.match_key, plan.phases, plan.ended)
        if key not in self._matching:
            self._matching[key] = [
                subject
                for subject in self._list_subjects(plan)
                if is_matched(plan.match, subject.labels)
            ]
        return self._matching[key]

    def _list_subjects(self, plan: RulePlan) -> Iterable[Subject]:
        if plan.base == "instance":
            kinds = [kind for kind in ("waiting", "active") if kind in plan.phases]
            kinds += [plan.ended] if plan.ended else []
            found = [one for kind in kinds for one in self._list_instances(kind, plan)]
            return sorted(found, key=_get_age_key) if len(kinds) > 1 else found
        if plan.base == "task":
            return self._list_tasks(plan)
        return {
            "schedule": self._schedule_subjects, "queue": self._queue_subjects,
            "pool": self._pool_subjects, "host": self._host_subjects,
            "taskdeck": self._taskdeck_subjects,
        }[plan.base]  # fmt: skip

    def _list_instances(self, phase: str, plan: RulePlan) -> Iterable[Subject]:
        """Return the instances of a phase; those of plain names come from an index."""
        group = self._phases[phase]
        for globs, index in ((plan.match.task, "by_name"), (plan.match.queue, "by_queue")):
            exact = list_exact_names(globs)
            if globs is not None and len(exact) == len(globs):
                found = getattr(group, index)
                chosen = [one for name in exact for one in found.get(name, ())]
                return sorted(chosen, key=_get_age_key) if len(exact) > 1 else chosen
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

    @cached_property
    def _queue_subjects(self) -> Sequence[Subject]:
        return [
            Subject("queue", f"queue:{row.name}", f"queue {row.name}", row.name,
                    Labels(queue=row.name, pool=row.pool))
            for row in self.queues.values()
        ]  # fmt: skip

    @cached_property
    def _pool_subjects(self) -> Sequence[Subject]:
        return [
            Subject("pool", f"pool:{name}", f"pool {name}", name, Labels(pool=name))
            for name in self.pools
        ]

    @cached_property
    def _host_subjects(self) -> Sequence[Subject]:
        return [Subject("host", "host", "the host", "host", Labels())]

    @cached_property
    def _taskdeck_subjects(self) -> Sequence[Subject]:
        return [Subject("taskdeck", "taskdeck", "taskdeck", "taskdeck", Labels())]

    @cached_property
    def _schedule_subjects(self) -> Sequence[Subject]:
        found: list[Subject] = []
        for row in self.schedules.values():
            template, queue = row.task.get("template"), row.task.get("queue") or "default"
            name = get_task_name(row)
            pool = self.queues[queue].pool if queue in self.queues else None
            labels = Labels(name, template, row.name, queue, pool)
            title = f"schedule {row.name}"
            found.append(Subject("schedule", f"schedule:{row.name}", title, row.name, labels))
        return found

    def _list_tasks(self, plan: RulePlan) -> Iterable[Subject]:
        names = self.choose_names(plan.match)[:MAX_NAMES]
        self.read_names(names)
        return [self._make_task(name, plan.match) for name in names if name in self.memory.names]

    def choose_names(self, match: Match) -> Sequence[str]:
        """Return the task names that a rule may match, and the plain names among its globs."""
        globs = match.task
        if match.schedule is not None:
            return [one for one in self.schedule_names if globs is None or is_any_match(one, globs)]
        known = self._known_names
        key = None if globs is None else tuple(globs)
        if key not in self.memory.chosen_names:
            exact = list_exact_names(globs)
            if globs is not None and len(exact) < len(globs):
                matcher = re.compile("|".join(map(fnmatch.translate, globs))).match
                known = [name for name in known if matcher(name)]
            names = known if globs is None or len(exact) < len(globs) else ()
            self.memory.chosen_names[key] = [*dict.fromkeys([*exact, *names])]
        return self.memory.chosen_names[key]

    @cached_property
    def _known_names(self) -> Sequence[str]:
        """Return the names of tasks and check-ins, listed again once a minute."""
        memory, (listed_at, known) = self.memory, self.memory.known_names
        more = {*self.checkins, *self._changed_names}
        if 0 <= self.now - listed_at < LIST_NAMES_AFTER and more <= {*known}:
            return known
        if not 0 <= self.now - listed_at < LIST_NAMES_AFTER:
            listed_at, known = self.now, rule_values.list_names(self.c, MAX_KNOWN_NAMES)
        memory.known_names = listed_at, sorted({*known, *more})
        memory.chosen_names.clear()
        return memory.known_names[1]

    def _make_task(self, name: str, match: Match) -> Subject:
        """Return a name with the labels of its latest task, and a schedule that matches."""
        facts = self.get_outcomes(name)
        queue = self.queues.get(facts.queue or "")
        pool, before = queue.pool if queue else None, self.memory.tasks.get(name)
        tags: Mapping[str, str] = json.loads(facts.tags) if facts.tags and match.tags else {}
        labels = Labels(name, facts.template, None, facts.queue, pool, tags)
        if match.schedule is not None:
            found = sorted(self.schedule_names.get(name, ()))
            schedule = next((one for one in found if is_any_match(one, match.schedule)), None)
            labels = labels._replace(schedule=schedule)
        if before is None or before.labels != labels:
            before = Subject("task", f"name:{name}", name, name, labels)
            self.memory.tasks[name] = before
        return before

    def is_unread(self, key: str) -> bool:
        """Return whether a later pass reads the subject."""
        kind, _, name = key.partition(":")
        if kind == "name":
            return not self.is_complete and name not in self.memory.names
        return kind == "task" and name in self._unread_tasks

    # --- facts -----------------------------------------------------------------------------

    @cached_property
    def _changed_names(self) -> frozenset[str]:
        return frozenset(one.row.name for one in self.memory.ended.newest)

    def get_outcomes(self, name: str) -> NameFacts:
        """Return the outcomes of the tasks of a name."""
        if name not in self.memory.names or (self._is_outdated(name) and self._names_left > 0):
            self._store_facts(rule_values.read_names(self.c, [name]))
        return self.memory.names[name][1]

    def find_last_success(self, name: str) -> float | None:
        """Return the UNIX time of the latest success or check-in of a name."""
        ended = self.get_outcomes(name).ended
        times = [timestamps.to_unix(ended)] if ended else []
        times += [self.checkins[name]] if name in self.checkins else []
        return max(times, default=None)

    def _is_outdated(self, name: str) -> bool:
        return not 0 <= self.now - self._get_read_at(name) < REREAD_AFTER

    def _get_read_at(self, name: str) -> float:
        return self.memory.names[name][0] if name in self.memory.names else NEVER

    def read_names(self, names: Iterable[str]) -> None:
        """Read the outcomes of names that may have changed, a limited number in each pass."""
        outdated = [name for name in names if self._is_outdated(name)]
        urgent = [name for name in outdated if self._get_read_at(name) == NEVER]
        self.is_complete &= len(urgent) <= self._names_left
        old = [name for name in outdated if self._get_read_at(name) != NEVER][:REREADS]
        part = [*urgent, *old][: max(0, self._names_left)]
        if part:
            self._store_facts(rule_values.read_names(self.c, part))

    def _store_facts(self, found: Mapping[str, NameFacts]) -> None:
        self._names_left -= len(found)
        for name, facts in found.items():
            _, before = self.memory.names.get(name, (0.0, facts))
            if facts.ended is None and before.ended is not None:
                # The success is older than the tasks that were searched.
                facts = facts._replace(submitted=before.submitted, ended=before.ended)
            self.memory.names[name] = (self.now, facts)

    def get_schedule_success(self, name: str) -> tuple[str, str] | None:
        """Return fire time and end of the latest success of a schedule."""
        read_at, found = self.memory.schedules.get(name, (float("-inf"), None))
        is_known = 0 <= self.now - read_at < REREAD_AFTER and name not in self._ended_schedules
        if is_known or read_at == self.now:
            return found
        found = rule_values.find_schedule_success(self.c, name)
        self.memory.schedules[name] = (self.now, found)
        return found

    @cached_property
    def _ended_schedules(self) -> frozenset[str]:
        uuids = [one.row.task_id for one in self.memory.ended.newest]
        fires = rule_values.map_fire_times(self.c, uuids) if uuids else {}
        return frozenset(schedule for schedule, _ in fires.values())

    def group_runs(self, kind: str, span: float, label: str) -> Mapping[str, list[RememberedRun]]:
        """Return the runs that ended or started in a window, by a label of theirs."""
        key = (kind, span, label)
        if key not in self._grouped:
            memory = self.memory.ended if kind == "ended" else self.memory.started
            groups: dict[str, list[RememberedRun]] = {}
            for one in memory.list_since(self.now - span, self.now):
                groups.setdefault(_get_label(one.row, label), []).append(one)
            self._grouped[key] = groups
        return self._grouped[key]

    @cached_property
    def schedule_names(self) -> Mapping[str, set[str]]:
        """Return {task name: schedules with a task of that name}."""
        found: dict[str, set[str]] = {}
        for row in self.schedules.values():
            found.setdefault(get_task_name(row), set()).add(row.name)
        return found

    def get_past_runs(self, subject: Subject, runs: int) -> Sequence[RunRow]:
        """Return the last successful runs of the template or name of an instance."""
        name = subject.labels.task or subject.name
        key = (subject.labels.template or "", name, "", runs)
        read_at, found = self.memory.baselines.get(key, (float("-inf"), ()))
        if not 0 <= self.now - read_at < 60.0:
            found = rule_values.list_past_runs(
                self.c, subject.labels.template, name, runs
            )  # fmt: skip
            self.memory.baselines[key] = (self.now, found)
        return found

    # --- forecasts -------------------------------------------------------------------------

    def find_expected_end(self, subject: Subject, now: float) -> ExpectedEnd | None:
        """Return when a waiting or active instance will probably end, in UNIX time."""
        row = subject.candidate
        if row is None:
            return None
        part = self._expected_ends.get(row.queue)
        is_queued = row.runid is None and row.status == TaskStatus.QUEUED
        if part is None:
            return None
        found = part.find(row.number, row.queue, is_queued)
        if found is None and (past := self._learn_run_times(subject)):
            if row.runid is None:
                found = part.find_with(row.number, past.likely)
            elif row.start_time is not None:
                elapsed = max(0.0, now - timestamps.to_unix(row.start_time))
                times = sample_run_times(past.runs, elapsed)
                found = make_expected_end([at - elapsed for at in times]) if times else None
        return found.shift(now) if found else None

    def _learn_run_times(self, subject: Subject) -> PastRunTimes | None:
        """Return the run times of a template or name, however long ago its runs were."""
        runs = self.get_past_runs(subject, FORECAST_RUNS)
        return learn_run_times([row.run_seconds for row in runs if row.run_seconds is not None])

    @cached_property
    def _expected_ends(self) -> Mapping[str, ExpectedEnds]:
        """Return {queue: expected ends in its pool}."""
        cache = dispatch_view.get_cache(self.c)
        view = dispatch_view.read_view(self.c, cache)
        found: dict[str, ExpectedEnds] = {}
        for pool in view.pools:
            queues = tuple(queue for queue in view.queues if queue.pool == pool.name)
            names = {queue.name for queue in queues}
            part = replace(
                view,
                pools=(pool,),
                queues=queues,
                active=tuple(run for run in view.active if run.queue in names),
                later=tuple(one for one in view.later if one.task.queue in names),
            )
            found |= dict.fromkeys(names, ExpectedEnds(part, cache.forecast(part, may_lag=True)))
        return found

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

    def find_end_of_next(self, subject: Subject) -> ExpectedEnd | None:
        """Return the expected end of the run that comes next: at once, or at its fire time.

        Without a schedule this is read for a few names only.
        """
        has_schedule = subject.kind == "schedule" or subject.name in self.schedule_names
        if not has_schedule and len(self.memory.names) > rule_values.FEW_NAMES:
            return None
        name, template = subject.labels.task or subject.name, subject.labels.template
        past = self._learn_run_times(subject._replace(name=name))
        past = past or dispatch_view.get_cache(self.c).get_past(self.c, template, name)
        if past is None:
            return None
        schedule = self.schedules.get(subject.labels.schedule or "") or next(
            (self.schedules[name] for name in sorted(self.schedule_names.get(subject.name, ()))),
            None,
        )
        begin = self.now
        if schedule and schedule.due_at:
            begin = max(begin, timestamps.to_unix(schedule.due_at))
        return make_expected_end(past.likely).shift(begin)


def get_task_name(row: ScheduleRow) -> str:
    """Return the name of the tasks of a schedule."""
    return row.task.get("name") or row.name


def _group(
    subjects: Iterable[Subject], get_name: Callable[[Subject], str]
) -> Mapping[str, Sequence[Subject]]:
    found: dict[str, list[Subject]] = {}
    for one in subjects:
        found.setdefault(get_name(one), []).append(one)
    return found


def _get_age_key(one: Subject) -> tuple[float, int]:
    if one.candidate is None:
        return float("inf"), 0
    return one.age_start, one.candidate.number


def _get_at(one: RememberedRun) -> float:
    return one.at


def _get_label(row: RunRow, label: str) -> str:
    return {"task": row.name, "queue": row.queue, "pool": row.pool, "instance": row.task_id}.get(
        label, ""
    )
