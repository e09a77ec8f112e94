"""Tests of the reasons that a task waits, with their numbers."""

from typing import Any

import pytest
from hypothesis import given, settings

from app.core.scheduling.explanations.explain import (
    Explanation,
    ParentTask,
    TaskState,
    WaitReason,
    explain,
    explain_all,
)
from app.core.scheduling.explanations.waiting_task import skip_forecast
from app.core.scheduling.forecasts.forecast import Forecast
from app.core.scheduling.plan import DispatchView, QueuedTask, make_plan
from app.core.text.sanitize import measure_width, sanitize
from db.restore.merge import result
from tests.core.scheduling.builders import (
    is_open,
    make_pool,
    make_queue,
    make_run,
    make_task,
    make_view,
    random_views,
)

GPU = make_pool(cpu=8, memory=32 * 1024, name="gpu")
SWEEP = make_task(1049, "gpu", cpu=4, memory=12 * 1024, expected=14400.0)
GPU_RUNS = (
    make_run(1042, "gpu", cpu=4, memory=12 * 1024, ends_in=360.0),
    make_run(1043, "gpu", cpu=2, memory=18 * 1024, ends_in=7200.0),
)


def make_task_state(task: QueuedTask | None = None, **also: Any) -> TaskState:
    """Return the state of a queued task in view, or of any other task."""
    of = task or make_task(1060)
    facts: dict[str, Any] = {"status": "queued", "held_by": None, "not_before_in": None,
    "not_before_text": None,
                             "retry_in": None, "attempt": 0, "failures": 0, "retries": 0,
                             "parents": ()} | also  # fmt: skip
    return TaskState(
        of.uuid, of.number, of.name, of.queue, priority=of.priority, needs=of.needs, **facts
    )


def make_gpu_view(*waiting: QueuedTask, **also: Any) -> DispatchView:
    return make_view(GPU, make_queue("gpu", *waiting, pool="gpu", capacity=4, **also), *GPU_RUNS)


def list_codes(why: Explanation) -> list[str]:
    return [reason.code for reason in why.reasons]


def list_texts(why: Explanation) -> list[str]:
    return [reason.text for reason in why.reasons]


def test_a_task_without_room_names_need_free_amount_and_releasing_run():
    why = explain(make_gpu_view(SWEEP), make_task_state(SWEEP), 0)

    assert why.reasons[0] == WaitReason(
        "pool-memory",
        "needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m",
        "needs 12.0G, 2.0G free; #1042 frees 12.0G",
    )
    assert list_codes(why) == ["pool-memory", "pool-cpu", "reservation"]
    assert list_texts(why)[1] == "needs 4 cpu of pool gpu, 2 free; #1042 frees 4 in ~6m"
    assert (
        list_texts(why)[2]
        == "it has a reservation: smaller tasks start first only if they do not delay it"
    )


def test_several_needed_releases_name_the_first_and_the_last():
    task = make_task(1, "gpu", memory=24 * 1024)

    reason, _ = explain(make_gpu_view(task), make_task_state(task), 0).reasons

    assert (
        reason.text
        == "needs 24.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m, 1 more ends in ~2h"
    )
    assert reason.short == "needs 24.0G, 2.0G free; enough in ~2h"


def test_waiting_for_a_run_of_unknown_end_has_no_expected_start():
    task = make_task(1, cpu=4, expected=9.0)

    why = explain(make_view(make_queue("q", task), make_run(10)), make_task_state(task), 0)

    assert (
        list_texts(why)[0]
        == "needs 4 cpu of pool p, 3 free; no running task has a known end that frees enough"
    )
    assert why.expected_in is None


def test_an_overdue_run_is_named_without_an_end():
    task = make_task(1, cpu=4, expected=9.0)

    why = explain(
        make_view(make_queue("q", task), make_run(10, ends_in=-240.0)), make_task_state(task), 0
    )

    assert (
        list_texts(why)[0]
        == "needs 4 cpu of pool p, 3 free; no running task has a known end that frees enough;"
        " #10 is overdue"
    )
    assert why.expected_in is None


def test_amounts_that_would_look_equal_are_exact():
    task = make_task(1, memory=1025.0)
    view = make_view(
        make_pool(memory=2048), make_queue("q", task), make_run(9, memory=1024.0, ends_in=60.0)
    )

    assert (
        list_texts(explain(view, make_task_state(task), 0))[0]
        == "needs 1025M memory of pool p, 1024M free; #9 frees 1024M in ~1m"
    )


