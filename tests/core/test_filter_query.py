"""Tests of the filter language: parsing, matching, errors and speed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core import filter_query
from app.core.filter_query import (
    QueryError,
    RowFacts,
    find_completions,
    fold_case,
    is_match,
    parse_query,
)
from db import states

NOW = datetime(2026, 11, 25, 10, 42, tzinfo=UTC)

TASK_FACTS = RowFacts(
    number=1042, name="encode S02E07.mkv", status="running", run="paused", queue="gpu",
    template="encode", by="ann", priority=5, group=12,
    created=(NOW - timedelta(hours=1)).timestamp(), tags={"env": "prod", "note": "a b"},
    text="encode S02E07.mkv\nencode\nenv=prod\nnote=a b\nffmpeg -i /srv/in/Größe.mkv",
)  # fmt: skip


def is_kept(line: str, facts: RowFacts = TASK_FACTS) -> bool:
    return is_match(parse_query(line, NOW), facts)


@pytest.mark.parametrize(
    "line",
    [
        "", "  ", '""', "encode", "ENCODE s02", "ffmpeg", '"-i /srv"', "größe", "GRÖSSE", "!decode",
        "status:running", "status:paused",
        "status:active", "status:failed,running", "!status:waiting", "!status:timed-out",
        "queue:gpu", "queue:g*", "queue:g?u",
        "queue:media,gpu", "!queue:media", "name:enc*", "name:ENC*mkv", "name:*s02e??.mkv",
        "!name:enc", "template:encode", "by:ann",
        "by:a*", "group:g12", "group:3,g12", "!group:g3",
        "tag:env", "tag:env=prod", "tag:env=p*", 'tag:note="a b"', "!tag:env=test",
        "!tag:owner", "since:2h", "since:2026-11-25",
        "since:yesterday", "until:30m", "until:2026-11-25", "until:today", "number:1042", "#1042",
        "number:1000-2000", "number:>1041",
        "number:<=1042", "!#7", "priority:5", "priority:>=5", "priority:<6", "priority:-5-5",
        "QUEUE:gpu", "!priority:>5",
        "encode status:running queue:gpu since:2h !lost", '"encode',
    ],
)  # fmt: skip
def test_a_matching_task_is_kept(line: str):
    assert is_kept(line)


@pytest.mark.parametrize(
    "line",
    [
        "decode", "!encode", "encode decode", "status:queued", "status:ended", "!status:running",
        "!status:paused", "queue:media",
        "queue:gp", 'queue:"g*"', "name:enc", 'name:"enc*"', "template:enc", "by:bob", "tag:owner",
        "tag:env=test", "tag:env=Prod",
        "since:30m", "until:2h", "until:2026-11-24", "#1043", "number:1-1041", "number:>1042",
        "priority:>5", "!priority:5", '"a\nb"',
    ],
)  # fmt: skip
def test_a_non_matching_task_is_left_out(line: str):
    assert not is_kept(line)


@pytest.mark.parametrize(
    "line",
    [
        "queue:gpu",
        "template:*",
        "by:ann",
        "number:1",
        "priority:0",
        "since:1h",
        "tag:env",
        "status:queued",
    ],
)
def test_unknown_fields_match_only_negated_conditions(line: str):
    pool = RowFacts(name="gpu", text="gpu")

    assert (is_kept(line, pool), is_kept(f"!{line}", pool)) == (False, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("status:faild", 'there is no state "faild". Nearest: failed.'),
        ("status:failed,timedout", 'there is no state "timedout". Nearest: timed-out.'),
        ("statu:failed", 'there is no "statu:". Nearest: status:'),
        ("!qeue:gpu", 'there is no "qeue:". Nearest: queue:'),
        ("nginx:latest", 'there is no "nginx:". As text: "nginx:latest" in quotes.'),
        ("queue:", "queue: needs a value. Example: queue:gpu"),
        ("status:,", "status: needs a value. Example: status:failed"),
        ("encode ! lost", '! needs a word after it. As text: "!" in quotes.'),
        ("#", '# needs a word after it. As text: "#" in quotes.'),
        ("#12x", '# takes a whole number, 5-9, or >5, not "12x".'),
        ("number:1-", 'number: takes a whole number, 5-9, or >5, not "1-".'),
        ("priority:>high", 'priority: takes a whole number, 5-9, or >5, not ">high".'),
        ("number:" + "9" * 40, "number: takes a whole number"),
        ("since:soon", 'since: takes a time such as 2h (ago), 2026-11-25 or 08:30, not "soon".'),
        ("until:2026-13-01", "until: takes a time such as 2h"),
        ("until:9999-12-31", "until: takes a time such as 2h"),
        ("x" * 1001, "a filter has at most 1,000 characters, not 1,001."),
        ("a " * 33, "a filter has at most 32 words, not 33."),
    ],
)
def test_an_invalid_line_is_reported_with_its_word_and_a_suggestion(line: str, said: str):
    with pytest.raises(QueryError) as told:
        parse_query(line, NOW)

    assert str(told.value).startswith(said)


@pytest.mark.parametrize("line", ["http://host/x", "12:30", '"status:odd"', "a=b:c", "x-y:z", ":"])
def test_a_colon_after_no_field_name_is_part_of_a_word(line: str):
    (term,) = parse_query(line, NOW).terms

    assert (term.kind, term.text) == ("word", line.strip('"'))


def test_a_time_of_day_is_the_last_one():
    now = NOW.astimezone()
    (earlier,) = parse_query(f"since:{now - timedelta(hours=1):%H:%M}", NOW).terms
    (later,) = parse_query(f"since:{now + timedelta(hours=1):%H:%M}", NOW).terms

    assert earlier.low == pytest.approx(NOW.timestamp() - 3600, abs=60)
    assert later.low == pytest.approx(NOW.timestamp() - 23 * 3600, abs=60)


def test_the_states_match_the_database():
    assert set(filter_query.WAITING_STATES) == states.WAITING
    assert set(filter_query.ENDED_STATES) == states.ENDED
    assert set(filter_query.STATES) == {*states.TaskStatus, *states.ACTIVE}


HOSTILE = (
    "a*" * 499, "name:" + "a*" * 490 + "b", "name:" + "*?" * 490, "name:" + "[" * 900,
    'tag:x="' + "a*" * 400, "!" * 1000, "#" * 1000,
    ":" * 1000, '"' * 999, "queue:" + "," * 990, "queue:" + "*," * 490, "\0\ud800\u202e*?[!",
    "name:[!a]^]*", "status:" + "failed," * 100,
    "since:" + "9" * 900, "number:" + "-" * 900, "name:" + "İßſK" * 100, " " * 1000,
)  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE)
def test_no_line_takes_long_to_parse_match_or_complete(line: str):
    # an exponential one takes minutes each time
    assert min(measure_line(line) for _ in range(3)) < 0.2


def measure_line(line: str) -> float:
    """Return the thread's seconds to complete, parse and match a line."""
    name = RowFacts(name="a" * 200, queue="a" * 200, tags={"x": "a" * 200}, text="a" * 4000)
    began = time.thread_time()
    find_completions(line, {"queue": ["a" * 200]})
    try:
        found = parse_query(line, NOW)
    except QueryError as error:
        assert str(error).isprintable()
    else:
        assert isinstance(is_match(found, name), bool)
    return time.thread_time() - began


