"""Random schemas agree with the jsonschema package."""

import json
import random
from typing import Any

import pytest
from jsonschema.validators import validator_for

from app.core.schema import json_schema, parameters
from app.core.schema.form_outline import build_outline
from app.errors import Usage

SCHEMAS = 25
"""Random schemas of a dialect, for each test."""
DIALECTS = (
    "http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 1.0, -3, 2.5, "", "a", "ab", "2026-01-31", "ü", [], [1], [1, 1.0],
    ["a", {}], {}, {"a": 1}, {"b": "a", "x_1": 2}, {"a": {"a": {"b": [1]}}}, {"c": 1, "d": 2},
)  # fmt: skip


class SchemaMaker:
    """Maker of random schemas of one dialect, with what people combine."""

    def __init__(self, random: random.Random, dialect: str) -> None:
        self.random = random
        self.dialect = dialect
        self.old = "draft-0" in dialect
        self.names = "definitions" if self.old else "$defs"

    def make_schema(self) -> dict[str, Any]:
        schema = self.make(3) if self.random.random() < 0.9 else {}
        schema = schema if isinstance(schema, dict) and "$ref" not in schema else {}
        return {
            "$schema": self.dialect,
            **schema,
            self.names: {name: self.make_definition(name) for name in "xyz"},
        }

    def make_definition(self, name: str) -> Any:
        """Return a definition, some with a name of their own."""
        schema = self.make(2)
        key = "id" if self.dialect.endswith("04/schema#") else "$id" if self.old else "$anchor"
        if isinstance(schema, dict) and "$ref" not in schema and self.random.random() < 0.5:
            schema = {key: name if key == "$anchor" else f"#{name}", **schema}
            if "2020" in self.dialect and self.random.random() < 0.3:
                schema["$dynamicAnchor"] = "node"
        return schema

    def make(self, depth: int) -> Any:
        pick = self.random
        if depth == 0 or pick.random() < 0.1:
            return self.make_leaf()
        schema: dict[str, Any] = {}
        for _ in range(pick.randint(1, 3)):
            schema |= self.make_keywords(depth - 1)
        return schema

    def make_leaf(self) -> Any:
        pick = self.random
        if pick.random() < 0.15 and "04" not in self.dialect:
            return pick.random() < 0.7
        if pick.random() < 0.3:
            return {"$ref": f"#/{self.names}/{pick.choice('xyz')}"}
        return pick.choice([
            {"type": pick.choice(["integer", "string", "object", "array", "null", "number"])},
            {"type": ["string", "null"], "default": pick.choice(VALUES)},
            {"enum": [pick.choice(VALUES), *range(40)]}, {"minimum": pick.randint(-3, 3)},
            {"pattern": "^[a-z]+$"}, {"maxLength": 1}, {"uniqueItems": True}, {"multipleOf": 0.5},
            {"format": "date"}, {"minItems": 1}, {"maxProperties": 1}, {},
        ])  # fmt: skip

    def make_keywords(self, depth: int) -> dict[str, Any]:
        pick = self.random
        one, more = self.make(depth), [self.make(depth) for _ in range(pick.randint(1, 3))]
        named = {name: self.make(depth) for name in pick.sample("abcd", 2)}
        found: list[dict[str, Any]] = [
            {pick.choice(["allOf", "anyOf", "oneOf"]): more}, {"not": one}, {"properties": named},
            {"patternProperties": {"^x_[0-9]": one, "^(b|c)$": self.make(depth)}},
            {"additionalProperties": one}, {"required": pick.sample("abc", 1)}, {"items": one},
            {"type": pick.choice(["object", "array", "string"])},
            {"dependencies" if self.old else "dependentSchemas": {"a": one}},
        ]  # fmt: skip
        if self.old:
            found.append({"items": more, "additionalItems": one})
        else:
            found += [{"unevaluatedProperties": False}, {"dependentRequired": {"a": ["b"]}}]
            found += [{"prefixItems": more, "items": one}] if "2020" in self.dialect else []
        if "2020" in self.dialect:
            found += [{"$dynamicRef": "#/$defs/x"}, {"unevaluatedItems": False}]
        if "04" not in self.dialect:
            found += [{"const": pick.choice(VALUES)}, {"contains": one}]
            found += [{"propertyNames": {"maxLength": 2}}]
        if "04" not in self.dialect and "06" not in self.dialect:
            found.append({"if": one, "then": self.make(depth), "else": self.make(depth)})
        return pick.choice(found)


