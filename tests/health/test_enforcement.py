"""Tests of the doctor's check of limits that the kernel enforces."""

from __future__ import annotations

import pytest

from app.health import systemd
from app.health.enforcement import check_enforcement

pytestmark = pytest.mark.unit
POOL = {"name": "tight", "enforce": ["memory"], "trouble": None}


@pytest.mark.parametrize(
    ("booted", "lingers", "way", "cure"),
    [
        (True, True, "taskdeck pool set POOL --enforce", "serve --detach"),
        (True, False, "sudo loginctl enable-linger ", "help resources"),
        (False, False, "cgroup = in config.toml", "help resources"),
    ],
)
def test_the_doctor_tells_how_limits_are_enforced(
    monkeypatch: pytest.MonkeyPatch, booted: bool, lingers: bool, way: str, cure: str
):
    monkeypatch.setattr(systemd, "is_booted", lambda: booted)
    monkeypatch.setattr(systemd, "has_linger", lambda user: lingers)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    trouble = "the kernel cannot enforce its limits: the folder is gone (taskdeck doctor)"

    (none,) = check_enforcement("/srv", {"pools": [POOL | {"enforce": []}]})
    (well,) = check_enforcement("/srv", {"pools": [POOL]})
    (broken,) = check_enforcement("/srv", {"pools": [POOL | {"trouble": trouble}]})

    assert none.state == well.state == "well" and way in none.text
    assert well.text == "the kernel enforces memory of runs in pool tight"
    assert broken.state == "broken" and broken.cure.endswith(cure)
    assert broken.text == (
        "pool tight starts nothing: the kernel cannot enforce its limits: the folder is gone"
    )
