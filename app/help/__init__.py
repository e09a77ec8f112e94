"""Help topics: Markdown files of this package, for `taskdeck help` and the deck."""

from __future__ import annotations

import os

_FOLDER = os.path.dirname(__file__)


def list_topics() -> dict[str, str]:
    """Return the one-line summary of each topic, by name in alphabetical order."""
    return {name: _read_summary(name) for name in _list_names()}


def read_topic(name: str) -> str:
    """Return the Markdown text of a topic. Raise KeyError for an unknown name."""
    if name not in _list_names():
        raise KeyError(name)
    with open(_get_path(name), encoding="utf-8") as file:
        return file.read()


def _list_names() -> list[str]:
    return sorted(name[:-3] for name in os.listdir(_FOLDER) if name.endswith(".md"))


def _read_summary(name: str) -> str:
    """Return the first paragraph, which is one sentence, without its full stop."""
    with open(_get_path(name), encoding="utf-8") as file:
        _title, _blank, summary = file.readline(), file.readline(), file.readline()
    return summary.rstrip(".\n")


def _get_path(name: str) -> str:
    return os.path.join(_FOLDER, f"{name}.md")
