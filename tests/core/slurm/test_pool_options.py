"""Options of a pool of kind slurm: names, further options of sbatch, and what is refused."""

from __future__ import annotations

import pytest

from app.core.slurm import pool_options


def test_options_of_a_pool_are_stored_and_read_without_empty_ones():
    given = {"partition": "long", "account": "", "qos": None, "options": ["--constraint=a100"]}

    text = pool_options.format_options(given)

    assert pool_options.parse_options(text) == {
        "partition": "long", "options": ["--constraint=a100"]
    }  # fmt: skip
    assert pool_options.format_options(dict.fromkeys(pool_options.NAMES)) is None


@pytest.mark.parametrize("word", ["-p", "a b", "a\n", "a;b", "é", 7, "x" * 201])
def test_a_partition_must_be_a_name(word: object):
    with pytest.raises(ValueError, match="must be a name of letters"):
        pool_options.check_word(word)


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--mem=4G", "use --memory of the task"),
        ("--time=1", "use --timeout of the task"),
        ("--part=x", "use --partition"),
        ("--arr=1-3", "Taskdeck sets it"),
        ("--requeue", "Taskdeck sets it"),
        ("--wrap=true", "Taskdeck sets it"),
        ("-c4", "must be long options"),
        ("x", "must be long options"),
        ("--constraint", "lacks the value of --constraint"),
        ("--comment=a\nb", "must be long options"),
    ],
)
def test_an_option_that_taskdeck_sets_is_refused(option: str, why: str):
    with pytest.raises(ValueError, match=why):
        pool_options.check_options(["--exclusive", option])


def test_other_options_of_sbatch_pass_as_they_are():
    given = ["--constraint=a100&nvlink", "--exclusive", "--reservation=r1", "--nodelist=n[1-2]"]

    assert pool_options.check_options(given) == given


def test_a_pool_has_no_settings_of_the_other_kind():
    assert pool_options.find_misfit("slurm", ["partition"]) is None
    assert "takes no cpu" in (pool_options.find_misfit("slurm", ["cpu"]) or "")
    assert pool_options.find_misfit(None, ["qos"]) == "qos is for pools of kind slurm"
