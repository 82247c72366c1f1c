"""Set-up shows one line a step; what the installer says is in the log."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from lakehouse.stack.quietly import bar, main, written

#: Counts as uv does: on a terminal only, drawing over what it has drawn.
INSTALLER = """
import sys
if sys.stderr.isatty():
    for n in range(1, 4):
        sys.stderr.write(f"\\r\\x1b[2K\\x1b[2mPreparing packages...\\x1b[0m ({n}/3)")
    sys.stderr.write("\\r\\x1b[2K")
print(" + onepackage==1.0", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


def installer(code: int) -> list[str]:
    return [sys.executable, "-c", INSTALLER, str(code)]


def test_in_a_log_file_a_step_is_one_line(tmp_path: Path) -> None:
    screen, log = io.StringIO(), tmp_path / "tools" / "setup.log"
    assert main("Packages", log, installer(0), screen) == 0
    assert screen.getvalue() == "── Packages\n"
    assert log.read_text() == " + onepackage==1.0\n"


def test_a_failure_shows_the_end_of_the_log_and_where_it_is(tmp_path: Path) -> None:
    screen, log = io.StringIO(), tmp_path / "setup.log"
    assert main("Packages", log, installer(3), screen) == 3
    assert "onepackage" in screen.getvalue()
    assert str(log) in screen.getvalue()


def test_on_a_terminal_a_bar_is_drawn_and_packages_are_in_the_log_only(tmp_path: Path) -> None:
    log = tmp_path / "setup.log"
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "lakehouse.stack.quietly", "Packages", str(log), *installer(0)]
    with subprocess.Popen(command, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(controller, 65536):
                shown += chunk
        except OSError:  # the other end is closed
            pass
    os.close(controller)
    assert process.returncode == 0
    assert "━ 3/3" in shown.decode()
    assert "onepackage" not in shown.decode()
    assert written(shown.decode().strip()).startswith("── Packages: ")
    assert log.read_text().strip() == "+ onepackage==1.0"


def test_a_bar_is_as_full_as_what_is_done() -> None:
    assert (bar(0, 0), bar(1, 2).count("━"), bar(2, 2).count("╌")) == ("", 12, 0)
