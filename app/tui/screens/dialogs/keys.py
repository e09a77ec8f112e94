"""Key help, generated from the active bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from textual.binding import ActiveBinding, Binding, BindingType

from app.core.text.sanitize import pad
from app.tui.screens.dialogs.text_box import BoxLine, BoxScreen
from app.tui.widgets.footer import KeyHint, get_key_name

RULES = (
    "Digits go places. A lower-case letter acts on the row under the",
    "cursor, or on the marks: it can be undone, or it asks first. Upper",
    "case does the same, stronger. q and esc close the topmost screen.",
    "The palette (:) has all actions; a click on a line below runs one.",
    "i shows the ids by which [keys] in config.toml gives other keys.",
)
FORM_RULES = (
    "Letters, digits and signs are typed; the keys below act.",
    "i shows the ids by which [keys] in config.toml gives other keys.",
)
"""Rules for screens whose fields take typed text."""
KEYS = 24


def make_help_lines(bindings: Iterable[Binding], ids: bool = False) -> list[BoxLine]:
    """Return the bindings that have a description, grouped by the first word of their id.

    Keys of one action share a line. `ids` shows the ids instead of the descriptions.
    """
    groups: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for binding in bindings:
        if binding.id and binding.description:
            group = (binding.id or "other").split(".")[0]
            keys = groups.setdefault(group, {}).setdefault(
                (binding.action, binding.description, binding.id), []
            )
            keys += [binding.key] if binding.key not in keys else []
    lines = [BoxLine([(rule, "dim")]) for rule in (FORM_RULES if "form" in groups else RULES)]
    for group in sorted(groups, key=_rank_group):
        lines += [BoxLine(), BoxLine([(_TITLES.get(group, group.capitalize()), "bold")])]
        lines += [
            _make_line(keys, name if ids else description)
            for (_, description, name), keys in groups[group].items()
        ]
    return lines


def _make_line(keys: Sequence[str], description: str) -> BoxLine:
    names = dict.fromkeys(map(get_key_name, keys))
    return BoxLine([("  " + pad("  ".join(names), KEYS), ""), (description, "")], keys[0])


_TITLES = {
    "app": "Everywhere, but not while typing",
    "form": "In this form",
    "slot": "In a field",
    "deck": "Deck",
    "task": "On a task",
    "place": "Places",
    "table": "In a list",
    "alert": "On an alert",
}
_FIRST, _LAST = ("task", "alert"), ("table", "place", "app")
"""Groups listed first, for the current row, and last, for keys that work everywhere."""


def _rank_group(group: str) -> tuple[int, str]:
    if group in _FIRST:
        return _FIRST.index(group) - len(_FIRST), group
    return (_LAST.index(group) + 1 if group in _LAST else 0), group


def list_bindings(active: Mapping[str, ActiveBinding]) -> list[Binding]:
    """Return the active bindings of a screen."""
    return [found.binding for found in active.values()]


class HelpScreen(BoxScreen):
    """Help for every key that works here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "dismiss", "Close", id="help.close"),
        Binding("i", "ids", "The ids of the actions, or what they do", id="help.ids"),
        Binding("h", "topics", "Help topics", id="help.topics"),
    ]

    def __init__(self, bindings: Sequence[Binding]) -> None:
        more = (KeyHint("i", "ids", "i", 1), KeyHint("h", "topics", "h", 1))
        super().__init__("Keys", make_help_lines(bindings), "close", more)
        self._live = bindings
        self._ids = False

    def action_ids(self) -> None:
        self._ids = not self._ids
        self.page.show(make_help_lines(self._live, self._ids))

    def action_topics(self) -> None:
        self.deck.open_topics()