def test_an_oversized_task_can_never_start():
    task = make_task(1, memory=40 * 1024)

    why = explain(
        make_view(make_pool(memory=32 * 1024, name="p"), make_queue("q", task)),
        make_task_state(task),
        0,
    )

    assert list_texts(why) == [
        "needs 40.0G memory, but pool p has 32.0G in all: it can never start"
    ]
    assert why.expected_in is None


def test_a_full_queue_names_the_next_release_and_positions():
    line = [make_task(number, "media", expected=600.0) for number in (1053, 1054)]
    runs = (make_run(1050, "media", ends_in=1980.0), make_run(1039, "media", ends_in=120.0))
    view = make_view(make_queue("media", *line, capacity=2, waiting_total=14), *runs)

    first, second = explain_all(
        view, [(make_task_state(line[0]), 0), (make_task_state(line[1]), 1)]
    )

    assert first.reasons == (
        WaitReason("queue-full", "first of 14; queue media is full (2 of 2); #1039 ends next",
               "1st of 14; queue full 2/2; #1039 ends next"),
    )  # fmt: skip
    assert second.reasons == (
        WaitReason(
            "queue-full", "second of 14; queue media is full (2 of 2)", "2nd of 14; queue full 2/2"
        ),
    )
    assert first.expected_in == pytest.approx((108.0, 132.0))
    assert second.expected_in == pytest.approx((663.0, 780.0))


def test_a_blocked_task_names_its_parents_and_their_states():
    parents = (
        ParentTask(1047, "nightly-etl", "running", "success"),
        ParentTask(1048, "thumbs", "succeeded", "success"),
        ParentTask(1049, "crawl", "timed_out", "success"),
        ParentTask(1050, "clean up", "queued", "any"),
        ParentTask(1051, "mail", "failed", "any"),
    )

    why = explain(make_view(make_queue()), make_task_state(status="blocked", parents=parents), None)

    assert list_texts(why) == [
        "after #1047 nightly-etl, which is running",
        "after #1049 crawl, which has timed out",
        "after #1050 clean up, which is queued, however it ends",
    ]
    assert why.reasons[0].short == "after #1047 nightly-etl"
    assert set(list_codes(why)) == {"dependency"}


def test_a_wait_for_a_failure_or_a_start_has_words_of_its_own():
    parents = (
        ParentTask(7, "etl", "running", "failure"),
        ParentTask(8, "server", "queued", "start"),
        ParentTask(9, "paused one", "paused", "start"),
    )

    why = explain(make_view(make_queue()), make_task_state(status="blocked", parents=parents), None)

    assert [(reason.text, reason.short) for reason in why.reasons] == [
        ("only if #7 etl fails; it is running", "only if #7 etl fails"),
        ("waits for #8 server to start; it is queued", "waits for #8 server to start"),
    ]


def test_a_wait_after_a_known_failure_names_the_failure():
    parents = (
        ParentTask(15, "seed 7", "failed", "failures"),
        ParentTask(16, "clean-up", "skipped", "failures"),
        ParentTask(18, "seed 10", "running", "failures"),
    )

    why = explain(make_view(make_queue()), make_task_state(status="blocked", parents=parents), None)

    assert [(reason.text, reason.short) for reason in why.reasons] == [
        (
            "#15 has failed; waits for the end of #18 seed 10, which is running",
            "#15 has failed; waits for #18 seed 10",
        )
    ]


def test_a_task_with_many_parents_names_five_and_a_count():
    parents = tuple(ParentTask(number, "part", "queued", "success") for number in range(1000))

    why = explain(make_view(make_queue()), make_task_state(status="blocked", parents=parents), None)

    assert len(why.reasons) == 6
    assert list_texts(why)[-1] == "after 995 more"


def test_a_blocked_task_queues_when_its_last_parent_ends():
    parents = (ParentTask(10, "a", "running", "success"), ParentTask(2, "b", "queued", "success"))
    line = make_queue("q", make_task(2, expected=40.0), capacity=1)

    why = explain(
        make_view(line, make_run(10, ends_in=60.0)),
        make_task_state(status="blocked", parents=parents),
        None,
    )

    assert why.expected_in == pytest.approx((90.0, 109.0))


