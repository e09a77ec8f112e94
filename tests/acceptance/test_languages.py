"""Acceptance tests: one runtime answers each caller in the caller's language."""

from __future__ import annotations

from tests import catalogues
from tests.acceptance.acceptance_home import AcceptanceHome


def test_two_callers_are_told_why_in_their_languages(acceptance_home: AcceptanceHome):
    if not catalogues.COMPILED.exists():
        catalogues.compile_catalogues()
    number = acceptance_home.submit("--hold", "--", "true")
    chinese = acceptance_home.run_ok("why", number, LC_ALL="zh_CN.UTF-8")
    english = acceptance_home.run_ok("why", number)
    assert "已挂起" in chinese and "挂起" in chinese.splitlines()[2]
    assert "Held by" in english.splitlines()[2]
