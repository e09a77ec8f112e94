"""Values of sbatch options."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.slurm import values


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("parse_time", "90", 5400.0),
        ("parse_time", "1:30", 90.0),
        ("parse_time", "1:00:05", 3605.0),
        ("parse_time", "2-12", 216000.0),
        ("parse_time", "1-0:10", 87000.0),
        ("parse_time", "1-00:00:01", 86401.0),
        ("parse_time", "UNLIMITED", None),
        ("parse_time", "0", None),
        ("parse_mib", "4000", 4000),
        ("parse_mib", "4G", 4096),
        ("parse_mib", "1875m", 1875),
        ("parse_mib", "1500K", 2),
        ("parse_mib", "1TB", 1048576),
        ("parse_count", "1-4", 1),
        ("parse_integer", "-5", -5),
        ("parse_gpus", "2", ({"gpu": 2}, [])),
        ("parse_gpus", "a100:2", ({"gpu": 2}, ["a100"])),
        ("parse_gpus", "a100", ({"gpu": 1}, ["a100"])),
        ("parse_gpus", "a100:2,v100:1", ({"gpu": 3}, ["a100", "v100"])),
        ("parse_gpus", "0", ({"gpu": 0}, [])),
        ("parse_gres", "gpu:h100:4,tape", ({"gpu": 4, "tape": 1}, ["h100"])),
        ("parse_gres", "gpu:a100", ({"gpu": 1}, ["a100"])),
        ("parse_gres", "gpu:1g.5gb,gpu:3090:2", ({"gpu": 3}, ["1g.5gb", "3090"])),
        ("parse_licenses", "matlab@srv:2,ansys", {"license.matlab": 2, "license.ansys": 1}),
        ("parse_dependency", "afterok:12:13,after:4", {"after": ["12", "13"],
                                                       "after_start": ["4"]}),
        ("parse_dependency", "afternotok:g7,afterany:2", {"after_failure": ["g7"],
                                                         "after_any": ["2"]}),
        ("parse_begin", "now+1hour", "1h"),
        ("parse_begin", "now+90", "90s"),
        ("parse_begin", "now+2weeks", "14d"),
        ("parse_begin", "now", ""),
        ("parse_begin", "noon", "12:00"),
        ("parse_begin", "2030-01-02T03:04", "2030-01-02T03:04"),
        ("parse_signal", "B:TERM@300", "TERM@300s"),
        ("parse_signal", "USR1", "USR1"),
        ("parse_mail_types", "begin,end,fail", "ended"),
        ("parse_mail_types", "FAIL", "failed"),
        ("parse_mail_types", "NONE", "never"),
        ("parse_mail_types", "begin", None),
        ("parse_export", "ALL", (None, [])),
        ("parse_export", "ALL,A=1", (None, [("A", "1")])),
        ("parse_export", "NONE", ("none", [])),
        ("parse_export", "HOME,A=1", ("HOME", [("A", "1")])),
        ("parse_export", "A=1", ("none", [("A", "1")])),
    ],
)  # fmt: skip
def test_a_value_has_its_counterpart(name: str, text: str, value: Any):
    assert getattr(values, name)(text) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("parse_time", "TAG", "must be a time"),
        ("parse_time", "-5", "must be a time"),
        ("parse_time", "1:2:3:4", "must be a time"),
        ("parse_mib", "0", "asks for all memory"),
        ("parse_mib", "4x", "must be memory"),
        ("parse_count", "NUM", "must be a whole number"),
        ("parse_integer", "x", "must be a whole number"),
        ("parse_gpus", ":2", "must be a number of GPUs"),
        ("parse_gpus", "a100:", "must be a number of GPUs"),
        ("parse_gpus", "9999999999", "must be a number of GPUs"),
        ("parse_gres", "gpu:a:b:2", "must be resources"),
        ("parse_gres", "gpu:-1", "must be resources"),
        ("parse_gres", "gpu:2K", "must be resources"),
        ("parse_licenses", "@x", "must be licences"),
        ("parse_dependency", "singleton", "has no counterpart"),
        ("parse_dependency", "afterok:12?afterok:13", "waits for one of several"),
        ("parse_dependency", "after:12+5", "must name tasks by number"),
        ("parse_signal", "R:USR1@5", "must be such as USR1@300"),
        ("parse_signal", "USR1@5m", "must be such as USR1@300"),
    ],
)
def test_a_value_without_counterpart_is_refused(name: str, text: str, said: str):
    with pytest.raises(ValueError, match=said):
        getattr(values, name)(text)


def test_patterns_of_files_are_translated():
    found = values.translate_pattern("logs/%x-%A_%4a.%u%%.out", "ann")

    assert found == "logs/{name}-{first}_{index}.ann%.out"
    with pytest.raises(ValueError, match="has no counterpart for"):
        values.translate_pattern("%N.out", "ann")
