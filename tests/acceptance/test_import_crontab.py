"""Tests of `import crontab` on the user's own crontab, with a stand-in for the program crontab."""

from __future__ import annotations

import getpass
import json
import pwd

import pytest

from tests.message_servers import receive_mail
from tests.runtime_process import wait_until

PROGRAM = """#!/bin/sh
file="$CRONTAB_FILE"
case "$1" in
-l) [ -f "$file" ] || { echo "no crontab for ann" >&2; exit 1; }; cat "$file" ;;
-) [ -z "$CRONTAB_BROKEN" ] || { echo "no room" >&2; exit 1; }; cat > "$file" ;;
esac
"""
CRONTAB = "X=1\n0 2 * * * /opt/etl\n0 25 * * * /opt/wrong\n\n# end\n@daily cat%$X%end\n"


@pytest.fixture
def crontab(acceptance_home):
    """Return the file of a user's crontab, which the program crontab reads and writes."""
    folder = acceptance_home.work / "bin"
    folder.mkdir()
    (folder / "crontab").write_text(PROGRAM)
    (folder / "crontab").chmod(0o755)
    file = acceptance_home.work / "crontab"
    file.write_text(CRONTAB)
    acceptance_home.env["PATH"] = f"{folder}:{acceptance_home.env['PATH']}"
    acceptance_home.env["CRONTAB_FILE"] = str(file)
    return file


def test_the_original_stays_unless_told_otherwise(acceptance_home, crontab):
    done = acceptance_home.run_cli("import", "crontab", "--apply")

    assert done.returncode == 1  # one line is malformed
    assert "2 schedules created." in done.stderr
    assert "cron still runs these lines" in done.stderr
    assert crontab.read_text() == CRONTAB
    names = [row["name"] for row in acceptance_home.run_json("schedule", "ls")]
    assert names == ["end", "etl"]  # named by the comment above it


def test_imported_lines_are_commented_out(acceptance_home, crontab):
    acceptance_home.run_cli("import", "crontab", "--apply")

    done = acceptance_home.run_cli("import", "crontab", "--apply", "--disable-original", "--json")

    found = json.loads(done.stdout)
    assert [entry["outcome"] for entry in found["entries"]] == ["exists", "exists"]
    assert found["disabled"] == [2, 6]
    assert crontab.read_text() == (
        "X=1\n#taskdeck 0 2 * * * /opt/etl\n0 25 * * * /opt/wrong\n\n# end\n"
        "#taskdeck @daily cat%$X%end\n"
    )
    (kept,) = acceptance_home.home.glob("crontab-*")
    assert (str(kept), kept.read_text()) == (found["original"], CRONTAB)
    assert acceptance_home.run_json("import", "crontab")["entries"] == []


def test_a_crontab_that_cannot_be_replaced_stays(acceptance_home, crontab):
    acceptance_home.env["CRONTAB_BROKEN"] = "1"

    done = acceptance_home.run_cli("import", "crontab", "--apply", "--disable-original")

    assert done.returncode == 1
    assert "crontab -: no room. The crontab stays." in done.stderr
    assert crontab.read_text() == CRONTAB
    assert len(acceptance_home.run_json("schedule", "ls")) == 2


def test_a_missing_crontab_is_reported(acceptance_home, crontab):
    crontab.unlink()

    done = acceptance_home.run_cli("import", "crontab")

    assert done.returncode == 3
    assert "crontab -l: no crontab for ann. Nothing was changed." in done.stderr


def test_a_machine_without_the_program_is_reported(acceptance_home):
    done = acceptance_home.run_cli("import", "crontab", PATH="/nonexistent")

    assert done.returncode == 3
    assert "there is no program crontab here" in done.stderr


def test_a_failure_is_mailed_to_the_address_of_the_crontab(acceptance_home, crontab):
    crontab.write_text(
        "MAILTO=ops@example.com\n@daily /bin/false\nMAILTO=''\n@daily grep x /dev/null\n"
    )
    with receive_mail() as server:
        config = acceptance_home.home.parent / "config" / "taskdeck" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(
            f'[channels.ops]\nurl = "{server.url}"\n[notifications]\ndefault = "ops"\n'
        )
        acceptance_home.run_ok("import", "crontab", "--apply")

        for name in ("grep", "false"):
            number = acceptance_home.run_ok("schedule", "run", name).strip()
            acceptance_home.run_cli("wait", number)
        wait_until(lambda: server.messages, "the mail")

    assert [mail["Subject"] for mail in server.messages] == ["[failed] #2 false failed: exit 1"]


def test_an_imported_command_runs_as_under_cron(acceptance_home, crontab):
    crontab.write_text("SHELL=/bin/bash\n@daily env; pwd; cat%one%two\n")
    acceptance_home.run_ok("import", "crontab", "--apply")

    number = acceptance_home.run_ok("schedule", "run", "pwd").strip()
    acceptance_home.run_ok("wait", number)
    lines = acceptance_home.run_ok("logs", number).splitlines()

    account = pwd.getpwnam(getpass.getuser())
    assert {"SHELL=/bin/bash", "PATH=/usr/bin:/bin", f"HOME={account.pw_dir}"} <= set(lines)
    assert f"LOGNAME={account.pw_name}" in lines
    assert not [line for line in lines if line.startswith(("LANG=", "TERM=", "CRONTAB_FILE="))]
    assert lines[-3:] == [account.pw_dir, "one", "two"]
