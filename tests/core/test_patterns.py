"""Patterns give what ECMA-262 says, in bounded time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.patterns import BadPattern, TooSlow, search

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
]


@pytest.mark.parametrize(("pattern", "good", "bad"), REAL)
def test_a_pattern_finds_what_it_means_and_nothing_else(pattern: str, good: str, bad: str) -> None:
    assert search(pattern, good)
    assert not search(pattern, bad)


@pytest.mark.parametrize("pattern", [r"^(a|a)*b$", r"^(a+)+b$", r"^(a?){30}a{30}b$", r"(.*a){20}b", r"^((a*)*)*b$"])
def test_a_pattern_that_hangs_other_matchers_answers_at_once(pattern: str) -> None:
    assert not search(pattern, "a" * 200)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "a**",
        "*a",
        "(?<=a)b",
        r"(a)\1",
        "a{9999}",
        "(" * 60 + ")" * 60,
        "((a{99}){99}){99}",
        r"\u12",
        "[z-a]",
        "\\",
        "a{3,2}",
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        search(pattern, "a")


def test_a_repeat_of_nothing_is_built_at_once() -> None:
    assert search("((((){1999}){1999}){1999}){1999}", "a")


def test_a_text_too_long_for_its_pattern_is_given_up() -> None:
    with pytest.raises(TooSlow):
        search("(a?){900}b", "a" * 100_000)


@settings(deadline=None)
@given(st.text("ab|()*+?.^$", max_size=8), st.text("ab", max_size=8))
def test_it_agrees_with_the_standard_library_where_the_dialects_agree(pattern: str, text: str) -> None:
    try:
        found = search(pattern, text)
        expected = re.search(pattern.replace("$", r"\Z"), text) is not None
    except (BadPattern, re.error, RecursionError):
        return
    if not re.search(r"[*+?]\+|[\^$]\)*[*+?]|Z\)*[*+?]", pattern):  # possessive and repeated anchors differ
        assert found is expected
