"""Program of a job on another host: the gate, the program of the task, and the record of its end.

The engine of that host runs `python3 -I -S PROGRAM SPOOL RUN`, maybe more than once for one run.
The first to take the gate runs the task, all others end at once. The program imports nothing of
Taskdeck, which that host may lack, and works on Python 3.6. `spool.py` describes the files.

A task ends at its timeout, by an ask in the spool, or by SIGTERM to this process. Its processes
then get TERM, and KILL after the grace. The end goes to the spool, again and again for ten minutes
if the spool is full or gone.
"""

import errno
import json
import os
import re
import resource
import signal
import socket
import sys
import time

RUN_ID = re.compile("[0-9A-Za-z][0-9A-Za-z_-]{1,99}")
# what engines tell a job about itself; the task of a job gets the variables with these beginnings
JOB_VARIABLE, NODE_VARIABLE = "SLURM_JOB_ID", "SLURMD_NODENAME"
ENGINE_VARIABLES = (
    *(b"SLURM", b"CUDA_VISIBLE_DEVICES=", b"ROCR_VISIBLE_DEVICES=", b"GPU_DEVICE_ORDINAL="),
    b"ZE_AFFINITY_MASK=",
)
BEAT = 10.0  # seconds between two touches of the gate
RECORD_SECONDS, LONGEST_PAUSE = 600.0, 5.0  # how long, and how often, to try to record an end
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
NOT_STARTED = 75  # exit code if the gate cannot be taken
NEVER = float("inf")
# all that can be caught; the C library keeps 32 and 33
SIGNALS = {
    number
    for number in (*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
    if number not in (signal.SIGKILL, signal.SIGSTOP)
}
AWAITED = {signal.SIGCHLD, signal.SIGCONT, signal.SIGTERM, signal.SIGUSR1}
KILL_TIMEOUT = 2.0  # seconds under KILL after which the rest of a task is given up
TERM_PAUSE, CONT_LEAD = 0.5, 5.0  # seconds after and before a TERM of the engine


class JobStartError(Exception):
    """A task that cannot be started. `code` is the exit code of a shell."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


# --- files of the spool -----------------------------------------------------------------


def write_temporary(path: str, content: dict) -> str:
    """Write a new file beside `path` durably, and return its path."""
    temporary = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(content).encode("ascii"))
            file.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def take_gate(path: str) -> bool:
    """Return True for the one who may run the task. Raise OSError."""
    job, node = os.environ.get(JOB_VARIABLE, ""), os.environ.get(NODE_VARIABLE)
    facts = {"job": job, "node": node or socket.gethostname(), "at": time.time()}
    temporary = write_temporary(path, facts)
    try:
        os.link(temporary, path)
    except OSError as error:
        # NFS reports a failure if the first answer of the server was lost
        if os.stat(temporary).st_nlink == 2:
            return True
        if error.errno == errno.EEXIST:
            return False
        raise
    finally:
        os.unlink(temporary)
    return True


def read_ask(base: str) -> dict:
    """Return what the spool asks of the job now, or an empty object.

    NFS looks at the server when the folder is opened.
    """
    try:
        os.close(os.open(os.path.dirname(base), os.O_RDONLY))
        with open(base + ".ask", "rb") as file:
            found = json.loads(file.read().decode("ascii"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_forgotten(base: str) -> bool:
    """Return True if the gate was removed, and not the whole spool."""
    return os.path.isdir(os.path.dirname(base)) and not os.path.lexists(base + ".started")


def record_end(base: str, end: dict) -> bool:
    """Record the end; try again while the spool is full or gone. Return True on success."""
    limit, pause = time.monotonic() + RECORD_SECONDS, 0.05
    while not is_forgotten(base):
        try:
            os.rename(write_temporary(base + ".ended", end), base + ".ended")
            return True
        except OSError:
            if time.monotonic() >= limit:
                return False
        touch(base)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return False


def touch(base: str) -> None:
    """Show that the job lives."""
    try:
        os.utime(base + ".started")
    except OSError:
        pass  # the next beat follows


# --- start of the task ------------------------------------------------------------------


def to_bytes(text: str) -> bytes:
    """Return a text of the order as bytes, which need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def format_bytes(value: bytes, most: int = 120) -> str:
    """Return bytes as text for a message, truncated if long."""
    text = value.decode("utf-8", "surrogateescape")
    return text if len(text) <= most else text[: most - 1] + "…"


def describe_error(error: Exception) -> str:
    """Return an error message without errno and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class JobOrder:
    """A checked order. Raise KeyError, TypeError, ValueError or AttributeError."""

    def __init__(self, order: dict) -> None:
        self.argv = [to_bytes(word) for word in order["argv"]]
        self.env = {to_bytes(name): to_bytes(value) for name, value in order["env"].items()}
        self.env.update(list_engine_variables())
        self.cwd, self.log = to_bytes(order["cwd"]), to_bytes(order["log"])
        self.umask = int(order["umask"]) & 0o777
        self.timeout = NEVER if order.get("timeout") is None else float(order["timeout"])
        self.grace = float(order["grace"])
        self.early = order.get("early") and (int(order["early"][0]), float(order["early"][1]))
        self.beat = float(order.get("beat", BEAT))
        if not self.argv or not self.argv[0]:
            raise ValueError("nothing to run")


def list_engine_variables() -> dict:
    """Return what the engine tells a task, such as its job and its devices."""
    return {
        name: value
        for name, value in os.environb.items()
        if (name + b"=").startswith(ENGINE_VARIABLES)
    }


def read_order(path: str) -> "JobOrder | None":
    """Return the order, or None if the run was forgotten. Raise JobStartError."""
    try:
        with open(path, "rb") as file:
            return JobOrder(json.loads(file.read().decode("ascii")))
    except FileNotFoundError:
        return None
    except (OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise JobStartError(126, "cannot read the order: " + describe_error(error)) from None


def open_log(path: bytes) -> int:
    """Open the log for appending. Raise JobStartError.

    Its folder is not made: where the folder is missing, nobody would find the log.
    """
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        return os.open(path, flags, 0o600)
    except (OSError, ValueError) as error:
        why = f"cannot write log {format_bytes(path)}: {describe_error(error)}"
        raise JobStartError(126, why) from None


def enter_directory(cwd: bytes) -> None:
    """Change to the working directory. Raise JobStartError."""
    try:
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        why = f"cannot enter directory {format_bytes(cwd)}: {describe_error(error)}"
        raise JobStartError(126, why) from None


def find_program(name: bytes, env: dict) -> bytes:
    """Find a program, on the PATH of the task if its name has no slash. Raise JobStartError."""
    path = env.get(b"PATH", os.fsencode(os.defpath))
    places = [(folder or b".") + b"/" + name for folder in path.split(b":")]
    if b"/" in name:
        if not os.path.lexists(name):
            raise JobStartError(127, "no such file: " + format_bytes(name))
        places = [name]
    files = [place for place in places if os.path.isfile(place)]
    for place in files:
        if os.access(place, os.X_OK):
            return place
    if files or b"/" in name:
        raise JobStartError(126, "not executable: " + format_bytes((files or places)[0]))
    why = f'no program "{format_bytes(name)}" in PATH ({format_bytes(path, 60)})'
    raise JobStartError(127, why)


def start_program(order: JobOrder) -> int:
    """Start the program in a session of its own; return its pid. Raise JobStartError."""
    log = open_log(order.log)
    try:
        enter_directory(order.cwd)
        program = find_program(order.argv[0], order.env)
        return spawn(program, order, log)
    except OSError as error:
        raise JobStartError(126, "no process can be started: " + describe_error(error)) from None
    finally:
        os.close(log)
        os.chdir("/")


def spawn(program: bytes, order: JobOrder, log: int) -> int:
    """Fork and execute. Raise JobStartError, or OSError if there can be no process.

    The pipe closes when the program begins, so the session exists when its end is read.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    with os.fdopen(reader, "rb") as failure:
        pid = os.fork()
        if pid == 0:
            try:
                end_with_parent(parent)
                execute(program, order, log)
            except FileNotFoundError:
                os.write(writer, b"its interpreter is missing")
            except Exception as error:
                os.write(writer, describe_error(error).encode("utf-8", "replace"))
            finally:
                os._exit(126)
        os.close(writer)
        why = failure.read().decode("utf-8", "replace")
    if why:
        os.waitpid(pid, 0)
        raise JobStartError(126, f"cannot run {format_bytes(program)}: {why}")
    return pid


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process if the job program dies before it.

    An engine that kills the job program alone counts the job as ended, and the run is lost: its
    program must not go on. Only engines with cgroups reach the other processes of the task.
    """
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes
    if os.getppid() != parent:
        os._exit(126)


def execute(program: bytes, order: JobOrder, log: int) -> None:
    """Become the program of the task. A file without an interpreter line runs under sh."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.umask(order.umask)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execve(program, order.argv, order.env)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    os.execve(b"/bin/sh", [b"/bin/sh", program] + order.argv[1:], order.env)


# --- while the task runs ----------------------------------------------------------------


def read_file(path: str) -> bytes:
    """Return the content of a /proc file, or b"" if the process is gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def list_members(session: int, run: str) -> list:
    """Return the living processes of a run, by their session or by the run id in their environment.

    A daemon leaves the session of the task.
    """
    found, cookie = [], b"\0TASKDECK_RUNID=" + run.encode() + b"\0"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if len(fields) < 4 or fields[0] in (b"Z", b"X"):
            continue
        if int(fields[3]) == session or cookie in b"\0" + read_file(f"/proc/{pid}/environ"):
            found.append(int(pid))
    return found


def is_caught(pid: int, number: int) -> bool:
    """Return True if a process has a handler for a signal."""
    after = read_file(f"/proc/{pid}/status").partition(b"SigCgt:")[2].split(None, 1)
    return bool(after) and bool(int(after[0], 16) >> (number - 1) & 1)


def send_signal(pids: list, number: int) -> None:
    """Send a signal to processes, of which some may be gone."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


class RunningTask:
    """The running task: its times, and what was sent to it. Times are monotonic."""

    def __init__(self, base: str, order: JobOrder, pid: int, gate_at: float) -> None:
        self.base, self.order, self.pid = base, order, pid
        self.run = os.path.basename(base)
        self.deadline, self.kill_at = gate_at + order.timeout, NEVER
        self.early_at = self.deadline - order.early[1] if order.early else NEVER
        self.beat_at = 0.0
        self.judge_at, self.continued_at = NEVER, -NEVER
        self.stop_reason = None  # of the first stop
        self.has_term = False  # the signal TERM

    def wait(self) -> tuple:
        """Wait for the end; return its status and usage as wait4 does."""
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                return status, usage
            self.do_due()
            due = min(self.deadline, self.early_at, self.kill_at, self.beat_at, self.judge_at)
            got = signal.sigtimedwait(AWAITED, max(0.0, due - time.monotonic()))
            if got:
                self.handle_signal(got.si_signo, got.si_pid)

    def do_due(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now >= self.beat_at:
            self.beat_at = now + self.order.beat
            self.beat()
        if now >= self.early_at:
            self.send_early()
        if now >= self.judge_at:
            self.judge_term()
        if now >= self.deadline:
            self.deadline = NEVER
            self.stop("timeout", self.order.grace)
        if now >= self.kill_at:
            self.kill_at = now + 1
            self.send(signal.SIGKILL)

    def handle_signal(self, number: int, sender: int) -> None:
        """Look at the spool, or end the task.

        The engine, our parent, ends a job by CONT and TERM to all of its processes, and later
        by KILL. Without CONT, its TERM did not leave our process group.
        """
        now = time.monotonic()
        if number == signal.SIGUSR1:
            self.follow_ask()
        elif number == signal.SIGCONT and sender == os.getppid():
            self.continued_at = now
        elif number == signal.SIGTERM and sender == os.getppid():
            self.judge_at = now + TERM_PAUSE
        elif number == signal.SIGTERM:
            self.stop(None, self.order.grace)

    def judge_term(self) -> None:
        """Pass on a TERM of the engine, unless the task has it already."""
        has_it = self.continued_at >= self.judge_at - TERM_PAUSE - CONT_LEAD
        self.judge_at = NEVER
        if has_it:
            self.has_term = True
        else:
            self.stop(None, self.order.grace)

    def beat(self) -> None:
        """Show that the job lives, and look for an ask.

        A forgotten run counts as lost, and may run elsewhere by now.
        """
        if is_forgotten(self.base):
            self.stop("lost", self.order.grace)
        touch(self.base)
        self.follow_ask()

    def follow_ask(self) -> None:
        """Do what the spool asks."""
        ask = read_ask(self.base)
        if ask.get("early"):
            self.send_early()
        if ask.get("stop"):
            self.stop(str(ask["stop"]), float(ask.get("grace", 0)))

    def send_early(self) -> None:
        """Send the signal before the timeout once, to processes that handle the signal.

        It would end a shell around the program.
        """
        if self.order.early and self.early_at < NEVER and not self.has_term:
            number = self.order.early[0]
            members = list_members(self.pid, self.run)
            send_signal([pid for pid in members if is_caught(pid, number)], number)
        self.early_at = NEVER

    def stop(self, reason: "str | None", grace: float) -> None:
        """Stop the task: TERM once, KILL after the grace, which later stops only shorten."""
        self.stop_reason = self.stop_reason or reason
        self.kill_at = min(self.kill_at, time.monotonic() + grace)
        if not self.has_term:
            self.has_term = True
            self.send(signal.SIGTERM)
            self.send(signal.SIGCONT)

    def send(self, number: int) -> None:
        """Send a signal to all processes of the run."""
        send_signal(list_members(self.pid, self.run), number)

    def wait_for_rest(self) -> int:
        """Wait until a stopped task has no process left; return how many outlive KILL."""
        if self.kill_at == NEVER:
            return 0
        limit = self.kill_at + KILL_TIMEOUT
        rest = list_members(self.pid, self.run)
        while rest and time.monotonic() < limit:
            self.do_due()
            time.sleep(0.05)
            rest = list_members(self.pid, self.run)
        return len(rest)


# --- the job ----------------------------------------------------------------------------


def make_end(run: str, **facts: object) -> dict:
    """Return the record of an end, as the keeper reports ends; omitted values are unknown."""
    end = {"is": "ended", "run": run, "at": time.time(), "lost": False, "again": True, "left": 0}
    unknown = ("code", "signal", "reason", "stop", "started_at", "run_seconds", "cpu", "maxrss")
    end.update({name: None for name in unknown})
    end.update(facts)
    return end


def estimate_peak(usage: "resource.struct_rusage") -> int:
    """Return the peak memory in KiB.

    The kernel counts our own peak, which the program has before it begins. Below, the pages that
    it faulted in tell more.
    """
    if usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        return usage.ru_maxrss
    faulted = (usage.ru_minflt + usage.ru_majflt) * (os.sysconf("SC_PAGE_SIZE") // 1024)
    return min(usage.ru_maxrss, faulted)


def run_task(base: str, run: str) -> "dict | None":
    """Run the task, and return the record of its end; None if the run was forgotten."""
    gate_at = time.monotonic()
    try:
        order = read_order(base + ".order")
        if order is None:
            return None
        if signal.SIGTERM in signal.sigpending():
            return make_end(run, signal=int(signal.SIGTERM), reason="ended before its start")
        started_at, began = time.time(), time.monotonic()
        pid = start_program(order)
    except JobStartError as error:
        return make_end(run, code=error.code, reason=error.reason)
    task = RunningTask(base, order, pid, gate_at)
    status, usage = task.wait()
    ended_at, ended = time.time(), time.monotonic()
    left = task.wait_for_rest()
    return make_end(
        run,
        code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        stop=task.stop_reason,
        started_at=started_at,
        at=ended_at,
        run_seconds=ended - began,
        cpu=usage.ru_utime + usage.ru_stime,
        maxrss=estimate_peak(usage),
        pid=pid,
        left=left,
    )


def main(root: str, run: str) -> int:
    """Run the task of a run unless another job has, and return the exit code of the job."""
    if not RUN_ID.fullmatch(run):
        sys.exit("no run id")
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(0o077)
    base = f"{root}/runs/{run[-2:]}/{run}"
    try:
        os.stat(root + "/runs")
        if not os.path.lexists(base + ".order") or not take_gate(base + ".started"):
            return 0
    except OSError as error:
        sys.stderr.write(f"cannot start the run: {error}\n")
        return NOT_STARTED
    end = run_task(base, run)
    if end is None:
        os.unlink(base + ".started")
        return 0
    record_end(base, end)
    return end["code"] if end["code"] is not None else 128 + end["signal"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
