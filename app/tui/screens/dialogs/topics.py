"""Help topics in the deck: the list of topics, and one topic to scroll."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from app.core.text.markdown import lay_out
from app.help import list_topics, read_topic
from app.translation import tr, tr_noop
from app.tui.screens.dialogs.palette import PaletteCommand, PaletteScreen
from app.tui.screens.dialogs.text_box import BoxLine, BoxScreen, BoxText
from app.tui.style import STATES, Look
from app.tui.widgets.footer import KeyHint

_ASCII_SIGNS = str.maketrans({sign.glyph: sign.ascii for sign in STATES.values()})


def make_topic_commands(open_topic: Callable[[str], None]) -> list[PaletteCommand]:
    """Return a palette command for each topic; they come after all other matches."""
    return [
        PaletteCommand(
            tr("help {name}: {summary}", name=name, summary=summary),
            partial(open_topic, name),
            search_words=f"help {name}",
            is_last=True,
        )
        for name, summary in list_topics().items()
    ]


class TopicListScreen(PaletteScreen):
    """List of the help topics that contain the typed words."""

    TITLE_WORD = tr_noop("Help topics")
    PLACEHOLDER = tr_noop("words of a topic")
    DEFAULT_CSS = """
    TopicListScreen #palette { width: 84; }
    """

    def __init__(self, open_topic: Callable[[str], None]) -> None:
        found = list_topics()
        most = max(map(len, found))
        super().__init__(
            [
                PaletteCommand(
                    f"{name:<{most}}  {summary}",
                    partial(open_topic, name),
                    search_words=read_topic(name),
                )
                for name, summary in found.items()
            ]
        )


def lay_out_topic(text: str, width: int, look: Look) -> list[BoxLine]:
    """Return a topic without its title as lines of at most `width` cells."""
    body = text.partition("\n")[2].strip("\n")
    if look.ascii:
        body = look.adapt_text(body.translate(_ASCII_SIGNS))
    return [BoxLine(line) for line in lay_out(body, width, keep_ticks=look.plain)]


class TopicText(BoxText):
    """Text of a topic, laid out for the width of the box."""

    def __init__(self, text: str) -> None:
        super().__init__(())
        self._text = text

    def fit(self) -> None:
        self.show(lay_out_topic(self._text, self.size.width - 2, self.look))


class TopicScreen(BoxScreen):
    """One help topic."""

    DEFAULT_CSS = """
    TopicScreen #box { width: 84; max-height: 48; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "topics", "All help topics", id="help.topics")
    ]

    def __init__(self, name: str) -> None:
        self._text = read_topic(name)
        title = self._text.partition("\n")[0].removeprefix("# ")
        super().__init__(
            tr("Help: {title}", title=title), (), "close", (KeyHint("h", "topics", "h", 1),)
        )

    def make_text(self) -> BoxText:
        return TopicText(self._text)

    def action_topics(self) -> None:
        self.deck.open_topics()
