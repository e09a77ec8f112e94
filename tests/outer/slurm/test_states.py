"""Tests of the decisions on runs in Slurm: each row of the table of states."""

from __future__ import annotations

from typing import Any

import pytest

from app.outer.slurm import states
from app.outer.slurm.rows import JobRow
from app.outer.slurm.states import NextStep, Sight, decide

pytestmark = pytest.mark.unit

LOST_AFTER = 40.0
END = {"code": 7, "signal": None}


def make_row(state: str, reason: str = "None", job: str = "12", node: str = "n3") -> JobRow:
    return JobRow(job, state, node, None, reason)


def see(state: str | None, reason: str = "None", **facts: Any) -> Sight:
    jobs = () if state is None else (make_row(state, reason),)
    return Sight(**{"jobs": jobs, "gate_job": "12" if facts.get("began") else ""} | facts)


def find_step(sight: Sight) -> NextStep:
    return decide(sight, LOST_AFTER).step


def find_end(sight: Sight) -> dict[str, Any]:
    decision = decide(sight, LOST_AFTER)
    assert decision.step is NextStep.END and decision.end is not None
    return {key: value for key, value in decision.end.items() if value}


@pytest.mark.parametrize("state", sorted(states.FINAL_STATES | states.IDLE_STATES | {"RUNNING"}))
def test_the_record_decides_in_any_state(state: str) -> None:
    for began in (True, False):
        assert decide(see(state, record=END, began=began), LOST_AFTER).end == END
    assert decide(see(None, record=END), LOST_AFTER).end == END


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("CANCELLED", {"stop": "cancel", "reason": "cancelled in Slurm"}),
        ("TIMEOUT", {"stop": "timeout", "reason": "ended at Slurm's time limit"}),
        ("OUT_OF_MEMORY", {"oom_kill": True, "reason": "over its limit (Slurm)"}),
        ("PREEMPTED", {"lost": True, "reason": "it made way for another job in Slurm"}),
    ],
)
def test_a_recorded_signal_of_slurm_has_slurms_reason(state: str, end: dict[str, Any]) -> None:
    record = {"code": None, "signal": 15, "stop": None}
    assert find_end(see(state, record=record, began=True)) == {"signal": 15, "by": "slurm"} | end
    ours = find_end(see(state, record=record, began=True, stop="cancel"))
    assert ours == {"signal": 15}


@pytest.mark.parametrize(
    "state",
    ["PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "SIGNALING", "STAGE_OUT",
     "STOPPED", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESIZING", "REVOKED", "NEW_WORD"],
)  # fmt: skip
def test_a_live_job_without_a_gate_is_waited_for(state: str) -> None:
    assert find_step(see(state)) is NextStep.WAIT


@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "COMPLETING", "SIGNALING", "NEW_WORD"])
def test_a_run_on_a_node_goes_on_however_long_its_beat_rests(state: str) -> None:
    assert find_step(see(state, began=True, still=9999)) is NextStep.WAIT


@pytest.mark.parametrize(
    "state",
    ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED"],
)
def test_a_job_that_ended_before_the_gate_is_handed_over_again(state: str) -> None:
    assert find_step(see(state)) is NextStep.SUBMIT


def test_a_run_unknown_to_slurm_without_a_gate_is_handed_over_again() -> None:
    assert find_step(see(None, tries=9)) is NextStep.SUBMIT


def test_a_run_unknown_to_slurm_with_a_moving_beat_runs() -> None:
    sight = see(None, began=True, node="n1")
    assert find_step(sight) is NextStep.WAIT
    assert states.describe_begun(sight, None, LOST_AFTER) == (
        "Slurm has forgotten it; it runs on n1"
    )