def test_a_parents_timeout_bounds_the_expected_start():
    parents = (ParentTask(10, "a", "running", "success"),)
    view = make_view(make_queue(), make_run(10, ends_in=600.0, has_past_runs=False, limit=600.0))

    why = explain(view, make_task_state(status="blocked", parents=parents), None)

    assert (why.expected_in, why.starts_in) == ((0.0, 600.0), None)


def test_the_expected_start_is_at_most_the_runs_timeout():
    running = make_run(10, ends_in=100.0, limit=110.0)
    line = make_queue("q", make_task(1, expected=50.0, limit=55.0), make_task(2), capacity=1)

    first, second = explain_all(
        make_view(line, running),
        [(make_task_state(make_task(n)), at) for at, n in enumerate((1, 2))],
    )

    assert first.expected_in == pytest.approx((90.0, 110.0)) and first.starts_in == pytest.approx(
        90.0
    )
    assert second.expected_in == pytest.approx((140.0, 162.5))


def test_a_parent_of_unknown_end_gives_no_expected_start():
    parents = (ParentTask(10, "a", "running", "success"),)

    why = explain(
        make_view(make_queue(), make_run(10)),
        make_task_state(status="blocked", parents=parents),
        None,
    )

    assert why.expected_in is None


def test_a_held_task_names_its_holder():
    why = explain(make_view(make_queue()), make_task_state(status="held", held_by="ann"), None)

    assert why == Explanation((WaitReason("held", "held by ann", "held by ann"),), None)


def test_a_task_held_by_a_restore_may_have_run():
    (reason,) = explain(
        make_view(make_queue()), make_task_state(status="held", held_by=result.BY), None
    ).reasons

    assert (reason.text, reason.short) == (
        "held by restore: it may have run already",
        "held by restore",
    )


def test_a_scheduled_task_names_its_exact_time():
    subject = make_task_state(
        status="scheduled", not_before_in=46020.0, not_before_text="23:30 today"
    )

    why = explain(make_view(make_queue()), subject, None)

    assert why == Explanation(
        (WaitReason("not-before", "not before 23:30 today", "not before 23:30 today"),),
        (46020.0, 46020.0),
    )


@pytest.mark.parametrize(
    ("queue", "pool", "shut"),
    [
        ("paused", "active", "queue paused"),
        ("draining", "active", "queue draining"),
        ("active", "paused", "pool paused"),
    ],
)
def test_a_scheduled_task_in_a_closed_queue_says_so(queue: str, pool: str, shut: str):
    subject = make_task_state(status="scheduled", not_before_in=46020.0, not_before_text="23:30")

    why = explain(make_view(make_pool(status=pool), make_queue(status=queue)), subject, None)

    assert (
        why.reasons[0].short == f"not before 23:30; {shut}"
        and why.reasons[0].text == "not before 23:30"
    )
    assert why.expected_in is None


def test_a_retrying_task_names_the_attempt_and_its_time():
    why = explain(
        make_view(make_queue()),
        make_task_state(status="retrying", retry_in=300.0, attempt=1, failures=1, retries=3),
        None,
    )

    assert why.reasons == (
        WaitReason(
            "retry",
            "attempt 2 of 4 may start in ~5m; the last one did not succeed",
            "attempt 2 of 4 in ~5m",
        ),
    )
    assert why.expected_in == (300.0, 300.0)


@pytest.mark.parametrize(
    ("attempt", "failures", "retries", "said"),
    [
        (1, 1, 2, "attempt 2 of 3"),
        (4, 1, 2, "attempt 5 of 6"),
        (5, 2, 2, "attempt 6 of 6"),
        (2, 2, 0, "attempt 3 of 3"),
    ],
)
def test_a_manual_retry_resets_the_retries(attempt: int, failures: int, retries: int, said: str):
    subject = make_task_state(
        status="retrying", retry_in=60.0, attempt=attempt, failures=failures, retries=retries
    )

    assert explain(make_view(make_queue()), subject, None).reasons[0].short == f"{said} in ~1m"


@pytest.mark.parametrize(
    ("now", "since"), [(None, "01:02"), (1795604520.0, "01:02"), (1795741320.0, "Wed 01:02")]
)
def test_a_paused_queue_names_its_user_and_time(utc: None, now: float | None, since: str):
    queue = make_queue(
        "backup",
        make_task(1060, "backup"),
        status="paused",
        paused_by="ann",
        paused_since=1795568520.0,
    )

    why = explain(make_view(queue, now=now), make_task_state(make_task(1060, "backup")), 0)

    assert list_texts(why) == [f"queue backup is paused by ann since {since}"]
    assert why.expected_in is None


