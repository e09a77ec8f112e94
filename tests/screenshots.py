"""Screenshots of the README: the real deck on fixed boards, drawn as SVG.

Run `python -m tests.screenshots` to draw all of them. The SVG is built from the screen's strips, so
that it contains only text, local fonts and sixteen colours, and is the same on every machine.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.events import Paste
from textual.pilot import Pilot

from app.core.text.sanitize import measure_width
from app.tui.app import TaskdeckApp
from app.tui.screens.dialogs.while_away import WhileAwayScreen
from app.tui.style import Look
from tests.tui import boards, fake_home
from tests.tui.fake_runtime import (
    WHY,
    FakeRuntime,
    make_deck,
    make_log_answer,
    make_run_row,
    make_task_row,
    wait_until,
)
from tests.tui.screen_text import read_screen_lines

FOLDER = Path(__file__).parent.parent / "screenshots"

CELL_WIDTH, LINE_HEIGHT, MARGIN = 8.4, 18, 12
"""Cell width, line height and margin in pixels."""
FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
GROUND, INK = "#14181d", "#d8dee4"
SHEET = (
    f"text {{ font: 14px {FONTS}; fill: {INK}; white-space: pre; }} "
    ".bold { font-weight: bold; } .dim { opacity: 0.62; }"
)
PALETTE = (
    "#14181d", "#ef6f6c", "#7fbf7f", "#e0b050", "#6c9fef", "#d08ae0", "#5fc4d6", "#c8ced4",
    "#6b7580", "#ff8f8c", "#9fdf9f", "#ffd070", "#8cbfff", "#f0aaff", "#7fe4f6", "#ffffff",
)  # fmt: skip
"""The sixteen colours of a terminal."""


# --- one screen as SVG


def format_svg(lines: Iterable[Iterable[Segment]], columns: int, rows: int, title: str) -> str:
    """Return the lines of a screen as one SVG document."""
    wide, high = columns * CELL_WIDTH + 2 * MARGIN, rows * LINE_HEIGHT + 2 * MARGIN
    body = [piece for y, line in enumerate(lines) for piece in _format_line(line, y)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}"'
        ' xml:space="preserve">',
        f"<title>{escape(title)}</title>",
        f"<style>{SHEET}</style>",
        f'<rect width="{wide:g}" height="{high:g}" rx="6" fill="{GROUND}"/>',
        *body,
        "</svg>\n",
    ])  # fmt: skip


@dataclass(frozen=True)
class Glyph:
    """Character at one position of a line, with its width and style."""

    text: str
    x: int
    cells: int
    ink: str
    ground: str
    kind: str


def _format_line(line: Iterable[Segment], y: int) -> Iterator[str]:
    """Return a line as rectangles and texts, independent of its segment boundaries."""
    glyphs = list(_list_glyphs(line))
    for ground, stretch in groupby(glyphs, key=lambda g: g.ground):
        if ground != GROUND:
            yield _format_rect(list(stretch), y, ground)
    alike: list[Glyph] = []
    for glyph in glyphs:
        if glyph.text == " ":
            continue
        if alike and (
            glyph.x - alike[-1].x - alike[-1].cells > 1
            or (glyph.ink, glyph.kind) != (alike[0].ink, alike[0].kind)
        ):
            yield _format_text(alike, y)
            alike = []
        alike.append(glyph)
    if alike:
        yield _format_text(alike, y)


def _list_glyphs(line: Iterable[Segment]) -> Iterator[Glyph]:
    x = 0
    for segment in line:
        style = segment.style or Style()
        ink, ground = _format_colour(style.color, INK), _format_colour(style.bgcolor, GROUND)
        if style.reverse:
            ink, ground = ground, ink
        kind = " ".join(name for name in ("bold", "dim") if getattr(style, name))
        for character in "" if segment.control else segment.text:
            cells = measure_width(character)
            yield Glyph(character, x, cells, ink, ground, kind)
            x += cells


def _format_rect(glyphs: list[Glyph], y: int, ground: str) -> str:
    left, wide = (
        MARGIN + glyphs[0].x * CELL_WIDTH,
        sum(glyph.cells for glyph in glyphs) * CELL_WIDTH,
    )
    crisp = 'shape-rendering="crispEdges"'
    return (
        f'<rect x="{left:g}" y="{MARGIN + y * LINE_HEIGHT}" width="{wide:g}" height="{LINE_HEIGHT}"'
        f' fill="{ground}" {crisp}/>'
    )


def _format_text(glyphs: list[Glyph], y: int) -> str:
    """Return glyphs of one style, with at most one blank between them."""
    first, last = glyphs[0], glyphs[-1]
    shown = first.text
    for before, glyph in pairwise(glyphs):
        shown += " " * (glyph.x - before.x - before.cells) + glyph.text
    length = (last.x + last.cells - first.x) * CELL_WIDTH
    look = f' class="{first.kind}"' if first.kind else ""
    look += "" if first.ink == INK else f' style="fill: {first.ink}"'
    at = f'x="{MARGIN + first.x * CELL_WIDTH:g}" y="{MARGIN + y * LINE_HEIGHT + 14}"'
    return f'<text {at} textLength="{length:g}"{look}>{escape(shown)}</text>'


def _format_colour(colour: Color | None, default: str) -> str:
    if colour is None or colour.is_default:
        return default
    number = colour.number
    return (
        PALETTE[number]
        if number is not None and number < len(PALETTE)
        else colour.get_truecolor().hex
    )


# --- scenes


@dataclass(frozen=True)
class Scene:
    """Screenshot: its size, the app on fixed answers, and the steps to the screen."""

    columns: int
    rows: int
    app: Callable[[], TaskdeckApp]
    act: Callable[[Pilot[Any]], Awaitable[None]]


def wait_for_texts(*texts: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Return a step that waits until the screen shows the texts."""

    async def act(pilot: Pilot[Any]) -> None:
        await wait_until(
            pilot, lambda: all(text in "\n".join(read_screen_lines(pilot.app)) for text in texts)
        )

    return act


