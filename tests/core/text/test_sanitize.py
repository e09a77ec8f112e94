"""Tests of sanitizing, measuring and truncating hostile text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcwidth

from app.core.text.sanitize import (  # fmt: skip
    PLAIN,
    Style,
    find_name_error,
    find_nearest,
    is_secret_name,
    measure_width,
    pad,
    parse_sgr_line,
    sanitize,
    sanitize_lines,
    truncate,
    truncate_middle,
)

SURROGATES = st.characters(categories=["Cs"])
ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        SURROGATES,
        st.sampled_from("\x1b\r\n\t\x9b\u202e\u200b[;m0123K\a夜e\u0301"),
    )
)


def test_controls_become_visible_and_plain_text_is_unchanged() -> None:
    assert sanitize("ls -l 夜 é") == "ls -l 夜 é"
    assert sanitize("a\x1b[2J\n\t\r\x7f") == "a␛[2J␊␉␍␡"
    assert sanitize("\u009b\u202e\u2066\u200b\u2028\ufeff\ud800\ue000") == "�" * 8


@given(ANY_TEXT)
def test_sanitized_text_cannot_drive_a_terminal(text: str) -> None:
    for c in sanitize(text):
        assert unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    sanitize(text).encode()


@given(ANY_TEXT)
def test_sanitizing_is_idempotent(text: str) -> None:
    assert sanitize(sanitize(text)) == sanitize(text)


def test_several_lines_keep_the_last_state_of_each() -> None:
    assert sanitize_lines("10%\r20%\r\n done\ta\nlong text\rab") == "20%\n done   a\nabng text"


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Mn", "Zs"]), max_size=8))
def test_width_matches_wcwidth_except_in_emoji_sequences(text: str) -> None:
    parts = set(range(0x1F1E6, 0x1F200)) | set(range(0x1F3FB, 0x1F400))
    for c in sanitize(text):
        if ord(c) not in parts:
            assert measure_width(c) == wcwidth(c), hex(ord(c))


def test_the_parts_of_an_emoji_stay_without_their_joiners() -> None:
    assert sanitize("👩\u200d👩\u200d👧\u200d👦 👨\u200d💻 🏳\ufe0f\u200d🌈") == "👩👩👧👦 👨💻 🏳🌈"
    assert sanitize("a\u200db \u200d👩\u200d x") == "a�b �👩� x"


def test_characters_of_ambiguous_width_are_replaced() -> None:
    assert sanitize("👍\U0001f3fd ❤\ufe0f 1\ufe0f\u20e3 🇩🇪 🇩") == "👍 ❤ 1 DE D"


def test_a_character_keeps_at_most_the_marks_a_script_needs() -> None:
    pile = "e" + "\u0301" * 1000
    assert sanitize(pile + "x") == "é" + "\u0301" * 8 + "x"
    assert parse_sgr_line(pile.replace("\u0301", "\u0301\x1b[1m") + "x")[0][0] == "é" + "\u0301" * 8
    assert len(parse_sgr_line("e\b\x1b[C" + "\u0301" * 9)[0][0]) < 11


def test_syllable_parts_are_joined_and_lone_parts_replaced() -> None:
    assert sanitize("\u1112\u1161\u11ab\u1100\u1173\u11af") == "한글"
    assert sanitize("x\u1161") == "x�"


@given(st.text(st.sampled_from("ab夜e\u0301é"), max_size=20), st.integers(0, 12))
def test_truncated_text_fits(text: str, cells: int) -> None:
    assert (
        measure_width(truncate(text, cells)) <= cells
        and measure_width(truncate_middle(text, cells)) <= cells
    )
    assert measure_width(pad(truncate(text, cells), cells)) == cells
    if measure_width(text) <= cells:
        assert truncate(text, cells) == truncate_middle(text, cells) == text


def test_truncation_is_marked() -> None:
    assert truncate("夜间备份 verify", 9) == "夜间备份…"
    assert truncate_middle("abcdefghijkl", 7) == "abc…jkl"
    assert (pad("夜", 4), pad("夜", 4, ">")) == ("夜  ", "  夜")


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a/b",
        "../evil",
        ".hidden",
        "a\x1b[2Jb",
        "a\nb",
        "a\u009bb",
        "a\u202eb",
        "a\x7fb",
        "x" * 5000,
        "\ud800",
    ],
)
def test_an_invalid_name_is_refused_with_the_reason(name: str) -> None:
    reason = find_name_error(name)
    assert reason and reason.startswith("must") and reason.isprintable() and len(reason) < 120


def test_odd_but_harmless_names_are_valid() -> None:
    assert not any(
        map(
            find_name_error,
            ["an early [red] bird", "夜间备份 verify", "❤\ufe0f", "x" * 200, "--json", "a\u3000b"],
        )
    )


def test_only_similar_words_are_suggested() -> None:
    verbs = ["submit", "show", "Greet"]
    assert [find_nearest(w, verbs) for w in ("sumbit", "shwo", "gret", "zzz", "")] == [
        "submit",
        "show",
        "Greet",
        None,
        None,
    ]


def test_secrets_are_recognized_by_whole_words_of_a_name() -> None:
    secret = (
        "token API_TOKEN auth_token authToken authtoken access-tokens secret client.secret secrets"
        " db_password dbPasswords PGPASSWORD passwd passphrase credential credentials cookie"
        " session_cookies DB_PASS smtpPass api_key apikey API-KEY APIKey accessKey access_key"
        " private_key SSHPrivateKey secretkey auth_keys AWS_SECRET_ACCESS_KEY password2 api_key_2"
    )
    plain = (
        "PATH HOME max_tokens maxTokens max_new_tokens num_tokens tokens tokenizer keywords"
        " keyboard keymap key key_column sort_key primaryKey public_key monkey turkey compass"
        " COMPASSION pass keyframe secretary private cookiecutter author keys 42 _"
    )

    assert [name for name in secret.split() if not is_secret_name(name)] == []
    assert [name for name in plain.split() if is_secret_name(name)] == []
    assert is_secret_name("API key")


def test_colours_are_kept_and_other_sequences_dropped() -> None:
    red = Style(fg=1)
    assert parse_sgr_line(b"\x1b[31mred\x1b[0m plain") == [("red", red), (" plain", PLAIN)]
    assert parse_sgr_line("\x1b]52;c;aGk=\x07a\x1bP+q\x1b\\b\x1b[2Jc\x1b7d") == [("abcd", PLAIN)]
    assert parse_sgr_line("\x1b]0;cut off") == [("0;cut off", PLAIN)]
    assert parse_sgr_line("\u009b31mx\x00") == [("�31mx␀", PLAIN)]


@pytest.mark.parametrize(
    ("codes", "style"),
    [
        ("1;4", Style(bold=True, underline=True)), ("38;5;200", Style(fg=200)),
        ("48;2;1;2;3", Style(bg=(1, 2, 3))),
        ("38:2::1:2:3", Style(fg=(1, 2, 3))), ("38:5:9", Style(fg=9)),
        ("97;100", Style(fg=15, bg=8)),
        ("4:3", Style(underline=True)),
        ("1;22", PLAIN), ("31;39", PLAIN), ("5;8;999;99999999999999999999", PLAIN), ("38;5", PLAIN),
        ("", PLAIN),
        ("38;5;999", PLAIN),
    ],
)  # fmt: skip
def test_colour_codes_are_parsed_or_ignored(codes: str, style: Style) -> None:
    assert parse_sgr_line(f"\x1b[{codes}mx")[0] == ("x", style)


def test_a_colour_continues_on_the_next_line() -> None:
    _, last = parse_sgr_line("\x1b[32mgreen\x1b[1m")[-1]
    assert last == Style(fg=2, bold=True)
    assert parse_sgr_line("more", last) == [("more", last)]


def test_a_progress_bar_shows_its_last_state() -> None:
    assert parse_sgr_line("  5%\r 50%\r\x1b[Kdone\r") == [("done", PLAIN)]
    assert parse_sgr_line("\r0% [Working]\r            \rGet:2 x\r")[0][0] == "Get:2 x     "
    assert parse_sgr_line("夜\rab\bc")[0][0] == "ac"
    assert parse_sgr_line("夜夜\ra")[0][0] == "a 夜"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[2K\x1b[1Gold text\x1b[2K\x1b[1Gnew", "new"),
        ("a\x1b[Cb\x1b[3ac\x1b[2;9Cd", "a b   c  d"),
        ("abcdef\x1b[4D-\x1b[99D+", "+b-def"), ("abcdef\x1b[3G\x1b[2X", "ab  ef"),
        ("abcdef\x1b[3G\x1b[2P", "abef"),
        ("abcdef\x1b[3G\x1b[2@", "ab  cdef"), ("夜夜夜\x1b[2G\x1b[2P", " " + " 夜"),
        ("夜夜\x1b[2G\x1b[1K", "  夜"),
        ("ab\x1b[999;1Hc\x1b[5Ad\x1b[?5Ce", "abcde"), ("ab\x1b[0G\x1b[Kx", "x"),
    ],
)  # fmt: skip
def test_cursor_movements_within_a_line_are_applied(line: str, shown: str) -> None:
    assert "".join(text for text, _ in parse_sgr_line(line)) == shown


def test_no_sequence_makes_a_line_much_longer() -> None:
    for sequence in ("\x1b[9999C", "\x1b[9999G", "x\x1b[D\x1b[9999@", "\x1b[99999999999C"):
        assert len(parse_sgr_line(sequence * 2000 + "x")[0][0]) < 5000


@given(ANY_TEXT)
def test_no_output_line_reaches_the_terminal_raw(text: str) -> None:
    for piece, _ in parse_sgr_line(text.replace("\n", "")):
        assert sanitize(piece) == piece


@given(st.binary())
def test_any_bytes_form_a_line(data: bytes) -> None:
    assert all(sanitize(piece) == piece for piece, _ in parse_sgr_line(data))


def test_a_huge_hostile_line_is_read_in_linear_time() -> None:
    for line in ("\x1b]" * 100_000, "\x1b[" + "1;" * 100_000, "\x1b[1" * 100_000, "x\r" * 100_000):
        assert all(sanitize(piece) == piece for piece, _ in parse_sgr_line(line))


def test_styles_are_immutable() -> None:
    with pytest.raises(AttributeError):
        PLAIN.fg = 3
    assert (
        hash(Style(fg=1)) == hash(Style(fg=1))
        and repr(Style(fg=1, bold=True)) == "Style(bold=True, fg=1)"
    )
