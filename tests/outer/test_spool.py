from __future__ import annotations

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from app.outer.spool import Spool

RUN = "01990a5e-0000-7000-8000-0000000000ab"
OTHER = "01990a5e-0000-7000-8000-0000000000cd"

pytestmark = pytest.mark.unit


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.prepare()
    return made


def make_order(spool: Spool, **more: object) -> dict[str, object]:
    log = str(spool.root.parent / "logs" / "run.log")
    order = {"run": RUN, "argv": ["true"], "cwd": "/", "env": {}, "umask": 0o22, "log": log}
    return order | {"timeout": None, "grace": 5.0, "early": None} | more


def put(spool: Spool, kind: str, text: str) -> Path:
    """Write a file of the run as a job does."""
    path = spool.root / "runs" / RUN[-2:] / f"{RUN}.{kind}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def list_files(spool: Spool) -> set[str]:
    return {path.name for path in (spool.root / "runs").rglob("*") if path.is_file()}


def test_the_command_runs_a_copy_of_the_job_program(spool: Spool):
    identity = spool.prepare()

    *words, program, root, run = spool.build_command(RUN)
    assert (words, root, run) == (["python3", "-I", "-S"], str(spool.root), RUN)
    assert "def take_gate" in Path(program).read_text()
    assert {path.name for path in spool.root.iterdir()} == {"runs", "identity", Path(program).name}
    assert spool.prepare() == spool.read_identity() == identity != ""


def test_a_spool_without_its_parent_is_not_made(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Spool(tmp_path / "unmounted" / "spool").prepare()

    assert not (tmp_path / "unmounted").exists()


def test_only_the_user_reads_the_spool(spool: Spool):
    spool.root.chmod(0o755)
    spool.prepare()
    spool.write_order(RUN, make_order(spool, env={"TOKEN": "secret"}))

    order = spool.root / "runs" / "ab" / f"{RUN}.order"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (spool.root, order.parent)}
    assert modes == {0o700} and stat.S_IMODE(order.stat().st_mode) == 0o600
    assert json.loads(order.read_text())["env"] == {"TOKEN": "secret"}
    assert list_files(spool) == {order.name}


def test_a_link_in_place_of_the_spool_is_refused(tmp_path: Path):
    (tmp_path / "spool").symlink_to("/tmp")

    with pytest.raises(PermissionError, match="not a folder of your own"):
        Spool(tmp_path / "spool").prepare()


@pytest.mark.parametrize("runid", ["", "a", "../../etc/passwd", "a/b", "ab\n", ".order", "ü1"])
def test_only_run_ids_become_paths(spool: Spool, runid: str):
    for use in (
        spool.has_order,
        spool.refuse,
        spool.build_command,
        lambda run: spool.forget([run]),
    ):
        with pytest.raises(ValueError, match="no run id"):
            use(runid)


def test_an_order_that_needs_the_keeper_is_refused_by_option(spool: Spool):
    order = make_order(spool, companion="/x", input=True, errors="/x.err")

    with pytest.raises(ValueError, match="--stdin and --split or --error cannot be used"):
        spool.write_order(RUN, order)

    assert not spool.has_order(RUN)


def test_a_run_is_refused_before_its_start(spool: Spool):
    spool.write_order(RUN, make_order(spool))

    assert spool.read_gate(RUN) is None
    assert [spool.refuse(RUN), spool.refuse(RUN)] == [True, True]
    gate = spool.read_gate(RUN)
    assert gate is not None and gate.refused
    assert list_files(spool) == {f"{RUN}.order", f"{RUN}.started"}


def test_a_started_run_is_not_refused(spool: Spool):
    put(spool, "started", '{"job": "812", "node": "n1", "at": 5.5}')

    assert not spool.refuse(RUN)
    gate = spool.read_gate(RUN)
    assert gate is not None
    assert (gate.refused, gate.job, gate.node, gate.started_at) == (False, "812", "n1", 5.5)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"job": "1;rm", "node": 5, "at": "x"}'])
def test_a_damaged_gate_counts_as_a_start(spool: Spool, text: str):
    os.utime(put(spool, "started", text), (70, 70))

    gate = spool.read_gate(RUN)
    assert gate is not None
    assert (gate.refused, gate.job, gate.node, gate.started_at) == (False, "", "", 70)


def test_the_beat_is_the_time_of_the_gate(spool: Spool):
    assert spool.read_beat(RUN) is None
    gate = put(spool, "started", "{}")
    os.utime(gate, (70, 70))

    assert spool.read_beat(RUN) == 70


def test_an_end_is_read_without_values_of_a_wrong_kind(spool: Spool):
    assert spool.read_end(RUN) is None
    end = {"run": RUN, "code": 7, "signal": None, "at": 9.5, "cpu": "much", "maxrss": -1, "pid": 4}
    put(spool, "ended", json.dumps(end | {"reason": ["x"], "started_at": True, "more": 1}))

    assert spool.read_end(RUN) == {
        **{"is": "ended", "run": RUN, "code": 7, "signal": None, "reason": None, "stop": None},
        **{"lost": False, "again": True, "started_at": None, "at": 9.5, "run_seconds": None},
        **{"cpu": None, "maxrss": None, "pid": 4, "left": 0},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 70_000,
        "{}",
        f'{{"run": "{OTHER}", "code": 0}}',
        f'{{"run": "{RUN}", "code": "0"}}',
    ],
)
def test_a_damaged_end_is_a_lost_run(spool: Spool, text: str):
    os.utime(put(spool, "ended", text), (70, 70))

    end = spool.read_end(RUN)
    assert end is not None
    assert (end["lost"], end["code"], end["at"]) == (True, None, 70)
    assert end["reason"] == "its end cannot be read"


def test_a_link_in_place_of_an_end_is_not_followed(spool: Spool, tmp_path: Path):
    (tmp_path / "other").write_text(f'{{"run": "{RUN}", "code": 0}}')
    put(spool, "ended", "").unlink()
    (spool.root / "runs" / "ab" / f"{RUN}.ended").symlink_to(tmp_path / "other")

    end = spool.read_end(RUN)
    assert end is not None and end["lost"]


def test_runs_are_forgotten_with_all_their_files(spool: Spool):
    for kind in ("order", "started", "started.0123456789abcdef", "ask", "ended"):
        put(spool, kind, "{}")
    spool.write_order(OTHER, make_order(spool))
    spool.forget([RUN, RUN[:-2] + "77"])

    assert list_files(spool) == {f"{OTHER}.order"}
    assert spool.list_runs() == {OTHER}


def test_a_spool_that_is_gone_is_an_error_and_not_a_missing_file(spool: Spool):
    spool.write_order(RUN, make_order(spool))
    shutil.rmtree(spool.root / "runs")

    for use in (spool.has_order, spool.read_gate, spool.read_beat, spool.read_end, spool.refuse):
        with pytest.raises(FileNotFoundError):
            use(RUN)
    with pytest.raises(FileNotFoundError):
        spool.write_order(RUN, make_order(spool))
    with pytest.raises(FileNotFoundError):
        spool.list_runs()


def test_five_hundred_runs_are_read_in_little_time(spool: Spool):
    for number in range(500):
        run = f"{RUN[:-4]}{number:04x}"
        path = spool.root / "runs" / run[-2:] / f"{run}.started"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    began = time.process_time()
    for number in range(500):
        run = f"{RUN[:-4]}{number:04x}"
        assert spool.read_beat(run) is not None
        assert spool.read_end(run) is None

    assert time.process_time() - began < 2  # 20 ms on a quiet machine