def test_a_run_unknown_to_slurm_is_lost_once_its_beat_stops() -> None:
    assert find_step(see(None, began=True, still=39.9)) is NextStep.WAIT
    assert find_end(see(None, began=True, still=40.0)) == {
        "lost": True,
        "reason": "Slurm forgot it and ended it",
    }


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("COMPLETED", {"lost": True, "reason": "Slurm ended it and left no record"}),
        ("FAILED", {"lost": True, "reason": "Slurm ended it and left no record"}),
        ("PENDING", {"lost": True, "reason": "Slurm ended it to start it again"}),
        ("CANCELLED", {"stop": "cancel", "reason": "cancelled in Slurm"}),
        ("TIMEOUT", {"stop": "timeout", "reason": "ended at Slurm's time limit"}),
        ("DEADLINE", {"stop": "timeout", "reason": "ended at Slurm's time limit"}),
        (
            "OUT_OF_MEMORY",
            {"signal": 9, "oom_kill": True, "reason": "over the 4.0G it asked for (Slurm)"},
        ),
        ("NODE_FAIL", {"lost": True, "reason": "node n3 was lost"}),
        ("BOOT_FAIL", {"lost": True, "reason": "node n3 was lost"}),
        ("LAUNCH_FAILED", {"lost": True, "reason": "node n3 was lost"}),
        ("PREEMPTED", {"lost": True, "reason": "it made way for another job in Slurm"}),
    ],
)
def test_a_run_without_a_record_ends_by_slurms_state(state: str, end: dict[str, Any]) -> None:
    facts = {"began": True, "memory": 4096.0}
    assert find_step(see(state, still=LOST_AFTER - 1, **facts)) is NextStep.WAIT
    assert find_end(see(state, still=LOST_AFTER, **facts)) == end


def test_a_run_that_we_killed_ends_as_stopped_at_once() -> None:
    sight = see("CANCELLED", began=True, stop="cancel")
    assert find_end(sight) == {"signal": 9, "stop": "cancel"}


def test_a_stop_waits_while_another_job_of_the_run_was_cancelled() -> None:
    sight = see("CANCELLED", began=True, stop="cancel", gate_job="11")
    assert find_step(sight) is NextStep.WAIT


def test_a_job_that_no_node_can_run_fails() -> None:
    decision = decide(see("FAILED", "BadConstraints"), LOST_AFTER)
    assert decision.step is NextStep.GIVE_UP
    assert decision.end and decision.end["code"] == 126
    assert "BadConstraints" in decision.end["reason"]


def test_a_run_whose_jobs_never_begin_is_given_up_with_the_state_and_node() -> None:
    sight = see("FAILED", "NonZeroExitCode", tries=states.MAX_TRIES)
    decision = decide(sight, LOST_AFTER)
    assert decision.step is NextStep.GIVE_UP and decision.end
    assert "on n3: FAILED NonZeroExitCode" in decision.end["reason"]


def test_a_run_cancelled_in_slurm_again_and_again_is_cancelled() -> None:
    decision = decide(see("CANCELLED", tries=states.MAX_TRIES), LOST_AFTER)
    assert decision.step is NextStep.GIVE_UP and decision.end
    assert decision.end["stop"] == "cancel"


def test_of_two_jobs_the_one_on_a_node_counts() -> None:
    jobs = [make_row("COMPLETED", job="14"), make_row("RUNNING", job="12")]
    jobs += [make_row("PENDING", job="13")]
    assert states.choose_row(jobs) == jobs[1]
    assert find_step(Sight(jobs=jobs, began=True, still=99)) is NextStep.WAIT


def test_of_two_ended_jobs_the_one_that_passed_the_gate_counts() -> None:
    jobs = [make_row("COMPLETED", job="14"), make_row("NODE_FAIL", job="12")]
    found = states.choose_row(jobs, gate_job="12")
    assert found == jobs[1]


def test_a_job_is_handed_over_again_after_longer_and_longer_delays() -> None:
    delays = [states.compute_delay(tries) for tries in range(9)]
    assert delays == sorted(delays) and delays[0] == 0 and delays[-1] == 600


def test_the_words_say_how_long_the_beat_has_rested() -> None:
    sight = see("COMPLETED", began=True, still=12)
    assert states.describe_begun(sight, sight.jobs[0], LOST_AFTER) == (
        "Slurm says completed, no record yet; it has given no sign of life for 12s; lost in 28s"
    )
