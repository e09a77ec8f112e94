"""Why a task waits: the sentences people read, with their numbers."""

from typing import Any

import pytest
from hypothesis import given, settings

from app.core.scheduling.explain import Parent, Reason, Subject, Why, explain, explain_all
from app.core.scheduling.plan import View, Waiting, plan
from app.core.text.sanitize import clean, width
from db.restore import reconcile
from tests.core.scheduling.builders import a_pool, a_queue, a_run, a_task, a_view, is_open, views

GPU = a_pool(cpu=8, memory=32 * 1024, name="gpu")
SWEEP = a_task(1049, "gpu", cpu=4, memory=12 * 1024, expected=14400.0)
GPU_RUNS = (
    a_run(1042, "gpu", cpu=4, memory=12 * 1024, ends_in=360.0),
    a_run(1043, "gpu", cpu=2, memory=18 * 1024, ends_in=7200.0),
)


def asked(task: Waiting | None = None, **also: Any) -> Subject:
    """A task to ask about: a queued one in view, or any other."""
    of = task or a_task(1060)
    facts: dict[str, Any] = {"status": "queued", "held_by": None, "not_before_in": None, "not_before_text": None,
                             "retry_in": None, "attempt": 0, "failures": 0, "retries": 0, "parents": ()} | also  # fmt: skip
    return Subject(of.uuid, of.number, of.name, of.queue, priority=of.priority, cpu=of.cpu, memory=of.memory, **facts)


def gpu(*waiting: Waiting, **also: Any) -> View:
    return a_view(GPU, a_queue("gpu", *waiting, pool="gpu", capacity=4, **also), *GPU_RUNS)


def codes(why: Why) -> list[str]:
    return [reason.code for reason in why.reasons]


def texts(why: Why) -> list[str]:
    return [reason.text for reason in why.reasons]


def test_a_task_without_room_says_what_it_needs_what_is_free_and_who_frees_it():
    why = explain(gpu(SWEEP), asked(SWEEP), 0)

    assert why.reasons[0] == Reason(
        "pool-memory",
        "needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m",
        "needs 12.0G, 2.0G free; #1042 frees 12.0G",
    )
    assert codes(why) == ["pool-memory", "pool-cpu", "reservation"]
    assert texts(why)[1] == "needs 4 cpu of pool gpu, 2 free; #1042 frees 4 in ~6m"
    assert texts(why)[2] == "its place is reserved: smaller tasks start before it only if they do not delay it"


def test_a_task_that_needs_several_ends_says_the_first_and_when_it_is_enough():
    task = a_task(1, "gpu", memory=24 * 1024)

    (reason, _) = explain(gpu(task), asked(task), 0).reasons

    assert reason.text == "needs 24.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m, 1 more ends in ~2h"
    assert reason.short == "needs 24.0G, 2.0G free; enough in ~2h"


def test_a_task_that_waits_for_a_run_without_a_known_end_says_so_and_has_no_expected_start():
    task = a_task(1, cpu=4, expected=9.0)

    why = explain(a_view(a_queue("q", task), a_run(10)), asked(task), 0)

    assert texts(why)[0] == "needs 4 cpu of pool p, 3 free; no end is known that frees enough"
    assert why.expected_in is None


def test_an_overdue_run_is_named_and_nobody_can_say_when_it_ends():
    task = a_task(1, cpu=4, expected=9.0)

    why = explain(a_view(a_queue("q", task), a_run(10, ends_in=-240.0)), asked(task), 0)

    assert texts(why)[0] == "needs 4 cpu of pool p, 3 free; no end is known that frees enough; #10 is overdue"
    assert why.expected_in is None


def test_amounts_that_would_look_the_same_are_written_exactly():
    task = a_task(1, memory=1025.0)
    view = a_view(a_pool(memory=2048), a_queue("q", task), a_run(9, memory=1024.0, ends_in=60.0))

    assert texts(explain(view, asked(task), 0))[0] == "needs 1025M memory of pool p, 1024M free; #9 frees 1024M in ~1m"


def test_a_task_larger_than_its_pool_says_that_it_can_never_start():
    task = a_task(1, memory=40 * 1024)

    why = explain(a_view(a_pool(memory=32 * 1024, name="p"), a_queue("q", task)), asked(task), 0)

    assert texts(why) == ["needs 40.0G memory, but pool p has 32.0G in all: it can never start"]
    assert why.expected_in is None


