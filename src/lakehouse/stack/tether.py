"""Start a server that cannot outlive the process which started it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse.stack.account import Account

#: ``$0`` is the signal's name. When the starter writes a line, or dies and so closes the pipe, the shell
#: passes the signal on; a test run that is killed with -9 leaves no server behind.
_SCRIPT = (
    'exec 3<&0; "$@" </dev/null 3<&- & server=$!; '
    '{ read -r _ <&3; kill -s "$0" "$server"; } 2>/dev/null & '
    'wait "$server"'
)


@dataclass(frozen=True)
class Tethered:
    """A running server and the pipe that keeps it alive."""

    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        """Whether the server still runs."""
        return self.process.poll() is None

    def stop(self, timeout: float = 20.0) -> None:
        """Let go of the server and wait until it has ended."""
        pipe = self.process.stdin
        if pipe is not None and not pipe.closed:
            try:
                # The line matters: another child of ours may have inherited the pipe and keep it open.
                pipe.write(b"\n")
                pipe.close()
            except OSError:
                pass  # the server ended by itself
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_tethered(
    command: Sequence[str],
    *,
    log: Path,
    stop_signal: str = "TERM",
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
) -> Tethered:
    """Start a server in the background, as another user if asked, its output in ``log``."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, stop_signal, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=None if environment is None else dict(environment),
            start_new_session=True,
            **(account.popen_options() if account else {}),
        )
    return Tethered(process)
