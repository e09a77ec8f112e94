"""Forms of real pipeline schemas, submitted to a real runtime; own schemas replace missing ones."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import paths
from app.client import Client
from app.core.schema import json_schema, parameters, secrets
from app.core.schema.form_fields import FormField, FormOutline, format_value
from app.core.schema.form_outline import build_outline
from app.tui.app import TaskdeckApp
from app.tui.screens.submission.submit_form import SubmitScreen
from tests.core.scheduling.trace_files import CASES
from tests.runtime_process import RuntimeProcess
from tests.tui.fake_runtime import read_screen_line, wait_until
from tests.tui.forms.test_schema_form import GROUPS, KEYWORDS, get_fields, is_shown, type_keys

FOLDER = (CASES or Path()) / "jsonschema"
SAMPLE_TEXTS = (
    "abc",
    "a.csv",
    "a.fastq.gz",
    "a.bam",
    "a.fa",
    "a.gtf",
    "a.gff",
    "a.bed",
    "a@b.org",
    "1.GB",
    "1.h",
    "en",
    "/tmp",
    "SRR1234567",
)
"""Sample texts; every schema here accepts one of them."""


def make_table_schema(name: str) -> dict[str, Any]:
    """Return the schema of a parameter that holds a whole table."""
    return {
        "type": "object",
        "required": ["samples"],
        "properties": {"samples": json.loads((FOLDER / name).read_text())},
    }


def load_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by short name."""
    if not FOLDER.is_dir():
        return {"keywords": KEYWORDS, "groups": GROUPS}
    return {
        "fetchngs": json.loads((FOLDER / "nf-core-fetchngs.nextflow_schema.json").read_text()),
        "rnaseq": json.loads((FOLDER / "nf-core-rnaseq.nextflow_schema.json").read_text()),
        "ids": make_table_schema("nf-core-fetchngs.schema_input.json"),
        "sheet": make_table_schema("nf-core-rnaseq.schema_input.json"),
        "deseq2": yaml.safe_load(
            (FOLDER / "snakemake-rna-seq-star-deseq2.config.schema.yaml").read_text()
        ),
    }


SCHEMAS = load_schemas()


@pytest.fixture(scope="module")
def schema_runtime() -> Iterator[RuntimeProcess]:
    """Start a runtime with a template for each schema."""
    home = Path(tempfile.mkdtemp(prefix="td-"))
    paths.make_home(home)
    found = RuntimeProcess(home)
    found.start()
    for name, schema in SCHEMAS.items():
        found.call(
            "template.create",
            name=name,
            engine="exec",
            schema={"argv": ["true"]},
            parameters=schema,
        )
    yield found
    found.kill_all()
    shutil.rmtree(home)


