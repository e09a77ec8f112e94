"""Words and options of the kinds of dependencies."""

from app.core.dependency_kinds import (
    AFTER_FIELDS,
    FAILURES,
    KIND_WORDS,
    describe_wait,
    describe_waits,
)
from db.states import BREAKING, SATISFYING


def test_every_kind_has_an_option_words_and_statuses():
    kinds = {*AFTER_FIELDS.values(), FAILURES}

    assert kinds == KIND_WORDS.keys() == SATISFYING.keys() and BREAKING.keys() <= kinds


def test_a_status_never_satisfies_and_breaks_a_dependency():
    assert all(SATISFYING[kind].isdisjoint(broken) for kind, broken in BREAKING.items())


def test_each_wait_is_described_by_what_must_happen():
    assert [describe_wait(kind, "#4 etl") for kind in KIND_WORDS] == [
        "after #4 etl",
        "after #4 etl",
        "only if #4 etl fails",
        "only if #4 etl or another fails",
        "waits for #4 etl to start",
    ]


def test_waits_are_described_together_in_few_words():
    kinds = ["success", "any", "start", *["failure"] * 3, *[FAILURES] * 2]
    parents = [{"kind": kind, "number": number} for number, kind in enumerate(kinds, 1)]

    assert describe_waits(parents) == "#1, #2; start of #3; if 3 fail; if #7 or #8 fails"
    assert describe_waits(parents[3:4]) == "if #4 fails"
    assert describe_waits(parents[3:5]) == "if #4, #5 fail"
    assert describe_waits([*parents, {"kind": FAILURES, "number": 9}]).endswith("; if 1 of 3 fails")
