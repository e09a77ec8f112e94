from __future__ import annotations

import pytest

from app.translation import ENGLISH, SIMPLIFIED_CHINESE
from app.tui.board_words import translate_halt, translate_queue_word
from tests.languages import speak


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("disk full (/srv: 0 bytes) since 10:31", "磁盘已满 (/srv: 0 bytes)，自 10:31"),
        ("the runtime is draining", "运行时正在排空"),
        ("a reason of a newer runtime since 10:31", "a reason of a newer runtime，自 10:31"),
    ],
)
def test_a_halt_is_translated_without_its_details(text, translation):
    with speak(ENGLISH):
        assert translate_halt(text) == text
    with speak(SIMPLIFIED_CHINESE):
        assert translate_halt(text) == translation


@pytest.mark.parametrize(
    ("word", "translation"),
    [("full", "已满"), ("opens 22:00", "22:00 开放"), ("opens Mon 08:00", "Mon 08:00 开放")],
)
def test_the_state_of_a_queue_keeps_its_time(word, translation):
    with speak(ENGLISH):
        assert translate_queue_word(word) == word
    with speak(SIMPLIFIED_CHINESE):
        assert translate_queue_word(word) == translation
