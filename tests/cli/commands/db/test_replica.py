"""`taskdeck db replica`: what is said of the copy."""

from __future__ import annotations

NONE = {"target": None, "at": None, "lag": None, "late": False, "problem": None, "promoted": False}


def test_off_says_where_nothing_is_copied_to_any_more(answering, cli):
    answering(db__replica__off={**NONE, "was": "/mnt/second"})

    assert cli("db", "replica", "off") == (0, "replica off: /mnt/second is no longer copied to; what is there stays.\n", "")


def test_off_without_a_copy_says_that_there_is_none(answering, cli):
    answering(db__replica__off={**NONE, "was": None})

    assert cli("db", "replica", "off").out == "there is no replica; taskdeck db replica set FOLDER makes one\n"


def test_the_help_says_what_each_word_does(cli):
    said = " ".join(cli("db", "replica", "--help").out.split())

    assert "[set FOLDER | status | off]" in said and "off: copy nowhere any more" in said and "HOST:FOLDER over ssh" in said
