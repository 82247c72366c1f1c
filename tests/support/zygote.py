"""Steps in processes of their own, which can be killed at a named point.

Importing the engine and Great Expectations takes seconds, so one process does it once and is forked for each step,
as Airflow forks its tasks. Production code has no hooks: a child watches its own calls (``sys.setprofile``) and sends
itself a signal when the n-th call of a function begins or ends, in whatever thread.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

#: What a child does is one of these, with its arguments.
STEPS = ("land", "plan", "stage", "gate", "publish")


@dataclass(frozen=True)
class Point:
    """A moment of a step: ``when`` (before, after) the ``nth`` call of a function.

    ``function``: ``module:name`` or ``module:Class.name``; without a module the name of a function written in C, such
    as ``copy_expert``. ``armed_by``: calls count only after this one has ended. ``within``: they count only
    while this one is at work in the same thread.
    """

    when: str
    function: str
    nth: int = 1
    armed_by: str = ""
    within: str = ""
    sends: int = signal.SIGKILL

    def __str__(self) -> str:
        told = f"{self.when} {self.function.rpartition('.')[2].rpartition(':')[2]}"
        return f"{told} {self.nth}" if self.nth > 1 else told


@dataclass
class Task:
    """A step at work."""

    pid: int
    output: Path
    zygote: Zygote = field(repr=False)

    def wait(self, seconds: float = 120) -> int:
        """Its exit code, negative when a signal ended it.

        Raises:
            AssertionError: it is still at work; it is ended then.
        """
        code = self.zygote.ask({"wait": self.pid, "seconds": seconds})
        if code is None:
            self.send(signal.SIGKILL)
            self.zygote.ask({"wait": self.pid, "seconds": 30})
            raise AssertionError(f"still at work after {seconds} s:\n{self.told}")
        return int(code)

    def send(self, what: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, what)

    def stopped(self, seconds: float = 60) -> bool:
        """Wait until it stands still (SIGSTOP); False when it has ended instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            if state in "TZ":
                return state == "T"
            time.sleep(0.01)
        raise AssertionError(f"neither stopped nor over:\n{self.told}")

    @property
    def told(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8")


class Zygote:
    """The process that is forked."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )
        self._started = 0

    def start(
        self,
        step: str,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        point: Point | None = None,
    ) -> Task:
        """Begin a step (see :data:`STEPS`)."""
        assert step in STEPS
        self._started += 1
        output = self.folder / f"step-{self._started}.log"
        asked = {
            "step": step,
            "arguments": arguments,
            "environment": {k: v for k, v in environment.items() if os.environ.get(k) != v},
            "point": asdict(point) if point else None,
            "output": str(output),
        }
        return Task(int(self.ask(asked)), output, self)

    def ask(self, question: Mapping[str, Any]) -> Any:
        """A question and its answer, both on one line."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the zygote has ended"
        return json.loads(answer)

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)


def _main() -> None:
    """Import what steps need, then fork for each line of the standard input."""
    for name in (
        "great_expectations",
        "lakehouse.home.iceberg",
        "lakehouse.landing.deliver",
        "lakehouse.layer.flow",
        "lakehouse.quality.gx_rules",
        "boto3",
        "pyarrow.fs",
        "psycopg2",
    ):
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _reap(asked["wait"], asked["seconds"]) if "wait" in asked else _fork(asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _reap(pid: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _fork(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(asked["environment"])
        tempfile.tempdir = os.environ.get(
            "TMPDIR"
        )  # even when it is full, where Python would look for another
        if asked["point"]:
            _watch(Point(**asked["point"]))
        code = _run(asked["step"], asked["arguments"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise AssertionError


def _run(step: str, arguments: list[str]) -> int:
    """What Airflow's task of this name calls."""
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.home.homes import Homes
    from lakehouse.landing.deliver import land
    from lakehouse.layer import flow

    homes, project = Homes.open(), Project.load()
    try:
        if step == "land":
            source, folder, day = arguments
            land(homes, project, source, Path(folder), day, allow_shrink=True)
        elif step == "stage":
            *partition, tables = arguments
            for table in tables.split(","):
                flow.stage(homes, project, *cast("tuple[str, Any, str]", partition), table)
        else:
            call = cast("Callable[..., object]", getattr(flow, step))
            sys.stdout.write(f"{call(homes, project, *arguments)}\n")
    except LakehouseError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return 3
    return 0


def _watch(point: Point) -> None:
    """Send this process the point's signal when it is there."""
    wanted, armed_by, within = (_code(name) for name in (point.function, point.armed_by, point.within))
    event = {"before": "call", "after": "return"}[point.when]
    native = ("c_" if isinstance(wanted, str) else "") + event
    seen, armed = [0], [armed_by is None]

    def look(frame: FrameType, happened: str, argument: Any) -> None:
        if not armed[0]:
            if happened == "return" and frame.f_code is armed_by:
                armed[0] = True
            return
        if happened != native:
            return
        if isinstance(wanted, str):
            if getattr(argument, "__name__", "") != wanted:
                return
        elif frame.f_code is not wanted:
            return
        if within is not None and not _at_work(frame, within):
            return
        seen[0] += 1
        if seen[0] == point.nth:
            sys.setprofile(None)
            threading.setprofile(None)
            os.kill(os.getpid(), point.sends)

    threading.setprofile(look)
    sys.setprofile(look)


def _at_work(frame: FrameType | None, code: CodeType | str) -> bool:
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def _code(name: str) -> CodeType | str | None:
    if not name or ":" not in name:
        return name or None
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    found = getattr(found, "__wrapped__", found)
    return cast(CodeType, found.__code__)


if __name__ == "__main__":
    _main()
