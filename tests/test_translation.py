from __future__ import annotations

import ast

import pytest

from app import translation
from app.errors import Usage
from app.translation import ENGLISH, SIMPLIFIED_CHINESE, find_language, tr, tr_n
from tests import catalogues


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.setattr(translation, "_process_language", SIMPLIFIED_CHINESE)


@pytest.mark.parametrize(
    ("environ", "chosen", "language"),
    [
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, None, SIMPLIFIED_CHINESE),
        ({"LC_MESSAGES": "zh_SG.utf8"}, None, SIMPLIFIED_CHINESE),
        ({"LC_ALL": "", "LANG": "zh_CN.UTF-8@x"}, "en", SIMPLIFIED_CHINESE),
        ({"LANG": "zh_TW.UTF-8"}, None, ENGLISH),
        ({"LANG": "zh_CN.GB18030"}, None, ENGLISH),
        ({"LANG": "de_DE.UTF-8"}, SIMPLIFIED_CHINESE, ENGLISH),
        ({"LANG": "C.UTF-8"}, SIMPLIFIED_CHINESE, SIMPLIFIED_CHINESE),
        ({}, SIMPLIFIED_CHINESE, SIMPLIFIED_CHINESE),
        ({}, None, ENGLISH),
    ],
)
def test_the_locale_names_the_language_before_the_settings_do(environ, chosen, language):
    assert find_language(environ, lambda: chosen) == language


def test_values_replace_names_and_a_text_without_values_keeps_its_braces():
    assert tr("no queue {queue}", queue="{x}") == "no queue {x}"
    assert tr("print {} and {name}") == "print {} and {name}"
    assert (tr_n(1, "{n} task", "{n} tasks"), tr_n(2, "{n} task", "{n} tasks")) == (
        "1 task",
        "2 tasks",
    )


def test_a_text_without_a_translation_stays_english(chinese):
    assert tr("no such text in any catalogue") == "no such text in any catalogue"


def test_errors_replace_values_in_message_and_hint():
    problem = Usage("no queue {queue}.", "See: taskdeck queue show {queue}", queue="{a}")

    assert str(problem) == "no queue {a}. See: taskdeck queue show {a}"


def test_no_space_follows_a_chinese_full_stop():
    assert (
        str(Usage("没有队列。", "列表：taskdeck queue ls")) == "没有队列。列表：taskdeck queue ls"
    )


def test_no_formatted_string_is_translated():
    """A formatted string is no key of a catalogue, and braces of a user would be placeholders."""
    errors = catalogues.find_error_classes()
    wrong = []
    for path in catalogues.list_sources(catalogues.ROOT / "app"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and (
                (name := catalogues.get_called_name(call)) in catalogues.MARKS | {"tr_n"}
                or (name in errors and call.keywords)
            ):
                wrong += [
                    f"{path.name}:{call.lineno}"
                    for argument in call.args
                    if isinstance(argument, ast.JoinedStr)
                ]

    assert wrong == []
