"""Commands of `vt-env` in processes forked from one that has everything imported, so that many can be killed cheaply.

`python -m support.command_forks MODULE ...` imports the modules, then reads one request a line and answers with one.
Each command runs in a session of its own; what is left of it a while after its end is reported.
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
DATA = ("experiments.data.index", "experiments.evaluate.eval", "experiments.data.synth", "experiments.report.report")
"""Commands that need no training library."""
_MODE_RIGHTS = 0b1110
"""Rights of root to pass over modes and owners: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER."""
ORPHANS_S = 5.0
"""Seconds in which the children of a killed command must end, too."""


@dataclass(frozen=True)
class Request:
    """One command."""

    arguments: Sequence[str]
    log: str
    """File of what it prints."""
    environment: Mapping[str, str] = field(default_factory=dict)
    kill_after_s: float | None = None
    """When it gets SIGKILL; `None` means never."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limits of resources by name, such as `RLIMIT_NOFILE`."""
    obeys_modes: bool = False
    """Whether it gives up the rights of root to pass over modes and owners of files."""
    copies: int = 1
    """How many of it run at once; the first one to end with another code than 0 says how it ended."""
    clock_s: Sequence[float] = ()
    """Seconds by which the clock is wrong, in turn, at each look at it."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    """Exit code, or the negative number of a signal."""
    seconds: float
    orphans: int
    """Processes that it left running."""
    printed: str = ""
    codes: Sequence[int] = ()
    """Exit codes of all copies."""

    @property
    def was_killed(self) -> bool:
        """Whether it was killed before it had ended."""
        return self.code == -signal.SIGKILL


class Commands:
    """Runs commands; a context manager."""

    def __init__(self, folder: Path, modules: Sequence[str] = DATA) -> None:
        self._folder, self._modules = folder, modules
        self._number = 0

    def __enter__(self) -> "Commands":
        """Start the process that is forked."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
        environment.pop("VT_ENV_LOUD", None)
        command = [sys.executable, "-m", "support.command_forks", *self._modules]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)
        return self

    def __exit__(self, *raised: object) -> None:
        """End it."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def start(self, *arguments: object, **options: Any) -> None:
        """Ask for a command without waiting for it; `done` waits."""
        self._number += 1
        log = str(self._folder / f"command-{self._number}.log")
        request = Request([str(it) for it in arguments], log, **options)
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asdict(request)) + "\n")
        self._server.stdin.flush()

    def done(self) -> Done:
        """Wait for the next command, in the order of their starts."""
        assert self._server.stdout is not None
        return Done(**json.loads(self._server.stdout.readline()))

    def run(self, *arguments: object, **options: Any) -> Done:
        """Run a command to its end, or until it is killed."""
        self.start(*arguments, **options)
        return self.done()


def main(modules: Sequence[str]) -> None:
    """Answer requests."""
    for name in modules:
        importlib.import_module(name)
    for line in sys.stdin:
        request = Request(**json.loads(line))
        sys.stdout.write(json.dumps(asdict(_answer(request))) + "\n")
        sys.stdout.flush()


def _answer(request: Request) -> Done:
    began_s = time.monotonic()
    Path(request.log).write_text("")
    pids = [os.fork() or _command(request) for _ in range(request.copies)]
    codes = [_wait(pid, request.kill_after_s) for pid in pids]
    seconds = round(time.monotonic() - began_s, 3)
    code = next((it for it in codes if it), 0)
    orphans = sum(map(_orphans, pids)) if code < 0 else 0
    return Done(code, seconds, orphans, Path(request.log).read_text(errors="replace")[-4000:], codes)


def _wait(pid: int, kill_after_s: float | None) -> int:
    end_s = None if kill_after_s is None else time.monotonic() + kill_after_s
    while True:
        found, status = os.waitpid(pid, 0 if end_s is None else os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        assert end_s is not None
        if time.monotonic() >= end_s:
            os.kill(pid, signal.SIGKILL)
            end_s = None
        else:
            time.sleep(0.001)


def _orphans(session: int) -> int:
    """Count the processes of a session that outlive its leader, and end them."""
    deadline_s = time.monotonic() + ORPHANS_S
    while (left := _members(session)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return len(left)


def _members(session: int) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state != "Z":
            found.append(int(folder.name))
    return found


def _command(request: Request) -> NoReturn:
    """Become the command."""
    code = 1
    try:
        os.setsid()
        log = os.open(request.log, os.O_WRONLY | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.environ |= request.environment
        for name, value in request.limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if request.obeys_modes:
            _obey_modes()
        _step_clock(request.clock_s)
        from experiments.cli import main

        sys.argv = ["vt-env", *request.arguments]
        main()
    except SystemExit as reason:
        code = reason.code if isinstance(reason.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter would
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _obey_modes() -> None:
    """Take the rights of `_MODE_RIGHTS` from this process (capset(2), version 3: 64 bits in two halves)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    data[0] &= ~_MODE_RIGHTS
    assert libc.capset(header, data) == 0


def _step_clock(steps_s: Sequence[float]) -> None:
    if not steps_s:
        return
    right, looks = time.time, iter(range(sys.maxsize))
    time.time = lambda: right() + steps_s[next(looks) % len(steps_s)]


if __name__ == "__main__":
    main(sys.argv[1:])
