from __future__ import annotations

import re

import pytest

from app.core.text.sanitize import measure_width
from app.translation import SIMPLIFIED_CHINESE
from app.tui.message_fit import fit_message, wrap_message
from app.tui.screens.dialogs.keys import KeyGroup, KeyRow, find_groups, lay_out_groups
from app.tui.screens.dialogs.palette import find_commands, make_command
from app.tui.style import Look
from tests.languages import speak
from tests.tui.test_snapshots import FOLDER

DATA = ("boards", "fake_home", "fake_groups", "fake_runtime", "fake_what_if")
"""Modules with the answers of the fake runtime, whose texts the real one translates."""
WORDS = re.compile(r"[A-Za-z][A-Za-z'-]+(?: [A-Za-z][A-Za-z'-]+)+")
COMMAND = re.compile(r"taskdeck [ -~]*|(?<=set -[gs] )[ -~]*|--?[a-z-]+ [ -~]*")
KNOWN = frozenset({
    # words of the fake runtime that other words or figures join
    "ann paused", "photos running", "queue pause queue backup", "mkv front", "in width",
    "thumbs input", "python train", "unknown key",
    "mean wait", "all done in", "cpu hours", "gpu hours", "in use",
})  # fmt: skip


@pytest.fixture(autouse=True)
def _chinese():
    with speak(SIMPLIFIED_CHINESE):
        yield


def test_no_english_is_left_on_the_screens():
    folder = FOLDER.parent
    texts = " ".join((folder / f"{name}.py").read_text("utf-8") for name in DATA)
    data = re.sub(r'"\s*\n\s*f?"', "", texts)
    found = {
        f"{path.stem}: {words}"
        for path in FOLDER.glob("*-zh-*.txt")
        for words in WORDS.findall(COMMAND.sub("", path.read_text("utf-8")))
        if words not in data and words not in KNOWN
    }

    assert found == set()


def test_keys_and_commands_are_found_by_chinese_and_by_english_words():
    group = KeyGroup("In a list", [KeyRow("g  home", "First row", "g")])
    command = make_command("mouse on", lambda: None)

    for words in ("first", "首行", "in a list", "列表"):
        assert find_groups([group], words) == [group], words
    for words in ("mouse on", "鼠标"):
        assert find_commands([command], words) == [command], words
    assert any("首行" in text for line in lay_out_groups([group], 60) for text, _ in line.spans)


@pytest.mark.parametrize("room", [40, 60, 78])
def test_the_advice_of_a_message_stays_and_no_line_is_too_long(room):
    text = "没有运行时，自 10:31：ann 停止了它（taskdeck stop）。不启动任务。请运行 taskdeck serve"

    lines = wrap_message(text, room)
    shown = fit_message(text, room, Look())

    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(measure_width(line) <= room for line in lines)
    assert shown.endswith("请运行 taskdeck serve")
    assert measure_width(shown) <= room
