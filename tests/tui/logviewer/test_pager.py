"""Log pager on real files: lines by offset, line index, search, moves and following."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.logviewer import layout
from app.tui.logviewer import pager as logviewer_pager
from app.tui.logviewer import search as logviewer_search
from app.tui.logviewer import source as logviewer_source
from app.tui.logviewer.pager import LogPager, format_size_and_lines
from app.tui.logviewer.search import LogSearch
from app.tui.logviewer.source import FileSource, LineIndex, LogLines, TextSource

pytestmark = pytest.mark.unit


def make_log(path: Path, text: str | bytes) -> FileSource:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return FileSource(str(path))


def make_numbered_lines(count: int) -> str:
    return "".join(f"line {n}\n" for n in range(1, count + 1))


def read_rows(pager: LogPager) -> list[str]:
    return [row.text.rstrip() for row in pager.make_page().rows]


def finish_work(pager: LogPager) -> LogPager:
    while pager.is_busy:
        pager.step()
    return pager


def list_reversed_segments(pager: LogPager) -> list[str]:
    """Return the highlighted texts of the page."""
    return [
        segment.text
        for row in pager.make_page().rows
        for segment in row
        if segment.style and segment.style.reverse
    ]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrink blocks and the maximum line length, so that short texts cross every boundary."""
    monkeypatch.setattr(logviewer_source, "BLOCK", 16)
    monkeypatch.setattr(logviewer_search, "BLOCK", 16)
    monkeypatch.setattr(logviewer_source, "MAX_LINE", 32)
    monkeypatch.setattr(logviewer_source, "GROUP_BLOCK", 16)
    monkeypatch.setattr(logviewer_source, "_FIRST_READ", 8)
    monkeypatch.setattr(logviewer_source, "_NEAR_READ", 4)


def test_lines_are_found_forwards_and_backwards(tmp_path: Path) -> None:
    lines = LogLines(make_log(tmp_path / "x.log", "one\n\nthree\nhalf"))

    assert [lines.read_line(s) for s in (0, 4, 5, 11)] == [b"one", b"", b"three", b"half"]
    assert lines.find_last() == 11
    assert [lines.find_previous(s) for s in (11, 5, 4, 0)] == [5, 4, 0, None]


@given(text=st.lists(st.sampled_from(["a", "b", "\n", "\r", "\x1b[A"]), max_size=300).map("".join))
@pytest.mark.usefixtures("small_blocks")
def _check_walks(text: str) -> None:
    lines = LogLines(TextSource(text))
    starts, at = [], 0
    while at < lines.size:
        starts.append(at)
        at = lines.find_end(at)
    back, place = [], lines.find_last()
    while lines.size and place is not None:
        back.append(place)
        place = lines.find_previous(place)
    assert starts == back[::-1]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else lines.size
        assert all(lines.find_start(offset) == start for offset in range(start, end))


def test_forward_and_backward_walks_find_the_same_lines(small_blocks: None) -> None:
    _check_walks()


DOCKER = "".join(
    f"\x1b[3A\x1b[2K\rone: {n}%\x1b[3B\x1b[2A\x1b[2K\rtwo: {n}%\x1b[2B\r" for n in range(30)
)
TQDM = "".join(f"\router {n}\n\rinner {n}\x1b[A" for n in range(11)) + "\n\n"


@pytest.mark.parametrize("wrap", [False, True], ids=["cut", "wrapped"])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Pulling\none: 0%\ntwo: 0%\nthree: ready\n" + DOCKER + "\nDone\n",
         ["Pulling", "one: 29%", "two: 29%", "three: ready", "", "Done"]),
        (f"start\n{TQDM}end\n", ["start", "outer 10", "inner 10", "end"]),
        ("a\nb\nc\x1b[2Fd\x1b[EBB\x1b[99B\n\x1b[99AA\n", ["A", "BB", "c"]),
        ("\x1b[5Aonly\n\x1b[99999999Bmore\n", ["only", "more"]),
    ],
    ids=["docker", "tqdm", "previous and next line", "beyond the edges"],
)  # fmt: skip
def test_lines_rewritten_by_cursor_up_show_their_last_state(
    text: str, shown: list[str], wrap: bool
) -> None:
    pager = LogPager(TextSource(text), 80, 20)
    if wrap:
        pager.toggle_wrap()

    assert read_rows(pager) == shown
    pager.go_to_start()
    assert read_rows(pager) == shown