def test_the_first_of_a_full_queue_says_who_ends_next_and_the_others_where_they_stand():
    line = [a_task(number, "media", expected=600.0) for number in (1053, 1054)]
    runs = (a_run(1050, "media", ends_in=1980.0), a_run(1039, "media", ends_in=120.0))
    view = a_view(a_queue("media", *line, capacity=2, waiting_total=14), *runs)

    first, second = explain_all(view, [(asked(line[0]), 0), (asked(line[1]), 1)])

    assert first.reasons == (
        Reason("queue-full", "queue media is full (2 of 2); first of 14; #1039 ends next",
               "queue full 2/2; 1st of 14; #1039 ends next"),
    )  # fmt: skip
    assert second.reasons == (
        Reason("queue-full", "queue media is full (2 of 2); second of 14", "queue full 2/2; 2nd of 14"),
    )
    assert first.expected_in == pytest.approx((96.0, 144.0))
    assert second.expected_in == pytest.approx((576.0, 864.0))


def test_a_task_after_others_names_each_with_its_state():
    parents = (
        Parent(1047, "nightly-etl", "running", "success"),
        Parent(1048, "thumbs", "succeeded", "success"),
        Parent(1049, "crawl", "timed_out", "success"),
        Parent(1050, "clean up", "queued", "any"),
        Parent(1051, "mail", "failed", "any"),
    )

    why = explain(a_view(a_queue()), asked(status="blocked", parents=parents), None)

    assert texts(why) == [
        "after #1047 nightly-etl, which is running",
        "after #1049 crawl, which has timed out",
        "after #1050 clean up, which is queued, however it ends",
    ]
    assert why.reasons[0].short == "after #1047 nightly-etl"
    assert set(codes(why)) == {"dependency"}


def test_a_task_after_a_thousand_others_names_five_and_counts_the_rest():
    parents = tuple(Parent(number, "part", "queued", "success") for number in range(1000))

    why = explain(a_view(a_queue()), asked(status="blocked", parents=parents), None)

    assert len(why.reasons) == 6
    assert texts(why)[-1] == "after 995 more"


def test_a_blocked_task_may_join_the_line_when_the_last_of_its_parents_ends():
    parents = (Parent(10, "a", "running", "success"), Parent(2, "b", "queued", "success"))
    line = a_queue("q", a_task(2, expected=40.0), capacity=1)

    why = explain(a_view(line, a_run(10, ends_in=60.0)), asked(status="blocked", parents=parents), None)

    assert why.expected_in == pytest.approx((80.0, 120.0))


def test_a_task_starts_at_any_time_until_the_limit_of_a_parent_of_which_nothing_else_is_known():
    parents = (Parent(10, "a", "running", "success"),)
    view = a_view(a_queue(), a_run(10, ends_in=600.0, known=False, limit=600.0))

    why = explain(view, asked(status="blocked", parents=parents), None)

    assert (why.expected_in, why.starts_in) == ((0.0, 600.0), None)


def test_what_waits_for_a_run_is_not_expected_after_the_limit_of_that_run():
    running = a_run(10, ends_in=100.0, limit=110.0)
    line = a_queue("q", a_task(1, expected=50.0, limit=55.0), a_task(2), capacity=1)

    first, second = explain_all(a_view(line, running), [(asked(a_task(n)), at) for at, n in enumerate((1, 2))])

    assert first.expected_in == pytest.approx((80.0, 110.0)) and first.starts_in == pytest.approx(80.0)
    assert second.expected_in == pytest.approx((120.0, 165.0))


def test_a_task_whose_parent_has_no_known_end_has_no_expected_start():
    parents = (Parent(10, "a", "running", "success"),)

    why = explain(a_view(a_queue(), a_run(10)), asked(status="blocked", parents=parents), None)

    assert why.expected_in is None


def test_a_held_task_says_by_whom():
    why = explain(a_view(a_queue()), asked(status="held", held_by="ann"), None)

    assert why == Why((Reason("held", "held by ann", "held by ann"),), None)


def test_what_a_restore_holds_says_that_it_may_have_run():
    (reason,) = explain(a_view(a_queue()), asked(status="held", held_by=reconcile.BY), None).reasons

    assert (reason.text, reason.short) == ("held by restore: it may have run already", "held by restore")


