"""Plain style for screen readers: words, no lines, one pane, the terminal cursor on the row."""

from __future__ import annotations

import re

import pytest

from app.tui.pages.task_facts import TaskContext
from app.tui.pages.timeline import build_timeline
from app.tui.style import Look
from db import timestamps
from tests.tui.recording_runtime import make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines

PLAIN = Look(ascii=True, plain=True)
DECORATION = re.compile(r"[-=#.]{3,}|[\u2500-\u25ff]")


async def test_words_replace_glyphs_and_bars_in_one_pane():
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: "3 Running 7" in "\n".join(read_screen_lines(app)))
        text = "\n".join(read_screen_lines(app))
        assert re.search(r"running +resnet50-sweep-06", text) and re.search(
            r"queued +resnet50-sweep-08", text
        )
        assert "1 Queues" not in text
        assert not DECORATION.search(text.replace("...", "")), DECORATION.search(text)
        await pilot.press("1")
        await wait_for(pilot, lambda: "1 Queues" in "\n".join(read_screen_lines(app)))
        line = next(line for line in read_screen_lines(app) if "media" in line)
        assert "100% full" in line and line.rstrip().endswith(" full")


async def test_the_header_counts_running_and_failed_tasks():
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: "[3]" in read_screen_lines(app)[0])
        assert "[3]  7 running, 3 failed, 22 waiting, 9 later" in read_screen_lines(app)[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_there_is_no_legend_without_bars(size: tuple[int, int]):
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await wait_for(pilot, lambda: "2 Pools" in "\n".join(read_screen_lines(app)))
        rule = next(line for line in read_screen_lines(app) if "2 Pools" in line)
        assert not re.search("[#=]|reserved", rule), rule


async def test_a_pool_labels_its_reserved_figures():
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await wait_for(
            pilot,
            lambda: re.search(
                r"gpu +cpu reserved +[\d.]+/\d+ use", "\n".join(read_screen_lines(app))
            ),
        )


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_graphics_become_words_or_numbers_under_their_headings(size: tuple[int, int]):
    """Expect each alert's state once as a word, and the starts of each queue."""
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: "3 Running 7" in "\n".join(read_screen_lines(app)))
        await pilot.press("4")
        await wait_for(pilot, lambda: "encode-on-time" in "\n".join(read_screen_lines(app)))
        rows = [
            line
            for line in read_screen_lines(app)
            if re.search("encode-on-time|gpu-wait|etl-by", line)
        ]
        assert len(rows) == 3 and not any("~" in line[:10] for line in rows), rows
        assert [
            line.count(word)
            for line, word in zip(rows, ("firing", "pending", "acked"), strict=True)
        ] == [1, 1, 1]
        await pilot.press("1")
        await wait_for(pilot, lambda: "1 Queues" in "\n".join(read_screen_lines(app)))
        head, row = (
            next(line for line in read_screen_lines(app) if word in line)
            for word in ("1 Queues", "media")
        )
        at = head.index("STARTED" if size[0] < 100 else "LAST 30m")
        assert row[at:].startswith("42 in 30m")


async def test_the_terminal_cursor_is_on_the_row():
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: "3 Running 7" in "\n".join(read_screen_lines(app)))
        for _ in range(3):
            await pilot.press("j")
            await pilot.pause()
            assert read_screen_lines(app)[app.cursor_position.y].startswith(">")


async def test_a_dialog_has_no_frame():
    app, _ = make_recorded_deck(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: "3 Running 7" in "\n".join(read_screen_lines(app)))
        await pilot.press("X")
        await wait_for(pilot, lambda: "Send a signal to" in "\n".join(read_screen_lines(app)))
        assert not re.search(r"[|+]--|--[+|]", "\n".join(read_screen_lines(app)))


def test_marks_before_words_become_words_or_disappear():
    assert PLAIN.adapt_text("✓ not held   ✓ no dependencies") == "not held   no dependencies"
    assert PLAIN.adapt_text("✗ no such queue") == "wrong: no such queue"


def test_the_timeline_has_only_words():
    events = [
        {"at": timestamps.from_unix(at), "status": status}
        for at, status in ((0.0, "queued"), (60.0, "running"), (180.0, "failed"))
    ]
    (section,) = build_timeline(
        TaskContext({"task": {"status": "failed", "events": events}}, PLAIN, 300.0, 80)
    )

    assert [text for row in section.rows for text, _ in row.spans] == [
        "queued 1m > ran 2m > failed"
    ]


def test_a_bar_becomes_a_percentage():
    assert PLAIN.draw_bar(1, 3, 10) == "33% full"
    assert PLAIN.draw_two_tone(1, 2, 4, 10) == "25% used"
    assert PLAIN.draw_sparkline([1, 2, 3], 5) == ""
