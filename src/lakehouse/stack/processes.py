"""Find and end processes of a stack that lost their supervisor (kill -9, crash, a clumsy power button)."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

#: Every process of a stack carries its home in this variable and hands it on to its children.
MARKER = "LAKEHOUSE_STACK"


def of_stack(home: Path) -> list[psutil.Process]:
    """Processes that carry this home's marker, without ourselves and those who started us."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in own and process.environ().get(MARKER) == str(home):
                found.append(process)
    return found


def postmaster(data: Path) -> psutil.Process | None:
    """The Postgres server of this data directory, if it runs.

    It overwrites its environment with its title, so it has no marker; its pid file is believed only when the
    process with that pid really is a server of this directory.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        command = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if command[:1] and "postgres" in command[0] and str(data) in command else None


def remove_stale_pid_file(data: Path) -> None:
    """Remove a pid file whose process is gone or is somebody else by now (after a reboot)."""
    if postmaster(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)


def end(processes: list[psutil.Process], *, timeout: float = 5.0) -> None:
    """Ask politely, then insist."""
    _signal_all(processes, lambda process: process.terminate())
    _, alive = psutil.wait_procs(processes, timeout=timeout)
    _signal_all(alive, lambda process: process.kill())
    psutil.wait_procs(alive, timeout=5)


def end_postmaster(data: Path, *, timeout: float = 30.0) -> None:
    """Stop a Postgres without supervisor in fast mode: it does not wait for its clients."""
    process = postmaster(data)
    if process is None:
        return
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout)
        except psutil.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # immediate mode; the next start recovers from the log
            process.wait(5)


def _signal_all(processes: list[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            send(process)
