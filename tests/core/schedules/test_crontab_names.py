"""Tests of the names that commands of a crontab get."""

from __future__ import annotations

import pytest

from app.core.schedules.crontab_names import (
    MAX_LENGTH,
    NameMaker,
    make_name,
    make_names,
    make_unique,
)
from app.core.text.sanitize import find_name_error


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup", "backup"),
        ("./nightly.sh --fast >> /tmp/log 2>&1", "nightly"),
        ("$HOME/bin/job.sh | logger -t job", "job"),
        ("/opt/clean master", "clean"),
        ("cd /srv && ./run.sh", "run"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
         "run-parts"),
        ("if [ -x /usr/bin/a ]; then nice -n10 /usr/bin/a; fi", "a"),
        ("MODE=1 /sbin/scrub -A", "scrub"),
        ("/usr/bin/env python3 /srv/report.py --day", "report"),
        ("python -m http.server", "python"),
        ("php artisan schedule:run", "artisan"),
        ("sudo -u postgres pg_dump shop", "pg_dump"),
        ("sudo -n mysqldump shop", "mysqldump"),
        ("ionice -c 3 nice -n 19 /opt/x", "x"),
        ("flock /tmp/lock -c '/opt/y --fast'", "y"),
        ("flock -n /tmp/lock /opt/x.sh", "x"),
        ("timeout 5 curl -fsS 'https://a.b/c?d'", "curl"),
        ("su - www -c 'cd /app && bundle exec rake db:trim' > /dev/null", "rake"),
        ("bash -lc '/opt/y.sh'", "y"),
        ("sh /opt/z.sh", "z"),
        ("echo 'open quote", "echo"),
        ("cd /tmp", "cd"),
        ("echo quiet; exit 1", "echo"),
        ("*", "crontab"),
        ("'", "crontab"),
    ],
)  # fmt: skip
def test_names_come_from_the_command_proper(command, name):
    assert make_name(command) == name


@pytest.mark.parametrize(
    "command",
    [
        "curl -u ann:s3cret https://s3cret@host/s3cret", "mysql -ps3cret -p s3cret",
        "/opt/x s3cret", "python -c 's3cret'", "perl -e s/s3cret/x/", "php -r s3cret",
        "bash -lc 'K=s3cret x s3cret'", "K=s3cret", "K='s3cret s3cret", "cd /x && K=s3cret",
        "env -i x s3cret", "env K=s3cret x",
        "su - ann -c 'x s3cret'", "sudo -E x s3cret", "timeout 5 x s3cret", "sh -c 'exit s3cret",
        "nohup sshpass -p s3cret ssh host", "echo s3cret | x --stdin", "x <<< s3cret",
        "bundle exec rake s3cret", "sh -x s3cret", "[ $K = s3cret ] && x",
    ],
)  # fmt: skip
def test_arguments_are_no_part_of_a_name(command):
    assert "s3cret" not in make_name(command)


@pytest.mark.parametrize(
    ("comment", "name"),
    [
        (" Nightly load", "Nightly-load"),
        ("--- rotate logs ---", "rotate-logs"),
        ("m h dom mon dow   command", "run-parts"),
        ("0 2 * * * /opt/x --password=s3cret", "run-parts"),
        (" see https://example.org", "run-parts"),
        ("", "run-parts"),
    ],
)
def test_a_short_comment_names_what_its_program_does_not(comment, name):
    lines = [("run-parts /etc/a", "first"), ("run-parts /etc/b", comment), ("/opt/x", "Not this")]

    assert make_names(lines) == ["run-parts", name, "x"]
    assert make_names([("sh -x", comment)])[0] in (name, "sh")
    assert make_names([("find /tmp -delete", comment)])[0] in (name, "find")


@pytest.mark.parametrize("command", ["x" * 500, "/ü/ß y", "\x1b[31m", "a\u202eb", ".hidden"])
def test_names_are_valid(command):
    name = make_name(command)

    assert find_name_error(name) is None
    assert len(name) <= MAX_LENGTH


def test_a_taken_name_gets_a_number():
    assert make_unique("a", ["b"]) == "a"
    assert make_unique("a", ["a", "a-2"]) == "a-3"


def test_names_are_looked_up_about_once_each():
    class Taken(set[str]):
        lookups = 0

        def __contains__(self, name: object) -> bool:
            self.lookups += 1
            return super().__contains__(name)

    taken = Taken()
    names = NameMaker(taken)
    for _ in range(500):
        taken.add(names.make("a"))

    assert {"a", "a-2", "a-500"} < taken
    assert len(taken) == 500
    assert taken.lookups < 1500
