"""Real schemas apply at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.core.scheduling.trace_files import CASES
from tests.core.schema.test_random_schemas import find_refusal

REFUSED_BY_DESIGN = (
    "is outside of the schema", "the default of", "type must be", "is larger than", "a name must",
    "is required, but", "leads nowhere", "leads back to itself",
)  # fmt: skip


def load_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schemas of the recorded cases by file name. A list is wrapped into a property."""
    for path in sorted(((CASES or Path()) / "jsonschema").rglob("*schema*")):
        if path.suffix in (".json", ".yaml"):
            schema = yaml.safe_load(path.read_text())
            is_list = schema.get("type") == "array"
            yield path.name, {"properties": {"rows": schema}} if is_list else schema


@pytest.mark.skipif(CASES is None, reason="no recorded cases beside the checkout")
def test_almost_all_real_schemas_apply() -> None:
    """A schema whose walks take more than `json_schema.MAX_STEPS` steps counts as refused."""
    refusals, count = dict[str, str](), 0
    for name, schema in load_schemas():
        why = find_refusal(schema)
        if not any(words in why for words in REFUSED_BY_DESIGN):
            count += 1
            refusals |= {name: why} if why else {}
    assert len(refusals) <= 0.02 * count and count >= 5, refusals