def test_draining_queues_and_closed_pools_are_reasons():
    queue = make_queue("q", make_task(1060), status="draining")

    why = explain(make_view(make_pool(status="paused"), queue), make_task_state(), 0)

    assert list_texts(why) == [
        "queue q is draining: it starts nothing new",
        "pool p is paused: it starts nothing new",
    ]
    assert list_codes(why) == ["queue-draining", "pool-paused"]


def test_a_halt_is_the_first_reason_of_every_task():
    view = make_view(make_queue("q", make_task(1060)), halted="disk full since 10:31")
    parents = (ParentTask(10, "a", "running", "success"),)

    queued, blocked = explain_all(
        view, [(make_task_state(), 0), (make_task_state(status="blocked", parents=parents), None)]
    )

    assert (
        queued.reasons[0].short
        == blocked.reasons[0].short
        == "nothing starts: disk full since 10:31"
    )
    assert list_codes(blocked) == ["halted", "dependency"]
    assert queued.expected_in is blocked.expected_in is None


def test_the_short_halt_reason_keeps_the_time_without_the_path():
    words = (
        "disk nearly full (/var/lib/taskdeck (old): 3.0M of 8.0G free, 500M needed to start"
        " anything) since 10:31"
    )
    (reason,) = explain(
        make_view(make_queue("q", make_task(1060)), halted=words), make_task_state(), 0
    ).reasons[:1]

    assert (reason.text, reason.short) == (
        f"nothing starts: {words}",
        "nothing starts: disk nearly full since 10:31",
    )


def test_a_task_that_would_delay_a_reservation_names_it():
    line = [make_task(1049, cpu=4, expected=60.0), make_task(1055, expected=3600.0)]

    ends_known = explain(
        make_view(make_queue("q", *line), make_run(10, ends_in=360.0)), make_task_state(line[1]), 1
    )
    ends_unknown = explain(
        make_view(make_queue("q", *line), make_run(10)), make_task_state(line[1]), 1
    )

    assert ends_known.reasons == (
        WaitReason("reserved", "waits behind #1049, which has reserved pool p (in ~6m)",
               "behind #1049, which is next (in ~6m)"),
    )  # fmt: skip
    assert ends_known.expected_in == pytest.approx((388.5, 722.4))
    assert list_texts(ends_unknown) == [
        "waits behind #1049, which has reserved pool p; the end of #10 is not known: give it"
        " a timeout"
    ]


def test_lack_of_room_and_a_reservation_are_both_reported():
    big = make_task(1055, "gpu", cpu=1, memory=20 * 1024)

    why = explain(make_gpu_view(SWEEP, big, waiting_total=5), make_task_state(big), 1)

    assert list_codes(why) == ["pool-memory", "behind"]
    needs, behind = list_texts(why)
    assert needs.startswith("second of 5; needs 20.0G memory of pool gpu, ")
    assert behind == "behind #1049, which has reserved pool gpu"
    assert why.reasons[0].short.startswith("2nd of 5; needs 20.0G, ")
    assert why.reasons[1].short == "2nd of 5; behind #1049"


def test_a_task_far_down_the_queue_shows_its_position():
    far = make_task(9999)
    view = make_view(make_pool(cpu=100), make_queue("q", make_task(1), waiting_total=1204))

    assert explain(view, make_task_state(far), 136).reasons == (
        WaitReason("behind", "137th of 1,204 in queue q", "137th of 1,204 in line"),
    )


def test_a_task_behind_a_starting_one_names_it():
    line = [make_task(1), make_task(2)]

    for view in (
        make_view(make_queue("q", *line, capacity=1)),
        make_view(make_pool(cpu=1), make_queue("q", *line)),
    ):
        assert (
            list_texts(explain(view, make_task_state(line[1]), 1))[0]
            == "behind #1, which starts now"
        )


def test_an_unblocked_task_starts_in_the_next_round():
    why = explain(make_view(make_queue("q", make_task(1060))), make_task_state(), 0)

    assert why == Explanation(
        (WaitReason("starting-soon", "starts with the next dispatch round", "starts now"),),
        (0.0, 0.0),
    )


