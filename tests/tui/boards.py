"""Boards with fixed contents and a fixed clock, for tests and screenshots."""

from __future__ import annotations

from datetime import UTC, datetime

from app.core.board import (
    AlertEntry,
    BackupFacts,
    Board,
    ComingEntry,
    DiskUsageEntry,
    EndedEntry,
    HostFacts,
    LatestAction,
    NextEntry,
    PoolEntry,
    QueueEntry,
    RunningEntry,
    RuntimeFacts,
)

NOW = datetime(2026, 11, 25, 10, 42, 7, tzinfo=UTC).timestamp()
"""Time at which every board here was read."""

MINUTE, HOUR, G = 60.0, 3600.0, 1024.0
_SPARKS = "▁▂▃▄▅▆▇█"


def _parse_counts(spark: str) -> tuple[int, ...]:
    return tuple(_SPARKS.index(c) for c in spark)


def _parse_shares(spark: str) -> tuple[float, ...]:
    return tuple(_SPARKS.index(c) / 7 for c in spark)


def _make_queue(
    name: str, load: int, capacity: int, waiting: int, age: float | None, word: str, spark: str
) -> QueueEntry:
    oldest = None if age is None else NOW - age
    status = "paused" if word == "paused" else "active"
    return QueueEntry(
        name, "main", capacity, load, waiting, oldest, status, word, 0, starts=_parse_counts(spark)
    )


QUEUES = (
    _make_queue("media", 2, 2, 14, 41 * MINUTE, "full", "▄▅▅▆▅▇▆▅▄▅"),
    _make_queue("gpu", 2, 4, 5, 132 * MINUTE, "no room", "▂▁▂▂▁▂▂▁▂▂"),
    _make_queue("etl", 1, 4, 0, None, "open", "▁▁▂▁▁▃▁▁▂▁"),
    _make_queue("default", 2, 8, 1, 3.0, "open", "▃▄▃▆█▇▄▃▃▄"),
    _make_queue("backup", 0, 1, 2, 580 * MINUTE, "paused", "▁▁▁▁▁▁▁▁▁▁"),
)
POOLS = (
    PoolEntry(
        "gpu",
        8,
        32 * G,
        6.0,
        30 * G,
        "active",
        5.1,
        24.8 * G,
        _parse_shares("▅▆▆▇▆▆▇▇"),
        _parse_shares("▃▄▅▆▇▇██"),
    ),
    PoolEntry(
        "main",
        8,
        32 * G,
        7.0,
        9.5 * G,
        "active",
        5.7,
        6.1 * G,
        _parse_shares("▄▅▇██▆▅▇"),
        _parse_shares("▂▂▂▃▃▃▂▂"),
    ),
)


def make_running(
    number: int, name: str, queue: str, ran: float, timeout: float | None, left: float | None,
    cpu: tuple[float, float],
    memory: tuple[float, float], output: str, status: str = "running", note: str = "",
) -> RunningEntry:  # fmt: skip
    """Return a running row; `cpu` and `memory` (MiB) are pairs of measured and requested."""
    return RunningEntry(
        uuid=f"0193f0c2-0000-7000-8000-{number:012d}",
        runid=f"0193f0c3-0000-7000-8000-{number:012d}", number=number, name=name,
        queue=queue, status=status, attempt=1, started_at=NOW - ran, timeout=timeout, left=left,
        cpu=cpu[1], memory=memory[1],
        measured_cpu=cpu[0], measured_memory=memory[0], output=output, note=note,
    )  # fmt: skip


RUNNING = (
    make_running(1042, "resnet50-sweep-06", "gpu", 198 * MINUTE, 4 * HOUR, 6 * MINUTE, (2.9, 4),
    (11.8 * G, 12 * G),
            "epoch 41/50 loss=0.2143 acc=0.918"),
    make_running(1047, "nightly-etl", "etl", 151.5 * MINUTE, 3 * HOUR, 12 * MINUTE, (0.9, 1),
    (2.6 * G, 4 * G),
            "loaded 8,412,000 of 9,100,000 rows"),
    make_running(1043, "resnet50-sweep-07", "gpu", 62.5 * MINUTE, 4 * HOUR, 2 * HOUR, (2.2, 2),
    (13 * G, 18 * G),
            "epoch 13/50 loss=0.6120 acc=0.781"),
    make_running(1039, "encode S02E04.mkv", "media", 57 * MINUTE + 12, HOUR, 2 * MINUTE, (1.9, 2),
    (1.2 * G, 2 * G),
            "frame=81234 fps=23.9 speed=0.99x"),
    make_running(1050, "encode S02E05.mkv", "media", 12 * MINUTE + 7, HOUR, 33 * MINUTE, (1.9, 2),
    (1.4 * G, 2 * G),
            "frame=17011 fps=24.1 speed=1.00x"),
    make_running(1051, "夜间备份 verify", "default", 4 * MINUTE + 40, None, None, (0.9, 1),
    (0.6 * G, 1 * G),
            "checked 41 of 120 archives"),
    make_running(1052, "sha256 photos", "default", 31, 10 * MINUTE, None, (0.0, 1),
    (0.3 * G, 0.5 * G), "",
            "paused", "paused by ann 2m ago"),
)  # fmt: skip


