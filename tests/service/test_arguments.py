"""Arguments of verbs: checked against the annotations of the verb's function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import Usage
from app.service.arguments import check_arguments


async def verb(
    call: object,
    *,
    name: str = "",
    limit: int = 0,
    since: float | None = None,
    down: bool = False,
    ids: Sequence[str | int] = (),
    tag: dict[str, str] | None = None,
    **values: Any,
) -> None:
    """Stand for a verb with arguments of each type."""


@pytest.mark.parametrize(
    "args",
    [
        {"name": "x", "limit": 2**63 - 1, "since": 1, "down": True, "ids": [1, "a"], "tag": {}},
        {"since": None, "tag": None, "ids": (), "limit": -1},
        {"since": 0.5, "tag": {"a": "b"}, "other": object()},
        {"name": "\udcff", "tag": {"\udcff": "\udcff"}},
    ],
)
def test_arguments_of_the_right_type_pass(args: dict[str, Any]):
    check_arguments("verb", verb, args)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"name": 1.0}, "verb: name must be text."),
        ({"name": None}, "verb: name must be text."),
        ({"limit": True}, "verb: limit must be a whole number."),
        ({"limit": 1.0}, "verb: limit must be a whole number."),
        ({"limit": 2**63}, "verb: limit must be a whole number."),
        ({"since": "1"}, "verb: since must be a number."),
        ({"since": float("nan")}, "verb: since must be a number."),
        ({"since": 10**400}, "verb: since must be a number."),
        ({"down": 1}, "verb: down must be true or false."),
        ({"ids": "12"}, "verb: ids must be a list of text or a whole number."),
        ({"ids": [None]}, "verb: ids must be a list of text or a whole number."),
        ({"ids": {"a": 1}}, "verb: ids must be a list of text or a whole number."),
        ({"tag": {"a": 1}}, "verb: tag must be an object."),
        ({"tag": ["a"]}, "verb: tag must be an object."),
    ],
)
def test_an_argument_of_the_wrong_type_is_a_usage_error(args: dict[str, Any], said: str):
    with pytest.raises(Usage) as refusal:
        check_arguments("verb", verb, args)
    assert str(refusal.value) == f"{said} Nothing was done."