def test_a_group_grows_with_the_log_and_is_searched(tmp_path: Path) -> None:
    source = make_log(tmp_path / "x.log", "start\none 0\ntwo 0\n")
    pager = LogPager(source, 80, 3)
    pager.follow(True)
    with (tmp_path / "x.log").open("a") as log:
        for n in range(1, 60):
            log.write(f"\x1b[2A\rone {n}\ntwo {n}\n")
            log.flush()
            pager.check_growth()
    assert read_rows(pager) == ["start", "one 59", "two 59"]

    pager.start_search("two 59")
    finish_work(pager)
    assert list_reversed_segments(pager) == ["two 59"]
    assert pager.copy_text(everything=False) == ("one 59\ntwo 59", "the line")
    pager.start_search("one 7")
    finish_work(pager)
    assert "not visible" in pager.make_page().note


def test_a_progress_bar_of_many_megabytes_without_a_newline_shows_once() -> None:
    bar = "".join(f"\r{n:>7}/400000" for n in range(400_000))
    pager = LogPager(TextSource(f"start\n{bar}\nend\n"), 80, 20)

    assert read_rows(pager) == ["start", " 399999/400000", "end"]
    pager.go_to_start()
    assert read_rows(pager) == ["start", " 399999/400000", "end"]


@pytest.mark.parametrize("wrap", [False, True], ids=["cut", "wrapped"])
def test_text_after_many_colour_changes_is_shown(wrap: bool) -> None:
    line = "\x1b[31m\x1b[1m" * 12_000 + "\x1b[0m" + "\x1b[32m" * 12_000 + "text"
    pager = LogPager(TextSource(line), 80, 2)
    if wrap:
        pager.toggle_wrap()

    (row,) = pager.make_page().rows
    assert row.text == "text"
    style = next(segment.style for segment in row if segment.text == "text")
    assert style and style.color and style.color.number == 2 and not style.bold


def test_a_line_of_a_megabyte_is_one_line(tmp_path: Path) -> None:
    lines = LogLines(make_log(tmp_path / "x.log", b"a\n" + b"x" * 1_000_000 + b"\nb\n"))

    assert lines.find_end(2) == 1_000_003
    assert lines.find_previous(1_000_003) == 2


def test_the_index_counts_lines_and_knows_their_numbers(small_blocks: None, tmp_path: Path) -> None:
    lines = LogLines(make_log(tmp_path / "x.log", make_numbered_lines(100) + "half"))
    index = LineIndex(lines)
    while not index.done:
        index.step()

    assert index.total == 101
    assert index.find_number(0) == 1
    assert index.find_number(lines.find_last()) == 101


def test_a_search_ignores_case_and_colours_and_finds_lines_once(small_blocks: None) -> None:
    text = "Warning one\nplain\n\x1b[33mWARN\x1b[1mING\x1b[0m two warning\nwarn\nwarning"
    search = LogSearch.for_text(LogLines(TextSource(text)), "warning")
    while not search.done:
        search.step()

    assert [text.encode()[at:].split(b"\n")[0][:5] for at in search._found] == [
        b"Warni",
        b"\x1b[33m",
        b"warni",
    ]


@pytest.mark.parametrize(
    ("needle", "text"), [("保存", "a\n保存检查点\n"), ("ÉTÉ", "x\nun été\n"), ("a[b", "q\nA[B]\n")]
)
def test_a_search_takes_its_text_literally(needle: str, text: str) -> None:
    search = LogSearch.for_text(LogLines(TextSource(text)), needle)
    while not search.done:
        search.step()

    assert search.find_after(-1) == 2