def act_and_wait(
    do: Callable[[TaskdeckApp], object], *texts: str
) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Return a step that acts on the app and waits until the screen shows the texts."""

    async def act(pilot: Pilot[Any]) -> None:
        await wait_for_texts("Next to start")(pilot)
        do(pilot.app)  # pyright: ignore[reportArgumentType]
        await wait_for_texts(*texts)(pilot)

    return act


async def fill_in_task(pilot: Pilot[Any]) -> None:
    """Fill in the form for a new task."""
    await act_and_wait(TaskdeckApp.open_form, "Command")(pilot)
    pilot.app.post_message(Paste('ffmpeg -i "/srv/in/S02E09.mkv" -crf 23 /srv/out/S02E09.mp4'))
    await wait_for_texts("6 words, no shell", "It can be submitted.")(pilot)


def _make_deck(board: Any, **how: Any) -> Callable[[], TaskdeckApp]:
    return lambda: make_deck(FakeRuntime(board(), doctor=[]), **how)


def _make_failed_task() -> TaskdeckApp:
    lines = 'Traceback (most recent call last):\n  File "thumbs.py", line 41, in <module>\n'
    lines += "FileNotFoundError: No such file: /srv/in/S02E09.mkv\n"
    ends: dict[str, Any] = {
        "status": "failed",
        "exit_code": 1,
        "path": _write_log(lines),
        "log_bytes": 2150,
        "number": 1048,
    }
    runs = [
        make_run_row(attempt=1, runid="a", reason="exit 1, retried after 5m",
        start_time="2026-11-25T10:35:00.000000Z",
            end_time="2026-11-25T10:35:03.000000Z", run_seconds=3.0, **ends),
        make_run_row(attempt=2, runid="b", reason="exit 1",
        start_time="2026-11-25T10:40:01.000000Z",
            end_time="2026-11-25T10:40:04.000000Z", run_seconds=3.2, **ends),
    ]  # fmt: skip
    row = make_task_row(
        number=1048, name="thumbs S02", status="failed", template="thumbs", queue="media",
        cwd="/srv/media", priority=0,
        parameters={"input": "/srv/in/S02E09.mkv", "width": 320}, memory=512.0, cpu=1.0,
        timeout=600.0, reason="exit 1",
        launch={"argv": ["/usr/bin/python3", "thumbs.py", "/srv/in/S02E09.mkv", "--width", "320"]},
        ended_at="2026-11-25T10:40:04.000000Z", instances=runs,
        children=[{"number": 1061, "name": "contact-sheet", "status": "cancelled",
        "kind": "success"}],
    )  # fmt: skip
    return make_deck(FakeRuntime(show=row, log=make_log_answer(row, *runs)))


def _make_running_task() -> TaskdeckApp:
    text = "".join(
        f"epoch {n}/50 loss={2.4 / (n + 9):.4f} acc={1 - 1.3 / (n + 9):.3f}\n"
        for n in range(30, 42)
    )
    text += (
        "\x1b[33mWARNING\x1b[0m: learning rate clipped to 1e-4\n保存检查点 → ckpt/epoch41.pt"
        " (1.2G)\n"
    )
    text += "[  4%] ▌\r[ 12%] ███▌                         47/391 batch/s=2.1"
    one = make_run_row(path=_write_log(text), runid="r1042", number=1042)
    row = make_task_row(number=1042, name="resnet50-sweep-06", status="running", instances=[one])
    return make_deck(FakeRuntime(show=row, log=make_log_answer(row, one)))


def _make_form() -> TaskdeckApp:
    queues = [{"name": "default"}, {"name": "gpu"}, {"name": "media"}]
    return make_deck(
        FakeRuntime(
            queue_ls=queues,
            template_ls=[],
            submit=[{"number": 1063, "name": "ffmpeg S02E09.mp4", "uuid": ""}],
        )
    )


def _make_waiting_task() -> TaskdeckApp:
    return make_deck(FakeRuntime(show=make_task_row(), why=[WHY]))


def _make_busy_home() -> TaskdeckApp:
    return make_deck(fake_home.make_busy_home(_LOG_FOLDERS[-1]))


def press_keys(*pressed: str, shown: Sequence[str]) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Return a step that presses keys one by one and waits until the screen shows the texts."""

    async def act(pilot: Pilot[Any]) -> None:
        await wait_for_texts("Next to start")(pilot)
        for key in pressed:
            await pilot.press(key)
            await pilot.pause()
        await wait_for_texts(*shown)(pilot)

    return act


