"""Tests of what the package says of itself; `.ci/run` builds and tests the sdist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECURITY = (ROOT / ".github/SECURITY.md").read_text("utf-8")


def test_the_package_has_urls_and_names_its_python_versions():
    listed = PROJECT["project"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(listed))

    assert {"Homepage", "Source", "Issues", "Changelog"} <= PROJECT["project"]["urls"].keys()
    assert f">={versions[0]}" == PROJECT["project"]["requires-python"]
    assert versions == [f"3.{n}" for n in range(11, 11 + len(versions))]


def test_both_packages_are_typed():
    for name in ("app", "db"):
        assert (ROOT / name / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


def test_every_dependency_has_its_reason_and_nothing_else_has_one():
    section = CONTRIBUTING.partition("## Dependencies")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z][^|]*?) \| ?([^|]*?) ?\| (.{9,}) \|$", section, re.MULTILINE)

    reasons = {
        (name, extra)
        for names, extras, _reason in rows
        for name in names.split(", ")
        for extra in extras.split(", ")
        if name != "package"
    }
    assert reasons == {
        (re.split(r"[\[<>=;~! ]", requirement)[0], extra)
        for extra, requirements in _list_requirements().items()
        for requirement in requirements
        if not requirement.startswith("taskdeck[")
    }


def test_every_dependency_has_a_lowest_version_and_an_upper_bound():
    requirements = [one for some in _list_requirements().values() for one in some]
    requirements += PROJECT["build-system"]["requires"]
    requirements = [one for one in requirements if not one.startswith("taskdeck[")]

    assert [one for one in requirements if not re.search(r">=[^,]+,<", one)] == []


def _list_requirements() -> dict[str, list[str]]:
    """Return the requirements by extra, those of a plain install under ""."""
    project = PROJECT["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def test_the_security_policy_names_a_way_to_report_at_the_home_of_the_project():
    (address,) = set(re.findall(r"\S+@\S+\w", SECURITY))

    assert address.partition("@")[2] in PROJECT["project"]["urls"]["Homepage"]
    assert "Supported versions" in SECURITY and "taskdeck help security" in SECURITY