def find_refusal(schema: dict[str, Any]) -> str:
    """Return why a schema does not apply, or ""."""
    try:
        parameters.check_schema(schema)
    except Usage as refusal:
        return refusal.message
    build_outline(schema)
    parameters.find_faults(schema, {})
    return ""


def judge_ours(schema: dict[str, Any], value: Any) -> bool | None:
    """Return the verdict, or None without one in bounded time."""
    try:
        return not json_schema.find_errors(schema, value)
    except json_schema.LimitExceededError:
        return None


def judge_theirs(schema: dict[str, Any], value: Any, formats: bool = False) -> bool | None:
    draft = validator_for(schema)
    try:
        checker = draft.FORMAT_CHECKER if formats else None
        return draft(schema, format_checker=checker).is_valid(value)
    except RecursionError:
        return None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_random_schemas_agree_with_the_jsonschema_package(dialect: str) -> None:
    maker, judged = SchemaMaker(random.Random(dialect), dialect), 0
    for _ in range(SCHEMAS):
        schema = maker.make_schema()
        try:
            json_schema.check_schema(schema)
        except json_schema.InvalidSchemaError:
            continue
        for value in maker.random.sample(VALUES, 4):
            verdicts = judge_ours(schema, value), judge_theirs(schema, value)
            judged += None not in verdicts
            assert None in verdicts or verdicts[0] is verdicts[1], (json.dumps(schema), value)
    assert judged > SCHEMAS


def spoil(maker: SchemaMaker, schema: dict[str, Any]) -> None:
    """Give a keyword of a schema a random value."""
    nodes = [node for _, node in json_schema.iterate_nodes(schema) if isinstance(node, dict)]
    node = maker.random.choice(nodes)
    word = maker.random.choice([*node, "minLength", "items", "required"])
    node[word] = maker.random.choice(VALUES)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_random_schemas_are_refused_where_the_jsonschema_package_refuses(dialect: str) -> None:
    maker, refused = SchemaMaker(random.Random(dialect), dialect), 0
    for _ in range(2 * SCHEMAS):
        schema = json.loads(json.dumps(maker.make_schema()))
        spoil(maker, schema)
        schema["$schema"] = dialect
        draft = validator_for(schema)
        errors = list(draft(draft.META_SCHEMA).iter_errors(schema))
        paths = {json_schema.format_path(error.absolute_path) for error in errors}
        refused += bool(errors)
        try:
            json_schema._check_meta_schema(schema, draft)
        except json_schema.InvalidSchemaError as error:
            assert any(str(error).startswith(path) for path in paths), (json.dumps(schema), error)
        else:
            assert not paths, json.dumps(schema)
    assert refused > SCHEMAS // 5


@pytest.mark.parametrize("dialect", DIALECTS)
def test_random_parameters_agree_with_the_jsonschema_package(dialect: str) -> None:
    maker, judged = SchemaMaker(random.Random(dialect), dialect), 0
    for _ in range(2 * SCHEMAS):
        schema = json.loads(json.dumps(maker.make_schema()))
        if find_refusal(schema):
            continue
        for _ in range(6):
            names = maker.random.sample(["a", "b", "c", "d", "x_1"], maker.random.randint(0, 4))
            given = {name: maker.random.choice(VALUES) for name in names}
            try:
                filled = parameters.resolve_values(schema, given)
            except Usage as fault:
                must = "no parameter" not in fault.message
                assert not (must and judge_theirs(schema, given, True)), (json.dumps(schema), given)
            else:
                assert judge_theirs(schema, filled, True), (json.dumps(schema), given)
            judged += 1
    assert judged > SCHEMAS
