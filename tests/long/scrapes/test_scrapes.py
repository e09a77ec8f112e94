"""Short form of the scrapes, and a real Prometheus that scrapes a real runtime."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from tests.http.test_monitoring_files import ALERTS, PANELS, RULES
from tests.long.scrapes.trial import open_http_runtime, run_trial
from tests.runtime_process import RuntimeProcess, wait_until

PROMETHEUS = shutil.which("prometheus")
VARIABLES = {"$instance": ".*", "$job": ".*", "$queue": ".*", "$__rate_interval": "1m"}
"""Values of the variables of the dashboard."""


def test_scrapes_add_no_memory_and_no_waits_for_the_lock():
    found = run_trial(scrapes=200, queues=5, warm_up=150)

    assert [verdict for verdict in found.list_verdicts() if not verdict[2]] == []


class PrometheusServer:
    """A Prometheus that scrapes one runtime every second, and evaluates our rules."""

    def __init__(self, folder: Path, target: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [os.fspath(RULES)],
            "scrape_configs": [{"job_name": "taskdeck", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self.log = folder / "prometheus.log"
        self.url = f"http://{address}/api/v1/"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml",
                 f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer, or None while the server does not answer."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urlopen(f"{self.url}{path}?{urlencode(parameters)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def read_value(self, query: str) -> float | None:
        """Return the value of a query with one sample, else None."""
        found = self.ask("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RuntimeProcess, Any]]:
    """Yield a runtime, and the Prometheus that scrapes it."""
    if PROMETHEUS is None:
        pytest.skip("needs prometheus")
    with open_http_runtime() as (living, url):
        server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), urlsplit(url).netloc)
        try:
            wait_until(lambda: server.read_value("up") == 1, "a scrape")
            yield living, server
        finally:
            server.stop()


def test_prometheus_sees_the_runs_of_a_runtime(scraped: tuple[RuntimeProcess, Any]):
    living, server = scraped
    living.wait_for_end(living.submit("true"), living.submit("false"))

    for outcome in ("succeeded", "failed"):
        query = f'taskdeck_runs_ended_total{{job="taskdeck",outcome="{outcome}"}}'
        wait_until(lambda asked=query: server.read_value(asked) == 1, query)
    assert server.read_value("taskdeck_keeper_connected") == 1
    assert server.read_value("taskdeck_run_duration_seconds_count") == 2


def test_prometheus_evaluates_every_query_of_the_dashboard(scraped: tuple[RuntimeProcess, Any]):
    queries = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]

    for query in queries:
        asked = re.sub(r"\$\w+", lambda found: VARIABLES[found[0]], query)
        assert scraped[1].ask("query", query=asked) is not None, asked


def test_prometheus_evaluates_every_alert_rule(scraped: tuple[RuntimeProcess, Any]):
    server = scraped[1]

    def list_rules() -> dict[str, str]:
        found = server.ask("rules") or {"groups": []}
        return {
            rule["name"]: rule["health"] for group in found["groups"] for rule in group["rules"]
        }

    wait_until(lambda: "unknown" not in list_rules().values() and list_rules(), "an evaluation")
    assert list_rules() == {rule["alert"]: "ok" for rule in ALERTS}
