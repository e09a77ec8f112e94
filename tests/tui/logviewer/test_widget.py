"""Log widget, driven by keys on real files."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult

from app.tui.logviewer.source import FileSource, TextSource
from app.tui.logviewer.widget import LogView
from app.tui.style import Look
from tests.tui.fake_runtime import wait_until
from tests.tui.screen_text import read_screen_lines, read_screen_segments

HOSTILE_LINES = [
    b"[/red] [bold]markup[/bold] [@click=app.quit]x[/]",
    (
        b"\x1b]52;c;aGVsbG8=\x07 clipboard \x1b]0;title\x1b\\ title"
        b" \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"
    ),
    (
        b"\x1b[2J\x1b[H\x1b[?1049h\x1b[?1003h\x1bc\x1b#8\x1b(0lqk\x1b[6n\x1b[c\x1bP$q"
        b" q\x1b\\\x1b_x\x1b\\\x1b^y\x1b\\"
    ),
    "\x9b31mC1 csi\x9d52;c;x\x9c \x85 nel \x90 dcs".encode(),
    "\u202eright to left\u2066isolate\u2069 \u200bzero\u200d width\ufeff \u2028 line".encode(),
    b"\x00\x01\x02\x07\x08\x0b\x0c\x0e\x0f\x1a\x7f nul and friends",
    b"\xff\xfe\xc3\x28\xed\xa0\x80 no utf-8",
    b"half an escape \x1b[31",
    b"\x1b[38;5;196mcolour\x1b[48;2;1;2;3mtrue\x1b[0m \x1b[1;3;4;7;9mall\x1b[m",
    "e\u0301\u0301\u0301 e" + "\u0336" * 200 + " 保存检查点 👩‍👩‍👧 🇩🇪",
    b"10%\r20%\r\x1b[K30%",
    b"tab\there\x1b[3D back\x08\x08\x08",
    b"\x1b[" + b"9;" * 5000 + b"m",
    b"\x1b" * 3000,
]


class LogApp(App[None]):
    """An app that contains only a log."""

    def __init__(self, look: Look | None = None) -> None:
        super().__init__()
        self.look = look or Look()
        self.resting = False
        self.copied: list[LogView.Copied] = []
        self.failed: list[str] = []

    def compose(self) -> ComposeResult:
        yield LogView()

    def on_mount(self) -> None:
        self.view.focus()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def on_log_view_copied(self, message: LogView.Copied) -> None:
        self.copied.append(message)

    def on_log_view_failed(self, message: LogView.Failed) -> None:
        self.failed.append(message.why)


def to_bytes(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode()


def read_rows(app: LogApp) -> list[str]:
    return [row.text.rstrip() for row in app.view.page.rows]


def find_control_characters(app: App[Any]) -> list[str]:
    """Return the control characters that would reach the terminal."""
    text = "".join(segment.text for line in read_screen_segments(app) for segment in line)
    return [c for c in text if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0]


async def test_a_log_opens_at_its_end_and_keys_move_it(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n}\n" for n in range(1, 101)))
    app = LogApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.view.open_log(FileSource(str(path)))
        await wait_until(pilot, lambda: read_rows(app)[-1:] == ["line 100"])
        for key, first in (
            ("k", "line 90"),
            ("b", "line 81"),
            ("g", "line 1"),
            ("j", "line 2"),
            ("space", "line 11"),
        ):
            await pilot.press(key)
            await wait_until(pilot, lambda first=first: read_rows(app)[0] == first)
        await pilot.press("G")
        await wait_until(pilot, lambda: app.view.page.at_end)
        assert read_screen_lines(app)[-1] == "line 100"


async def test_a_live_log_is_followed_until_a_move_up(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n}\n" for n in range(30)))
    app = LogApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.view.open_log(FileSource(str(path)), live=True)
        await wait_until(pilot, lambda: app.view.page.following)
        with path.open("a") as file:
            file.write("new one\n")
        await wait_until(pilot, lambda: read_rows(app)[-1] == "new one")
        await pilot.press("k")
        await wait_until(pilot, lambda: not app.view.page.following)
        with path.open("a") as file:
            file.write("new two\nnew three\n")
        await wait_until(pilot, lambda: app.view.page.below == 2)
        app.view.follow(True)
        await wait_until(pilot, lambda: read_rows(app)[-1] == "new three")


async def test_a_finished_log_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("one\n")
    app = LogApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.view.open_log(FileSource(str(path)), live=True)
        await wait_until(pilot, lambda: read_rows(app) == ["one"])
        app.view.live = False
        with path.open("a") as file:
            file.write("two\n")
        app.view.live = True
        await wait_until(pilot, lambda: read_rows(app) == ["one", "two"])


async def test_a_resize_keeps_the_end_and_wrapping_shows_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("0123456789abcdef\n" * 20 + "the end\n")
    app = LogApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.view.open_log(FileSource(str(path)))
        await wait_until(pilot, lambda: read_rows(app)[-1:] == ["the end"])
        await pilot.resize_terminal(10, 4)
        await wait_until(
            pilot, lambda: read_rows(app) == ["012345678…", "012345678…", "012345678…", "the end"]
        )
        app.view.toggle_wrap()
        await wait_until(
            pilot, lambda: read_rows(app) == ["abcdef", "0123456789", "abcdef", "the end"]
        )


async def test_copying_takes_the_match_the_page_or_everything() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 2)) as pilot:
        app.view.open_log(TextSource("one\n\x1b[31mtwo\x1b[0m\nthree\n"))
        await wait_until(pilot, lambda: read_rows(app) == ["two", "three"])
        app.view.copy()
        app.view.copy(everything=True)
        app.view.start_search("ONE")
        await wait_until(pilot, lambda: app.view.page.match == 1)
        app.view.copy()
        await wait_until(pilot, lambda: len(app.copied) == 3)

    assert [message.text for message in app.copied] == ["two\nthree", "one\ntwo\nthree\n", "one"]


@pytest.mark.parametrize("wrap", [False, True])
async def test_hostile_lines_reach_the_screen_without_a_control_character(
    wrap: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"\n".join(to_bytes(line) for line in HOSTILE_LINES))
    app = LogApp()
    async with app.run_test(size=(60, 40)) as pilot:
        app.view.open_log(FileSource(str(path)))
        if wrap:
            app.view.toggle_wrap()
        app.view.action_start()
        first = "[/red] [bold]markup[/bold] [@click=app.quit]x[/]"
        await wait_until(
            pilot, lambda: read_rows(app)[:1] == [first] and app.view.page.wrapping == wrap
        )
        text = "\n".join(read_screen_lines(app))

        assert find_control_characters(app) == []
        assert not set("\u202e\u2066\u200b\ufeff\u2028") & set(text)
        assert all(sum(s.cell_length for s in line) == 60 for line in read_screen_segments(app))


async def test_a_terminal_without_unicode_gets_only_ascii() -> None:
    app = LogApp(Look(ascii=True, utf8=False))
    async with app.run_test(size=(30, 3)) as pilot:
        app.view.open_log(TextSource("保存 → é\n"))
        await wait_until(pilot, lambda: app.view.page.rows)

        assert read_screen_lines(app)[0] == "???? ? ?"


class BrokenSource(TextSource):
    def read(self, start: int, end: int) -> bytes:
        raise OSError(5, "Input/output error")


async def test_a_read_error_is_only_reported() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.view.open_log(BrokenSource("x"))
        await wait_until(pilot, lambda: app.failed)

        assert app.failed == ["[Errno 5] Input/output error"]


async def test_a_running_search_does_not_delay_new_output(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("line\n" * 200_000)
    app = LogApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.view.open_log(EndlessSource(str(path)), live=True)
        await wait_until(pilot, lambda: app.view.page.following)
        app.view.start_search("nowhere")
        await wait_until(pilot, lambda: app.view.page.search_text)
        with path.open("a") as file:
            file.write("new one\n")
        await wait_until(pilot, lambda: read_rows(app)[-1] == "new one")

        assert app.view.page.progress < 100


class EndlessSource(FileSource):
    """A file that reads as one unfinished line in its middle, so that no scan of it ends."""

    def read(self, start: int, end: int) -> bytes:
        data = super().read(start, end)
        return b"x" if end - start > 64 * 1024 and start < 500_000 else data


async def test_a_burst_of_keys_is_drawn_once(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n}\n" for n in range(1000)))
    app = LogApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.view.open_log(FileSource(str(path)))
        await wait_until(pilot, lambda: read_rows(app)[-1:] == ["line 999"])
        pages: list[str] = []
        app.view.before_draw = lambda page: pages.append(page.rows[0].text)
        for _ in range(300):
            app.view.action_move(-1)
        await wait_until(pilot, lambda: read_rows(app)[0] == "line 690")

        assert len(pages) < 100


async def test_the_wheel_moves_down_up_and_sideways() -> None:
    app = LogApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.view.open_log(TextSource("".join(f"line {n} {'x' * 90} end\n" for n in range(100))))
        await wait_until(
            pilot, lambda: read_rows(app)[-1:] and read_rows(app)[-1].startswith("line 99")
        )
        for wheel, shown in (
            (events.MouseScrollUp, "line 92"), (events.MouseScrollUp, "line 89"),
            (events.MouseScrollDown, "line 92"),
            (events.MouseScrollRight, "xxxx"), (events.MouseScrollLeft, "line 92"),
        ):  # fmt: skip
            app.view.post_message(wheel(app.view, 1, 1, 0, 0, 0, False, False, False))
            await wait_until(pilot, lambda shown=shown: read_rows(app)[0].startswith(shown))


@pytest.mark.parametrize("look", [Look(ascii=True), Look(ascii=True, utf8=False)])
async def test_cut_lines_are_marked_in_ascii_too(look: Look) -> None:
    app = LogApp(look)
    async with app.run_test(size=(10, 5)) as pilot:
        app.view.open_log(TextSource("x" * 100_000 + "\n"))
        await wait_until(pilot, lambda: read_rows(app) == ["xxxxxxxxx~"])
        await pilot.resize_terminal(80, 5)
        app.view.toggle_wrap()
        app.view.action_end()
        await wait_until(pilot, lambda: read_rows(app)[-1].startswith("~ 34K more in this line"))


async def test_error_output_that_is_told_apart_is_red(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("out\nerr\n\x1b[32mgreen\n")
    (tmp_path / "x.err").write_bytes(array("Q", [4, 15]).tobytes())
    app = LogApp()
    async with app.run_test(size=(40, 6)) as pilot:
        app.view.open_log(FileSource(str(tmp_path / "x.log")))
        await wait_until(pilot, lambda: "green" in read_screen_lines(app)[2])

        styles = {
            segment.text.strip(): str(segment.style)
            for line in read_screen_segments(app)
            for segment in line
        }

        assert len({styles["out"], styles["err"], styles["green"]}) == 3


async def test_an_idle_deck_does_not_poll_for_output(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("one\n")
    app = RestingApp()
    async with app.run_test(size=(40, 5)) as pilot:
        app.view.open_log(FileSource(str(path)), live=True)
        await wait_until(pilot, lambda: read_rows(app) == ["one"])
        app.resting = True
        assert not app.view._is_watching()
        with path.open("a") as file:
            file.write("two\n")
        app.resting = False
        app.view.set_growth_checks(True)
        await wait_until(pilot, lambda: read_rows(app) == ["one", "two"])


class RestingApp(LogApp):
    resting = False
