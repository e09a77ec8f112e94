"""Tests that the help topic and the picture of the data model match the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.text import markdown
from app.core.text.sanitize import measure_width
from db.schema import metadata
from tests import data_model


@pytest.mark.parametrize(
    ("path", "drawn"),
    [(data_model.TOPIC, data_model.make_topic()), (data_model.PICTURE, data_model.make_picture())],
    ids=["topic", "picture"],
)
def test_the_committed_data_model_matches_the_schema(path: Path, drawn: str):
    assert path.read_text("utf-8") == drawn, "stale: python -m tests.data_model"


def test_the_chinese_topic_has_the_present_diagram():
    chinese = data_model.CHINESE_TOPIC.read_text("utf-8")

    assert data_model.put_diagram(chinese) == chinese, "stale: python -m tests.data_model"


def test_topic_and_picture_show_every_table_and_column():
    topic, picture = data_model.make_topic(), data_model.make_picture()

    for table in metadata.tables.values():
        assert table.comment and f"- `{table.name}`: " in topic and f">{table.name}<" in picture
        _, _, entity = topic.partition(f"\n  {table.name} {{\n")
        shown = [line.split()[1] for line in entity.partition("\n  }")[0].splitlines()]
        assert shown == table.columns.keys()
        assert all(f">{name}</text>" in picture for name in shown)


def test_every_foreign_key_is_a_relation_of_the_diagram():
    topic = data_model.make_topic()
    keys = [(table.name, key) for table in metadata.tables.values() for key in table.foreign_keys]

    assert topic.count("o{") == len(keys)
    for child, key in keys:
        one = "|o" if key.parent.nullable else "||"
        assert f"  {key.column.table.name} {one}--o{{ {child} : {key.parent.name}\n" in topic


def test_the_topic_fits_a_terminal_of_80_columns():
    lines = markdown.lay_out(data_model.make_topic(), 80)

    assert max(sum(measure_width(text) for text, _ in line) for line in lines) <= 80
    assert any(text == "    tasks {" for line in lines for text, _ in line)
