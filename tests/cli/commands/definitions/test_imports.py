"""Tests of `import crontab` without a runtime: what it shows and refuses."""

from __future__ import annotations

import getpass
import json
import tomllib

import pytest

from app.core.notifications.channels import parse_notifications

CRONTAB = b"""SHELL=/bin/sh
MAILTO=ops
0 2 * * * /opt/etl
0 25 * * * /opt/never
@reboot /opt/warm
"""
ME = getpass.getuser()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "crontab"
    path.write_bytes(CRONTAB)
    return path


def test_each_line_is_shown_with_what_it_becomes(cli, file):
    done = cli("import", "crontab", str(file))

    assert done.code == 0
    assert "3  etl       new    at 02:00 every day" in done.out
    assert "5  warm      new    at each boot of this machine" in done.out
    assert 'line 4 has a wrong hour: "25" (allowed: 0 to 23):\n    0 25 * * * /opt' in done.out
    assert "MAILTO=ops → no channel yet, so nobody hears of failures (line 3, 5)" in done.out
    assert f"import crontab {file} --apply" in done.err


def test_the_command_to_type_quotes_the_file(cli, tmp_path):
    path = tmp_path / "my crontab"
    path.write_bytes(CRONTAB)

    done = cli("import", "crontab", str(path))

    assert f"taskdeck import crontab '{path}' --apply" in done.err


def test_a_preview_is_allowed_in_read_only_mode(cli, file):
    assert cli("--read-only", "import", "crontab", str(file)).code == 0


def test_json_lists_entries_and_malformed_lines(cli, file):
    found = json.loads(cli("import", "crontab", str(file), "--json").out)

    first, second = found["entries"]
    assert (first["line"], first["schedule"], first["command"]) == (3, "0 2 * * *", "/opt/etl")
    assert first["env"] == {"SHELL": "/bin/sh", "MAILTO": "ops"}
    assert (first["name"], first["outcome"], first["user"]) == ("etl", "new", None)
    assert second["schedule"] == "@reboot"
    assert [(fault["line"], "hour" in fault["reason"]) for fault in found["malformed"]] == [
        (4, True)
    ]


def test_a_crontab_is_read_from_stdin(cli):
    done = cli("import", "crontab", "-", "--jsonl", feed=b"@daily /opt/a\n@hourly /opt/b\n")

    assert [json.loads(line)["name"] for line in done.out.splitlines()] == ["a", "b"]


def test_lines_of_other_users_are_reported(cli):
    text = f"@daily {ME} /opt/mine\n@daily nobody-here /opt/theirs\n"

    done = cli("import", "crontab", "-", "--system", "--json", feed=text.encode())

    mine, theirs = json.loads(done.out)["entries"]
    assert (mine["user"], mine["command"], mine["outcome"]) == (ME, "/opt/mine", "new")
    assert (theirs["outcome"], theirs["reason"]) == (
        "refused", f"runs as nobody-here, not as {ME}",
    )  # fmt: skip


def test_a_user_column_without_system_is_refused(cli):
    done = cli("import", "crontab", "-", feed=b"@daily root cd / && ls\n@daily mail -s x\n")

    assert "line 1 begins with the user root, as in a system crontab: use --system" in done.out
    assert "mail " in done.out


def test_a_missing_program_is_noted(cli):
    text = b"@daily no-such-user-1 /opt/x\n@daily cd / && x\n@daily $X\n@daily /opt/y\n"

    done = cli("import", "crontab", "-", feed=text)

    assert (
        "no program no-such-user-1; if no-such-user-1 is a user, give --system (line 1)" in done.out
    )
    assert done.out.count("no program") == 1


def test_a_missing_shell_is_noted(cli):
    done = cli("import", "crontab", "-", feed=b"SHELL=/no/zsh\n@daily /opt/x\n")

    assert "SHELL=/no/zsh is no program here" in done.out


def test_values_of_secrets_are_masked(cli):
    done = cli("import", "crontab", "-", "--json", feed=b"API_TOKEN=s3cr3t\n@daily x\n")

    assert "s3cr3t" not in done.out


MAIL = b"""0 1 * * * /opt/a
MAILTO=ops@example.org, Ann@example.org
0 2 * * * /opt/b
MAILTO=root
0 3 * * * /opt/c
MAILTO=""
0 4 * * * /opt/d
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Return a file of settings with a channel for two people."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "taskdeck" / "config.toml"
    path.parent.mkdir()
    path.write_text(
        '[channels.mail-root]\nurl = "ntfy://x"\n[channels.both]\n'
        'url = "mailtos://u:{file:/x}@example.org?to=ann@example.org,ops@example.org"\n'
    )
    return path


def test_mail_becomes_the_channel_with_its_address(cli, config):
    out = cli("import", "crontab", "-", feed=MAIL).out

    mail = out.partition("\nmail:\n")[2]
    assert (
        "  MAILTO=ops@example.org, Ann@example.org → channel both (mailtos), notify on failed"
        " (cron mails output;"
    ) in mail
    assert "  MAILTO=root → no channel yet, so nobody hears of failures (line 5)\n" in mail
    assert '  MAILTO="" → no notification (line 7)\n' in mail
    assert f"add this to {config} and import then;\nuntil then the mail is not kept:\n" in mail
    lines = mail.partition("not kept:\n")[2]
    added = parse_notifications(tomllib.loads(lines))
    assert not added[1] and list(added[0].channels) == ["mail-root-2"]


def test_a_named_channel_takes_all_mail(cli, config):
    found = json.loads(
        cli("import", "crontab", "-", "--mail-channel", "both", "--json", feed=MAIL).out
    )

    assert [entry["channel"] for entry in found["entries"]] == ["both"] * 3 + [None]
    done = cli("import", "crontab", "-", "--mail-channel", "bot", feed=MAIL)
    assert (done.code, "Nearest: both. Nothing was changed." in done.err) == (3, True)


def test_an_empty_crontab_changes_nothing(cli):
    done = cli("import", "crontab", "-", feed=b"# nothing\n")

    assert (done.code, done.out) == (0, "")
    assert "0 schedules would be created" in done.err


def test_bytes_that_are_no_text_are_kept(cli):
    done = cli("import", "crontab", "-", feed=b"@daily /opt/\xff \xe9 \x1b[31m\n")

    assert done.code == 0
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b"], "give one FILE"),
        (["--disable-original"], "goes with --apply"),
        (["x", "--apply", "--disable-original"], "never a file"),
        (["--system"], "--system needs a FILE"),
        (["/no/such/file"], "does not exist"),
    ],
)
def test_wrong_uses_are_refused(cli, words, message):
    done = cli("import", "crontab", *words)

    assert done.code in (2, 3)
    assert message in done.err
    assert "Nothing was changed." in done.err
