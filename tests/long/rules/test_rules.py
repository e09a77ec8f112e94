"""A short form of the long test: the machine finds no fault, and finds some mutants."""

from __future__ import annotations

import pytest

from tests.long.rules.mutants import MUTANTS, apply_mutant
from tests.long.rules.trials import find_fault

pytestmark = pytest.mark.database


def test_the_machine_finds_no_fault():
    assert find_fault(1000) is None


@pytest.mark.parametrize("name", list(MUTANTS)[::4])
def test_the_machine_finds_mutants(name: str):
    with apply_mutant(name):
        assert find_fault(4000) is not None
