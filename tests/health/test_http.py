"""Health check of HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.health.http import check_http


def make_status(url: str | None = None, problem: str | None = None, state: str = "running") -> Any:
    return {"runtime": {"state": state}, "http": {"url": url, "problem": problem}}


def list_findings(status: Any) -> list[tuple[str, str]]:
    return [(one.state, one.text) for one in check_http("/home", status)]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a config.toml that does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    return tmp_path / "taskdeck" / "config.toml"


def test_nothing_is_told_while_http_is_off():
    assert list_findings(make_status()) == list_findings(None) == []
    assert list_findings(make_status(problem="x", state="none")) == []


def test_a_server_that_could_not_start_is_told_with_the_cure():
    (found,) = check_http("/home", make_status(problem="the address is in use."))

    assert (found.state, found.text) == ("broken", "HTTP is not served: the address is in use.")
    assert found.cure.endswith("serve --replace --detach")


def test_a_server_is_told_with_its_address():
    assert list_findings(make_status("http://127.0.0.1:1")) == [
        ("well", "HTTP is served at http://127.0.0.1:1")
    ]


def test_a_setting_that_is_newer_than_the_runtime_is_told(config: Path):
    config.write_text('[http]\nlisten = "127.0.0.1:1"\n')

    assert list_findings(make_status()) == [
        (
            "hint",
            "config.toml asks for HTTP at 127.0.0.1:1, but the runtime started before this setting",
        )
    ]


@pytest.mark.parametrize("problem", ["it needs a token.", None])
@pytest.mark.parametrize(
    ("more", "is_lacking"), [("", True), ('token_file = "/token"\n', False)], ids=["open", "token"]
)
def test_a_restart_alone_is_no_cure_for_an_address_without_a_token(
    config: Path, problem, more, is_lacking
):
    config.write_text(f'[http]\nlisten = "0.0.0.0:1"\n{more}')

    (found,) = check_http("/home", make_status(problem=problem))

    assert found.cure.startswith(f'"${{EDITOR:-vi}}" {config} && taskdeck') == is_lacking
    assert found.cure.endswith("serve --replace --detach")
    assert ("listen on 127.0.0.1" in found.text) == (is_lacking and problem is None)
