"""What could help a waiting task: every cure is true to the plan, says what it brings, and can be taken back."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.explain import Subject, explain
from app.core.scheduling.plan import View, Waiting, plan
from app.core.scheduling.run_stats import Past, Run, learn
from app.core.scheduling.suggestion import Cure, Held, World
from app.core.scheduling.suggestions import MOST, cures
from app.core.scheduling.waiting_task import Parent
from app.core.text.sanitize import clean
from tests.core.scheduling.builders import a_pool, a_queue, a_run, a_task, a_view, views

GPU = a_pool(cpu=8, memory=32 * 1024, name="gpu")
SWEEP = a_task(1049, "gpu", cpu=4, memory=12 * 1024, expected=14400.0, priority=5)
RUNS = (
    a_run(1042, "gpu", cpu=4, memory=12 * 1024, ends_in=360.0),
    a_run(1043, "gpu", cpu=2, memory=18 * 1024, ends_in=7200.0),
)
ELAPSED = {1042: Held(11880.0, 0), 1043: Held(3720.0, 0)}


def past(peak: float, cores: float = 3.0, seconds: float = 100.0) -> Past:
    """Twelve past runs alike."""
    found = learn("like", [Run(seconds, seconds * cores, peak)] * 12)
    assert found is not None
    return found


def world(view: View, task: Waiting, *, status: str = "queued", held_by: str | None = None, parents: tuple[Parent, ...] = (),
          **also: Any) -> World:  # fmt: skip
    subject = Subject(task.uuid, task.number, task.name, task.queue, status, task.priority, task.cpu, task.memory, held_by,
                      None, None, None, 0, 0, 0, parents)  # fmt: skip
    return World(view, subject, task, explain(view, subject, None), ELAPSED, **also)


def gpu(*waiting: Waiting, others: tuple[Any, ...] = (), **also: Any) -> View:
    return a_view(GPU, *others, a_queue("gpu", *waiting, pool="gpu", **({"capacity": 4} | also)), *RUNS)


def by_name(found: tuple[Cure, ...]) -> dict[str, Cure]:
    return {cure.name: cure for cure in found}


def test_less_memory_is_offered_with_what_past_runs_used_and_what_it_would_bring():
    cure = by_name(cures(world(gpu(SWEEP), SWEEP, past=past(9.1 * 1024))))["less"]

    assert cure.text == "ask for less memory"
    assert cure.gain.startswith("12 past runs used at most 9.1G; 11G is p95 + 20%; no sooner: needs 11.0G, 2.0G free")
    assert cure.command == ("taskdeck", "set", "1049", "--memory", "11G")
    assert (cure.verb, cure.args) == ("set", {"ids": ["u1049"], "fields": {"memory": 11 * 1024.0}})
    assert [(undo.verb, undo.args["fields"]) for undo in cure.undo] == [("set", {"memory": 12 * 1024})]
    assert cure.said == "Memory 12G → 11G:"


def test_less_memory_that_fits_now_starts_it_at_once_and_comes_first():
    found = cures(world(gpu(SWEEP), replace(SWEEP, cpu=1.0), past=past(1.5 * 1024)))

    assert found[0].name == "less"
    assert found[0].gain.endswith("it starts at once")


def test_what_is_scarce_twice_is_asked_less_of_in_one_go():
    view = a_view(a_pool(8, 8 * 1024), a_queue("q", big := a_task(5, cpu=6, memory=6 * 1024)), a_run(1, cpu=6, memory=6 * 1024))

    cure = by_name(cures(world(view, big, past=past(1024.0, cores=1.0))))["less"]

    assert cure.command == ("taskdeck", "set", "5", "--memory", "1.2G", "--cpu", "1.5")
    assert cure.gain.startswith("12 past runs used at most 1.0G and 1 core; 1.2G and 1.5 cores are p95 + 20%; ")
    assert cure.gain.endswith("it starts at once")


def test_what_hardly_used_a_core_is_not_said_to_have_used_none():
    view = a_view(a_pool(8, 8 * 1024), a_queue("q", big := a_task(5, cpu=6, memory=1024)), a_run(1, cpu=6, memory=1024))

    cure = by_name(cures(world(view, big, past=past(1024.0, cores=0.01))))["less"]

    assert cure.gain.startswith("12 past runs used at most 0.1 cores; 0.1 cores is p95 + 20%; ")


def test_the_run_to_cancel_is_the_one_that_helps_and_loses_least_and_it_asks():
    cure = by_name(cures(world(gpu(SWEEP), SWEEP)))["cancel-1043"]

    assert cure.asks == 1043
    assert cure.gain == "frees 18.0G and 2 cpu now; its 1h02m are lost; it starts at once"
    assert cure.command == ("taskdeck", "cancel", "1043")
    assert cure.undo == ()


def test_a_full_queue_is_cured_by_another_queue_or_one_more_place():
    full = a_queue("media", enc := a_task(7, "media"), capacity=1)
    view = a_view(full, a_queue("default"), a_run(1, "media"))

    found = by_name(cures(world(view, enc)))

    assert found["queue"].command == ("taskdeck", "set", "7", "--queue", "default")
    assert found["queue"].gain == "it starts at once"
    assert found["capacity"].command == ("taskdeck", "queue", "set", "media", "--capacity", "2")
    assert found["capacity"].undo[0].args == {"name": "media", "capacity": 1}
    assert found["front"].verb == "" and found["front"].gain == "it is first already"


def test_the_front_is_offered_to_one_behind_others_with_the_time_it_saves():
    line = [a_task(n, cpu=4.0, expected=100.0) for n in range(1, 6)]
    view = a_view(a_queue("q", *line), a_run(99, cpu=4.0, ends_in=50.0))

    found = by_name(cures(world(view, line[4])))

    assert found["front"].gain.startswith("ahead of 4 others; starts in ~50s instead of ~")
    assert found["priority"].args == {"ids": ["u5"], "fields": {"priority": 1}}
    assert found["front"].undo[0].args == {"ids": ["u5"], "value": 0}


def test_a_held_task_is_released_and_so_is_a_held_one_it_waits_for():
    task = a_task(3)
    view = a_view(a_queue())

    held = by_name(cures(world(view, task, status="held", held_by="ann")))
    blocked = by_name(cures(world(view, task, status="blocked", parents=(Parent(2, "etl", "held", "success"),))))

    assert held["release"].gain == "it starts at once"
    assert held["release"].command == ("taskdeck", "release", "3")
    assert blocked["release-2"].command == ("taskdeck", "release", "2")


def test_a_paused_queue_and_a_paused_pool_are_resumed_and_what_then_holds_is_told():
    task = a_task(3)
    queue = by_name(cures(world(a_view(a_queue("q", task, status="paused")), task)))["resume-queue"]
    pool = by_name(cures(world(a_view(a_pool(status="draining"), a_queue("q", task)), task)))["resume-pool"]
    full = a_view(a_queue("q", task, status="paused", capacity=1), a_run(1))

    assert (queue.gain, queue.object, queue.undo[0].verb) == ("it starts at once", "queue q", "queue.pause")
    assert (pool.command, pool.undo[0].verb) == (("taskdeck", "pool", "resume", "p"), "pool.drain")
    assert by_name(cures(world(full, task)))["resume-queue"].gain == "then queue full 1/1; 1st of 1"


def test_what_can_never_fit_needs_a_larger_pool_and_one_beyond_the_machine_says_so():
    huge = a_task(3, memory=40 * 1024)
    view = a_view(a_pool(4, 32 * 1024), a_queue("q", huge))

    (cure,) = [cure for cure in cures(world(view, huge, memory=36 * 1024, cores=8)) if cure.name == "pool"]

    assert cure.command == ("taskdeck", "pool", "set", "p", "--memory", "40G")
    assert cure.gain == "it starts at once; the machine has memory 36G"
    assert cure.args == {"name": "p", "memory": "40960M"}


def test_a_pool_is_not_made_larger_than_the_machine_for_a_task_that_only_waits():
    view = a_view(a_pool(4, 1024), a_queue("q", task := a_task(3, cpu=2)), a_run(1, cpu=3))

    whole, part = (by_name(cures(world(view, task, cores=cores, memory=1024)))["pool"] for cores in (4, 4.5))
    assert (whole.verb, whole.text, whole.gain) == ("", "a larger pool", "pool p has all 4 cores of the machine")
    assert (part.verb, part.gain) == ("", "5 cores would do, the machine has 4.5 cores")
    assert "pool" not in by_name(cures(world(view, task)))
    assert by_name(cures(world(view, task, cores=8, memory=1024)))["pool"].command[-2:] == ("--cpu", "5")


def test_where_nothing_can_be_offered_that_is_said_first():
    view = a_view(a_pool(4, 1024), a_queue("q", task := a_task(3, cpu=4)), a_run(1, cpu=2), a_run(2, cpu=2))

    found = cures(world(view, task, cores=4, memory=1024))

    assert [(cure.name, cure.verb) for cure in found] == [("none", ""), ("front", ""), ("pool", "")]
    assert (found[0].text, found[0].gain) == ("nothing here would start it sooner", "needs 4 cpu, 0 free")


def test_a_limit_lets_a_short_one_pass_a_reserved_place():
    small = a_task(6, cpu=1.0)
    view = a_view(a_queue("q", a_task(5, cpu=4.0), small), a_run(1, cpu=3.0, ends_in=3600.0))

    cure = by_name(cures(world(view, small, past=past(1.0))))["timeout"]

    assert cure.command == ("taskdeck", "set", "6", "--timeout", "3240s")
    assert cure.gain == "12 past runs, p95 1m; longer, and it is ended; it starts at once"
    assert cure.undo[0].args["fields"] == {"timeout": None}


def test_nothing_is_offered_when_nothing_starts_at_all_or_when_it_starts_now():
    task = a_task(3)

    assert cures(world(a_view(a_queue("q", task), halted="disk full"), task)) == ()
    assert cures(world(a_view(a_queue("q", task)), task)) == ()


def test_what_loses_work_stands_behind_what_loses_none_and_hints_stand_last():
    found = cures(world(gpu(SWEEP), SWEEP, past=past(9.1 * 1024)))

    assert [cure.name for cure in found] == ["less", "cancel-1043", "front"]


def test_hostile_names_are_clean_in_every_text():
    evil = "\x1b]52;c;eA==\x07[red]\u202e"
    view = a_view(a_queue(evil, task := a_task(3, evil), capacity=1, pool="p"), a_queue("q"), replace(a_run(1, evil), name=evil))

    found = cures(world(view, replace(task, name=evil)))

    assert found
    assert all(text == clean(text) for cure in found for text in (cure.text, cure.gain))


@settings(max_examples=150, deadline=None)
@given(views(), st.data())
def test_a_cure_that_promises_a_start_at_once_is_what_the_plan_then_does(view: View, data: st.DataObject):
    waiting = [task for queue in view.queues for task in queue.waiting]
    if not waiting:
        return
    task = data.draw(st.sampled_from(waiting))
    found = cures(world(view, task, past=past(0.1, cores=0.1), cores=100.0, memory=1e6))

    assert len(found) <= MOST
    for cure in found:
        if cure.worth == 0 and cure.name in ("queue", "less", "front", "priority"):
            fields = dict(cure.args.get("fields", {"front": 9}))
            changed = replace(task, **fields)
            queues = []
            for queue in view.queues:
                others = [one for one in queue.waiting if one.uuid != task.uuid] + [changed] * (queue.name == changed.queue)
                others.sort(key=lambda one: (-one.front, -one.priority, one.number))
                queues.append(replace(queue, waiting=tuple(others)))
            assert task.uuid in [start.uuid for start in plan(replace(view, queues=tuple(queues))).starts]
