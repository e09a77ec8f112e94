"""A short form of the long test: worlds without a fault, and mutants that they find."""

from __future__ import annotations

import pytest

from tests.long.dispatch.mutants import MUTANTS, apply_mutant
from tests.long.dispatch.trials import find_fault


def test_worlds_keep_all_promises():
    assert find_fault(6) is None


@pytest.mark.parametrize("name", list(MUTANTS)[::4])
def test_worlds_find_mutants(name: str):
    with apply_mutant(name):
        assert find_fault(20) is not None