def is_found_as_error(line: str) -> bool:
    """Return whether the search for errors finds the line."""
    search = LogSearch.for_errors(LogLines(TextSource(f"all well\n{line}\n")))
    while not search.done:
        search.step()
    return search.count == 1


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: x", "E: fatal: no", "java.io.IOException: x", "Traceback (most", "kernel panic",
        "curl: (6) Could not resolve host: x",
        "ssh: connect to host x port 22: Connection refused", "cp: cannot stat 'x'",
        "bash: x: Permission denied", "10 failed, 2 passed",
        "cat: x: No such file or directory", "sh: 1: x: not found", "wget: unable to resolve host",
        "read tcp: i/o timeout: timed out",
        "Couldn't connect to server", "\x1b[31mConnection ref\x1b[1mused\x1b[0m", "KeyError: 0",
        "AssertionError: 0 != 1",
        "ValueError: 0 is not ok", "Error: 0 bytes free", "foo.c:10: error: 0 is bad",
        "failed: 0.5", "10 tests failed", "errors: 0x1f",
    ],
)  # fmt: skip
def test_typical_failure_messages_count_as_errors(line: str) -> None:
    assert is_found_as_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "0 errors", "no errors found", "mirrors", "error_rate=0.1", "errorless", "all fine",
        "12 passed, 0 failed", "errors: 0",
        "ok=3 changed=1 unreachable=0 failed=0", "0 not found", "failed_logins.csv written",
        "the undenied",
        "failed=0", "errors: 0, warnings: 3", "(exceptions = 0)",
        "100% tests passed, 0 tests failed out of 12", "no tests failed",
        "0 jobs failed",
    ],
)  # fmt: skip
def test_similar_words_do_not_count_as_errors(line: str) -> None:
    assert not is_found_as_error(line)


def test_a_log_opens_at_its_end_before_lines_are_counted(tmp_path: Path) -> None:
    pager = LogPager(make_log(tmp_path / "x.log", make_numbered_lines(1000)), 40, 3)

    assert read_rows(pager) == ["line 998", "line 999", "line 1000"]
    assert pager.make_page().lines is None
    assert finish_work(pager).make_page().lines == 1000


def test_a_gigabyte_opens_at_its_end_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.log"
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(0, 2)
        file.write(b"\nthe end\n")
    source = CountingSource(str(path))
    pager = LogPager(source, 40, 2)

    assert read_rows(pager)[-1] == "the end"
    assert source.taken < 8 * 2**20


class CountingSource(FileSource):
    taken = 0

    def read(self, start: int, end: int) -> bytes:
        data = super().read(start, end)
        self.taken += len(data)
        return data


def test_moves_stop_at_both_ends(tmp_path: Path) -> None:
    pager = LogPager(make_log(tmp_path / "x.log", make_numbered_lines(10)), 40, 4)

    pager.move(-2)
    assert read_rows(pager)[0] == "line 5"
    pager.move_pages(-9)
    assert read_rows(pager)[0] == "line 1"
    pager.move_pages(1)
    assert read_rows(pager)[0] == "line 4"
    pager.move_pages(9)
    assert read_rows(pager) == ["line 7", "line 8", "line 9", "line 10"]


def test_an_empty_log_is_an_empty_page() -> None:
    pager = finish_work(LogPager(TextSource(""), 40, 4))
    pager.move(-3)
    pager.start_search("x")

    assert read_rows(finish_work(pager)) == []
    assert pager.make_page().note == "no match"


def test_following_shows_new_lines_and_moving_up_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = LogPager(make_log(path, make_numbered_lines(5)), 40, 2)
    pager.follow(True)
    with path.open("a") as file:
        file.write("six\n")
    assert pager.check_growth()
    assert read_rows(pager)[-1] == "six"

    pager.move(-1)
    with path.open("a") as file:
        file.write("seven\neight\n")
    pager.check_growth()
    finish_work(pager)
    assert (pager.make_page().following, pager.make_page().below, read_rows(pager)[-1]) == (
        False,
        2,
        "line 5",
    )
    pager.follow(True)
    assert (pager.make_page().below, read_rows(pager)[-1]) == (0, "eight")


