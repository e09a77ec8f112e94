"""Terminal test suites shown as logs: no control characters, exact widths, exact text.

Recorded cases are optional (see `tests.core.scheduling.trace_files`); own cases are always present.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.strip import Strip
from wcwidth import wcswidth

from app.core.text.sanitize import measure_width, parse_sgr_line, sanitize
from app.tui.logviewer.pager import LogPager
from app.tui.logviewer.source import FileSource, TextSource
from tests.acceptance.escape_sequences import find_faults as faults_of_bytes
from tests.acceptance.terminal import Terminal
from tests.core.scheduling.trace_files import CASES

CASE_FOLDER = CASES / "terminal" if CASES else None
SCREEN_SIZE = (80, 24)
PAGE_LIMIT = 40
"""Maximum number of pages read from each end of a case."""
EXACT_CASES = (
    "xtermjs/t0001-all_printable", "xtermjs/t0002j-simple_string", "xtermjs/t0004j-CR",
    "xtermjs/t0501-bash_ls",
    "xtermjs/t0503-zsh_ls_color", "alacritty/ll", "alacritty/sgr", "alacritty/underline",
    "alacritty/hyperlinks",
)  # fmt: skip
"""Recordings that stay within their lines, so that a log shows them as a terminal does."""
OWN_CASES = {
    "markup": b"[red]not red[/red] [bold]x[/] [@click=app.quit]y[/] {0} %s $(id) `id`",
    "strings": (
        b"\x1b]52;c;aGk=\x07a \x1b]0;t\x1b\\b \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"
        b" \x1bP+q\x1b\\c \x1b_k\x1b\\ \x1b^m\x1b\\"
    ),
    "screen": (
        b"\x1b[2J\x1b[H\x1b[?1049h\x1b[?1003h\x1bc\x1b#8\x1b(0lqk\x1b[6n\x1b[c\x1b[999;999H\x1b[3T\x1b[1;1r\x1bM"
    ),
    "c1": "\x9b31mx\x9d52;c;x\x9c \x85 \x90q\x9c".encode() + b" raw \x9b31m \x9d52;c;x\x9c \x85",
    "cut off": b"\x1b[31\n\x1b]52;c;\n\x1b\n\x1b[38;5\n\xe4\xbf\n\xf0\x9f",
    "bidi": (
        "\u202eexe.txt\u202c \u2066isolate\u2069 \u200fRTL\u200e \u061c שלום עולם مرحبا".encode()
    ),
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u180eg\U000e0041h\u00adi".encode(),
    "emoji": "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 ❤️ 1️⃣ 🇩🇪🇫🇷 🇩 🫠 ☁︎ ✔️".encode(),
    "jamo": "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 \u115f\u1160 \u3164 \ua960\ud7b0".encode(),
    "ambiguous": "αβγ „“ ° ± § ① ─│ ☆ ► … ‰ Ω ￥ ﾊﾝｶｸ ﷽ ꧅".encode(),
    "marks": (
        ("e" + "\u0301" * 5000 + " \u0301lone Z" + "\u0336\u0489\u20dd" * 90 + " ก็ क्षि").encode()
    ),
    "tabs": "\ta\tbb\t夜\tccc\x1b[31m\td\n\t\t\tend".encode(),
    "wide": "保存检查点" * 40 + " 夜间备份.log，完成",
    "one word": "x" * 5000 + "\n" + "夜" * 5000,
    "binary": bytes(range(256)) * 20,
    "nul": b"\x00" * 5000 + b"\nafter",
    "progress": b"  1%\r 50%\r\x1b[K100%\r\nnext \x1b[2K\x1b[1Gspinner\x1b[2K\x1b[1Gdone",
    "sgr": (
        b"".join(b"\x1b[%d;38;5;%d;48;2;1;%d;3mc" % (n % 120, n, n) for n in range(256)) + b"\x1b[m"
    ),
    "dense": b"\x1b[38;2;1;2;3;48;2;4;5;6m" * 3000 + b"x",
    "surrogates": "\ud800 \udfff \udcff".encode("utf-8", "surrogatepass"),
}


def _find_recorded_cases() -> dict[str, Path]:
    """Return the recorded cases by relative path."""
    if CASE_FOLDER is None:
        return {}
    files = (path for path in sorted(CASE_FOLDER.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(CASE_FOLDER)): path
        for path in files
        if not path.name.endswith((".size.json", "NOTES"))
    }


RECORDED_CASES = _find_recorded_cases()


def read_case(case: str) -> bytes:
    """Return the bytes of a case."""
    if case in OWN_CASES:
        own = OWN_CASES[case]
        return own if isinstance(own, bytes) else own.encode()
    data = RECORDED_CASES[case].read_bytes()
    if case == "blns.json":
        return "\n".join(json.loads(data)).encode("utf-8", "surrogatepass")
    return gzip.decompress(data) if case.endswith(".gz") else data


def collect_rows(pager: LogPager, step: int) -> list[Strip]:
    """Return the rows of several pages, down or up from the current one."""
    rows: list[Strip] = []
    for _ in range(PAGE_LIMIT):
        rows += pager.make_page().rows
        before = pager._top
        pager.move_pages(step)
        if pager._top == before:
            break
    return rows


def find_fault(row: Strip) -> str:
    """Return the fault of a row, or ""."""
    text = row.text
    hidden = [
        hex(ord(c))
        for c in text
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]
    if hidden:
        return f"{hidden} in {text!r}"
    cells = {row.cell_length, cell_len(text), measure_width(text), wcswidth(text)}
    return "" if len(cells) == 1 and cells.pop() <= SCREEN_SIZE[0] else f"{cells} cells: {text!r}"


@pytest.mark.parametrize("wrap", [False, True], ids=["cut", "wrapped"])
@pytest.mark.parametrize("case", [*OWN_CASES, *RECORDED_CASES])
def test_nothing_but_text_of_the_right_width_is_drawn(
    case: str, wrap: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(read_case(case))
    pager = LogPager(FileSource(str(path)), *SCREEN_SIZE)
    if wrap:
        pager.toggle_wrap()
    rows = collect_rows(pager, -1)
    pager.go_to_start()
    rows += collect_rows(pager, 1)
    if not wrap:
        pager.scroll_sideways(1)
        rows += pager.make_page().rows

    assert rows
    assert [found for found in map(find_fault, rows) if found] == []


@pytest.mark.parametrize("case", [*OWN_CASES, *RECORDED_CASES])
def test_plain_text_lines_are_shown_exactly(case: str) -> None:
    lines = read_case(case).decode("utf-8", "replace").split("\n")
    plain = [line for line in lines if sanitize(line) == line]

    assert [parse_sgr_line(line)[0][0] for line in plain] == plain
    assert plain or case not in ("one word", "markup", "wide")


@pytest.mark.parametrize("case", ["progress", *(EXACT_CASES if RECORDED_CASES else ())])
def test_line_based_output_looks_as_on_a_terminal(case: str) -> None:
    recorded, expected = (
        (".in", ".text") if case.startswith("xterm") else (".recording", ".expected-screen.txt")
    )
    screen = RECORDED_CASES[case + expected].read_text() if case in EXACT_CASES else "100%\ndone"
    lines = read_case(case + recorded if case in EXACT_CASES else case).split(b"\n")
    shown = ["".join(text for text, _ in parse_sgr_line(line)).rstrip() for line in lines]

    wanted = [line.rstrip() for line in screen.split("\n")]
    assert "\n".join(shown).rstrip().endswith("\n".join(wanted).strip())


PROGRESS_CASES = {
    "captures/pip-download.raw": ("35.3/35.3 MB", "16.9/16.9 MB"),
    "captures/tqdm-nested.raw": ("200/200 [00:02<00:00", "3/3 [00:00<00:00"),
    "captures/apt-update.raw": ("Fetched 231 kB in 0s", "Reading package lists... Done"),
    "progress": ("100%", "done"),
}


@pytest.mark.parametrize(
    "case", [name for name in PROGRESS_CASES if name in RECORDED_CASES or name in OWN_CASES]
)
def test_progress_bars_show_their_last_state(case: str) -> None:
    pager = LogPager(TextSource(read_case(case).decode("utf-8", "surrogateescape")), 120, 100)
    shown = [row.text for row in pager.make_page().rows]

    assert not any(re.search(r"\[Working\]|train: +5%|50%.*100%|spinner", line) for line in shown)
    assert all(any(words in line for line in shown) for words in PROGRESS_CASES[case])


@pytest.mark.parametrize("case", ["wide", "emoji", "ambiguous", "jamo"])
def test_text_after_wide_text_is_in_its_column(case: str) -> None:
    """Compare the column with that after as many narrow letters."""
    text = sanitize(read_case(case).decode())
    cells = measure_width(text)
    line = f"{text}|\n{'x' * cells}|\n".encode()
    pager = LogPager(TextSource(line.decode()), cells + 5, 2)
    wide, narrow = pager.make_page().rows

    assert cell_len(wide.text) == cell_len(narrow.text)
    assert wide.crop(cells, cells + 1).text == "|"


def test_character_widths_agree_with_textual() -> None:
    shown = (chr(code) for code in range(0x20, 0x30000) if sanitize(chr(code)) == chr(code))

    assert [hex(ord(c)) for c in shown if measure_width(c) != cell_len(c)] == []


def read_page(pager: LogPager) -> list[str]:
    """Return a page as a terminal shows it: composed characters, no trailing blanks."""
    rows = [unicodedata.normalize("NFC", row.text).rstrip() for row in pager.make_page().rows]
    return rows + [""] * (19 - len(rows))


def test_a_terminal_shows_each_page_of_the_log_exactly(tmp_path: Path) -> None:
    """Run the real deck on a pty, and compare each row and the frame in a terminal emulator."""
    path = tmp_path / "x.log"
    lines = b"\n".join(map(read_case, OWN_CASES)).split(b"\n")
    # The terminal emulator loses text after marks without a combining class.
    kept = [
        line
        for line in lines
        if not set("\u0489\u20dd\u093f") & set(line.decode("utf-8", "replace"))
    ]
    path.write_bytes(b"\n".join([*kept, b"the end\n"]))
    pager = LogPager(FileSource(str(path)), 77, 19)
    env = {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
    }
    argv = [sys.executable, "-m", "tests.tui.run_log_screen", str(path)]
    with Terminal(argv, env, Path(__file__).parents[3]) as deck:
        deck.wait("? help  q quit").type("l").wait("the end")
        for key, turn in (("", 0), *[("b", -1)] * 5, ("w", 0), *[("b", -1)] * 9):
            if key == "w":
                pager.toggle_wrap()
            pager.move_pages(turn)
            deck.type(key).wait(lambda t: read_log_rows(t) == read_page(pager))
            assert deck.lines[0].startswith(" #1042 resnet50-sweep-06 › log") and deck.lines[
                0
            ].endswith("10:42")
            assert deck.lines[21].startswith("───") and deck.lines[23].endswith("? help  q back")
        deck.type("\x11")
        assert deck.end() == 0

    assert faults_of_bytes(bytes(deck.raw)) == []


@pytest.mark.parametrize(
    ("term", "colorterm", "colour"),
    [
        ("xterm", "", r"3[1-7]|9[0-7]"),
        ("xterm-256color", "", r"38;5;\d+"),
        ("xterm-256color", "truecolor", "38;2;200;30;40"),
    ],
)
def test_colours_match_the_terminal_s_capabilities(
    term: str, colorterm: str, colour: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(
        b"\x1b[38;2;200;30;40mtrue\x1b[0m \x1b[38;5;208mof 256\x1b[0m \x1b[34mof 16\x1b[0m plain\n"
    )
    env = {"TERM": term, "COLORTERM": colorterm, "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-m", "tests.tui.run_log_screen", str(path)]
    with Terminal(argv, env, Path(__file__).parents[3]) as deck:
        deck.wait("? help  q quit").type("l").wait("true of 256 of 16 plain").type("\x11")
        assert deck.end() == 0
    sent = re.findall(rb"\x1b\[([\d;]*)m(true|of 256|of 16)", bytes(deck.raw))

    colours = {text.decode(): codes.decode() for codes, text in sent}
    assert re.fullmatch(colour, colours["true"])
    assert re.fullmatch(r"3[1-7]|9[0-7]" if term == "xterm" else "38;5;208", colours["of 256"])
    assert colours["of 16"] == "34"


def read_log_rows(deck: Terminal) -> list[str]:
    """Return the rows of the log on the screen."""
    return [unicodedata.normalize("NFC", line[2:]) for line in deck.lines[2:21]]
