from __future__ import annotations

import ast
import re

import pytest

from app import translation
from app.errors import Usage
from app.translation import ENGLISH, SIMPLIFIED_CHINESE, find_language, tr, tr_n
from tests import catalogues

MESSAGES = [
    (area, message)
    for area in catalogues.AREAS
    for message in catalogues.list_messages(catalogues.read_catalogue(area))
]


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


def test_the_catalogues_have_exactly_the_texts_of_the_sources():
    texts = catalogues.collect_texts()

    assert {
        area: {message.id for found, message in MESSAGES if found == area}
        for area in catalogues.AREAS
    } == {area: set(found) for area, found in texts.items()}, "run python -m tests.catalogues"


def test_every_text_has_a_translation_with_the_same_placeholders():
    wrong = [
        message.id
        for _, message in MESSAGES
        if not catalogues.is_translated(message) or not catalogues.has_same_placeholders(message)
    ]

    assert wrong == []


def test_a_text_has_one_translation_in_all_catalogues():
    found: dict[str, set[object]] = {}
    for _, message in MESSAGES:
        found.setdefault(catalogues.get_key(message.id), set()).add(str(message.string))

    assert {text: strings for text, strings in found.items() if len(strings) > 1} == {}


def test_the_compiled_catalogue_is_up_to_date(tmp_path, monkeypatch):
    stored = catalogues.COMPILED.read_bytes()
    monkeypatch.setattr(catalogues, "COMPILED", tmp_path / "taskdeck.mo")

    catalogues.compile_catalogues()

    assert catalogues.COMPILED.read_bytes() == stored, "run python -m tests.catalogues"


def test_no_formatted_string_is_translated():
    """A formatted string is no key of a catalogue, and braces of a user would be placeholders."""
    errors = catalogues.find_error_classes()
    wrong = []
    for path in catalogues.list_sources(catalogues.ROOT / "app"):
        for call in catalogues.list_calls(path):
            if (name := catalogues.get_called_name(call)) in catalogues.MARKS | {"tr_n"} or (
                name in errors and call.keywords
            ):
                wrong += [
                    f"{path.name}:{call.lineno}"
                    for argument in call.args
                    if isinstance(argument, ast.JoinedStr)
                ]

    assert wrong == []


def test_the_values_of_a_text_are_those_of_its_placeholders():
    errors = catalogues.find_error_classes()
    wrong = []
    for path in [
        *catalogues.list_sources(catalogues.ROOT / "app"),
        *catalogues.list_sources(catalogues.ROOT / "db"),
    ]:
        for call in catalogues.list_calls(path):
            if call.keywords:
                name = catalogues.get_called_name(call)
                names = {keyword.arg for keyword in call.keywords}
                if name in errors | {"tr"} and None not in names and "code" not in names:
                    texts = list(catalogues.iterate_constants(call.args[:2]))
                    used = {
                        re.sub(r"[{}]|[!:].*", "", field)
                        for text in texts
                        for field in catalogues.find_placeholders(text)
                    }
                    if texts and used != names:
                        wrong.append(f"{path.name}:{call.lineno}: {used ^ names}")

    assert wrong == []


def test_a_text_has_words_besides_its_placeholders():
    """A template of values only means nothing to a translator, so `joining.py` has them all.

    The modules of `db` cannot import that module.
    """
    wordless = {
        text
        for texts in catalogues.collect_texts().values()
        for text, places in texts.items()
        if not re.search("[A-Za-z]", re.sub("{.*?}", "", catalogues.get_key(text)))
        and not all(place.startswith(("app/core/text/joining", "db/")) for place in places)
    }

    assert wordless == set()
