"""Tests that replay recorded traces are collected only where the traces are."""

from tests.core.scheduling.trace_files import CASES

collect_ignore = [] if CASES else ["test_traces.py"]
