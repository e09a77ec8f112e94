"""Tests of the commands that a shell script calls."""

from __future__ import annotations

import pytest

from app.core.shell_commands import find_commands


@pytest.mark.parametrize(
    "text",
    [
        "srun a", "x=$(srun a)", "a && srun", "a | srun b", "a;srun", "a &\nsrun", "! srun a",
        "if true; then srun a; fi", "while :; do { srun; } done", "(srun a)", "f() (\n srun\n)",
        "exec srun x", "time A=1 B='x y' srun", "> out srun", "diff <(srun a) b", "cat <<< a; srun",
        "x=$(case a in a) echo;; esac); srun", 'echo "$(dirname "$0")" $((1<<2)) ${x#a}\nsrun',
        "cat <<'X' | a\nit's\nX\nsrun", "# it's\nsrun",
    ],
)  # fmt: skip
def test_the_first_word_of_a_command_is_found(text: str):
    assert "srun" in find_commands(text)


@pytest.mark.parametrize(
    "text",
    [
        "echo srun", "echo 'a; srun'", 'echo "a; srun"', "# srun", "a # ; srun", "a \\\n srun",
        "cat <<X\nsrun\nX", "cat <<-'X Y'\nsrun\n\tX Y\n", "a > srun", "for x in srun; do b; done",
        "case $x in\n srun) a;;\n b|srun) c\nesac", "a=(b\nsrun)", "[[ a =~ (b|srun) ]]",
        "srun() { :; }\nsrun a", "function srun { :; }\nsrun a", "command -v srun && srun a",
        "trap 'srun a' EXIT", "srun=1", "/usr/bin/srun a",
    ],
)  # fmt: skip
def test_other_words_are_no_commands(text: str):
    assert "srun" not in find_commands(text)


@pytest.mark.parametrize("text", ["srun 'a", 'srun "$(a', "(srun", "srun)", "srun <<", "srun `"])
def test_a_script_that_is_hard_to_read_has_no_commands(text: str):
    assert find_commands(text) == {}


def test_the_line_is_that_of_the_first_call():
    assert find_commands("#!/bin/sh\nset -e\nmodule load a\nmodule load b\n") == {
        "set": 2, "module": 3,
    }  # fmt: skip