def test_tasks_from_the_first_of_an_incomplete_submission_on_name_it():
    first = make_task(1)
    view = make_view(make_queue("q", first, storing=200_000, waiting_total=9))

    whole, behind = (explain(view, make_task_state(make_task(n)), at) for n, at in ((1, 0), (2, 1)))

    assert list_codes(whole) == ["starting-soon"] and list_codes(behind)[0] == "storing"
    assert behind.reasons[0].short == "bulk submission of 200k is being stored"
    assert behind.expected_in is None


def test_a_task_without_given_position_is_found_in_the_view():
    view = make_view(make_queue("q", make_task(1), make_task(1060), capacity=0))

    assert list_texts(explain(view, make_task_state(), None)) == [
        "second of 2; queue q has capacity 0"
    ]


@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_a_task_that_is_not_waiting_has_no_reasons(status: str):
    assert explain(make_view(make_queue()), make_task_state(status=status), None) == Explanation(
        (), None
    )


def test_hostile_names_are_sanitized_and_short_forms_fit_44_cells():
    name = "夜间\x1b[31m" * 40
    queue = make_queue(
        name, make_task(1060, name), status="paused", paused_by="\x9b2J" * 30, capacity=0
    )
    subject = make_task_state(
        make_task(1060, name),
        held_by="\u202e" * 90,
        parents=(ParentTask(1, name, "running", "any"),),
    )

    why = explain(make_view(make_pool(cpu=0.5, name="p"), queue), subject, 0)

    assert list_codes(why) == ["held", "dependency", "queue-paused", "queue-full", "pool-cpu"]
    for reason in why.reasons:
        assert sanitize(reason.text) == reason.text and measure_width(reason.short) <= 44


@given(random_views())
@settings(max_examples=150, deadline=None)
def test_every_waiting_task_has_a_reason_that_matches_the_plan(view: DispatchView):
    decided = make_plan(view)
    kept = {reservation.uuid for reservation in decided.reservations}
    line = [
        (make_task_state(task), place)
        for queue in view.queues
        for place, task in enumerate(queue.waiting)
    ]

    for (subject, _), why in zip(line, explain_all(view, line), strict=True):
        task = next(t for queue in view.queues for t in queue.waiting if t.uuid == subject.uuid)
        assert (task in decided.starts) == (list_codes(why) == ["starting-soon"])
        assert (task.uuid in kept) == ("reservation" in list_codes(why))
        assert is_open(view, task) or {"queue-paused", "queue-draining", "pool-paused"} & set(
            list_codes(why)
        )
        assert all(measure_width(reason.short) <= 44 for reason in why.reasons)
        assert task not in decided.starts or why.expected_in == (0.0, 0.0)


def test_a_release_bounded_by_a_timeout_says_within():
    line = make_queue("q", make_task(1, memory=1024))
    run = make_run(9, ends_in=33.5, has_past_runs=False, limit=33.5, memory=1024)

    reason, *_ = explain(
        make_view(make_pool(memory=1024), line, run), make_task_state(make_task(1, memory=1024)), 0
    ).reasons

    assert reason.text.endswith("0M free; #9 frees 1.0G within 34s")


def test_a_task_waits_behind_the_reservation_of_a_shared_resource():
    pools = make_pool(name="a"), make_pool(name="b")
    head = make_task(1, "x", named={"licence": 2})
    late = make_task(2, "y", named={"licence": 1})
    run = make_run(9, "y", ends_in=60.0, named={"licence": 1})
    queues = make_queue("x", head, pool="a"), make_queue("y", late, pool="b")
    view = make_view(*pools, *queues, run, shared={"licence": 2})

    first, second = (explain(view, make_task_state(one), 0) for one in (head, late))

    assert first.reasons[0].text == "needs 2 licence, 1 free; #9 frees 1 in ~1m"
    assert second.reasons[0].text == "waits behind #1, which has reserved licence (in ~1m)"


def test_no_future_is_simulated_for_a_task_beyond_the_view():
    """A simulation has only the first tasks of each queue, and takes long."""
    asked: list[DispatchView] = []

    def forecast(part: DispatchView) -> Forecast:
        asked.append(part)
        return skip_forecast(part)

    view = make_gpu_view(SWEEP, waiting_total=99_999)

    assert explain(view, make_task_state(make_task(7, "gpu")), 50_000, forecast).expected_in is None
    assert not asked
    explain(view, make_task_state(SWEEP), 0, forecast)
    assert asked
