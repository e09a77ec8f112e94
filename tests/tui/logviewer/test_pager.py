"""Logs by offset: lines, their index, searching, moving and following, against real files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.logviewer import layout
from app.tui.logviewer import pager as logviewer_pager
from app.tui.logviewer import search as logviewer_search
from app.tui.logviewer import source as logviewer_source
from app.tui.logviewer.pager import Pager, size_and_lines
from app.tui.logviewer.search import Search
from app.tui.logviewer.source import FileSource, LineIndex, LogLines, TextSource


def a_log(path: Path, text: str | bytes) -> FileSource:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return FileSource(str(path))


def numbered(count: int) -> str:
    return "".join(f"line {n}\n" for n in range(1, count + 1))


def rows(pager: Pager) -> list[str]:
    return [row.text.rstrip() for row in pager.page().rows]


def settle(pager: Pager) -> Pager:
    while pager.busy:
        pager.step()
    return pager


def reversed_words(pager: Pager) -> list[str]:
    """What is marked of the page."""
    return [segment.text for row in pager.page().rows for segment in row if segment.style and segment.style.reverse]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and the longest line shrunk, so that short texts cross every border."""
    monkeypatch.setattr(logviewer_source, "BLOCK", 16)
    monkeypatch.setattr(logviewer_search, "BLOCK", 16)
    monkeypatch.setattr(logviewer_source, "LONGEST", 32)
    monkeypatch.setattr(logviewer_source, "_NEAR", 8)


def test_lines_are_found_forwards_and_backwards_alike(tmp_path: Path) -> None:
    lines = LogLines(a_log(tmp_path / "x.log", "one\n\nthree\nhalf"))

    assert [lines.bytes_of(s) for s in (0, 4, 5, 11)] == [b"one", b"", b"three", b"half"]
    assert lines.last() == 11
    assert [lines.before(s) for s in (11, 5, 4, 0)] == [5, 4, 0, None]


@given(text=st.text(alphabet="ab\n", max_size=300))
@pytest.mark.usefixtures("small_pieces")
def _walks_agree(text: str) -> None:
    lines = LogLines(TextSource(text))
    starts, at = [], 0
    while at < lines.size:
        starts.append(at)
        at = lines.end(at)
    back, place = [], lines.last()
    while lines.size and place is not None:
        back.append(place)
        place = lines.before(place)
    assert starts == back[::-1]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else lines.size
        assert all(lines.start(offset) == start for offset in range(start, end))


def test_walking_down_and_up_meets_the_same_lines_however_long_they_are(small_pieces: None) -> None:
    _walks_agree()


def test_a_line_of_a_megabyte_is_one_line(tmp_path: Path) -> None:
    lines = LogLines(a_log(tmp_path / "x.log", b"a\n" + b"x" * 1_000_000 + b"\nb\n"))

    assert lines.end(2) == 1_000_003
    assert lines.before(1_000_003) == 2


def test_the_index_counts_lines_and_knows_their_numbers(small_pieces: None, tmp_path: Path) -> None:
    lines = LogLines(a_log(tmp_path / "x.log", numbered(100) + "half"))
    index = LineIndex(lines)
    while not index.done:
        index.step()

    assert index.total == 101
    assert index.number(0) == 1
    assert index.number(lines.last()) == 101


def test_a_search_ignores_case_and_colours_and_finds_every_line_once(small_pieces: None) -> None:
    text = "Warning one\nplain\n\x1b[33mWARN\x1b[1mING\x1b[0m two warning\nwarn\nwarning"
    search = Search.text(LogLines(TextSource(text)), "warning")
    while not search.done:
        search.step()

    assert [text.encode()[at:].split(b"\n")[0][:5] for at in search._found] == [b"Warni", b"\x1b[33m", b"warni"]


