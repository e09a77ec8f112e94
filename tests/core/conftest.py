"""Tests that replay recorded traces are collected only where the traces are."""

from tests.core.traces import CASES

collect_ignore = [] if CASES else ["test_traces.py"]
