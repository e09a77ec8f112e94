"""The plain look, for whoever has the screen read out: words, no lines, one pane, the terminal's cursor on the row."""

from __future__ import annotations

import re

import pytest

from app.tui.pages.task_facts import Facts
from app.tui.pages.timeline import timeline
from app.tui.style import Look
from db import timestamps
from tests.tui.recording_runtime import an_app, until
from tests.tui.screen_text import screen_text

PLAIN = Look(ascii=True, plain=True)
DECORATION = re.compile(r"[-=#.]{3,}|[\u2500-\u25ff]")


async def test_there_are_words_for_signs_and_bars_and_one_pane_at_a_time():
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "3 Running 7" in "\n".join(screen_text(app)))
        text = "\n".join(screen_text(app))
        assert re.search(r"running +resnet50-sweep-06", text) and re.search(r"queued +resnet50-sweep-08", text)
        assert "1 Queues" not in text
        assert not DECORATION.search(text.replace("...", "")), DECORATION.search(text)
        await pilot.press("1")
        await until(pilot, lambda: "1 Queues" in "\n".join(screen_text(app)))
        line = next(line for line in screen_text(app) if "media" in line)
        assert "100% full" in line and line.rstrip().endswith(" full")


async def test_the_header_counts_what_runs_and_what_failed():
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "[3]" in screen_text(app)[0])
        assert "[3]  7 running 3 failed 22 waiting 9 later" in screen_text(app)[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_no_bar_is_explained_where_there_is_none(size: tuple[int, int]):
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "2 Pools" in "\n".join(screen_text(app)))
        rule = next(line for line in screen_text(app) if "2 Pools" in line)
        assert not re.search("[#=]|reserved", rule), rule


async def test_a_pool_says_which_of_its_figures_are_reserved():
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: re.search(r"gpu +cpu reserved +[\d.]+/\d+ use", "\n".join(screen_text(app))))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_is_drawn_elsewhere_is_a_word_or_a_number_under_its_heading(size: tuple[int, int]):
    """You should see each alert's state once, as a word, and how many tasks each queue started."""
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "3 Running 7" in "\n".join(screen_text(app)))
        await pilot.press("4")
        await until(pilot, lambda: "encode-on-time" in "\n".join(screen_text(app)))
        rows = [line for line in screen_text(app) if re.search("encode-on-time|gpu-wait|etl-by", line)]
        assert len(rows) == 3 and not any("~" in line[:10] for line in rows), rows
        assert [line.count(word) for line, word in zip(rows, ("firing", "acked", "pending"), strict=True)] == [1, 1, 1]
        await pilot.press("1")
        await until(pilot, lambda: "1 Queues" in "\n".join(screen_text(app)))
        head, row = (next(line for line in screen_text(app) if word in line) for word in ("1 Queues", "media"))
        at = head.index("STARTED" if size[0] < 100 else "LAST 30m")
        assert row[at:].startswith("42 in 30m")


async def test_the_terminals_cursor_stands_on_the_row():
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3 Running 7" in "\n".join(screen_text(app)))
        for _ in range(3):
            await pilot.press("j")
            await pilot.pause()
            assert screen_text(app)[app.cursor_position.y].startswith(">")


async def test_a_question_has_no_frame():
    app, _ = an_app(look=PLAIN)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3 Running 7" in "\n".join(screen_text(app)))
        await pilot.press("X")
        await until(pilot, lambda: "Send a signal to" in "\n".join(screen_text(app)))
        assert not re.search(r"[|+]--|--[+|]", "\n".join(screen_text(app)))


def test_marks_before_words_are_words_or_left_out():
    assert PLAIN.own("✓ not held   ✓ no dependencies") == "not held   no dependencies"
    assert PLAIN.own("✗ no such queue") == "wrong: no such queue"


def test_of_the_timeline_only_the_words_stand():
    events = [{"at": timestamps.from_unix(at), "status": status} for at, status in ((0.0, "queued"), (60.0, "running"), (180.0, "failed"))]
    (section,) = timeline(Facts({"task": {"status": "failed", "events": events}}, PLAIN, 300.0, 80))

    assert [text for row in section.rows for text, _ in row.spans] == ["queued 1m > ran 2m > failed"]


def test_a_bar_says_its_share():
    assert PLAIN.bar(1, 3, 10) == "33% full"
    assert PLAIN.two_tone(1, 2, 4, 10) == "25% used"
    assert PLAIN.spark([1, 2, 3], 5) == ""
