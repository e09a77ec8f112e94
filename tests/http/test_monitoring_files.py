"""Dashboard and alert rules: what they ask for exists, and Prometheus takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.service.monitoring import MonitoringSnapshot
from tests.http.full_snapshot import make_full_snapshot, read_families

FILES = Path(__file__).parents[2] / "app/http"
DASHBOARD, RULES = FILES / "grafana_dashboard.json", FILES / "alert_rules.yml"
CASES = Path(__file__).with_name("alert_rule_cases.yml")
PANELS: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"][0]["rules"]

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")


@pytest.mark.parametrize("path", [DASHBOARD, RULES, CASES], ids=lambda path: path.name)
async def test_every_metric_that_a_file_names_is_scraped(path: Path, snapshot: MonitoringSnapshot):
    scraped = {
        sample.name
        for metric in read_families(make_full_snapshot(snapshot))
        for sample in metric.samples
    }

    assert set(re.findall(r"\btaskdeck_[a-z_]+", path.read_text("utf-8"))) - scraped == set()


def test_every_label_that_a_query_groups_by_is_known():
    known = "job instance queue state outcome pool resource device rule severity problem part le"
    text = " ".join(target["expr"] for panel in PANELS for target in panel.get("targets", ()))
    text += " ".join(rule["expr"] for rule in ALERTS)

    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", text)
    assert {label.strip() for words in grouped for label in words.split(",")} <= {*known.split()}


def test_the_panels_do_not_overlap_and_use_the_chosen_source():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        assert any(
            a[place] + a[size] <= b[place]
            for a, b in ((one, other), (other, one))
            for place, size in ("xw", "yh")
        ), (one, other)
    charts = [panel for panel in PANELS if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in charts} == {"${datasource}"}
    assert all(panel["description"] and panel["targets"] for panel in charts)


def test_every_alert_has_a_text_and_a_case():
    fired = CASES.read_text("utf-8")

    for rule in ALERTS:
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert f'alertname="{rule["alert"]}"' in fired


@needs_promtool
@pytest.mark.process
@pytest.mark.parametrize("words", [("check", "rules", RULES), ("test", "rules", CASES)])
def test_promtool_takes_the_rules(words: tuple[str | Path, ...]):
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "SUCCESS" in done.stdout
