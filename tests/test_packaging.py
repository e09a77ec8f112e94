"""Tests of what the package says of itself; `.ci/run` builds and tests the sdist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MANIFEST = (ROOT / "MANIFEST.in").read_text("utf-8")


def test_the_package_has_urls_and_names_its_python_versions():
    listed = PROJECT["project"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(listed))

    assert {"Homepage", "Source", "Issues", "Changelog"} <= PROJECT["project"]["urls"].keys()
    assert f">={versions[0]}" == PROJECT["project"]["requires-python"]
    assert versions == [f"3.{n}" for n in range(11, 11 + len(versions))]


def test_both_packages_are_typed():
    for name in ("app", "db"):
        assert (ROOT / name / "py.typed").is_file()
        assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][name]
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


def test_the_sdist_takes_all_that_its_tests_need():
    taken = set(re.findall(r"^graft (\S+)", MANIFEST, re.MULTILINE))

    assert taken == {".ci", "app", "db", "screenshots", "tests"}
    assert {"CHANGELOG.md", "CONTRIBUTING.md"} <= set(MANIFEST.split())