@pytest.mark.parametrize(
    ("needle", "text"), [("保存", "a\n保存检查点\n"), ("ÉTÉ", "x\nun été\n"), ("a[b", "q\nA[B]\n")]
)
def test_a_search_takes_any_text_as_it_is(needle: str, text: str) -> None:
    search = Search.text(LogLines(TextSource(text)), needle)
    while not search.done:
        search.step()

    assert search.after(-1) == 2


def is_error(line: str) -> bool:
    """Whether the search for errors finds the line."""
    search = Search.errors(LogLines(TextSource(f"all well\n{line}\n")))
    while not search.done:
        search.step()
    return search.count == 1


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: x", "E: fatal: no", "java.io.IOException: x", "Traceback (most", "kernel panic", "curl: (6) Could not resolve host: x",
        "ssh: connect to host x port 22: Connection refused", "cp: cannot stat 'x'", "bash: x: Permission denied", "10 failed, 2 passed",
        "cat: x: No such file or directory", "sh: 1: x: not found", "wget: unable to resolve host", "read tcp: i/o timeout: timed out",
        "Couldn't connect to server", "\x1b[31mConnection ref\x1b[1mused\x1b[0m", "KeyError: 0", "AssertionError: 0 != 1",
        "ValueError: 0 is not ok", "Error: 0 bytes free", "foo.c:10: error: 0 is bad", "failed: 0.5", "10 tests failed", "errors: 0x1f",
    ],
)  # fmt: skip
def test_what_programs_say_when_they_fail_is_an_error(line: str) -> None:
    assert is_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "0 errors", "no errors found", "mirrors", "error_rate=0.1", "errorless", "all fine", "12 passed, 0 failed", "errors: 0",
        "ok=3 changed=1 unreachable=0 failed=0", "0 not found", "failed_logins.csv written", "the undenied",
        "failed=0", "errors: 0, warnings: 3", "(exceptions = 0)", "100% tests passed, 0 tests failed out of 12", "no tests failed",
        "0 jobs failed",
    ],
)  # fmt: skip
def test_what_only_sounds_like_an_error_is_none(line: str) -> None:
    assert not is_error(line)


def test_a_log_opens_at_its_end_before_anything_was_counted(tmp_path: Path) -> None:
    pager = Pager(a_log(tmp_path / "x.log", numbered(1000)), 40, 3)

    assert rows(pager) == ["line 998", "line 999", "line 1000"]
    assert pager.page().lines is None
    assert settle(pager).page().lines == 1000


def test_a_gigabyte_opens_at_its_end_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.log"
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(0, 2)
        file.write(b"\nthe end\n")
    source = CountingSource(str(path))
    pager = Pager(source, 40, 2)

    assert rows(pager)[-1] == "the end"
    assert source.taken < 8 * 2**20


class CountingSource(FileSource):
    taken = 0

    def read(self, start: int, end: int) -> bytes:
        data = super().read(start, end)
        self.taken += len(data)
        return data


def test_moves_stop_at_both_ends(tmp_path: Path) -> None:
    pager = Pager(a_log(tmp_path / "x.log", numbered(10)), 40, 4)

    pager.move(-2)
    assert rows(pager)[0] == "line 5"
    pager.turn(-9)
    assert rows(pager)[0] == "line 1"
    pager.turn(1)
    assert rows(pager)[0] == "line 4"
    pager.turn(9)
    assert rows(pager) == ["line 7", "line 8", "line 9", "line 10"]


def test_an_empty_log_is_an_empty_page() -> None:
    pager = settle(Pager(TextSource(""), 40, 4))
    pager.move(-3)
    pager.search("x")

    assert rows(settle(pager)) == []
    assert pager.page().note == "no match"


