"""Tests of `taskdeck send`."""

from __future__ import annotations

ANSWER = {"number": 7, "taken": 6, "unread": 6, "closed": False}


def test_words_are_sent_as_one_line(fake_runtime, cli):
    runtime = fake_runtime(send=ANSWER)

    assert cli("send", "7", "hallo").out == "#7: sent 6 bytes\n"
    sent = {"id": "7", "eof": False, "whole": True}
    assert runtime.get_last_args("send") == sent | {"text": "hallo\n"}
    cli("send", "7", "a", "b", "--no-newline", "--eof")
    assert runtime.get_last_args("send") == sent | {"text": "a b", "eof": True}


def test_standard_input_is_sent_as_it_is(fake_runtime, cli):
    runtime = fake_runtime(send=ANSWER)

    assert cli("send", "7", feed=b"a\xff\nb\n\n").out == "#7: sent 6 bytes\n"
    assert runtime.get_last_args("send") == {"id": "7", "text": "a\udcff\nb\n\n"}
    cli("send", "7", "-", "--eof", feed=b"abcde\n")
    assert runtime.get_last_args("send") == {"id": "7", "eof": True}


def test_eof_alone_reads_nothing(fake_runtime, cli):
    runtime = fake_runtime(send=ANSWER | {"taken": 0, "closed": True})

    assert cli("send", "7", "--eof", feed=b"left alone").out == "#7: sent 0 bytes, input closed\n"
    assert runtime.get_last_args("send") == {"id": "7", "eof": True}
    assert "send to which task?" in cli("send").err


def test_each_task_of_a_group_gets_a_text(fake_runtime, cli):
    refused = {"id": "u", "number": None, "message": "#8 has no input.", "exit_code": 4}
    runtime = fake_runtime(send={"group": "g1", "done": [ANSWER], "refused": [refused]})

    said = cli("send", "g1", "hallo")

    assert (said.code, said.out) == (1, "#7: sent 6 bytes\n") and "#8 has no input." in said.err
    assert runtime.get_last_args("send")["id"] == "g1"
    assert "to a group goes a text" in cli("send", "g1", feed=b"left alone").err
