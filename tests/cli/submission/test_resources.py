"""Tests of the options for named resources."""

from __future__ import annotations

import argparse

import pytest

from app.cli.submission.resources import add_resource_options, collect_resources


def parse(*words: str) -> dict[str, dict[str, int]]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_resource_options(parser.add_argument)
    return collect_resources(parser.parse_args(words))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--gpu 2", {"gpu": 2}),
        ("--gpus 2", {"gpu": 2}),
        ("--gres gpu:2", {"gpu": 2}),
        ("--gres gpu:a100:2,tape", {"gpu": 2, "tape": 1}),
        ("--resource license.matlab=1 --gpu 1", {"license.matlab": 1, "gpu": 1}),
        ("--gpu 2 --gpu 3", {"gpu": 3}),
    ],
)
def test_options_name_resources_and_amounts(words: str, found: dict[str, int]):
    assert parse(*words.split()) == {"resources": found}


def test_a_model_on_the_command_line_is_told_as_left_out(capsys: pytest.CaptureFixture[str]):
    assert parse("--gres", "gpu:a100:2") == {"resources": {"gpu": 2}}

    assert "--gres gpu:a100:2: the type a100 is left out" in capsys.readouterr().err


def test_without_an_option_nothing_is_asked():
    assert parse() == {}


@pytest.mark.parametrize("words", ["--gpu -1", "--gpu x", "--resource =1", "--gres gpu:a:b:2"])
def test_a_wrong_amount_is_refused(words: str):
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        parse(*words.split())


def test_a_wrong_number_of_gpus_is_told_as_typed():
    with pytest.raises(argparse.ArgumentError, match='--gpu: must be a whole number, not "x"'):
        parse("--gpu", "x")