def _push_away_screen(app: TaskdeckApp) -> None:
    app.push_screen(WhileAwayScreen(fake_home.AWAY_ANSWER))


SCENES: dict[str, Scene] = {
    "deck-120x40": Scene(120, 40, _make_deck(boards.busy), wait_for_texts("4 SLA alerts")),
    "deck-80x24": Scene(80, 24, _make_deck(boards.busy), wait_for_texts("4 SLA alerts")),
    "deck-ascii-80x24": Scene(80, 24, _make_deck(boards.busy, look=Look(ascii=True)),
    wait_for_texts("4 SLA alerts")),
    "disk-full-120x40": Scene(120, 40, _make_deck(boards.halted), wait_for_texts("DISK FULL")),
    "no-runtime-80x24": Scene(80, 24, _make_deck(boards.trouble), wait_for_texts("NO RUNTIME")),
    "first-run-120x40": Scene(120, 40, _make_deck(boards.empty),
    wait_for_texts("Nothing has been submitted yet")),
    "why-80x24": Scene(80, 24, _make_waiting_task,
    act_and_wait(lambda app: app.open_why("1049"), "it has a reservation")),
    "waiting-80x24": Scene(80, 24, _make_waiting_task,
    act_and_wait(lambda app: app.open_task("1049"), "Why it waits", "it has a reservation")),
    "failed-80x24": Scene(80, 24, _make_failed_task,
    act_and_wait(lambda app: app.open_task("1048"), "How it ended", "FileNotFoundError")),
    "log-80x24": Scene(80, 24, _make_running_task,
    act_and_wait(lambda app: app.open_log("1042"), "following", "batch/s", "15 lines")),
    "new-task-80x24": Scene(80, 24, _make_form, fill_in_task),
    "tasks-120x40": Scene(120, 40, _make_busy_home,
    press_keys("5", "slash", *"status:failed", "enter", shown=("/status:failed", "✗"))),
    "template-form-80x24": Scene(80, 24, _make_busy_home,
    press_keys("6", "enter", shown=("Parameters", "submit encode", "Still required: input"))),
    "history-120x40": Scene(120, 40, _make_busy_home,
    press_keys("9", shown=("Throughput", "By queue", "all "))),
    "alerts-120x40": Scene(120, 40, _make_busy_home,
    press_keys("7", shown=("encode-on-time", "Rules"))),
    "schedules-120x40": Scene(120, 40, _make_busy_home,
    press_keys("8", "j", shown=("nightly-etl", "loads the day before"))),
    "timeline-80x24": Scene(80, 24, _make_busy_home,
    press_keys("8", "t", shown=("nightly-etl", "□□□□", "■■■"))),
    "operations-80x24": Scene(80, 24, _make_busy_home,
    press_keys("O", shown=("Operations", "ann"))),
    "away-80x24": Scene(80, 24, _make_busy_home, act_and_wait(_push_away_screen,
    "While you were away")),
    "keys-120x40": Scene(120, 40, _make_deck(boards.busy),
    act_and_wait(TaskdeckApp.action_show_keys, "On a task")),
}  # fmt: skip


# --- drawing

_LOG_FOLDERS: list[Path] = []


def _write_log(text: str) -> str:
    """Write a log file that lasts until the screenshot is drawn."""
    place = _LOG_FOLDERS[-1] / f"{len(list(_LOG_FOLDERS[-1].iterdir()))}.log"
    place.write_text(text)
    return str(place)


@contextmanager
def fixed_environment() -> Iterator[None]:
    """Fix the folder, time zone and colours that the deck takes from its environment."""
    before, here = dict(os.environ), Path.cwd()
    os.environ["TZ"] = "UTC"
    os.environ.pop("NO_COLOR", None)
    time.tzset()
    os.chdir("/")
    with tempfile.TemporaryDirectory() as folder:
        _LOG_FOLDERS.append(Path(folder))
        try:
            yield
        finally:
            _LOG_FOLDERS.pop()
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
            time.tzset()


async def draw_scene(name: str) -> str:
    """Return the SVG of a scene."""
    scene = SCENES[name]
    with fixed_environment():
        app = scene.app()
        async with app.run_test(size=(scene.columns, scene.rows)) as pilot:
            await scene.act(pilot)
            await pilot.pause()
            stack = app._background_screens
            update = app.screen._compositor.render_update(full=True, screen_stack=stack)
            lines = [[segment for strip in line for segment in strip] for line in update.strips]  # pyright: ignore
            return format_svg(lines, scene.columns, scene.rows, f"Taskdeck: {name}")


async def main() -> None:
    """Draw every screenshot."""
    FOLDER.mkdir(exist_ok=True)
    for name in SCENES:
        (FOLDER / f"{name}.svg").write_text(await draw_scene(name), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    asyncio.run(main())
