"""One trial: two runtimes work on tasks, one of them is scraped, and their memory is compared."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from app import paths, runtime_launcher
from tests.runtime_process import RuntimeProcess

WARM_UP = 1000
"""Scrapes before the first measurement: caches and threads of the server come with the first."""
MAX_GROWTH = 2.0
"""MiB that the scrapes may add to what the same work adds without them."""
MAX_LOCK_SECONDS = 0.0005
"""Seconds that a scrape may add to waits for the lock: on a busy machine the writer thread gets the
processor late, which counts as a wait. A real wait takes 0.1 s or more."""
PACE = 0.1
"""Seconds between two tasks."""
ACCEPTED = ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0")


@contextmanager
def open_http_runtime() -> Iterator[tuple[RuntimeProcess, str]]:
    """Yield a home whose runtime serves HTTP, and the URL."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        paths.make_home(Path(folder))
        living = RuntimeProcess(Path(folder))
        try:
            runtime_launcher.ensure_runtime(
                folder, resume=True, serve_words=["--http", "127.0.0.1:0"]
            )
            yield living, living.call("status")["http"]["url"]
        finally:
            living.kill_all()


class Measurement(NamedTuple):
    """Figures of the runtime at one moment, or their growth; `resident` is in MiB."""

    resident: float
    lock_waits: float
    lock_seconds: float
    ended: float

    def measure_growth(self, later: Measurement) -> Measurement:
        """Return the growth until a later measurement."""
        return Measurement(*(b - a for a, b in zip(self, later, strict=True)))


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Seconds of each scrape, and growth of two runtimes with the same work at the same time."""

    seconds: Sequence[float]
    scraped: Measurement
    unscraped: Measurement

    def list_verdicts(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each verdict: its subject, the observed value, and true if the value is allowed."""
        added = self.scraped.resident - self.unscraped.resident
        yield (
            f"memory that {len(self.seconds):,} scrapes add",
            f"{added:+.2f} MiB (may be {MAX_GROWTH:+.0f}); {self.scraped.resident:+.2f} with"
            f" scrapes, {self.unscraped.resident:+.2f} without",
            added <= MAX_GROWTH,
        )
        held = self.scraped.lock_seconds / len(self.seconds)
        yield (
            "waits for the write lock",
            f"{self.scraped.lock_waits:.0f}, {held * 1e3:.3f} ms a scrape; without scrapes"
            f" {self.unscraped.lock_waits:.0f}",
            held <= MAX_LOCK_SECONDS,
        )
        ended = min(self.scraped.ended, self.unscraped.ended)
        yield "runs of each runtime that ended meanwhile", f"{ended:,.0f}", ended > 0
        middle, late = (sorted(self.seconds)[int(len(self.seconds) * q)] for q in (0.5, 0.99))
        yield "a scrape", f"{middle * 1e3:.1f} ms, 99 % below {late * 1e3:.1f} ms", True


def run_trial(scrapes: int, queues: int, warm_up: int = WARM_UP) -> TrialResult:
    """Let two runtimes work on tasks, and scrape one of them."""
    with open_busy_runtime(queues) as scraper, open_busy_runtime(queues) as other:
        for _ in range(warm_up):
            scraper.scrape()
            other.scrape()
        before = scraper.measure(), other.measure()
        seconds = [scraper.scrape() for _ in range(scrapes)]
        after = scraper.measure(), other.measure()
    growth = [a.measure_growth(b) for a, b in zip(before, after, strict=True)]
    return TrialResult(seconds, *growth)


@contextmanager
def open_busy_runtime(queues: int) -> Iterator[Scraper]:
    """Yield the scraper of a runtime that works on tasks."""
    ending = threading.Event()
    with open_http_runtime() as (living, url):
        for number in range(queues):
            living.call("queue.create", name=f"q{number}")
        living.call("db.backup")  # the first one imports modules
        worker = threading.Thread(target=keep_busy, args=(living, queues, ending))
        worker.start()
        try:
            scraper = Scraper(url)
            yield scraper
            scraper.close()
        finally:
            ending.set()
            worker.join()


def keep_busy(living: RuntimeProcess, queues: int, ending: threading.Event) -> None:
    """Submit short tasks to one queue after another, until told to end."""
    client = living.open_client()
    for number in count():
        task = {"argv": ["true"], "queue": f"q{number % queues}"}
        env = {"PATH": "/usr/bin:/bin"}
        client.call("submit", {"tasks": [task], "cwd": "/", "umask": 0o022, "env": env})
        if ending.wait(PACE):
            return


class Scraper:
    """Client of `/metrics` on one connection, as Prometheus keeps it."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._count = 0

    def scrape(self) -> float:
        """Scrape once, in the formats by turns, and return the seconds."""
        self._count += 1
        began = time.perf_counter()
        self._request(ACCEPTED[self._count % len(ACCEPTED)])
        return time.perf_counter() - began

    def measure(self) -> Measurement:
        """Return the figures of the runtime, over a new connection: an idle one is closed."""
        self.close()
        found: dict[str, float] = {}
        for metric in text_string_to_metric_families(self._request(ACCEPTED[0]).decode()):
            for sample in metric.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return Measurement(
            found["taskdeck_resident_memory_bytes"] / 2**20,
            found["taskdeck_writer_lock_waits_total"],
            found["taskdeck_writer_lock_wait_seconds_total"],
            found["taskdeck_runs_ended_total"],
        )

    def close(self) -> None:
        self._connection.close()

    def _request(self, accept: str) -> bytes:
        self._connection.request("GET", "/metrics", headers={"accept": accept})
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body