def test_following_shows_what_is_new_and_moving_up_counts_it(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = Pager(a_log(path, numbered(5)), 40, 2)
    pager.follow(True)
    with path.open("a") as file:
        file.write("six\n")
    assert pager.grown()
    assert rows(pager)[-1] == "six"

    pager.move(-1)
    with path.open("a") as file:
        file.write("seven\neight\n")
    pager.grown()
    settle(pager)
    assert (pager.page().following, pager.page().below, rows(pager)[-1]) == (False, 2, "line 5")
    pager.follow(True)
    assert (pager.page().below, rows(pager)[-1]) == (0, "eight")


def test_a_half_line_that_grows_is_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = Pager(a_log(path, "a\n10%"), 40, 3)
    assert rows(pager) == ["a", "10%"]
    with path.open("a") as file:
        file.write("\r20%")
    pager.grown()

    assert rows(pager) == ["a", "20%"]


def test_a_log_that_was_cut_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = settle(Pager(a_log(path, numbered(50)), 40, 3))
    path.write_text("new\n")
    assert pager.grown()

    assert rows(settle(pager)) == ["new"]
    assert pager.page().lines == 1
    assert "begins anew" in pager.page().note


def test_matches_are_counted_and_walked_round(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' WARNING' if n % 10 == 0 else ''}\n" for n in range(1, 31))
    pager = settle(Pager(a_log(tmp_path / "x.log", text), 40, 3))
    pager.start()
    pager.search("warning")
    settle(pager)
    assert (pager.page().match, pager.page().matches) == (1, 3)
    assert "line 10 WARNING" in rows(pager)

    for expected in (2, 3, 1):
        pager.next_match("next")
        assert settle(pager).page().match == expected
    assert pager.page().note == "round from the last to the first"
    pager.next_match("previous")
    assert settle(pager).page().match == 3


def test_a_match_that_is_seen_moves_nothing_and_stays_following(tmp_path: Path) -> None:
    pager = Pager(a_log(tmp_path / "x.log", "x\n" * 50 + "WARNING\n"), 40, 5)
    pager.follow(True)
    pager.search("warn")
    settle(pager)

    assert pager.page().following
    assert pager.page().at_end


def test_the_next_error_goes_round(tmp_path: Path) -> None:
    pager = Pager(a_log(tmp_path / "x.log", "error one\n" + "ok\n" * 30 + "fatal two\n" + "ok\n" * 30), 40, 5)
    seen = []
    for _ in range(3):
        pager.next_error()
        settle(pager)
        seen.append(pager.copied(False)[0])

    assert seen == ["error one", "fatal two", "error one"]


def test_matches_are_drawn_in_reverse_whatever_stands_before_them() -> None:
    pager = Pager(TextSource("保存 warning é warning\n"), 40, 1)
    pager.search("warning")
    settle(pager)

    marked = [s.text for s in pager.page().rows[0] if s.style and s.style.reverse]
    assert marked == ["warning", "warning"]


def test_wrapping_shows_all_of_a_line_and_never_splits_a_wide_character() -> None:
    pager = Pager(TextSource("保存检查点了\n0123456789\nend\n"), 5, 6)
    pager.wrap()

    assert rows(pager) == ["保存", "检查", "点了", "01234", "56789", "end"]


def test_moving_in_a_wrapped_log_goes_by_rows() -> None:
    pager = Pager(TextSource("0123456789" * 3 + "\nend\n"), 10, 2)
    pager.wrap()
    pager.start()
    pager.move(1)
    assert rows(pager) == ["0123456789", "0123456789"]
    pager.end()

    assert rows(pager) == ["0123456789", "end"]


def test_a_width_of_one_cell_is_no_trap() -> None:
    pager = Pager(TextSource("保x\n"), 1, 3)
    pager.wrap()

    assert "x" in rows(pager)


def test_sideways_goes_by_half_screens_and_keeps_wide_characters_aligned() -> None:
    pager = Pager(TextSource("保存检查点\nabcdefghij\n"), 6, 2)
    pager.sideways(1)

    assert rows(pager) == [" 检查…", "defgh…"]
    assert {row.cell_length for row in pager.page().rows} == {6}


def test_a_line_of_a_megabyte_is_parsed_only_as_far_as_it_is_looked_at() -> None:
    line = b"0123456789" * 100_000
    cells = layout.LineCells(line)

    assert cells.window(0, 80).text == line[:80].decode()
    assert len(cells._pages) == 1
    assert cells.window(500_003, 80).text == line[500_003:500_083].decode()


def test_colours_go_on_over_the_pages_of_a_long_line() -> None:
    cells = layout.LineCells(b"\x1b[31m" + b"x" * 40_000)
    segment = next(iter(cells.window(35_000, 10)))

    assert segment.style is not None and segment.style.color is not None and segment.style.color.number == 1


def test_a_long_wrapped_line_says_how_much_is_left_out() -> None:
    cells = layout.LineCells(b"x" * 1_000_000)

    assert re.fullmatch(r"9\d\dK more", cells.wrapped(80, "{} more")[-1].text)


def test_a_megabyte_of_progress_shows_its_last_state() -> None:
    cells = layout.LineCells(b"".join(b"%3d%%\r" % (n % 100) for n in range(250_000)) + b"100%\r")

    assert cells.window(0, 80).text == "100%"


def test_a_line_that_is_cut_says_so_and_one_that_fits_does_not() -> None:
    pager = Pager(TextSource("0123456789\n01234567890\n夜夜夜夜夜\n夜夜夜夜夜x\n"), 10, 4)

    assert rows(pager) == ["0123456789", "012345678…", "夜夜夜夜夜", "夜夜夜夜 …"]


def test_a_pile_of_marks_or_colours_costs_no_more_than_a_line_of_text(tmp_path: Path) -> None:
    pile = ("e" + "\u0301" * 400_000).encode() + b"\n" + b"\x1b[1m" * 200_000 + b"end\n"
    source = a_log(tmp_path / "x.log", pile)
    pager = Pager(source, 80, 3)

    assert len(rows(pager)[0]) < 200
    assert all(cells._at < 100_000 for cells in pager._cells.values())


def test_a_match_far_to_the_right_is_brought_into_view() -> None:
    pager = Pager(TextSource("short\n" + "x" * 500 + " needle " + "y" * 500 + "\nneedle here\n"), 40, 3)
    pager.start()
    pager.search("needle")
    settle(pager)
    assert "needle" in rows(pager)[1]
    assert pager.page().column > 400

    pager.next_match("next")
    settle(pager)
    assert (pager.page().column, rows(pager)[2]) == (0, "needle here")


@pytest.mark.parametrize("before", [20_000, 70_000, 150_000, 1_000_000])
def test_a_match_is_in_view_however_far_to_the_right(before: int) -> None:
    pager = Pager(TextSource("x" * before + " needle " + "y" * 500 + "\nend\n"), 40, 3)
    pager.search("needle")
    settle(pager)

    assert "needle" in rows(pager)[0]
    assert "needle" in reversed_words(pager)


def test_a_match_in_a_wrapped_line_is_in_view_and_marked_over_the_edge_of_a_row() -> None:
    pager = Pager(TextSource("first\n" + "x" * 20_037 + "needle" + "y" * 500 + "\n" + "end\n" * 20), 40, 3)
    pager.wrap()
    pager.start()
    pager.search("needle")
    settle(pager)
    assert reversed_words(pager) == ["nee", "dle"]

    pager.start()
    pager.next_match("next")
    settle(pager)
    assert reversed_words(pager) == ["nee", "dle"]


def test_a_match_stays_in_view_when_lines_are_wrapped_or_cut_again() -> None:
    pager = Pager(TextSource("x" * 20_000 + " needle " + "y" * 5000 + "\n"), 40, 3)
    pager.search("needle")
    settle(pager)
    for _ in range(2):
        pager.wrap()
        assert reversed_words(pager) == ["needle"]


def test_another_size_leaves_a_reader_of_a_wrapped_line_where_they_were() -> None:
    words = " ".join(f"{n:05}" for n in range(3000))
    pager = Pager(TextSource(f"{words}\n" + "end\n" * 20), 60, 6)
    pager.wrap()
    pager.start()
    pager.move(100)
    pager.resize(60, 4)
    assert rows(pager)[0].startswith("01000 01001")
    pager.resize(30, 4)
    assert rows(pager)[0].startswith("01000 01001")

    pager.search("01005")
    settle(pager)
    assert reversed_words(pager) == ["01005"]
    pager.resize(12, 2)
    assert reversed_words(pager) == ["01005"]


def test_that_a_match_is_beyond_what_is_shown_of_a_wrapped_line_is_said() -> None:
    """You should be told why no match is to be seen, and see it after the key that is named."""
    pager = Pager(TextSource("first\n" + "x" * 150_000 + " needle\n" + "end\n" * 20), 60, 5)
    pager.wrap()
    pager.search("needle")
    settle(pager)
    assert pager.page().note == "the match is beyond what is shown wrapped: w shows it"
    assert any(" more in this line: w shows it cut" in row for row in rows(pager))

    pager.wrap()
    assert reversed_words(pager) == ["needle"]


def test_a_wrapped_line_shows_as_much_whatever_was_looked_at_before() -> None:
    pager = Pager(TextSource("x" * 300_000 + " needle"), 100, 3)
    pager.search("needle")
    settle(pager)
    pager.wrap()

    assert len(pager._rows_of(0)) == 657


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("50% needle\rdone all of it\n", 0),
        ("a needle\x1b[2K\rdone\n", 0),
        ("needle\b\b\b\b\b\bmended\n", 0),
        ("x" * 20_000 + "needle\r100%\n", 0),
        ("0%\rneedle\n", 1),
        ("a needle\r\n", 1),
        ("a \x1b[31mneedle\x1b[0m\n", 1),
    ],
)
def test_what_was_overwritten_is_not_counted_and_that_is_said(text: str, count: int) -> None:
    pager = Pager(TextSource(f"first\n{text}last\n"), 40, 5)
    pager.search("needle")
    settle(pager)

    page = pager.page()
    assert (page.matches, page.match) == (count, count)
    assert reversed_words(pager) == ["needle"] * count
    assert page.note == ("" if count else "no match: only in text that was overwritten")