@given(st.text(max_size=60))
@example("!!a")
def test_any_text_is_parsed_or_refused(line: str):
    try:
        found = parse_query(line, NOW)
    except QueryError as error:
        assert str(error)
    else:
        assert is_match(found, TASK_FACTS) in (True, False)


@given(st.text(min_size=1, max_size=20).filter(lambda text: '"' not in text and text.isprintable()))
def test_a_quoted_value_means_exactly_that_value(value: str):
    found = parse_query(f"queue:{filter_query.quote_word(value)}", NOW)

    assert is_match(found, RowFacts(queue=value))
    assert not is_match(found, RowFacts(queue=value + "x"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_case_folding_keeps_substrings(one: str, other: str):
    assert fold_case(one) in fold_case(one + other)


NAMES = {
    "queue": ["default", "media", "my queue"],
    "template": ["encode"],
    "by": ["ann"],
    "tag": ["env=prod", "env=test"],
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("qu", ["queue:"]),
        ("encode !st", ["encode !status:"]),
        ("status:fa", ["status:failed "]),
        ("status:timed", ["status:timed-out "]),
        ("status:failed,lo", ["status:failed,lost "]),
        ("x queue:m", ["x queue:media ", 'x queue:"my queue" ']),
        ("!queue:media,d", ["!queue:media,default "]),
        ("tag:env=", ["tag:env=prod ", "tag:env=test "]),
        ("by:A", ["by:ann "]),
        ("nosuch:a", []),
        ("status:failed ", []),
        ('"open status:f', []),
    ],
)
def test_the_last_word_is_completed(text: str, found: list[str]):
    assert find_completions(text, NAMES) == found


@pytest.mark.parametrize(("line", "states"), [
    ("", {*filter_query.WAITING_STATES, "running", *filter_query.ENDED_STATES}),
    ("encode since:2h", {*filter_query.WAITING_STATES, "running", *filter_query.ENDED_STATES}),
    ("status:ended", {*filter_query.ENDED_STATES}), ("status:failed,held", {"failed", "held"}),
    ("status:paused", {"running"}),
    ("!status:waiting", {"running", *filter_query.ENDED_STATES}),
    ("!status:paused status:active", {"running"}), ("status:held status:failed", set()),
])  # fmt: skip
def test_the_possible_states_of_a_query_are_known(line: str, states: set[str]):
    assert filter_query.find_possible_states(parse_query(line, NOW)) == states
