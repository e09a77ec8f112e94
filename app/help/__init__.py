"""Help topics: Markdown files of this package, for `taskdeck help` and the deck.

A folder named after a language has translations; a topic without one is read in English. Without
a language, the one of the user counts.
"""

from __future__ import annotations

import os

from app.translation import get_language

_FOLDER = os.path.dirname(__file__)


def list_topics(language: str = "") -> dict[str, str]:
    """Return the one-line summary of each topic, by name in alphabetical order."""
    return {name: _read_summary(name, language) for name in _list_names()}


def read_topic(name: str, language: str = "") -> str:
    """Return the Markdown text of a topic. Raise KeyError for an unknown name."""
    if name not in _list_names():
        raise KeyError(name)
    with open(_find_path(name, language), encoding="utf-8") as file:
        return file.read()


def _list_names() -> list[str]:
    return sorted(name[:-3] for name in os.listdir(_FOLDER) if name.endswith(".md"))


def _read_summary(name: str, language: str) -> str:
    """Return the first paragraph, which is one sentence, without its full stop."""
    with open(_find_path(name, language), encoding="utf-8") as file:
        _title, _blank, summary = file.readline(), file.readline(), file.readline()
    return summary.rstrip(".。\n")


def _find_path(name: str, language: str) -> str:
    path = os.path.join(_FOLDER, language or get_language(), f"{name}.md")
    return path if os.path.exists(path) else os.path.join(_FOLDER, f"{name}.md")
