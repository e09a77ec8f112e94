"""Theme picker: marking a theme previews it, enter keeps and saves it."""

from __future__ import annotations

from app.translation import tr, tr_noop
from app.tui.actions.question import Answer, Question
from app.tui.screens.dialogs.choice import ChoiceScreen

_DESCRIPTIONS = {
    "quiet": tr_noop("the terminal's own colours"),
    "light": tr_noop("dark on white"),
    "contrast": tr_noop("bright on black"),
}
_KEYS = {"t": "quiet", "l": "light", "c": "contrast"}


class ThemeScreen(ChoiceScreen):
    """Choice of the theme.

    Dismisses with the letter of the new theme, or None after restoring the old one.
    """

    def __init__(self, now: str) -> None:
        answers = [
            Answer(key, f"{name:9} {tr(_DESCRIPTIONS[name])}") for key, name in _KEYS.items()
        ]
        marked = next((key for key, name in _KEYS.items() if name == now), "t")
        super().__init__(
            Question(tr("Theme"), [], answers, safe=marked, column=True, confirm_delay=0.0)
        )
        self._before = now

    def action_mark(self, by: int) -> None:
        """Preview the next theme."""
        super().action_mark(by)
        self._preview(self.question.answers[self._marked].key)

    def action_leave(self) -> None:
        """Restore the old theme."""
        self.app.theme = self._before
        self.dismiss(None)

    def _choose(self, key: str) -> None:
        self._preview(key)
        self.deck.memory.put("theme", _KEYS[key])
        self.dismiss(key)

    def _preview(self, key: str) -> None:
        self.app.theme = _KEYS[key]
