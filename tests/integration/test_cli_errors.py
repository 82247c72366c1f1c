"""The command line as a person meets it: help, and errors that say what to do. Needs no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakehouse.cli.context import exports
from lakehouse.cli.main import app
from lakehouse.stack import state as memory
from lakehouse.stack.network import any_free_port
from lakehouse.stack.state import S3Endpoint, StackHome, StackState

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
    "metrics",
    "advise",
    "generate",
    "demo",
    "bench",
]


def lakehouse(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", *arguments],
        env={**environment, "LAKEHOUSE_HOME": str(home), "COLUMNS": "120", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def a_stack(home: Path) -> StackState:
    """What a stack that is down leaves behind; nothing listens on its ports."""
    place = StackHome(home)
    place.create()
    ports = {name: any_free_port() for name in memory.DEFAULT_PORTS}
    store = S3Endpoint("minio", f"http://127.0.0.1:{ports['s3']}", "key", "secret")
    state = replace(memory.load_or_create(place), ports=ports, s3=store)
    memory.save(place, state)
    return state


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


@pytest.mark.parametrize(
    "command",
    [
        ["run", "olist", "--from", "2018-10-17", "--to", "2018-10-01"],
        ["replay", "olist", "--from", "2018-10-17", "--to", "2018-10-01"],
    ],
)
def test_dates_the_wrong_way_round_are_told(command: list[str], tmp_path: Path) -> None:
    done = lakehouse(tmp_path, *command)
    assert done.returncode == 1
    assert "--from 2018-10-17 is later than --to 2018-10-01" in done.stderr


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    a_stack(tmp_path / "home")
    for command in (["land", "olist", "--from"], ["replay", "olist", "--files"]):
        done = lakehouse(tmp_path / "home", *command, str(tmp_path / "nosuch"))
        assert (done.returncode, "There is no folder" in done.stderr) == (1, True)
        done = lakehouse(tmp_path / "home", *command, __file__)
        assert (done.returncode, "is a file" in done.stderr) == (1, True)


def test_an_empty_log_says_so(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "postgres.log").touch()
    done = lakehouse(tmp_path, "logs", "postgres")
    assert (done.returncode, done.stdout) == (0, "")
    assert "The log of postgres is empty" in done.stderr


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["status", "--json"], "StackError"),
        (["env", "--json"], "StackError"),
        (["run", "olist", "--json"], "StackError"),
        (["land", "nosuch", "--json"], "ContractError"),
        (["withdraw", "olist", "--date", "17.10.2018", "--json"], "StackError"),
        (["replay", "avazu", "--json"], "LakehouseError"),
        (["sql", "SELECT 1", "--format", "json"], "StackError"),
        (["run", "olist", "--nosuch", "--json"], "UsageError"),
    ],
)
def test_errors_are_json_too_where_json_was_asked_for(command: list[str], kind: str, tmp_path: Path) -> None:
    done = lakehouse(tmp_path / "nothing", *command)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"]) == (2 if kind == "UsageError" else 1, kind)
    assert error["message"]
    assert "Traceback" not in done.stderr


def test_the_environment_of_another_stack_is_refused(tmp_path: Path) -> None:
    state = a_stack(tmp_path)
    own = exports(state)
    other = own["LAKEHOUSE_PG_DSN"].replace(f":{state.ports['postgres']}/", ":65001/")
    for command in (
        ["run", "olist"],
        ["status"],
        ["replay", "olist"],
        ["withdraw", "olist", "--date", "2018-10-17"],
    ):
        done = lakehouse(tmp_path, *command, **own | {"LAKEHOUSE_PG_DSN": other})
        assert done.returncode == 1
        assert "another stack" in done.stderr
        assert f"127.0.0.1:{state.ports['postgres']}/lakehouse" in done.stderr
        assert "65001" in done.stderr
        assert "password" not in done.stderr
        done = lakehouse(tmp_path, *command, **own | {"LAKEHOUSE_BUCKET": "theirs"})
        assert (done.returncode, "bucket theirs" in done.stderr) == (1, True)


def test_the_environment_of_the_same_stack_is_fine(tmp_path: Path) -> None:
    state = a_stack(tmp_path)
    done = lakehouse(tmp_path, "status", "--json", **exports(state))
    assert (done.returncode, done.stderr) == (1, "")
    told = {service["name"]: service["state"] for service in json.loads(done.stdout)["services"]}
    assert set(told.values()) == {"STOPPED"}
    done = lakehouse(tmp_path, "maintain", **exports(state))
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer" in done.stderr


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
