"""Schemas of real pipelines as forms: opened in the deck, filled in, made wrong, mended, submitted to a real runtime.

Where those are not at hand, schemas of our own take their place.
"""

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
from app.core.schema.form_fields import Field, Outline, text_of
from app.core.schema.form_outline import outline
from app.tui.app import TaskdeckApp
from app.tui.screens.submit_form import SubmitScreen
from tests.core.scheduling.trace_files import CASES
from tests.runtime_process import Living
from tests.tui.fake_runtime import line, until
from tests.tui.forms.test_schema_form import GROUPS, KEYWORDS, burst, fields, shows

FOLDER = (CASES or Path()) / "jsonschema"
TEXTS = (
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
"""One of these suits any text that a schema asks for."""


def sheet(name: str) -> dict[str, Any]:
    """A parameter that holds a whole table."""
    return {
        "type": "object",
        "required": ["samples"],
        "properties": {"samples": json.loads((FOLDER / name).read_text())},
    }


def real() -> dict[str, dict[str, Any]]:
    """The schemas, by a short name."""
    if not FOLDER.is_dir():
        return {"keywords": KEYWORDS, "groups": GROUPS}
    return {
        "fetchngs": json.loads((FOLDER / "nf-core-fetchngs.nextflow_schema.json").read_text()),
        "rnaseq": json.loads((FOLDER / "nf-core-rnaseq.nextflow_schema.json").read_text()),
        "ids": sheet("nf-core-fetchngs.schema_input.json"),
        "sheet": sheet("nf-core-rnaseq.schema_input.json"),
        "deseq2": yaml.safe_load((FOLDER / "snakemake-rna-seq-star-deseq2.config.schema.yaml").read_text()),
    }


SCHEMAS = real()


@pytest.fixture(scope="module")
def living() -> Iterator[Living]:
    """A runtime with a template for each schema."""
    home = Path(tempfile.mkdtemp(prefix="td-"))
    paths.make_home(home)
    found = Living(home)
    found.start()
    for name, schema in SCHEMAS.items():
        found.call("template.create", name=name, engine="exec", schema={"argv": ["true"]}, parameters=schema)
    yield found
    found.end()
    shutil.rmtree(home)


def sample(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """Return a value that `schema`, a part of `root`, allows."""
    kind = schema.get("type")
    if isinstance(schema.get("enum"), list):
        return schema["enum"][0]
    if kind == "object":
        names = schema.get("required") or [*schema.get("properties", {})]
        return {name: sample(schema["properties"][name], root) for name in names}
    if kind == "array":
        return [sample(schema.get("items", {}), root)]
    tried = (
        [True] if kind == "boolean" else [schema.get("minimum", 1), 5, 0.5] if kind in ("integer", "number") else TEXTS
    )
    checked = {**schema, "$schema": DIALECT, "$defs": root.get("$defs", {})}  # which its references name
    return next(value for value in tried if not json_schema.errors(checked, value, formats=True))


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def chosen(found: Outline) -> list[Field]:
    """What is filled in: all that must be, the first of each group, and the first of each kind."""
    kept, kinds = [], set()
    for group in found.groups:
        shown = [field for field in group.fields if not (field.secret or secrets.is_secret(field.name, ()))]
        plain = [field for field in shown if not (field.is_rest or field.is_switch)]
        for n, field in enumerate(plain):
            rules = field.schema
            kind = (str(rules.get("type")), bool(field.choices), "pattern" in rules, rules.get("format"))
            if field.required or not n or kind not in kinds:
                kept.append(field)
            kinds.add(kind)
    return kept


def filled_in(schema: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Texts that the form takes, by field."""
    found = outline(schema)
    texts = {field.path: _text(field, schema) for field in chosen(found)}
    return {path: text for path, text in texts.items() if text != found.fields[path].default}


def _text(field: Field, root: dict[str, Any]) -> str:
    return field.choices[0][0] if field.choices else text_of(field, sample(dict(field.schema), root))


def wrong_text(schema: dict[str, Any], texts: dict[tuple[str, ...], str]) -> tuple[tuple[str, ...], str, str]:
    """A field, a text that is wrong there, and what is said of it."""
    found = outline(schema)
    for path in (path for path in texts if not found.fields[path].choices):
        for text in ("not so!", "[[0]]", "{"):
            for finding in parameters.findings(schema, found.values({**texts, path: text})):
                if found.place(finding.path) == path:
                    return path, text, finding.text
    raise AssertionError("nothing can be wrong")


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_real_schema_gives_a_form_that_can_be_filled_failed_mended_and_submitted(
    name: str, living: Living
) -> None:
    schema = SCHEMAS[name]
    texts = filled_in(schema)
    at, wrong, said = wrong_text(schema, texts)
    app = TaskdeckApp(lambda: Client(living.home, autostart=False), home=living.home)
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_form(template=name)
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen) and app.screen.focused is not None)
        for path, text in texts.items():
            await fill(pilot, app, path, text)
        await fill(pilot, app, at, wrong)
        await until(pilot, lambda: shows(app, f"✗             {said}"[:60]))
        assert ".".join(at) in said
        burst(app, "ctrl+j")
        await until(pilot, lambda: "Not submitted: " in line(app, 38))

        await fill(pilot, app, at, texts[at])
        await until(pilot, lambda: shows(app, "It can be submitted."))
        burst(app, "ctrl+j")
        await until(pilot, lambda: app.screen is app.deck)
        assert app.failure is None

    stored = living.show(str(living.call("ls", limit=1)["tasks"][0]["number"]))
    values = outline(schema).values(texts)
    assert stored["template"] == name
    assert stored["parameters"] == parameters.resolve(schema, values)


async def fill(pilot: Any, app: TaskdeckApp, path: tuple[str, ...], text: str) -> None:
    """Find a field by its name, and put a text into it or pick it."""
    found = outline(fields(app).schema).fields[path]
    burst(app, "ctrl+f", found.name, "enter")
    await until(pilot, lambda: fields(app).at is not None and shows(app, "esc shows all"))
    while fields(app).at != path:
        before = fields(app).at
        burst(app, "down")
        await until(pilot, lambda before=before: fields(app).at != before)
    if found.choices:
        while fields(app).texts.get(path, found.default) != text:
            before = fields(app).texts.get(path)
            burst(app, "right")
            await until(pilot, lambda before=before: fields(app).texts.get(path) != before)
    else:
        burst(app, "ctrl+u", text)
    await until(pilot, lambda: fields(app).texts.get(path, "") == text)
    burst(app, "escape")
    await until(pilot, lambda: not shows(app, "esc shows all"))
