"""Short form of the fuzzing of the HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.long.http.trial import find_program, run_trial


def test_random_requests_find_no_server_error_and_write_nothing(tmp_path: Path):
    program = find_program(tmp_path)
    if program is None:
        pytest.skip("schemathesis is missing and cannot be installed")

    result = run_trial(program, None, seed=1)

    assert result.is_met, str(result)
    assert result.cases > 100
