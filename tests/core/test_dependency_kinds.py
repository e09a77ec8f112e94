"""Words and options of the kinds of dependencies."""

from app.core.dependency_kinds import AFTER_FIELDS, FAILURES, KIND_WORDS, describe_wait
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