def test_a_scheduled_task_says_its_time_and_expects_it_exactly():
    subject = asked(status="scheduled", not_before_in=46020.0, not_before_text="23:30 today")

    why = explain(a_view(a_queue()), subject, None)

    assert why == Why((Reason("not-before", "not before 23:30 today", "not before 23:30 today"),), (46020.0, 46020.0))


@pytest.mark.parametrize(
    ("queue", "pool", "shut"),
    [("paused", "active", "queue paused"), ("draining", "active", "queue draining"), ("active", "paused", "pool paused")],
)
def test_a_scheduled_task_says_with_its_time_that_it_will_not_start_then(queue: str, pool: str, shut: str):
    subject = asked(status="scheduled", not_before_in=46020.0, not_before_text="23:30")

    why = explain(a_view(a_pool(status=pool), a_queue(status=queue)), subject, None)

    assert why.reasons[0].short == f"not before 23:30; {shut}" and why.reasons[0].text == "not before 23:30"
    assert why.expected_in is None


def test_a_task_between_two_attempts_says_which_comes_when():
    why = explain(a_view(a_queue()), asked(status="retrying", retry_in=300.0, attempt=1, failures=1, retries=3), None)

    assert why.reasons == (
        Reason("retry", "attempt 2 of 4 may start in ~5m; the last one did not succeed", "attempt 2 of 4 in ~5m"),
    )
    assert why.expected_in == (300.0, 300.0)


@pytest.mark.parametrize(
    ("attempt", "failures", "retries", "said"),
    [(1, 1, 2, "attempt 2 of 3"), (4, 1, 2, "attempt 5 of 6"), (5, 2, 2, "attempt 6 of 6"), (2, 2, 0, "attempt 3 of 3")],
)
def test_what_a_person_had_run_again_has_its_retries_again(attempt: int, failures: int, retries: int, said: str):
    subject = asked(status="retrying", retry_in=60.0, attempt=attempt, failures=failures, retries=retries)

    assert explain(a_view(a_queue()), subject, None).reasons[0].short == f"{said} in ~1m"


@pytest.mark.parametrize(("now", "since"), [(None, "01:02"), (1795604520.0, "01:02"), (1795741320.0, "Wed 01:02")])
def test_a_paused_queue_says_by_whom_and_since_when(utc: None, now: float | None, since: str):
    queue = a_queue("backup", a_task(1060, "backup"), status="paused", paused_by="ann", paused_since=1795568520.0)

    why = explain(a_view(queue, now=now), asked(a_task(1060, "backup")), 0)

    assert texts(why) == [f"queue backup is paused by ann since {since}"]
    assert why.expected_in is None


def test_draining_queues_and_closed_pools_say_so():
    queue = a_queue("q", a_task(1060), status="draining")

    why = explain(a_view(a_pool(status="paused"), queue), asked(), 0)

    assert texts(why) == ["queue q is draining: it starts nothing new", "pool p is paused: it starts nothing new"]
    assert codes(why) == ["queue-draining", "pool-paused"]


def test_when_nothing_starts_at_all_that_comes_first_for_every_task():
    view = a_view(a_queue("q", a_task(1060)), halted="disk full since 10:31")
    parents = (Parent(10, "a", "running", "success"),)

    queued, blocked = explain_all(view, [(asked(), 0), (asked(status="blocked", parents=parents), None)])

    assert queued.reasons[0].short == blocked.reasons[0].short == "nothing starts: disk full since 10:31"
    assert codes(blocked) == ["halted", "dependency"]
    assert queued.expected_in is blocked.expected_in is None


def test_the_short_reason_why_nothing_starts_leaves_out_where_that_is_and_keeps_since_when():
    words = "disk nearly full (/var/lib/taskdeck (old): 3.0M of 8.0G free, 500M needed to start anything) since 10:31"
    (reason,) = explain(a_view(a_queue("q", a_task(1060)), halted=words), asked(), 0).reasons[:1]

    assert (reason.text, reason.short) == (f"nothing starts: {words}", "nothing starts: disk nearly full since 10:31")


