"""Completion scripts are real ones."""

from __future__ import annotations

import subprocess


def completed(script: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    ask = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; COMP_LINE={line!r}; COMP_POINT={len(line)}"
    code = f'{script}\n{ask}\n_shtab_taskdeck taskdeck "{words[-1]}"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_verbs_second_words_and_options(cli):
    script = cli("completion", "bash").out

    assert completed(script, "taskdeck su") == ["submit"]
    assert completed(script, "taskdeck queue dra") == ["drain"]
    assert completed(script, "taskdeck submit --prio") == ["--priority"]


def test_bash_takes_the_script_as_the_completion_of_taskdeck(cli):
    script = cli("completion", "bash").out

    done = subprocess.run(["bash", "-c", f"{script}\ncomplete -p taskdeck"], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("taskdeck\n")


def test_zsh_and_fish_know_the_verbs_and_their_options(cli):
    zsh, fish = cli("completion", "zsh").out, cli("completion", "fish").out

    assert zsh.startswith("#compdef taskdeck")
    for script in (zsh, fish):
        assert all(
            word in script for word in ("submit", "drain", "retry-delay", "queue a command, shell text or a template")
        )


def test_hidden_options_are_not_offered(cli):
    assert all("ready-fd" not in cli("completion", shell).out for shell in ("bash", "zsh", "fish"))
