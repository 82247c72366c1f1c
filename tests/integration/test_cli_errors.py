"""The command line as a person meets it: help, and errors that say what to do. Needs no server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakehouse.cli.main import app

COMMANDS = [
    "up",
    "down",
    "status",
    "land",
    "replay",
    "run",
    "sql",
    "env",
    "logs",
    "generate",
    "demo",
    "bench",
]


def lakehouse(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", *arguments],
        env={**environment, "LAKEHOUSE_HOME": str(home), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_command_and_is_quick(tmp_path: Path) -> None:
    lakehouse(tmp_path, "--help")  # compiles the modules
    used = os.times()
    done = lakehouse(tmp_path, "--help")
    now = os.times()
    assert done.returncode == 0
    assert [name for name in COMMANDS if f" {name} " not in done.stdout] == []
    # Processor time of the child: a busy machine is not our fault.
    assert now.children_user + now.children_system - used.children_user - used.children_system < 1.5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.stdout


@pytest.mark.parametrize(
    "command", [["status"], ["env"], ["sql", "SELECT 1"], ["land", "olist"], ["run", "olist"]]
)
def test_without_a_stack_the_next_step_is_up(command: list[str], tmp_path: Path) -> None:
    done = lakehouse(tmp_path / "nothing", *command)
    assert done.returncode == 1
    assert "lakehouse up" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    done = lakehouse(tmp_path / "nothing", "down")
    assert (done.returncode, "Nothing was running" in done.stderr) == (0, True)


def test_an_unknown_source_is_named_with_the_known_ones(tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "land", "nosuch")
    assert done.returncode == 1
    assert "nosuch" in done.stderr
    assert "olist" in done.stderr


def test_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "run", "olist", "--from", "17.10.2018")
    assert done.returncode == 1
    assert "YYYY-MM-DD" in done.stderr


def test_deleting_everything_wants_to_be_told_twice(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    done = lakehouse(tmp_path, "delete-everything")
    assert done.returncode == 1
    assert (tmp_path / "kept").exists()


def test_unknown_options_are_usage_errors(tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "up", "--nosuch").returncode == 2


def test_the_command_line_imports_no_airflow() -> None:
    script = "import sys, lakehouse.cli.main; print([m for m in sys.modules if m.split('.')[0] == 'airflow'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
