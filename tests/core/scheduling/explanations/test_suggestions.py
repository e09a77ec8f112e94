"""Tests of suggestions for a waiting task: true to the plan, with effect and undo."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.explanations.explain import TaskState, explain
from app.core.scheduling.explanations.suggestion import Facts, RunProgress, Suggestion
from app.core.scheduling.explanations.suggestions import MAX_SUGGESTIONS, find_suggestions
from app.core.scheduling.explanations.waiting_task import ParentTask
from app.core.scheduling.forecasts.run_stats import PastRun, RunStats, compute_run_stats
from app.core.scheduling.plan import DispatchView, QueuedTask, make_plan
from app.core.text.sanitize import sanitize
from tests.core.scheduling.builders import (
    make_pool,
    make_queue,
    make_run,
    make_task,
    make_view,
    random_views,
)

GPU = make_pool(cpu=8, memory=32 * 1024, name="gpu")
SWEEP = make_task(1049, "gpu", cpu=4, memory=12 * 1024, expected=14400.0, priority=5)
RUNS = (
    make_run(1042, "gpu", cpu=4, memory=12 * 1024, ends_in=360.0),
    make_run(1043, "gpu", cpu=2, memory=18 * 1024, ends_in=7200.0),
)
ELAPSED = {1042: RunProgress(11880.0, 0), 1043: RunProgress(3720.0, 0)}


def make_run_stats(peak: float, cores: float = 3.0, seconds: float = 100.0) -> RunStats:
    """Return the statistics of twelve equal runs."""
    found = compute_run_stats("like", [PastRun(seconds, seconds * cores, peak)] * 12)
    assert found is not None
    return found


def make_facts(view: DispatchView, task: QueuedTask, *, status: str = "queued",
held_by: str | None = None, parents: tuple[ParentTask, ...] = (),
          **also: Any) -> Facts:  # fmt: skip
    subject = TaskState(task.uuid, task.number, task.name, task.queue, status, task.priority,
    task.needs, held_by,
                      None, None, None, 0, 0, 0, parents)  # fmt: skip
    return Facts(view, subject, task, explain(view, subject, None), ELAPSED, **also)


def make_gpu_view(*waiting: QueuedTask, others: tuple[Any, ...] = (), **also: Any) -> DispatchView:
    return make_view(
        GPU, *others, make_queue("gpu", *waiting, pool="gpu", **({"capacity": 4} | also)), *RUNS
    )


def map_by_name(found: tuple[Suggestion, ...]) -> dict[str, Suggestion]:
    return {cure.name: cure for cure in found}


def test_less_memory_is_suggested_with_past_usage_and_effect():
    cure = map_by_name(
        find_suggestions(make_facts(make_gpu_view(SWEEP), SWEEP, past=make_run_stats(9.1 * 1024)))
    )["less"]

    assert cure.text == "ask for less memory"
    assert cure.gain.startswith(
        "12 past runs used at most 9.1G; 11G is p95 + 20%; no sooner: needs 11.0G, 2.0G free"
    )
    assert cure.command == ("taskdeck", "set", "1049", "--memory", "11G")
    assert (cure.verb, cure.args) == ("set", {"ids": ["u1049"], "fields": {"memory": 11 * 1024.0}})
    assert [(undo.verb, undo.args["fields"]) for undo in cure.undo] == [
        ("set", {"memory": 12 * 1024})
    ]
    assert cure.said == "Memory 12G → 11G:"


def test_less_memory_that_fits_now_comes_first():
    task = replace(SWEEP, needs={**SWEEP.needs, "cpu": 1.0})
    found = find_suggestions(
        make_facts(make_gpu_view(SWEEP), task, past=make_run_stats(1.5 * 1024))
    )

    assert found[0].name == "less"
    assert found[0].gain.endswith("it starts at once")


def test_two_scarce_resources_are_reduced_together():
    view = make_view(
        make_pool(8, 8 * 1024),
        make_queue("q", big := make_task(5, cpu=6, memory=6 * 1024)),
        make_run(1, cpu=6, memory=6 * 1024),
    )

    cure = map_by_name(
        find_suggestions(make_facts(view, big, past=make_run_stats(1024.0, cores=1.0)))
    )["less"]

    assert cure.command == ("taskdeck", "set", "5", "--memory", "1.2G", "--cpu", "1.5")
    assert cure.gain.startswith(
        "12 past runs used at most 1.0G and 1 core; 1.2G and 1.5 cores are p95 + 20%; "
    )
    assert cure.gain.endswith("it starts at once")


def test_a_tiny_core_usage_is_not_reported_as_none():
    view = make_view(
        make_pool(8, 8 * 1024),
        make_queue("q", big := make_task(5, cpu=6, memory=1024)),
        make_run(1, cpu=6, memory=1024),
    )

    cure = map_by_name(
        find_suggestions(make_facts(view, big, past=make_run_stats(1024.0, cores=0.01)))
    )["less"]

    assert cure.gain.startswith("12 past runs used at most 0.1 cores; 0.1 cores is p95 + 20%; ")


def test_the_run_to_cancel_helps_loses_least_and_is_confirmed():
    cure = map_by_name(find_suggestions(make_facts(make_gpu_view(SWEEP), SWEEP)))["cancel-1043"]

    assert cure.asks == 1043
    assert cure.gain == "frees 18.0G and 2 cpu now (1h02m of work lost); it starts at once"
    assert cure.command == ("taskdeck", "cancel", "1043")
    assert cure.undo == ()


def test_a_full_queue_suggests_another_queue_or_more_capacity():
    full = make_queue("media", enc := make_task(7, "media"), capacity=1)
    view = make_view(full, make_queue("default"), make_run(1, "media"))

    found = map_by_name(find_suggestions(make_facts(view, enc)))

    assert found["queue"].command == ("taskdeck", "set", "7", "--queue", "default")
    assert found["queue"].gain == "it starts at once"
    assert found["capacity"].command == ("taskdeck", "queue", "set", "media", "--capacity", "2")
    assert found["capacity"].undo[0].args == {"name": "media", "capacity": 1}
    assert found["front"].verb == "" and found["front"].gain == "it is first already"


def test_no_capacity_is_suggested_for_a_task_beyond_the_view():
    """One slot more would not bring the 188th task its turn."""
    line = [make_task(n, "media") for n in range(1, 5)]
    view = make_view(
        make_queue("media", *line, capacity=1, waiting_total=200), make_run(99, "media")
    )

    found = map_by_name(find_suggestions(make_facts(view, make_task(188, "media"))))

    assert "capacity" not in found
    assert "capacity" in map_by_name(find_suggestions(make_facts(view, line[0])))


def test_the_front_is_suggested_with_the_saved_time():
    line = [make_task(n, cpu=4.0, expected=100.0) for n in range(1, 6)]
    view = make_view(make_queue("q", *line), make_run(99, cpu=4.0, ends_in=50.0))

    found = map_by_name(find_suggestions(make_facts(view, line[4])))

    assert found["front"].gain.startswith("ahead of 4 others; starts in ~50s instead of ~8m")
    assert found["priority"].args == {"ids": ["u5"], "fields": {"priority": 1}}
    assert found["front"].undo[0].args == {"ids": ["u5"], "value": 0}


def test_a_held_task_or_its_held_parent_is_released():
    task = make_task(3)
    view = make_view(make_queue())

    held = map_by_name(find_suggestions(make_facts(view, task, status="held", held_by="ann")))
    blocked = map_by_name(
        find_suggestions(
            make_facts(
                view, task, status="blocked", parents=(ParentTask(2, "etl", "held", "success"),)
            )
        )
    )

    assert held["release"].gain == "it starts at once"
    assert held["release"].command == ("taskdeck", "release", "3")
    assert blocked["release-2"].command == ("taskdeck", "release", "2")


def test_paused_queues_and_pools_are_resumed_and_later_limits_named():
    task = make_task(3)
    queue = map_by_name(
        find_suggestions(make_facts(make_view(make_queue("q", task, status="paused")), task))
    )["resume-queue"]
    pool = map_by_name(
        find_suggestions(
            make_facts(make_view(make_pool(status="draining"), make_queue("q", task)), task)
        )
    )["resume-pool"]
    full = make_view(make_queue("q", task, status="paused", capacity=1), make_run(1))

    assert (queue.gain, queue.object, queue.undo[0].verb) == (
        "it starts at once",
        "queue q",
        "queue.pause",
    )
    assert (pool.command, pool.undo[0].verb) == (("taskdeck", "pool", "resume", "p"), "pool.drain")
    assert (
        map_by_name(find_suggestions(make_facts(full, task)))["resume-queue"].gain
        == "then queue full 1/1"
    )


def test_a_task_larger_than_its_pool_needs_a_larger_pool_within_the_machine():
    huge = make_task(3, memory=33 * 1024)
    view = make_view(make_pool(4, 32 * 1024), make_queue("q", huge))
    machine = {"memory": 36 * 1024, "cpu": 8}

    found = map_by_name(find_suggestions(make_facts(view, huge, machine=machine)))

    assert found["pool"].command == ("taskdeck", "pool", "set", "p", "--memory", "33G")
    assert (found["pool"].gain, "fit" in found) == ("it starts at once", False)
    assert found["pool"].args == {"name": "p", "memory": "33792M"}


def test_a_larger_pool_is_suggested_though_runs_hold_part_of_it():
    task = make_task(3, cpu=7, memory=1024)
    view = make_view(make_pool(4), make_queue("q", task), make_run(1, cpu=2, memory=1024))

    cure = map_by_name(find_suggestions(make_facts(view, task, machine={"cpu": 8})))["pool"]

    assert cure.command == ("taskdeck", "pool", "set", "p", "--cpu", "7")
    assert cure.gain == "then it can start"


@pytest.mark.parametrize(
    ("machine", "most"),
    [({"cpu": 2, "memory": 64, "gpu": 8}, "2 cores and 8 GPUs"),
     ({"cpu": 2, "memory": 64}, "2 cores and 4 GPUs")],
)  # fmt: skip
def test_a_task_larger_than_the_machine_is_told_to_ask_for_less(
    machine: dict[str, float], most: str
):
    """The GPUs of a pool count where no driver lists any."""
    view = make_view(
        make_pool(2, 64, named={"gpu": 4}),
        make_queue("q", task := make_task(3, cpu=99, named={"gpu": 9})),
    )

    found = find_suggestions(make_facts(view, task, machine=machine))

    assert [cure.name for cure in found if cure.verb] == ["fit"]
    cure = map_by_name(found)["fit"]
    assert cure.command == ("taskdeck", "set", "3", "--cpu", "2", "--gpu", "4")
    assert cure.args == {"ids": ["u3"], "fields": {"cpu": 2, "resources": {"gpu": 4}}}
    assert cure.undo[0].args["fields"] == {"cpu": 99, "resources": {"gpu": 9}}
    said = f"the task cannot run on this machine, which has {most}; it starts at once"
    assert cure.gain == said


def test_a_named_resource_has_no_limit_of_the_machine():
    view = make_view(
        make_pool(2, 64, named={"tape": 4}),
        make_queue("q", task := make_task(3, named={"tape": 9})),
    )

    found = map_by_name(find_suggestions(make_facts(view, task, machine={"cpu": 2})))

    assert found["pool"].command[-2:] == ("--resource", "tape=9")


def test_a_pool_is_not_suggested_larger_than_the_machine():
    view = make_view(
        make_pool(4, 1024), make_queue("q", task := make_task(3, cpu=2)), make_run(1, cpu=3)
    )

    def suggest(**machine: float) -> Suggestion:
        return map_by_name(find_suggestions(make_facts(view, task, machine=machine)))["pool"]

    assert (suggest(cpu=4).verb, suggest(cpu=4).text) == ("", "a larger pool")
    assert suggest(cpu=4).gain == "pool p has all 4 cores of the machine"
    assert suggest().gain == "pool p has all 4 cores of the machine"
    part = suggest(cpu=4.5)
    assert (part.verb, part.gain) == ("", "5 cores would be enough, the machine has 4.5 cores")
    assert suggest(cpu=8).command[-2:] == ("--cpu", "5")


def test_a_lack_of_suggestions_is_reported_first():
    view = make_view(
        make_pool(4, 1024),
        make_queue("q", task := make_task(3, cpu=4)),
        make_run(1, cpu=2),
        make_run(2, cpu=2),
    )

    found = find_suggestions(make_facts(view, task, machine={"cpu": 4}))

    assert [(cure.name, cure.verb) for cure in found] == [("none", ""), ("front", ""), ("pool", "")]
    assert (found[0].text, found[0].gain) == (
        "nothing here would start it sooner",
        "needs 4 cpu, 0 free",
    )


def test_a_timeout_lets_a_short_task_backfill():
    small = make_task(6, cpu=1.0)
    view = make_view(
        make_queue("q", make_task(5, cpu=4.0), small), make_run(1, cpu=3.0, ends_in=3600.0)
    )

    cure = map_by_name(find_suggestions(make_facts(view, small, past=make_run_stats(1.0))))[
        "timeout"
    ]

    assert cure.command == ("taskdeck", "set", "6", "--timeout", "54m")
    assert cure.gain == "12 past runs, p95 1m; longer runs are stopped; it starts at once"
    assert cure.undo[0].args["fields"] == {"timeout": None}


def test_a_timeout_for_the_run_of_unknown_end_lets_a_short_task_start():
    short = make_task(6, expected=5.0, limit=5.0)
    view = make_view(
        make_pool(cpu=2), make_queue("q", make_task(5, cpu=2.0), short), make_run(1042)
    )
    facts = make_facts(view, short)

    (cure,) = [cure for cure in find_suggestions(facts) if cure.name == "timeout-1042"]

    assert facts.why.reasons[0].text.endswith(
        "has reserved pool p; the end of #1042 is not known: give it a timeout"
    )
    assert cure.command == ("taskdeck", "set", "1042", "--timeout", "4h")
    assert cure.gain == "#1042 is stopped if it runs longer; it starts at once"
    left = 4 * 3600 - ELAPSED[1042].elapsed
    run = replace(view.active[0], ends_in=left, limit=left)
    assert make_plan(replace(view, active=(run,))).starts == (short,)


def test_a_task_of_unknown_duration_needs_a_timeout_too():
    task = make_task(6)
    view = make_view(make_pool(cpu=2), make_queue("q", make_task(5, cpu=2.0), task), make_run(1042))
    facts = make_facts(view, task)

    assert facts.why.reasons[0].text.endswith("give it and this task a timeout")
    assert "timeout-1042" not in map_by_name(find_suggestions(facts))


def test_a_queue_of_another_pool_comes_last_and_says_so():
    task = make_task(7, "gpu", cpu=4, memory=12 * 1024)
    near, far = make_queue("near", pool="gpu"), make_queue("default", pool="p")
    view = make_gpu_view(task, others=(make_pool(memory=64 * 1024), far), capacity=1)
    small = make_task(8, "gpu")
    both = make_gpu_view(small, others=(make_pool(), far, near), capacity=1)

    found = [cure for cure in find_suggestions(make_facts(view, task)) if cure.verb]
    chosen = map_by_name(find_suggestions(make_facts(both, small)))["queue"]

    assert len(found) > 1 and found[-1].name == "queue" and found[-1].other_pool
    assert found[-1].gain == "the task would run in another pool, p; it starts at once"
    assert chosen.args["fields"] == {"queue": "near"} and chosen.gain == "it starts at once"


def test_nothing_is_suggested_when_halted_or_starting_now():
    task = make_task(3)

    assert (
        find_suggestions(make_facts(make_view(make_queue("q", task), halted="disk full"), task))
        == ()
    )
    assert find_suggestions(make_facts(make_view(make_queue("q", task)), task)) == ()


def test_suggestions_that_lose_work_come_later_and_hints_last():
    found = find_suggestions(
        make_facts(make_gpu_view(SWEEP), SWEEP, past=make_run_stats(9.1 * 1024))
    )

    assert [cure.name for cure in found] == ["less", "cancel-1043", "front", "pool"]


def test_cancelling_a_run_comes_after_a_move_to_another_pool():
    others = make_pool(memory=64 * 1024, named={"gpu": 9}), make_queue("far", pool="p")

    found = find_suggestions(make_facts(make_gpu_view(SWEEP, others=others), SWEEP))

    assert [cure.name for cure in found if cure.verb] == ["queue", "cancel-1043"]


def test_hostile_names_are_sanitized():
    evil = "\x1b]52;c;eA==\x07[red]\u202e"
    view = make_view(
        make_queue(evil, task := make_task(3, evil), capacity=1, pool="p"),
        make_queue("q"),
        replace(make_run(1, evil), name=evil),
    )

    found = find_suggestions(make_facts(view, replace(task, name=evil)))

    assert found
    assert all(text == sanitize(text) for cure in found for text in (cure.text, cure.gain))


@settings(max_examples=150, deadline=None)
@given(random_views(), st.data())
def test_a_promised_immediate_start_matches_the_plan(view: DispatchView, data: st.DataObject):
    waiting = [task for queue in view.queues for task in queue.waiting]
    if not waiting:
        return
    task = data.draw(st.sampled_from(waiting))
    found = find_suggestions(
        make_facts(
            view, task, past=make_run_stats(0.1, cores=0.1), machine={"cpu": 100.0, "memory": 1e6}
        )
    )

    assert len(found) <= MAX_SUGGESTIONS
    for cure in found:
        if cure.worth == 0 and cure.name in ("queue", "less", "front", "priority"):
            fields = dict(cure.args.get("fields", {"front": 9}))
            less = {name: fields.pop(name) for name in ("cpu", "memory") if name in fields}
            changed = replace(task, needs={**task.needs, **less}, **fields)
            queues = []
            for queue in view.queues:
                others = [one for one in queue.waiting if one.uuid != task.uuid] + [changed] * (
                    queue.name == changed.queue
                )
                others.sort(key=lambda one: (-one.front, -one.priority, one.number))
                queues.append(replace(queue, waiting=tuple(others)))
            assert task.uuid in [
                start.uuid for start in make_plan(replace(view, queues=tuple(queues))).starts
            ]