def make_waiting(
    number: int, name: str, queue: str, status: str, since: float, why: str, short: str,
    starts_in: float | None = None,
    starts_at: float | None = None,
) -> NextEntry:  # fmt: skip
    """Return a row that has waited for `since` seconds."""
    return NextEntry(
        f"0193f0c2-0000-7000-8000-{number:012d}", number, name, queue, status, NOW - since, why,
        short,
        starts_in=starts_in, starts_at=starts_at,
        expected_in=None if starts_in is None else (0.8 * starts_in, 1.3 * starts_in),
    )  # fmt: skip


NEXT = (
    make_waiting(1049, "resnet50-sweep-08", "gpu", "queued", 132 * MINUTE,
    "needs 12.0G of pool gpu, 2.0G free; #1042 frees 12.0G",
            "needs 12.0G, 2.0G free; #1042 frees 12.0G", 6 * MINUTE),
    make_waiting(1053, "encode S02E06.mkv", "media", "queued", 41 * MINUTE,
    "first of 14; queue media is full (2 of 2); #1039 ends next",
            "1st of 14; queue full 2/2; #1039 ends next", 2 * MINUTE),
    make_waiting(1054, "encode S02E07.mkv", "media", "queued", 41 * MINUTE,
    "second of 14; queue media is full (2 of 2)",
            "2nd of 14; queue full 2/2", 33 * MINUTE),
    make_waiting(1055, "encode S02E08.mkv", "media", "queued", 41 * MINUTE,
    "third of 14; queue media is full (2 of 2)",
            "3rd of 14; queue full 2/2", 78 * MINUTE),
    make_waiting(1060, "etl-report", "etl", "blocked", 151 * MINUTE,
    "after #1047 nightly-etl, which is running", "after #1047, running",
            12 * MINUTE),
    make_waiting(1062, "vacuum archive", "default", "scheduled", 6 * MINUTE,
    "not before 23:30 today", "not before 23:30",
            starts_at=datetime(2026, 11, 25, 23, 30, tzinfo=UTC).timestamp()),
    make_waiting(1031, "backup /home", "backup", "queued", 580 * MINUTE,
    "queue backup is paused by ann since 01:02", "queue paused by ann"),
)  # fmt: skip


def make_ended(number: int, name: str, queue: str, status: str, ago: float, how: str) -> EndedEntry:
    """Return a row that ended `ago` seconds before `NOW`."""
    return EndedEntry(
        f"0193f0c2-0000-7000-8000-{number:012d}", number, name, queue, status, NOW - ago, how
    )


ENDED = (
    make_ended(
        1048,
        "thumbs S02",
        "media",
        "failed",
        2 * MINUTE,
        "exit 1 after 3s: No such file: /srv/in/S02E09.mkv",
    ),
    make_ended(1046, "encode S02E03.mkv", "media", "succeeded", 12 * MINUTE, "in 44m02s"),
    make_ended(1045, "crawl shop-b", "default", "timed_out", 18 * MINUTE, "after 10m"),
)


def make_alert(
    number: int, rule: str, severity: str, status: str, object: str, why: str, since: float,
    short: str = "", by: str | None = None,
    task: int | None = None,
) -> AlertEntry:  # fmt: skip
    """Return an alert that began `since` seconds before `NOW`."""
    uuid = None if task is None else f"0193f0c2-0000-7000-8000-{task:012d}"
    return AlertEntry(
        number, rule, severity, status, object, why, short or why, NOW - since, uuid, task, by
    )


ALERTS = (
    make_alert(1, "encode-on-time", "critical", "firing", "#1039 encode S02E04.mkv",
    "running 57m, allowed 45m", 12 * MINUTE, "57m > 45m", task=1039),
    make_alert(3, "etl-by-11:00", "warning", "pending", "#1047 nightly-etl",
    "may miss: ends 10:54–11:09, due 11:00", 40, "~11:09 > 11:00", task=1047),
    make_alert(2, "gpu-wait", "warning", "acknowledged", "#1049 resnet50-sweep-08",
    "waiting 2h12m, allowed 30m", 102 * MINUTE, "2h12m > 30m", by="ann", task=1049),
)  # fmt: skip
COMING = (
    ComingEntry("thumbs", NOW + 7 * MINUTE + 53, "every 10m", "media"),
    ComingEntry("nightly-report-of-all-queues", NOW + 15.3 * HOUR, "at 02:00 every day"),
)
COUNTS = {"running": 7, "queued": 22, "blocked": 3, "held": 2, "scheduled": 4}


def scheduled() -> Board:
    """Return the busy board with two waiting tasks and two coming fire times of schedules."""
    waits = (NEXT[0], NEXT[-1])
    return busy()._replace(next=waits, coming=COMING, waiting_total=2, running=RUNNING[:3])


