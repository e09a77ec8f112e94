"""Data of one pass of the rules: subjects and facts, each read once for all rules."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from app.core.rules.conditions import Match
from app.core.rules.rule_plan import Labels, RulePlan, is_any_match, is_matched, list_exact_names
from app.core.scheduling.forecasts.expected_end import ExpectedEnd, ExpectedEnds, make_expected_end
from app.core.scheduling.forecasts.run_times import PastRunTimes, learn_run_times, sample_run_times
from app.core.scheduling.plan import split_view
from app.service.rules.facts.fire_windows import FindStart, FireWindows
from app.service.rules.facts.instances import Instances
from app.service.rules.facts.run_memory import RememberedRun
from app.service.rules.facts.subjects import NEVER, FireEnd, Memory, Subject, get_age_key
from app.service.scheduling import dispatch_view
from db import timestamps
from db.engine import Connection
from db.queries.rules import rule_values
from db.queries.rules.rule_values import NameFacts, RunRow
from db.queries.scheduling import resources
from db.rows import PoolRow, ScheduleRow
from db.states import TaskStatus

MAX_NAMES = 2000
"""Most task names that a rule looks at."""
MAX_KNOWN_NAMES = 20_000
"""Distinct task names among which rules choose."""
NAMES_AT_ONCE = 200
"""Names whose outcomes a pass reads; the others follow in the next passes."""
LIST_NAMES_AFTER = 60.0
"""Seconds after which all names are listed again; those of ended runs are added at once."""
FORECAST_RUNS = 50
"""Past runs of a template or name that a forecast uses."""
REREAD_AFTER, REREADS = 300.0, 50
"""Seconds after which the outcomes of a name are read again without a new run; names a pass."""


class Snapshot(Instances):
    """One consistent reading of the database at a UNIX time."""

    def __init__(
        self, c: Connection, now: float, memory: Memory, plans: Sequence[RulePlan],
        known_tasks: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(c, now, memory, plans, known_tasks)
        self._grouped: dict[tuple[str, float, str], dict[str, list[RememberedRun]]] = {}
        self._matching: dict[Any, Sequence[Subject]] = {}
        self.levels: dict[Any, Any] = {}
        """Values of queues, pools and so on that another rule has read in this pass."""
        self._names_left = NAMES_AT_ONCE
        ended = [one.row.name for one in memory.ended.newest]
        changed = [*ended, *self._list_deleted_names()]
        memory.versions.note_names("names", changed)
        memory.versions.note_names("starts", [one.row.queue for one in memory.started.newest])
        for name in changed:
            if name in memory.names:
                memory.names[name] = (NEVER, memory.names[name][1])
        self._forget_baselines()

    def _list_deleted_names(self) -> Sequence[str]:
        """Return the names of tasks that were deleted since the last pass."""
        memory, latest = self.memory, rule_values.find_last_deletion(self.c)
        before, memory.last_deletion = memory.last_deletion, latest
        if before is None or before == latest:
            return ()
        memory.failed_schedules.clear()
        return rule_values.list_deleted_names(self.c, before)

    def _forget_baselines(self) -> None:
        """Let the past runs of each template and name with a new end be read again."""
        ended = {
            (row.template, "") if row.template else ("", row.name)
            for row in (one.row for one in self.memory.ended.newest)
        }
        kept = self.memory.baselines.items() if ended else ()
        old = [key for key, _ in kept if ((key[0], "") if key[0] else ("", key[1])) in ended]
        for key in old:
            del self.memory.baselines[key]

    def note_sources(self) -> None:
        """Compare what the rules read with the last pass."""
        versions, phases = self.memory.versions, self._phases
        for phase in ("waiting", "active"):
            versions.note(phase, phases[phase])
        for phase in ("ended", "failed"):
            versions.note_each(phase, phases[phase].by_name)
        versions.note_each("queues", {name: self._list_levels(name) for name in self.queues})
        versions.note("pools", [*map(_list_use, self.pools.values())])
        versions.note("pools of queues", {row.name: row.pool for row in self.queues.values()})
        versions.note("pools of rules", self.pools_of_rules)
        versions.note("check-ins", self.checkins)
        if any(plan.base == "task" for plan in self._plans):
            versions.note("known names", self._known_names)
        if any(plan.has_times and plan.base == "task" for plan in self._plans):
            rows = self.schedules.values()
            versions.note("schedules", [(row.name, row.updated_at) for row in rows])
        versions.note("events", rule_values.read_change_marks(self.c))

    def _list_levels(self, name: str) -> Sequence[Any]:
        """Return what the metrics of a queue read."""
        row, depth = self.queues[name], self.counters.get((name, "queued"), 0)
        return depth, row.capacity, row.current_load, row.status, row.status_at

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
            found = [one for kind in kinds for one in self.list_instances(kind, plan)]
            return sorted(found, key=get_age_key) if len(kinds) > 1 else found
        if plan.base == "task":
            return self._list_tasks(plan)
        return {
            "schedule": self._schedule_subjects, "queue": self._queue_subjects,
            "pool": self._pool_subjects, "host": self._host_subjects,
            "taskdeck": self._taskdeck_subjects,
        }[plan.base]  # fmt: skip

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

    def count_names(self, plan: RulePlan) -> int:
        """Return the number of task names that a rule may judge, 0 if it judges others."""
        return len(self.choose_names(plan.match)) if plan.base == "task" else 0

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
        found = sorted({*known, *more})
        memory.known_names = listed_at, found
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
            self._store_facts(self._read_facts([name]))
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
            self._store_facts(self._read_facts(part))

    def _read_facts(self, names: Sequence[str]) -> Mapping[str, NameFacts]:
        judges_times = any(plan.has_times and plan.base == "task" for plan in self._plans)
        scheduled = self.schedule_names.keys() if judges_times else ()
        return rule_values.read_names(self.c, names, scheduled)

    def _store_facts(self, found: Mapping[str, NameFacts]) -> None:
        self._names_left -= len(found)
        for name, facts in found.items():
            _, before = self.memory.names.get(name, (0.0, facts))
            if facts.ended is None and before.ended is not None:
                # The success is older than the tasks that were searched.
                facts = facts._replace(
                    submitted=before.submitted, ended=before.ended, number=before.number
                )
            if facts != before or name not in self.memory.names:
                self.memory.versions.note_names("names", [name])
            self.memory.names[name] = (self.now, facts)

    def get_schedule_success(self, name: str) -> tuple[str, str] | None:
        """Return fire time and end of the latest success of a schedule."""
        find = rule_values.find_schedule_success
        return self._remember(self.memory.schedules, name, lambda: find(self.c, name))

    def get_schedule_failure(self, name: str) -> tuple[str, str] | None:
        """Return fire time and end of the latest failure of a schedule with no attempt left."""
        find = rule_values.find_schedule_failure
        return self._remember(self.memory.failed_schedules, name, lambda: find(self.c, name))

    def _remember(
        self, known: dict[str, tuple[float, FireEnd]], name: str, find: Callable[[], FireEnd]
    ) -> FireEnd:
        """Return what is known of a schedule; find it again after a run of the schedule ended."""
        read_at, found = known.get(name, (NEVER, None))
        is_known = 0 <= self.now - read_at < REREAD_AFTER and name not in self._ended_schedules
        if is_known or read_at == self.now:
            return found
        known[name] = (self.now, find())
        return known[name][1]

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

    # --- fixed deadlines -------------------------------------------------------------------

    @cached_property
    def _windows(self) -> FireWindows:
        return FireWindows(self.c, self.memory.fire_windows)

    def make_start_finder(self, subject: Subject) -> FindStart | None:
        """Return from when a success counts for the fixed deadlines of a name or schedule."""
        names = (
            {subject.name} if subject.kind == "schedule"
            else self.schedule_names.get(subject.name, ())
        )  # fmt: skip
        return self._windows.make_finder([self.schedules[name] for name in sorted(names)])

    @cached_property
    def _named_use(self) -> tuple[Mapping[str, Mapping[str, int]], Mapping[str, int]]:
        """Return what runs hold of named resources by pool, and what all pools share."""
        return resources.sum_held(self.c), resources.read_totals(self.c)

    def find_share(self, pool: str, resource: str) -> float | None:
        """Return the reserved share of a named resource of a pool; None if it has none.

        A pool without an amount of its own may use all of a shared one.
        """
        held, shared = self._named_use
        own = resources.parse_named(self.pools[pool].resources)
        total = own.get(resource, shared.get(resource, 0))
        return held.get(pool, {}).get(resource, 0) / total if total else None

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
        for part in split_view(view):
            names = [queue.name for queue in part.queues]
            found |= dict.fromkeys(
                names, ExpectedEnds(part, cache.forecast(self.c, part, may_lag=True))
            )
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


def _list_use(row: PoolRow) -> Sequence[Any]:
    """Return what the metrics of a pool read."""
    return row.name, row.used_cpu, row.total_cpu, row.used_memory, row.total_memory


def _get_label(row: RunRow, label: str) -> str:
    return {"task": row.name, "queue": row.queue, "pool": row.pool, "instance": row.task_id}.get(
        label, ""
    )
