"""Tests of the names that commands of a crontab get."""

from __future__ import annotations

import pytest

from app.core.schedules.crontab_names import MAX_LENGTH, make_name, make_unique
from app.core.text.sanitize import find_name_error


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup", "backup"),
        ("./nightly.sh --fast >> /tmp/log 2>&1", "nightly"),
        ("$HOME/bin/job.sh | logger -t job", "job"),
        ("/opt/clean master", "clean-master"),
        ("cd /srv && ./run.sh", "run"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
         "run-parts-cron.daily"),
        ("if [ -x /usr/bin/a ]; then nice -n10 /usr/bin/a; fi", "a"),
        ("MODE=1 /sbin/scrub -A", "scrub"),
        ("/usr/bin/env python3 /srv/report.py --day", "report"),
        ("python -m http.server", "http.server"),
        ("sudo -u postgres pg_dump shop", "pg_dump-shop"),
        ("flock -n /tmp/lock /opt/x.sh", "x"),
        ("timeout 5 curl -fsS 'https://a.b/c?d'", "curl"),
        ("su - www -c 'cd /app && bundle exec rake db:trim' > /dev/null", "rake-db:trim"),
        ("bash -lc '/opt/y.sh'", "y"),
        ("sh /opt/z.sh", "z"),
        ("echo 'open quote", "echo"),
        ("cd /tmp", "cd"),
        ("*", "crontab"),
        ("'", "crontab"),
    ],
)  # fmt: skip
def test_names_come_from_the_command_proper(command, name):
    assert make_name(command) == name


@pytest.mark.parametrize("command", ["x" * 500, "/ü/ß y", "\x1b[31m", "a\u202eb", ".hidden"])
def test_names_are_valid(command):
    name = make_name(command)

    assert find_name_error(name) is None
    assert len(name) <= MAX_LENGTH


def test_a_taken_name_gets_a_number():
    assert make_unique("a", ["b"]) == "a"
    assert make_unique("a", ["a", "a-2"]) == "a-3"