def test_a_match_that_is_overwritten_as_the_log_grows_counts_no_more(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = Pager(a_log(path, "first needle\nneedle 50%"), 40, 5)
    pager.search("needle")
    settle(pager)
    assert pager.page().matches == 2

    with path.open("a") as file:
        file.write("\rdone          ")
    pager.grown()
    settle(pager)
    assert pager.page().matches == 1


def test_a_match_over_the_edge_of_two_pages_is_found_whole() -> None:
    page = layout.PAGE
    cells = layout.LineCells(b"x" * (page - 3) + b"needle" + b"y" * page)
    assert cells.find(re.compile("needle")) == (page - 3, page + 3)
    cells = layout.LineCells(b"x " * (page // 2 - 2) + b" err" + b"ant error " + b"y" * page)
    assert cells.find(logviewer_search._ERROR) == (page + 4, page + 9)


def test_the_error_that_was_gone_to_is_marked() -> None:
    pager = Pager(TextSource("all well\nan error here\nanother error\n"), 40, 3)
    pager.start()
    pager.next_error()
    settle(pager)

    assert rows(pager)[1] == "an error here"
    assert reversed_words(pager) == ["error"]


def test_keys_pressed_while_a_search_is_on_its_way_all_count(small_pieces: None) -> None:
    pager = Pager(TextSource("".join(f"line {n}{' x' if n % 10 == 0 else ''}\n" for n in range(100))), 40, 3)
    pager.start()
    pager.search(" x")
    pager.next_match("next")
    pager.next_match("next")
    pager.next_match("previous")
    settle(pager)

    assert pager.page().match == 2


def test_what_is_copied_is_whole_lines_and_no_more_than_terminals_take() -> None:
    long = "y" * 300
    pager = Pager(TextSource("\n".join([long] * 1000) + "\nend\n"), 40, 2)
    assert pager.copied(False) == (f"{long}\nend", "what is seen")

    text, what = pager.copied(True)
    assert what == "the end of the log"
    assert len(text.encode()) <= 74_994
    assert text.endswith(f"{long}\nend\n")


def test_a_match_that_is_out_of_sight_is_not_what_is_copied() -> None:
    pager = Pager(TextSource("needle\n" + "x\n" * 100), 40, 2)
    pager.search("needle")
    settle(pager)
    assert pager.copied(False) == ("needle", "the line")

    pager.end()
    assert pager.copied(False) == ("x\nx", "what is seen")


@pytest.mark.parametrize(
    ("needle", "line"),
    [("warning", "\x1b[1mW\x1b[33marn\x1b[0ming"), ("ab", "a\x1b[0mb"), ("保存", "x 保存 y"), ("ÄÖ", "x äö"), ("a b", "A B")],
)
def test_a_search_finds_words_that_colours_part(needle: str, line: str) -> None:
    search = Search.text(LogLines(TextSource(f"plain \x1b[31mred\x1b[0m\n{line}\n")), needle)
    while not search.done:
        search.step()

    assert search.count == 1


class CutSource(TextSource):
    """A log that is cut to nothing after its size was asked."""

    def read(self, start: int, end: int) -> bytes:
        return b""


def test_a_log_that_is_cut_while_it_is_searched_ends_the_search() -> None:
    pager = Pager(CutSource("x\n" * 1000), 40, 3)
    pager.search("y")

    for _ in range(10):
        pager.step()
    assert not pager.busy


def test_a_search_goes_on_in_a_log_that_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = Pager(a_log(path, "old needle\n" * 5), 40, 3)
    pager.follow(True)
    pager.search("needle")
    settle(pager)
    path.write_text("new needle\n")
    pager.grown()
    settle(pager)

    page = pager.page()
    assert (page.searched, page.matches, page.following) == ("needle", 1, True)


def test_lines_that_came_are_counted_also_when_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logviewer_pager, "_AT_ONCE", 1)
    path = tmp_path / "x.log"
    pager = settle(Pager(a_log(path, numbered(50) + "half"), 40, 5))
    pager.move(-1)
    with path.open("a") as file:
        file.write(" whole\n" + "another line\n" * 100_000)
    pager.grown()
    assert pager.page().below == 0  # not counted yet

    assert settle(pager).page().below == 100_000


def test_what_becomes_of_the_file_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = Pager(a_log(path, "hello\n"), 40, 3)
    path.unlink()
    assert pager.grown() and "deleted" in pager.page().note
    assert not pager.grown()
    path.write_text("another\n")

    assert pager.grown() and "another file" in pager.page().note
    assert (pager.page().notes, rows(pager)) == (2, ["hello"])


def test_only_a_file_is_opened_as_a_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a file"):
            FileSource(str(path))


def test_a_line_of_200_megabytes_is_shown_in_parts_and_read_only_where_it_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("wb") as file:
        file.write(b"begin ")
        file.truncate(200 * 2**20)
        file.seek(0, 2)
        file.write(b"the end")
    source = CountingSource(str(path))
    pager = Pager(source, 80, 24)
    assert rows(pager)[-1].startswith("the end")
    pager.start()

    assert rows(pager)[0].startswith("begin ␀␀")
    assert source.taken < 150 * 2**20


def test_size_and_lines_are_said_in_words() -> None:
    pager = Pager(TextSource("x\n" * 1204), 10, 3)
    assert size_and_lines(pager.page()) == "2.4K"

    assert size_and_lines(settle(pager).page()) == "2.4K, 1,204 lines"
