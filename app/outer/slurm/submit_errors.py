"""Kinds of errors of sbatch: which ones pass, which ones will not."""

from __future__ import annotations

import re
from enum import Enum


class SubmitError(Enum):
    """Meaning of an error of sbatch for the task."""

    SILENT = "silent"
    """The controller did not take the request; it may have acted on it nonetheless."""
    LIMIT = "limit"
    """A limit of jobs, which ends when others end, or a drained partition."""
    REFUSED = "refused"
    """Slurm will never take this job."""
    UNKNOWN = "unknown"


_KINDS = (
    (
        SubmitError.LIMIT,
        "submit ?limit|maxsubmit|submitjobs?(per\\w+)?limit|temporarily unable|inactive or drain",
    ),
    (
        SubmitError.SILENT,
        "unable to contact|connect|timed out|did not answer|not found|authenticat|munge|zero bytes"
        "|standby|communicat|socket|credential|unexpected message|no route|resolve|fork|memory lock"
        "|resource temporarily|printed more|closed its output",
    ),
    (
        SubmitError.REFUSED,
        "invalid|not available|can not be satisfied|cannot be satisfied|unrecognized|denied"
        "|not permitted|violates|unknown|ambiguous|not allowed|exceeds|too (long|large|big)"
        "|more processors",
    ),
)
_PATTERNS = tuple((kind, re.compile(words, re.IGNORECASE)) for kind, words in _KINDS)


def classify_error(sentence: str) -> SubmitError:
    """Return the kind of an error by the words of sbatch, which has one exit code for all."""
    for kind, pattern in _PATTERNS:
        if pattern.search(sentence):
            return kind
    return SubmitError.UNKNOWN
