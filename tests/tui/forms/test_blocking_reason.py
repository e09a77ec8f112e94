from __future__ import annotations

from pathlib import Path

import pytest

from app.core.scheduling.explanations import reasons
from app.translation import ENGLISH, SIMPLIFIED_CHINESE, tr
from app.tui.board_words import get_separator
from app.tui.forms import blocking_reason
from app.tui.forms.blocking_reason import find_blocking_field, find_lack
from tests.catalogues import find_texts
from tests.languages import speak

MEMORY = (
    "needs {needs}{unit} of pool {pool}, {free} free",
    {"needs": "12.0G", "unit": " memory", "pool": "gpu", "free": "2.0G"},
)
GPUS = ("needs {needs}{unit}, {free} free", {"needs": "2", "unit": " gpus", "free": "1"})
FULL = (
    "queue {queue} is full ({load} of {capacity})",
    {"queue": "media", "load": "2", "capacity": "2"},
)
BEHIND = ("behind #{number}, which has reserved pool {pool}", {"number": "49", "pool": "gpu"})
HELD = ("held by {holder}", {"holder": "ann"})


@pytest.mark.parametrize("language", [ENGLISH, SIMPLIFIED_CHINESE])
@pytest.mark.parametrize(
    ("first", "second", "field", "lack"),
    [
        (MEMORY, GPUS, "memory", "memory"),
        (GPUS, MEMORY, "resources", "resources"),
        (FULL, MEMORY, "queue", "memory"),
        (BEHIND, FULL, "priority", ""),
        (HELD, HELD, "", ""),
    ],
)
def test_the_field_is_that_of_the_first_reason(language, first, second, field, lack):
    with speak(language):
        why = get_separator().join(tr(text, **values) for text, values in (first, second))
        assert (find_blocking_field(why), find_lack(why)) == (field, lack)


def test_the_texts_are_those_of_the_reasons():
    known, used = (
        set(find_texts(Path(module.__file__), set())) for module in (reasons, blocking_reason)
    )
    assert used <= known
