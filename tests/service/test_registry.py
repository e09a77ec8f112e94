"""Checks of a verb's arguments before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Usage
from app.service.context import Call
from app.service.registry import VERBS, call_verb
from tests.service.calls import submit_task

VERBS_WITH_IDS = sorted(name for name, verb in VERBS.items() if "ids" in verb.signature.parameters)


@pytest.mark.parametrize("verb", VERBS_WITH_IDS)
@pytest.mark.parametrize(
    "ids",
    ["1" * 300_000, ["1" * 300_000], [1.5], [None], [[1]], {"1": 2}, True, 2.0],
    ids=["long", "long one", "fraction", "null", "nested", "object", "true", "number"],
)
async def test_ids_of_a_wrong_type_or_length_are_refused_at_once(call: Call, verb: str, ids: Any):
    given = {"until": "1h"} if verb == "alert.silence" else {}
    given |= {"fields": {"priority": 1}} if verb == "set" else {}

    with pytest.raises(Usage, match=r"^(ids must be|an id has 300,000 char)"):
        await call_verb(call, verb, {"ids": ids, **given})


@pytest.mark.parametrize("ids", [1, "#1", [1], ["1"]])
async def test_one_id_alone_is_a_list_of_one(call: Call, ids: Any):
    await submit_task(call)

    assert len((await call_verb(call, "hold", {"ids": ids}))["done"]) == 1
