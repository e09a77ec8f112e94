"""Help topics in the deck: the list, one topic, and how to reach both."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.core.text.sanitize import measure_width
from app.help import list_topics, read_topic
from app.tui.screens.dialogs.keys import HelpScreen
from app.tui.screens.dialogs.palette_commands import list_commands
from app.tui.screens.dialogs.topics import TopicListScreen, TopicScreen, lay_out_topic
from app.tui.style import Look
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import read_screen_lines


def shows(app, text):
    return lambda: any(text in line for line in read_screen_lines(app))


async def test_the_key_help_leads_to_the_topics_and_back():
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark", "h")
        await wait_until(pilot, shows(app, f"› {next(iter(list_topics()))} "))
        await pilot.press(*"hidepid", "enter")  # a word of one topic only
        await wait_until(pilot, lambda: isinstance(app.screen, TopicScreen))
        await wait_until(pilot, shows(app, "Help: Security"))
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.deck)


async def test_the_palette_opens_a_topic():
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"help tmux", "enter")
        await wait_until(pilot, shows(app, "Help: tmux"))

        assert any("taskdeck status --line" in line for line in read_screen_lines(app))


async def test_the_palette_offers_every_topic_after_its_commands():
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        titles = [command.title for command in list_commands(app)]
        assert [title.split(":")[0] for title in titles if title.startswith("help ")] == [
            f"help {name}" for name in list_topics()
        ]
        await pilot.press("colon", *"back")
        await wait_until(pilot, shows(app, "› back up now"))
        assert shows(app, "  help backup: ")()


async def test_a_topic_scrolls_to_its_end_and_follows_the_width():
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_topic("backup")
        await wait_until(pilot, shows(app, "more below"))
        await pilot.press("G")
        await wait_until(pilot, shows(app, "taskdeck help restore."))
        assert not shows(app, "more below")()
        await pilot.resize_terminal(60, 16)
        await pilot.press("g")
        await wait_until(pilot, shows(app, "Automatic backups"))
        await pilot.press("h")
        await wait_until(pilot, lambda: isinstance(app.screen, TopicListScreen))
        await pilot.press(*"keys", "enter")
        await wait_until(pilot, shows(app, "Help: Keys"))


@pytest.mark.parametrize("name", list_topics())
def test_a_topic_fits_80_columns_and_an_ascii_terminal(name):
    lines = lay_out_topic(read_topic(name), 75, Look(ascii=True, utf8=False))
    texts = ["".join(text for text, _ in line.spans) for line in lines]

    assert all(text.isascii() for text in texts)
    assert all(measure_width(text) <= 76 for text in texts)


def test_the_deck_starts_without_the_topics():
    code = "import sys, app.tui.app; print(*(m for m in sys.modules if m.startswith('app.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"app.help", "app.core.text.markdown"}.isdisjoint(done.stdout.split())
