"""Record of all answers: `python -m tests.trials.record` compares, `--write` renews.

The program asks a fixed home by each face and keeps the answers as text in `recorded/`. A change
of an answer that nobody intended shows up as a difference, and an intended one in the commit.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
from pathlib import Path

from tests.trials.fixed_world import ENVIRONMENT, ROOT

RECORDED = Path(__file__).parent / "recorded"


def main() -> int:
    """Compare the answers with those recorded, or record them; exit with 1 on a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials.record", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the recorded answers")
    parser.add_argument("part", nargs="*", help="files to compare, such as verbs.json; default all")
    args = parser.parse_args()
    made = subprocess.run(
        [sys.executable, "-m", "tests.trials.recorder", *args.part],
        cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
    )  # fmt: skip
    if made.returncode:
        return made.returncode
    answers = _split_parts(made.stdout.decode())
    if args.write:
        return _write(answers, is_whole=not args.part)
    return _compare(answers, is_whole=not args.part)


PART_MARK = "\x00part "


def _split_parts(text: str) -> dict[str, str]:
    """Return the text of each file that the recorder printed."""
    parts = text.split(PART_MARK)[1:]
    return {name: body for name, _, body in (part.partition("\n") for part in parts)}


def _write(answers: dict[str, str], is_whole: bool) -> int:
    RECORDED.mkdir(exist_ok=True)
    for path in RECORDED.iterdir() if is_whole else ():
        if path.name not in answers:
            path.unlink()
    for name, text in answers.items():
        (RECORDED / name).write_text(text, "utf-8")
    return 0


def _compare(answers: dict[str, str], is_whole: bool) -> int:
    """Print the differences."""
    names = {path.name for path in RECORDED.glob("*")} if is_whole else set[str]()
    differences = 0
    for name in sorted(names | answers.keys()):
        path = RECORDED / name
        old = path.read_text("utf-8") if path.exists() else ""
        lines = difflib.unified_diff(
            old.splitlines(), answers.get(name, "").splitlines(),
            f"recorded/{name}", f"now/{name}", n=8, lineterm="",
        )  # fmt: skip
        for line in lines:
            print(line)
            differences += line.startswith(("+", "-")) and not line.startswith(("+++", "---"))
    if differences:
        print(f"{differences} lines differ. Renew: python -m tests.trials.record --write")
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
