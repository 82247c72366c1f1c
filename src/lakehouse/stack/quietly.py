"""Run an installer with one line of output: a bar while it works, its own words in a log.

Used before anything is installed, so it knows the standard library only:
``python -m lakehouse.stack.quietly LABEL LOG COMMAND …``
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

#: Installers count in this way what they fetch, build and install: ``(12/210)``, ``[12/210]``.
_COUNTED = re.compile(r"[(\[](\d+)/(\d+)[)\]]")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = 24
_LAST_LINES = 30


def main(label: str, log: Path, command: list[str], screen: TextIO) -> int:
    """Run ``command``. Returns its exit code; when that is not 0, the log's end is shown."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    live = screen.isatty()
    if not live:
        print(f"── {label}", file=screen, flush=True)
    code = _watched(command, log, label, screen) if live else _logged(command, log)
    took = f"{time.monotonic() - started:.0f} s"
    if live:
        print(f"\r\x1b[2K── {label}: {took if code == 0 else 'failed'}", file=screen)
    if code:
        print("\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:]), file=screen)
        print(f"All of it: {log}", file=screen)
    return code


def _logged(command: list[str], log: Path) -> int:
    with log.open("w") as sink:
        return subprocess.run(command, stdout=sink, stderr=sink, check=False).returncode


def _watched(command: list[str], log: Path, label: str, screen: TextIO) -> int:
    """Give the command a terminal of its own, as it counts for a terminal only, and read what it counts."""
    controller, terminal = pty.openpty()
    with log.open("w") as sink, subprocess.Popen(command, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        rest = ""
        while chunk := _read(controller):
            text = rest + chunk.decode(errors="replace")
            for done, of in _COUNTED.findall(_CONTROL.sub("", text))[-1:]:
                print(f"\r\x1b[2K── {label} {bar(int(done), int(of))}", end="", file=screen, flush=True)
            *lines, rest = text.split("\n")
            sink.writelines(written(line) + "\n" for line in lines)
    os.close(controller)
    return process.returncode


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # Linux says so when nobody writes any more
        return b""


def bar(done: int, of: int) -> str:
    """``━━━━━━╌╌╌ 120/219``; nothing as long as there is nothing to count."""
    if not of:
        return ""
    full = _BAR * done // of
    return f"{'━' * full}{'╌' * (_BAR - full)} {done}/{of}"


def written(line: str) -> str:
    """What stays of a line that was drawn over and over."""
    return _CONTROL.sub("", line.rstrip("\r")).rpartition("\r")[2].rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:], sys.stderr))