def busy() -> Board:
    """Return the board of a busy deck."""
    return Board(
        at=NOW, home="/var/lib/taskdeck",
        runtime=RuntimeFacts("running", 4120, NOW - 6 * 86400, None, 0.003, 4122, 4123),
        host=HostFacts("render01", 16, 11.2, 64 * G, 41 * G, 11.2, 212 * 1024**3),
        backup=BackupFacts(NOW - 41 * 60), counts=COUNTS, today_ok=141, today_failed=3, failed=3,
        waiting_total=31, rules=3,
        queues=QUEUES, pools=POOLS, running=RUNNING, next=NEXT, ended=ENDED, alerts=ALERTS,
        news=LatestAction(NOW - 6, "ann", "paused #1052 sha256 photos"), ever=True,
    )  # fmt: skip


def trouble() -> Board:
    """Return the busy board after someone stopped the runtime eleven minutes ago."""
    runtime = RuntimeFacts("stopped", None, NOW - 11 * MINUTE - 7, "ann")
    alerts = (
        make_alert(
            9, "runtime-down", "critical", "firing", "system", "no runtime for 11m", 11 * MINUTE
        ),
        *ALERTS,
    )
    waits = _make_all_wait("nothing starts: no runtime since 10:31")
    return busy()._replace(
        measured_at=NOW - 11 * MINUTE - 5, runtime=runtime, alerts=alerts, next=waits, news=None
    )


def _make_all_wait(why: str) -> tuple[NextEntry, ...]:
    """Return the waiting rows, all with the same reason."""
    return tuple(
        line._replace(why=why, why_short=why, expected_in=None, starts_at=None) for line in NEXT
    )


def halted() -> Board:
    """Return the busy board with a full disk."""
    runtime = busy().runtime._replace(halted="disk full since 10:31")
    late = BackupFacts(NOW - 3 * 86400, late=True)
    largest = (
        DiskUsageEntry("runs/", int(41.2 * 1024**3)),
        DiskUsageEntry("backups/", int(3.1 * 1024**3)),
    )
    host = busy().host._replace(disk_free=0, largest=largest)
    waits = _make_all_wait("nothing starts: disk full since 10:31")
    return busy()._replace(
        runtime=runtime, backup=late, database="disk full", host=host, next=waits, news=None
    )


def empty() -> Board:
    """Return the board of a home without any task."""
    queue = QueueEntry("default", "default", 16, 0, 0, None, "active", "open", 0, starts=(0,) * 10)
    pool = PoolEntry("default", 16, 62 * G, 0, 0, "active", 0.0, 0.0, (0.0,) * 8, (0.0,) * 8)
    return Board(
        at=NOW, home="/home/ann/.local/share/taskdeck",
        runtime=RuntimeFacts("running", 4120, NOW - 60, None, 0.001, 4122, 4123),
        host=HostFacts("render01", 16, 11.2, 64 * G, 41 * G, 11.2, 212 * 1024**3),
        backup=BackupFacts(),
        counts={}, queues=(queue,), pools=(pool,),
    )  # fmt: skip


HOSTILE = (
    "[/red][bold]x[/]",
    "\x1b]52;c;aGFja2Vk\x07clip",
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x9b31mc1\x9c\x90q\x9c",
    "\u202egnp.exe\u202c\u2066x\u2069",
    "nul\x00 bel\x07 bs\x08 cr\rlf\ntab\t del\x7f",
    "\ud800surrogate\udfff",
    "e" + "\u0301" * 300,
    "夜" * 200,
    "\U000e0041\ufeff\u200b\u2060",
    "👨\u200d👩\u200d👧 \U0001f3fb ✓\ufe0f",
    "$(reboot) `id` {{ x }} %s",
)
"""Names and outputs that try to control the terminal, the markup or the layout."""


def hostile() -> Board:
    """Return the busy board with hostile text in every field that comes from outside."""
    texts = [HOSTILE[n % len(HOSTILE)] for n in range(40)]
    pick = iter(texts * 9)
    board = busy()
    return board._replace(
        home=next(pick), database=HOSTILE[1], host=board.host._replace(name=HOSTILE[2]),
        queues=tuple(line._replace(name=next(pick) + str(n), word=next(pick)) for n,
        line in enumerate(board.queues)),
        pools=tuple(line._replace(name=next(pick) + str(n)) for n, line in enumerate(board.pools)),
        running=tuple(
            line._replace(name=next(pick), queue=next(pick), output=next(pick), note=next(pick),
            status=status)
            for line, status in zip(board.running, ("running",) * 5 + ("stopping", HOSTILE[0]),
            strict=True)
        ),
        next=tuple(line._replace(name=next(pick), queue=next(pick), why=next(pick),
        why_short=next(pick)) for line in board.next),
        coming=tuple(line._replace(name=next(pick) + str(n), queue=next(pick), words=next(pick))
        for n, line in enumerate(COMING)),
        ended=tuple(line._replace(name=next(pick), queue=next(pick),
        how=next(pick)) for line in board.ended),
        alerts=tuple(line._replace(sla=next(pick), object=next(pick), why=next(pick),
        by=next(pick)) for line in board.alerts),
        news=LatestAction(NOW - 5, next(pick), next(pick)),
        runtime=board.runtime._replace(halted=HOSTILE[3]),
    )  # fmt: skip
