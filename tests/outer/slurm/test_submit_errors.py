"""Tests of the kinds of errors of sbatch, with its own sentences."""

from __future__ import annotations

import pytest

from app.outer.slurm.submit_errors import SubmitError, classify_error

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Unable to contact slurm controller (connect failure)", SubmitError.SILENT),
        ("Socket timed out on send/recv operation", SubmitError.SILENT),
        ("Protocol authentication error", SubmitError.SILENT),
        ("Slurm backup controller in standby mode", SubmitError.SILENT),
        ("sbatch did not answer within 60 s", SubmitError.SILENT),
        ("/opt/slurm/sbatch was not found", SubmitError.SILENT),
        ("Slurm temporarily unable to accept job, sleeping and retrying", SubmitError.LIMIT),
        (
            "AssocMaxSubmitJobLimit; Job violates accounting/QOS policy (job submit limit, user's"
            " size and/or time limits)",
            SubmitError.LIMIT,
        ),
        ("QOSMaxSubmitJobPerUserLimit", SubmitError.LIMIT),
        ("Required partition not available (inactive or drain)", SubmitError.LIMIT),
        (
            "CPU count per node can not be satisfied; Requested node configuration is not"
            " available",
            SubmitError.REFUSED,
        ),
        ("invalid partition specified: x; Invalid partition name specified", SubmitError.REFUSED),
        ("Invalid account or account/partition combination specified", SubmitError.REFUSED),
        ("unrecognized option '--constrain'", SubmitError.REFUSED),
        ("Memory specification can not be satisfied", SubmitError.REFUSED),
        ("something new", SubmitError.UNKNOWN),
    ],
)
def test_an_error_has_a_kind(sentence: str, kind: SubmitError) -> None:
    assert classify_error(sentence) is kind
