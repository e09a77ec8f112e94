"""Tests of patterns in bounded time."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.schema.regex import PatternError, PatternTimeoutError, search

REAL = [
    (r"^(((SR|ER|DR)[APRSX])|(SAM(N|EA|D))|(PRJ(NA|EB|DB))|(GS[EM]))(\d+)$", "SAMEA1234", "SAMX1"),
    (r"^([\S\s]*\/)?[^\s\/]+\.f(ast)?q(\.gz)?$", "a dir/b.fastq.gz", "a dir/b.fasta"),
    (r"^([a-zA-Z0-9_\-\.]+)@([a-zA-Z0-9_\-\.]+)\.([a-zA-Z]{2,5})$", "a.b@c.org", "a.b@c"),
    (r"^(\d+\.?\s*(s|m|h|d|day)\s*)+$", "1h 30m", "1h 30"),
    (r"^\d+(\.\d+)?\.?\s*(K|M|G|T)?B$", "8.5 GB", "8.5 G"),
    (r"^(?!con$)[a-z]+$", "cons", "con"),
    (r"a{2,3}b", "xaab", "xab"),
    (r"^a{0}$", "", "a"),
    (r"\bcat\b", "a cat!", "concat"),
    (r"[^\W\d]$", "1a", "a1"),
    (r"^[\]a-]+$", "a-]", "b"),
    (r"^\x41\u0042$", "AB", "ab"),
    (r"^\p{Lu}", "Éa", "éa"),
    (r"^(?<year>\d{4})$", "2026", "26"),
    (r"^.$", "☃", "\n"),
    (r"^{$", "{", "x"),
    (r"^a$", "a", "a\n"),
    (r"^\d\w\b", "1a", "١a"),
    (r"^[\w-.]+$", "a-.", "a,"),
    (r"^[--/&&[:a]$", "&", "b"),
    (r"^#(?:a|b c)$", "#b c", "#bc"),
    (r"(?<!\$)\bUSD\B.", "1 USD2", "$USD2"),
    (r"^a{0,99999}?!$", "aa!", "ab!"),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), REAL)
def test_a_pattern_matches_only_what_it_means(pattern: str, good: str, bad: str) -> None:
    assert search(pattern, good)
    assert not search(pattern, bad)


HOSTILE = [
    (r"(a+)+$", "a" * 40 + "!"),
    (r"^(a|a)*$", "a" * 40 + "!"),
    (r"^(a?){30}a{30}b$", "a" * 200),
    (r"(.*a){20}b", "a" * 200),
    (r"^((a*)*)*b$", "a" * 200),
    (r"(?<=(.*a){20})b", "a" * 200 + "c"),
    (r"[^x]+?[cd]", "a" * 100_000),
    ("a" * 900, "a" * 100_000),
]


@pytest.mark.parametrize(("pattern", "text"), HOSTILE)
def test_a_catastrophic_pattern_ends_at_once(pattern: str, text: str) -> None:
    began = time.thread_time()
    try:
        found = search(pattern, text)
    except PatternTimeoutError:
        found = False
    assert time.thread_time() - began < 1
    assert found is (pattern == "a" * 900)


@pytest.mark.parametrize(
    "pattern",
    ["(", "[", "*a", r"\p{Nothing}", r"\u12", "[z-a]", "a" * 1_001, "(" * 450 + ")" * 450,
     "a{9999}{9999}", "((a{99}){99}){99}", "((((){1999}){1999}){1999}){1999}"],
)  # fmt: skip
def test_an_unusable_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        search(pattern, "a")


def test_a_text_too_long_for_its_pattern_times_out() -> None:
    for pattern, text in (("^(a|a)*$", "a" * 40 + "!"), ("a", "a" * 1_000_000)):
        with pytest.raises(PatternTimeoutError):
            search(pattern, text)


def test_thousands_of_small_searches_are_fast() -> None:
    assert search("^[a-z]+$", "a")
    began = time.thread_time()
    assert all(search("^[a-z]+$", "abc") for _ in range(5_000))
    assert time.thread_time() - began < 1


@settings(deadline=None)
@given(st.text("ab|()*+?.^$", max_size=8), st.text("ab", max_size=8))
def test_it_agrees_with_re_where_the_dialects_agree(pattern: str, text: str) -> None:
    try:
        found = search(pattern, text)
        expected = re.search(pattern.replace("$", r"\Z"), text) is not None
    except (PatternError, re.error, RecursionError):
        return
    # possessive quantifiers and repeated anchors differ
    if not re.search(r"[*+?]\+|[\^$]\)*[*+?]|Z\)*[*+?]", pattern):
        assert found is expected