def test_a_small_task_that_would_delay_the_reserved_one_names_it():
    line = [a_task(1049, cpu=4, expected=60.0), a_task(1055, expected=3600.0)]

    ends_known = explain(a_view(a_queue("q", *line), a_run(10, ends_in=360.0)), asked(line[1]), 1)
    ends_unknown = explain(a_view(a_queue("q", *line), a_run(10)), asked(line[1]), 1)

    assert ends_known.reasons == (
        Reason("reserved", "would delay #1049, whose place in pool p is reserved (in ~6m)",
               "would delay #1049, which is next (in ~6m)"),
    )  # fmt: skip
    assert ends_known.expected_in == pytest.approx((336.0, 504.0))
    assert texts(ends_unknown) == ["would delay #1049, whose place in pool p is reserved"]


def test_a_task_without_room_behind_a_reserved_one_says_both():
    big = a_task(1055, "gpu", cpu=1, memory=20 * 1024)

    why = explain(gpu(SWEEP, big, waiting_total=5), asked(big), 1)

    assert codes(why) == ["pool-memory", "behind"]
    assert texts(why)[1] == "second of 5 in queue gpu; behind #1049, whose place in pool gpu is reserved"
    assert why.reasons[1].short == "behind #1049; 2nd of 5"


def test_a_task_far_down_the_line_says_its_place():
    far = a_task(9999)
    view = a_view(a_pool(cpu=100), a_queue("q", a_task(1), waiting_total=1204))

    assert explain(view, asked(far), 136).reasons == (
        Reason("behind", "137th of 1,204 in queue q", "137th of 1,204 in line"),
    )


def test_a_task_behind_one_that_starts_right_now_names_it():
    line = [a_task(1), a_task(2)]

    for view in (a_view(a_queue("q", *line, capacity=1)), a_view(a_pool(cpu=1), a_queue("q", *line))):
        assert texts(explain(view, asked(line[1]), 1))[0] == "behind #1, which starts now"


def test_a_task_that_nothing_keeps_starts_with_the_next_round():
    why = explain(a_view(a_queue("q", a_task(1060))), asked(), 0)

    assert why == Why((Reason("starting-soon", "starts with the next dispatch round", "starts now"),), (0.0, 0.0))


def test_a_task_whose_place_is_not_given_is_found_in_view():
    view = a_view(a_queue("q", a_task(1), a_task(1060), capacity=0))

    assert texts(explain(view, asked(), None)) == ["queue q is full (0 of 0); second of 2"]


@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_a_task_that_does_not_wait_has_no_reasons(status: str):
    assert explain(a_view(a_queue()), asked(status=status), None) == Why((), None)


def test_hostile_names_are_made_safe_and_the_short_form_stays_within_44_cells():
    name = "夜间\x1b[31m" * 40
    queue = a_queue(name, a_task(1060, name), status="paused", paused_by="\x9b2J" * 30, capacity=0)
    subject = asked(a_task(1060, name), held_by="\u202e" * 90, parents=(Parent(1, name, "running", "any"),))

    why = explain(a_view(a_pool(cpu=0.5, name="p"), queue), subject, 0)

    assert codes(why) == ["held", "dependency", "queue-paused", "queue-full", "pool-cpu"]
    for reason in why.reasons:
        assert clean(reason.text) == reason.text and width(reason.short) <= 44


@given(views())
@settings(max_examples=150, deadline=None)
def test_every_waiting_task_has_a_reason_that_agrees_with_the_plan(view: View):
    decided = plan(view)
    kept = {reservation.uuid for reservation in decided.reservations}
    line = [(asked(task), place) for queue in view.queues for place, task in enumerate(queue.waiting)]

    for (subject, _), why in zip(line, explain_all(view, line), strict=True):
        task = next(t for queue in view.queues for t in queue.waiting if t.uuid == subject.uuid)
        assert (task in decided.starts) == (codes(why) == ["starting-soon"])
        assert (task.uuid in kept) == ("reservation" in codes(why))
        assert is_open(view, task) or {"queue-paused", "queue-draining", "pool-paused"} & set(codes(why))
        assert all(width(reason.short) <= 44 for reason in why.reasons)
        assert task not in decided.starts or why.expected_in == (0.0, 0.0)


def test_what_frees_room_by_its_limit_only_does_so_within_a_time():
    line = a_queue("q", a_task(1, memory=1024))
    run = a_run(9, ends_in=33.5, known=False, limit=33.5, memory=1024)

    (reason, *_) = explain(a_view(a_pool(memory=1024), line, run), asked(a_task(1, memory=1024)), 0).reasons

    assert reason.text.endswith("0M free; #9 frees 1.0G within 34s")
