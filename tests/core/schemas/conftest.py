"""Tests on schemas that others wrote are collected only where those are."""

from tests.core.traces import CASES

collect_ignore = [] if CASES and (CASES / "jsonschema").is_dir() else ["test_cases.py"]
