"""Places of shell text where a quoted value is one word, as a shell reads them."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from app.core.shell_quotes import is_unquoted

VALUE = "a' \"$(echo read)`echo it`"


@pytest.mark.process
@pytest.mark.parametrize(
    "text",
    [
        "printf %s @", "printf %s x'y'@\"z\"", "# don't\nprintf %s @", "printf %s \\'@",
        "a=1;printf %s x#'y'@", 'printf %s "\\""@', "(printf %s @)", 'printf %s "a" $(true) @',
    ],
)  # fmt: skip
def test_a_quoted_value_stays_as_it_is(text: str):
    script = text.replace("@", shlex.quote(VALUE))

    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert is_unquoted(text, text.index("@"))
    assert VALUE in said or " ".join(VALUE.split()) in said


@pytest.mark.parametrize(
    "text",
    [
        "echo '@'", 'echo "@"', "echo `echo @`", "cat <<E\n@\nE\n", "cat <<-'E'\n@\nE\n",
        "x=1 # don't '@", 'echo "a\\"@"', "echo a#'@'", "sh -c 'echo \"@\"'",
        'echo "$(echo "@")"', 'echo "${y:-"@"}"', "echo $'it\\'s @'", "echo $((@))", "echo \\@",
    ],
)  # fmt: skip
def test_a_value_within_quotes_is_found(text: str):
    assert not is_unquoted(text, text.index("@"))
