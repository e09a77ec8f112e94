"""Tests of the estimate of a run's peak memory."""

import sys

MEMORY_SCRIPT = (
    "import sys, time; block = b'x' * (int(sys.argv[1]) << 20); time.sleep(float(sys.argv[2]))"
)


def read_own_peak(keeper_home) -> int:
    with open(f"/proc/{keeper_home.hello['pid']}/status") as file:
        return int(file.read().partition("VmHWM:")[2].split()[0])


def test_the_peak_of_a_large_job_is_the_kernels_value(keeper_home):
    end = keeper_home.run_to_end(sys.executable, "-I", "-S", "-c", MEMORY_SCRIPT, "40", "0")

    assert 40 * 1024 < end["maxrss"] < 70 * 1024


def test_the_keepers_size_is_not_the_peak_of_a_small_job(keeper_home):
    peaks = [keeper_home.run_to_end("true")["maxrss"] for _ in range(5)]

    assert 0 < min(peaks) <= max(peaks) < read_own_peak(keeper_home) / 4


def test_the_peak_of_a_small_job_includes_its_children(keeper_home):
    alone = keeper_home.run_to_end("sleep", "0.3")["maxrss"]
    above = keeper_home.run_to_end(
        "sh", "-c", f"{sys.executable} -I -S -c 'import time; time.sleep(0.5)'; exit 0"
    )["maxrss"]

    assert 500 < alone < 4000 < above < read_own_peak(keeper_home) + 2048


def test_a_grown_keeper_does_not_affect_later_peaks(keeper_home):
    keeper_home.run_to_end("true", env={"BALLAST": "x" * 100_000})
    for _ in range(3):
        keeper_home.send("refuse", run="x", ballast="x" * 24_000_000)
        keeper_home.wait_for_event("refused", "x")
    end = keeper_home.run_to_end(sys.executable, "-I", "-S", "-c", MEMORY_SCRIPT, "20", "0")

    assert 20 * 1024 < end["maxrss"] < 50 * 1024
    assert keeper_home.run_to_end("true")["maxrss"] < 4000