def make_sample(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """Return a value that the schema accepts."""
    kind = schema.get("type")
    if isinstance(schema.get("enum"), list):
        return schema["enum"][0]
    if kind == "object":
        names = schema.get("required") or [*schema.get("properties", {})]
        return {name: make_sample(schema["properties"][name], root) for name in names}
    if kind == "array":
        return [make_sample(schema.get("items", {}), root)]
    tried = (
        [True]
        if kind == "boolean"
        else [schema.get("minimum", 1), 5, 0.5]
        if kind in ("integer", "number")
        else SAMPLE_TEXTS
    )
    checked = {
        **schema,
        "$schema": DIALECT,
        "$defs": root.get("$defs", {}),
    }  # which its references name
    return next(
        value for value in tried if not json_schema.find_errors(checked, value, formats=True)
    )


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def select_fields(found: FormOutline) -> list[FormField]:
    """Return all required fields, and the first of each group and each kind."""
    kept, kinds = [], set()
    for group in found.groups:
        shown = [
            field
            for field in group.fields
            if not (field.is_secret or secrets.is_secret_property(field.name, field.schema))
        ]
        plain = [field for field in shown if not (field.is_rest or field.is_switch)]
        for n, field in enumerate(plain):
            rules = field.schema
            kind = (
                str(rules.get("type")),
                bool(field.choices),
                "pattern" in rules,
                rules.get("format"),
            )
            if field.required or not n or kind not in kinds:
                kept.append(field)
            kinds.add(kind)
    return kept


def make_texts(schema: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Return texts accepted by the form, by field."""
    found = build_outline(schema)
    texts = {field.path: _make_text(field, schema) for field in select_fields(found)}
    return {path: text for path, text in texts.items() if text != found.fields[path].default}


def _make_text(field: FormField, root: dict[str, Any]) -> str:
    return (
        field.choices[0][0]
        if field.choices
        else format_value(field, make_sample(dict(field.schema), root))
    )


def find_wrong_text(
    schema: dict[str, Any], texts: dict[tuple[str, ...], str]
) -> tuple[tuple[str, ...], str, str]:
    """Return a field, a wrong text for it, and the fault message."""
    found = build_outline(schema)
    for path in (path for path in texts if not found.fields[path].choices):
        for text in ("not so!", "[[0]]", "{"):
            for finding in parameters.find_faults(schema, found.parse_texts({**texts, path: text})):
                if found.find_location(finding.path) == path:
                    return path, text, finding.text
    raise AssertionError("nothing can be wrong")


@pytest.mark.parametrize("name", SCHEMAS)
async def test_the_form_of_a_real_schema_can_be_corrected_and_submitted(
    name: str, schema_runtime: RuntimeProcess
) -> None:
    schema = SCHEMAS[name]
    texts = make_texts(schema)
    at, wrong, said = find_wrong_text(schema, texts)
    app = TaskdeckApp(
        lambda: Client(schema_runtime.home, autostart=False), home=schema_runtime.home
    )
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_form(template=name)
        await wait_until(
            pilot, lambda: isinstance(app.screen, SubmitScreen) and app.screen.focused is not None
        )
        for path, text in texts.items():
            await fill_field(pilot, app, path, text)
        await fill_field(pilot, app, at, wrong)
        await wait_until(pilot, lambda: is_shown(app, f"✗             {said}"[:60]))
        assert ".".join(at) in said
        type_keys(app, "ctrl+j")
        await wait_until(pilot, lambda: "Not submitted: " in read_screen_line(app, 38))

        await fill_field(pilot, app, at, texts[at])
        await wait_until(pilot, lambda: is_shown(app, "It can be submitted."))
        type_keys(app, "ctrl+j")
        await wait_until(pilot, lambda: app.screen is app.deck)
        assert app.failure is None

    newest = max(row["number"] for row in schema_runtime.call("ls", limit=0)["tasks"])
    stored = schema_runtime.show(str(newest))
    values = build_outline(schema).parse_texts(texts)
    assert stored["template"] == name
    assert stored["parameters"] == parameters.resolve_values(schema, values)


async def fill_field(pilot: Any, app: TaskdeckApp, path: tuple[str, ...], text: str) -> None:
    """Find a field by its name, and type its text or select its choice."""
    found = build_outline(get_fields(app).schema).fields[path]
    type_keys(app, "ctrl+f", found.name, "enter")
    await wait_until(
        pilot, lambda: get_fields(app).current_path is not None and is_shown(app, "esc shows all")
    )
    while get_fields(app).current_path != path:
        before = get_fields(app).current_path
        type_keys(app, "down")
        await wait_until(pilot, lambda before=before: get_fields(app).current_path != before)
    if found.choices:
        while get_fields(app).texts.get(path, found.default) != text:
            before = get_fields(app).texts.get(path)
            type_keys(app, "right")
            await wait_until(pilot, lambda before=before: get_fields(app).texts.get(path) != before)
    else:
        type_keys(app, "ctrl+u", text)
    await wait_until(pilot, lambda: get_fields(app).texts.get(path, "") == text)
    type_keys(app, "escape")
    await wait_until(pilot, lambda: not is_shown(app, "esc shows all"))