def test_a_growing_partial_line_is_redrawn(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = LogPager(make_log(path, "a\n10%"), 40, 3)
    assert read_rows(pager) == ["a", "10%"]
    with path.open("a") as file:
        file.write("\r20%")
    pager.check_growth()

    assert read_rows(pager) == ["a", "20%"]


def test_a_truncated_log_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = finish_work(LogPager(make_log(path, make_numbered_lines(50)), 40, 3))
    path.write_text("new\n")
    assert pager.check_growth()

    assert read_rows(finish_work(pager)) == ["new"]
    assert pager.make_page().lines == 1
    assert "read again" in pager.make_page().note


def test_matches_are_counted_and_cycled(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' WARNING' if n % 10 == 0 else ''}\n" for n in range(1, 31))
    pager = finish_work(LogPager(make_log(tmp_path / "x.log", text), 40, 3))
    pager.go_to_start()
    pager.start_search("warning")
    finish_work(pager)
    assert (pager.make_page().match, pager.make_page().matches) == (1, 3)
    assert "line 10 WARNING" in read_rows(pager)

    for expected in (2, 3, 1):
        pager.go_to_match("next")
        assert finish_work(pager).make_page().match == expected
    assert pager.make_page().note == "wrapped to the first match"
    pager.go_to_match("previous")
    assert finish_work(pager).make_page().match == 3


def test_a_visible_match_keeps_position_and_following(tmp_path: Path) -> None:
    pager = LogPager(make_log(tmp_path / "x.log", "x\n" * 50 + "WARNING\n"), 40, 5)
    pager.follow(True)
    pager.start_search("warn")
    finish_work(pager)

    assert pager.make_page().following
    assert pager.make_page().at_end


def test_the_next_error_wraps_around(tmp_path: Path) -> None:
    pager = LogPager(
        make_log(tmp_path / "x.log", "error one\n" + "ok\n" * 30 + "fatal two\n" + "ok\n" * 30),
        40,
        5,
    )
    seen = []
    for _ in range(3):
        pager.go_to_error()
        finish_work(pager)
        seen.append(pager.copy_text(False)[0])

    assert seen == ["error one", "fatal two", "error one"]


def test_matches_are_reversed_after_any_text() -> None:
    pager = LogPager(TextSource("保存 warning é warning\n"), 40, 1)
    pager.start_search("warning")
    finish_work(pager)

    marked = [s.text for s in pager.make_page().rows[0] if s.style and s.style.reverse]
    assert marked == ["warning", "warning"]


def test_wrapping_shows_whole_lines_and_splits_no_wide_character() -> None:
    pager = LogPager(TextSource("保存检查点了\n0123456789\nend\n"), 5, 6)
    pager.toggle_wrap()

    assert read_rows(pager) == ["保存", "检查", "点了", "01234", "56789", "end"]


def test_moves_in_a_wrapped_log_are_by_rows() -> None:
    pager = LogPager(TextSource("0123456789" * 3 + "\nend\n"), 10, 2)
    pager.toggle_wrap()
    pager.go_to_start()
    pager.move(1)
    assert read_rows(pager) == ["0123456789", "0123456789"]
    pager.go_to_end()

    assert read_rows(pager) == ["0123456789", "end"]


def test_a_width_of_one_cell_works() -> None:
    pager = LogPager(TextSource("保x\n"), 1, 3)
    pager.toggle_wrap()

    assert "x" in read_rows(pager)


def test_sideways_moves_are_half_screens_with_wide_characters_aligned() -> None:
    pager = LogPager(TextSource("保存检查点\nabcdefghij\n"), 6, 2)
    pager.scroll_sideways(1)

    assert read_rows(pager) == [" 检查…", "defgh…"]
    assert {row.cell_length for row in pager.make_page().rows} == {6}


def test_a_long_line_is_parsed_only_where_it_is_shown() -> None:
    line = b"0123456789" * 100_000
    cells = layout.LineCells(line)

    assert cells.crop(0, 80).text == line[:80].decode()
    assert len(cells._pages) == 1
    assert cells.crop(500_003, 80).text == line[500_003:500_083].decode()


def test_colours_continue_across_the_pages_of_a_long_line() -> None:
    cells = layout.LineCells(b"\x1b[31m" + b"x" * 40_000)
    segment = next(iter(cells.crop(35_000, 10)))

    assert (
        segment.style is not None
        and segment.style.color is not None
        and segment.style.color.number == 1
    )


def test_a_long_wrapped_line_says_how_much_is_hidden() -> None:
    cells = layout.LineCells(b"x" * 1_000_000)

    assert re.fullmatch(r"9\d\dK more", cells.wrap_rows(80, "{} more")[-1].text)


def test_a_megabyte_of_progress_output_shows_its_last_state() -> None:
    cells = layout.LineCells(b"".join(b"%3d%%\r" % (n % 100) for n in range(250_000)) + b"100%\r")

    assert cells.crop(0, 80).text == "100%"


def test_only_cut_lines_end_with_an_ellipsis() -> None:
    pager = LogPager(TextSource("0123456789\n01234567890\n夜夜夜夜夜\n夜夜夜夜夜x\n"), 10, 4)

    assert read_rows(pager) == ["0123456789", "012345678…", "夜夜夜夜夜", "夜夜夜夜 …"]


def test_many_combining_marks_or_colours_cost_no_more_than_text(tmp_path: Path) -> None:
    pile = ("e" + "\u0301" * 400_000).encode() + b"\n" + b"\x1b[1m" * 200_000 + b"end\n"
    source = make_log(tmp_path / "x.log", pile)
    pager = LogPager(source, 80, 3)

    assert len(read_rows(pager)[0]) < 200
    assert all(line._at < 100_000 for cells in pager._cells.values() for line in cells)


def test_many_short_runs_of_colours_take_no_time() -> None:
    line = (b"\x1b[1m" * 31 + b"x") * 8000
    began = time.thread_time()

    assert layout.LineCells(line)._line == line
    assert time.thread_time() - began < 1.0, "5 s if each change begins a search"


def test_a_match_far_to_the_right_scrolls_into_view() -> None:
    pager = LogPager(
        TextSource("short\n" + "x" * 500 + " needle " + "y" * 500 + "\nneedle here\n"), 40, 3
    )
    pager.go_to_start()
    pager.start_search("needle")
    finish_work(pager)
    assert "needle" in read_rows(pager)[1]
    assert pager.make_page().column > 400

    pager.go_to_match("next")
    finish_work(pager)
    assert (pager.make_page().column, read_rows(pager)[2]) == (0, "needle here")


@pytest.mark.parametrize("before", [20_000, 70_000, 150_000, 1_000_000])
def test_a_match_is_in_view_at_any_column(before: int) -> None:
    pager = LogPager(TextSource("x" * before + " needle " + "y" * 500 + "\nend\n"), 40, 3)
    pager.start_search("needle")
    finish_work(pager)

    assert "needle" in read_rows(pager)[0]
    assert "needle" in list_reversed_segments(pager)


def test_a_match_across_wrapped_rows_is_in_view_and_highlighted() -> None:
    pager = LogPager(
        TextSource("first\n" + "x" * 20_037 + "needle" + "y" * 500 + "\n" + "end\n" * 20), 40, 3
    )
    pager.toggle_wrap()
    pager.go_to_start()
    pager.start_search("needle")
    finish_work(pager)
    assert list_reversed_segments(pager) == ["nee", "dle"]

    pager.go_to_start()
    pager.go_to_match("next")
    finish_work(pager)
    assert list_reversed_segments(pager) == ["nee", "dle"]


def test_toggling_the_wrap_keeps_a_match_in_view() -> None:
    pager = LogPager(TextSource("x" * 20_000 + " needle " + "y" * 5000 + "\n"), 40, 3)
    pager.start_search("needle")
    finish_work(pager)
    for _ in range(2):
        pager.toggle_wrap()
        assert list_reversed_segments(pager) == ["needle"]


def test_a_resize_keeps_the_position_in_a_wrapped_line() -> None:
    words = " ".join(f"{n:05}" for n in range(3000))
    pager = LogPager(TextSource(f"{words}\n" + "end\n" * 20), 60, 6)
    pager.toggle_wrap()
    pager.go_to_start()
    pager.move(100)
    pager.resize(60, 4)
    assert read_rows(pager)[0].startswith("01000 01001")
    pager.resize(30, 4)
    assert read_rows(pager)[0].startswith("01000 01001")

    pager.start_search("01005")
    finish_work(pager)
    assert list_reversed_segments(pager) == ["01005"]
    pager.resize(12, 2)
    assert list_reversed_segments(pager) == ["01005"]


def test_a_note_reports_a_match_beyond_the_shown_rows() -> None:
    """Expect the reason, and the match after pressing the named key."""
    pager = LogPager(TextSource("first\n" + "x" * 150_000 + " needle\n" + "end\n" * 20), 60, 5)
    pager.toggle_wrap()
    pager.start_search("needle")
    finish_work(pager)
    assert pager.make_page().note == "the match is beyond the wrapped part: w shows it"
    assert any(" more in this line: w cuts lines" in row for row in read_rows(pager))

    pager.toggle_wrap()
    assert list_reversed_segments(pager) == ["needle"]


def test_a_wrapped_line_has_the_same_rows_after_any_search() -> None:
    pager = LogPager(TextSource("x" * 300_000 + " needle"), 100, 3)
    pager.start_search("needle")
    finish_work(pager)
    pager.toggle_wrap()

    assert len(pager._wrap_line(0)) == 657


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
def test_overwritten_matches_are_not_counted_and_are_noted(text: str, count: int) -> None:
    pager = LogPager(TextSource(f"first\n{text}last\n"), 40, 5)
    pager.start_search("needle")
    finish_work(pager)

    page = pager.make_page()
    assert (page.matches, page.match) == (count, count)
    assert list_reversed_segments(pager) == ["needle"] * count
    assert page.note == ("" if count else "no match: only in text that was overwritten")


def test_a_match_overwritten_by_new_output_is_no_longer_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = LogPager(make_log(path, "first needle\nneedle 50%"), 40, 5)
    pager.start_search("needle")
    finish_work(pager)
    assert pager.make_page().matches == 2

    with path.open("a") as file:
        file.write("\rdone          ")
    pager.check_growth()
    finish_work(pager)
    assert pager.make_page().matches == 1


def test_a_match_across_two_pages_is_found() -> None:
    page = layout.PAGE
    cells = layout.LineCells(b"x" * (page - 3) + b"needle" + b"y" * page)
    assert cells.find(re.compile("needle")) == (page - 3, page + 3)
    cells = layout.LineCells(b"x " * (page // 2 - 2) + b" err" + b"ant error " + b"y" * page)
    assert cells.find(logviewer_search._ERROR) == (page + 4, page + 9)


def test_the_current_error_is_highlighted() -> None:
    pager = LogPager(TextSource("all well\nan error here\nanother error\n"), 40, 3)
    pager.go_to_start()
    pager.go_to_error()
    finish_work(pager)

    assert read_rows(pager)[1] == "an error here"
    assert list_reversed_segments(pager) == ["error"]


def test_keys_pressed_during_a_search_all_take_effect(small_blocks: None) -> None:
    pager = LogPager(
        TextSource("".join(f"line {n}{' x' if n % 10 == 0 else ''}\n" for n in range(100))), 40, 3
    )
    pager.go_to_start()
    pager.start_search(" x")
    pager.go_to_match("next")
    pager.go_to_match("next")
    pager.go_to_match("previous")
    finish_work(pager)

    assert pager.make_page().match == 2


def test_copies_have_whole_lines_within_the_terminal_s_limit() -> None:
    long = "y" * 300
    pager = LogPager(TextSource("\n".join([long] * 1000) + "\nend\n"), 40, 2)
    assert pager.copy_text(False) == (f"{long}\nend", "the visible lines")

    text, what = pager.copy_text(True)
    assert what == "the end of the log"
    assert len(text.encode()) <= 74_994
    assert text.endswith(f"{long}\nend\n")


def test_an_invisible_match_is_not_copied() -> None:
    pager = LogPager(TextSource("needle\n" + "x\n" * 100), 40, 2)
    pager.start_search("needle")
    finish_work(pager)
    assert pager.copy_text(False) == ("needle", "the line")

    pager.go_to_end()
    assert pager.copy_text(False) == ("x\nx", "the visible lines")


@pytest.mark.parametrize(
    ("needle", "line"),
    [
        ("warning", "\x1b[1mW\x1b[33marn\x1b[0ming"),
        ("ab", "a\x1b[0mb"),
        ("保存", "x 保存 y"),
        ("ÄÖ", "x äö"),
        ("a b", "A B"),
    ],
)
def test_a_search_finds_words_interrupted_by_colours(needle: str, line: str) -> None:
    search = LogSearch.for_text(LogLines(TextSource(f"plain \x1b[31mred\x1b[0m\n{line}\n")), needle)
    while not search.done:
        search.step()

    assert search.count == 1


class CutSource(TextSource):
    """A log truncated to nothing after its size was read."""

    def read(self, start: int, end: int) -> bytes:
        return b""


def test_truncating_a_log_ends_its_search() -> None:
    pager = LogPager(CutSource("x\n" * 1000), 40, 3)
    pager.start_search("y")

    for _ in range(10):
        pager.step()
    assert not pager.is_busy


def test_a_search_continues_in_a_rewritten_log(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = LogPager(make_log(path, "old needle\n" * 5), 40, 3)
    pager.follow(True)
    pager.start_search("needle")
    finish_work(pager)
    path.write_text("new needle\n")
    pager.check_growth()
    finish_work(pager)

    page = pager.make_page()
    assert (page.search_text, page.matches, page.following) == ("needle", 1, True)


def test_many_new_lines_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logviewer_pager, "_MAX_BLOCKS", 1)
    path = tmp_path / "x.log"
    pager = finish_work(LogPager(make_log(path, make_numbered_lines(50) + "half"), 40, 5))
    pager.move(-1)
    with path.open("a") as file:
        file.write(" whole\n" + "another line\n" * 100_000)
    pager.check_growth()
    assert pager.make_page().below == 0  # not counted yet

    assert finish_work(pager).make_page().below == 100_000


def test_a_change_of_the_file_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pager = LogPager(make_log(path, "hello\n"), 40, 3)
    path.unlink()
    assert pager.check_growth() and "deleted" in pager.make_page().note
    assert not pager.check_growth()
    path.write_text("another\n")

    assert pager.check_growth() and "was replaced" in pager.make_page().note
    assert (pager.make_page().notes, read_rows(pager)) == (2, ["hello"])


def test_only_a_regular_file_is_opened_as_a_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            FileSource(str(path))


def test_a_line_of_200_megabytes_is_read_only_where_shown(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("wb") as file:
        file.write(b"begin ")
        file.truncate(200 * 2**20)
        file.seek(0, 2)
        file.write(b"the end")
    source = CountingSource(str(path))
    pager = LogPager(source, 80, 24)
    assert read_rows(pager)[-1].startswith("the end")
    pager.go_to_start()

    assert read_rows(pager)[0].startswith("begin ␀␀")
    assert source.taken < 180 * 2**20


def test_size_and_line_count_are_formatted() -> None:
    pager = LogPager(TextSource("x\n" * 1204), 10, 3)
    assert format_size_and_lines(pager.make_page()) == "2.4K"

    assert format_size_and_lines(finish_work(pager).make_page()) == "2.4K, 1,204 lines"
