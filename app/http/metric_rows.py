"""Metric families from rows, with safe labels of a bounded number of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from operator import add

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from app.core.runtime_counts import DurationCounts
from app.core.text.sanitize import sanitize

MAX_VALUES = 200
"""Values of a label; all others share `OTHERS`. 200 queues make 10,000 lines."""
OTHERS = "(other)"
"""Label value of the names above `MAX_VALUES`, and of names that look like another name."""
PREFIX = "taskdeck_"

Row = tuple[Sequence[str], float]
"""Label values and a value."""


class LabelValues:
    """Label values of names, in the order in which the names are given."""

    def __init__(self, names: Iterable[str]) -> None:
        self._of: dict[str, str] = {}
        taken = {OTHERS}
        for name in names:
            label = sanitize(name)
            if name in self._of or label in taken or len(taken) > MAX_VALUES:
                continue
            taken.add(label)
            self._of[name] = label

    def get(self, name: str) -> str:
        """Return the label value of a name."""
        return self._of.get(name, OTHERS)


def make_gauge(
    name: str, text: str, labels: Sequence[str], rows: Iterable[Row],
    merge: Callable[[float, float], float] = add,
) -> Metric:  # fmt: skip
    """Return a gauge. Rows of the same labels are merged, by default into their sum."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for words, value in _merge_rows(rows, merge).items():
        family.add_metric(words, value)
    return family


def make_plain_gauge(name: str, text: str, value: float | None) -> Metric:
    """Return a gauge without labels; None leaves it without a sample."""
    return make_gauge(name, text, (), () if value is None else [((), value)])


def make_counter(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """Return a counter, whose samples end in `_total`."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for words, value in _merge_rows(rows, add).items():
        family.add_metric(words, value)
    return family


def make_histogram(
    name: str, text: str, labels: Sequence[str], rows: Mapping[Sequence[str], DurationCounts]
) -> Metric:
    """Return a histogram with a row of cumulative buckets for each label."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for words, counted in rows.items():
        bounds = [*map(floatToGoString, counted.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(counted.counts), strict=True))
        family.add_metric(words, buckets, counted.total)
    return family


def _merge_rows(
    rows: Iterable[Row], merge: Callable[[float, float], float]
) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for words, value in rows:
        key = tuple(words)
        found[key] = merge(found[key], value) if key in found else value
    return found
