"""Tests with the official JSON Schema suite and with schemas of real pipelines."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.core.schema import json_schema, parameters
from app.errors import Usage
from tests.core.scheduling.trace_files import CASES

FOLDER = (CASES or Path()) / "jsonschema"
SUITE = FOLDER / "JSON-Schema-Test-Suite-draft2020-12+draft7.tar.gz"
DRAFTS = {"draft2020-12": {}, "draft7": {"$schema": "http://json-schema.org/draft-07/schema#"}}
REMOTE_FILES = ("refRemote.json", "vocabulary.json")
"""Suite files about remote documents, which Taskdeck refuses to fetch."""
PIPELINES = ["nf-core-fetchngs.nextflow_schema.json", "nf-core-rnaseq.nextflow_schema.json"]


def read_groups(draft: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with tarfile.open(SUITE) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if (
                file is not None
                and member.name.startswith(f"tests/{draft}/")
                and member.name.count("/") == 2
            ):
                yield from ((Path(member.name).name, group) for group in json.load(file))


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_answer_matches_the_official_suite(draft: str) -> None:
    wrong, judged, refused = [], 0, set()
    for file, group in read_groups(draft):
        if isinstance(group["schema"], bool):
            continue
        schema = {**DRAFTS[draft], **group["schema"]}
        try:
            json_schema.check_schema(schema)
        except json_schema.InvalidSchemaError as error:
            refused.add((file, str(error).split()[0]))
            continue
        for case in group["tests"]:
            judged += 1
            if (not json_schema.find_errors(schema, case["data"])) is not case["valid"]:
                wrong.append((file, group["description"], case["description"]))
    assert wrong == []
    assert judged > 850
    assert {file for file, why in refused if not why.startswith("$ref")} <= {
        *REMOTE_FILES,
        "patternProperties.json",
        "unevaluatedProperties.json",  # beside patternProperties
    }


def load_schema(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


@pytest.mark.parametrize("name", PIPELINES)
def test_a_real_pipeline_schema_loads_and_fills_defaults(name: str) -> None:
    schema = load_schema(name)
    parameters.check_schema(schema)
    shown = parameters.read_shape(schema)
    filled = parameters.resolve_values(
        schema, parameters.convert_texts([("input", "a.csv"), ("outdir", "/out")], schema)
    )
    assert {"input", "outdir"} <= shown.required
    assert filled.keys() == {"input", "outdir"} | {
        k for k, v in shown.properties.items() if "default" in v
    }


@pytest.mark.parametrize("name", PIPELINES)
def test_every_invalid_parameter_of_a_real_pipeline_is_named(name: str) -> None:
    schema = load_schema(name)
    typed = {k: v for k, v in parameters.read_shape(schema).properties.items() if "type" in v}
    assert len(typed) > 20
    for parameter in typed:
        with pytest.raises(Usage) as caught:
            parameters.resolve_values(
                schema, {"input": "a.csv", "outdir": "/out", parameter: {"no": "type"}}
            )
        assert f"(parameter {parameter})" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nf-core-fetchngs.schema_input.json", "nf-core-rnaseq.schema_input.json"]
)
def test_a_real_sample_sheet_schema_works_for_one_parameter(name: str) -> None:
    schema = {"type": "object", "properties": {"samples": load_schema(name)}}
    parameters.check_schema(schema)
    assert parameters.find_kinds(schema["properties"]["samples"], schema) == {"array"}
    with pytest.raises(Usage, match=r"samples"):
        parameters.resolve_values(schema, {"samples": "none"})


def test_a_real_workflow_configuration_matches_its_schema() -> None:
    schema = yaml.safe_load(
        (FOLDER / "snakemake-rna-seq-star-deseq2.config.schema.yaml").read_text()
    )
    values = yaml.safe_load((FOLDER / "snakemake-rna-seq-star-deseq2.config.yaml").read_text())
    parameters.check_schema(schema)
    open_schema = {**schema, "additionalProperties": True}
    assert parameters.resolve_values(open_schema, values).keys() >= values.keys()
    with pytest.raises(Usage, match=r"ref\.release must be a whole number"):
        parameters.resolve_values(open_schema, values | {"ref": values["ref"] | {"release": "new"}})
