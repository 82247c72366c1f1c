"""The whole stack with Airflow: once up, looked at from all sides, then down."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lakehouse.cli.context import prepare_homes
from lakehouse.errors import LakehouseError
from lakehouse.orchestrate.maintenance import STEPS
from lakehouse.orchestrate.pools import POOLS
from lakehouse.stack import airflow, health, laptop
from lakehouse.stack import state as memory
from lakehouse.stack.airflow_api import AirflowApi
from lakehouse.stack.network import LOOPBACK
from lakehouse.stack.state import StackHome, StackState
from lakehouse.stack.supervisor import Supervisor

from .stack_support import Notes, all_processes, command, kill_all, listening_addresses, new_home, pids

pytestmark = [pytest.mark.servers, pytest.mark.airflow]


def bring_up(home: StackHome) -> StackState:
    return laptop.up(home, Notes(), prepare=prepare_homes, pools=POOLS)


@pytest.fixture(scope="module")
def home(server_folder: Path) -> Iterator[StackHome]:
    made = new_home(server_folder / "home-airflow")
    yield made
    laptop.delete(made, Notes())
    assert all_processes(made) == []


@pytest.fixture(scope="module")
def state(home: StackHome) -> StackState:
    return bring_up(home)


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return found


def test_all_components_are_healthy_on_loopback_only(home: StackHome, state: StackState) -> None:
    assert set(health.airflow(laptop.airflow_url(state)).values()) == {"healthy"}
    assert {LOOPBACK} <= listening_addresses(home) <= {LOOPBACK, "::1"}


def test_the_login_was_written_before_airflow_could_invent_one(home: StackHome, state: StackState) -> None:
    wrong = {"username": airflow.USER, "password": "wrong"}
    answer = httpx.post(f"{laptop.airflow_url(state)}/auth/token", json=wrong, trust_env=False, timeout=60)
    assert answer.status_code == 401
    with laptop.open_airflow(state) as api:
        assert api.call("GET", "/version")["version"].startswith("3.")
    assert stat.S_IMODE((home.airflow / "passwords.json").stat().st_mode) == 0o600
    assert all(
        state.airflow_password not in log.read_text(errors="replace") for log in home.logs.glob("*.log")
    )


@pytest.mark.parametrize("login", ["viewer", "operator", "admin"])
def test_a_login_may_do_what_its_role_is_for(state: StackState, login: str) -> None:
    """A viewer looks, an operator runs; the configuration is shown to nobody."""
    password = state.airflow_passwords.get(login, state.airflow_password)
    with AirflowApi(laptop.airflow_url(state), login, password) as api:
        assert api.exists("/dags/olist_bronze")
        assert not api.exists("/config")
        assert list(api.pages("/connections", "connections")) == [] if login != "viewer" else True
        attempts = [
            ("PATCH", "/dags/olist_bronze", {"is_paused": False}),
            ("POST", "/pools", {"name": f"of_{login}", "slots": 1}),
        ]
        for method, path, body in attempts:
            if login == "viewer":
                with pytest.raises(LakehouseError, match="403"):
                    api.call(method, path, json=body)
            else:
                api.call(method, path, json=body)
        if login == "viewer":
            for path in ("/connections", "/variables"):
                with pytest.raises(LakehouseError, match="403"):
                    api.call("GET", path)


def test_nothing_but_health_and_version_is_told_without_a_login(state: StackState) -> None:
    url = laptop.airflow_url(state)
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as stranger:
        documented = stranger.get("/openapi.json")
        assert documented.status_code == 200
        paths = [p for p, methods in documented.json()["paths"].items() if "get" in methods and "{" not in p]
        told = {p for p in paths if p.startswith(("/api/", "/ui/")) and stranger.get(p).status_code == 200}
    assert len(paths) > 20
    assert told <= {"/api/v2/monitor/health", "/api/v2/version"}


def test_pools_exist(state: StackState) -> None:
    with laptop.open_airflow(state) as api:
        found = {pool["name"]: pool["slots"] for pool in api.pages("/pools", "pools")}
    assert {name: slots for name, (slots, _) in POOLS.items()}.items() <= found.items()


def test_task_logs_are_served_without_a_log_server(state: StackState) -> None:
    """A day of the past without a delivery: the run looks for it and is skipped, and its log says so."""
    with laptop.open_airflow(state) as api:
        wait_for(lambda: api.exists("/dags/olist_bronze"))
        body = {"logical_date": None, "partition_key": "2001-01-01"}
        run = api.call("POST", "/dags/olist_bronze/dagRuns", json=body)["dag_run_id"]
        path = f"/dags/olist_bronze/dagRuns/{run}"
        wait_for(lambda: api.call("GET", path)["state"] in ("success", "failed"))
        log = api.call("GET", f"{path}/taskInstances/find_delivery/logs/1", params={"full_content": True})
    text = " ".join(str(entry) for entry in log["content"])
    assert "2001-01-01" in text
    assert "Could not read served logs" not in text


def test_the_scheduler_runs_maintenance(state: StackState) -> None:
    """By hand, as in the night; of a lakehouse that holds nothing there is nothing to remove."""
    with laptop.open_airflow(state) as api:
        wait_for(lambda: api.exists("/dags/lakehouse_maintenance"))
        api.call("PATCH", "/dags/lakehouse_maintenance", json={"is_paused": False})
        body = {"logical_date": None}
        run = api.call("POST", "/dags/lakehouse_maintenance/dagRuns", json=body)["dag_run_id"]
        path = f"/dags/lakehouse_maintenance/dagRuns/{run}"
        wait_for(lambda: api.call("GET", path)["state"] in ("success", "failed"), seconds=300)
        tasks = {t["task_id"]: t["state"] for t in api.pages(f"{path}/taskInstances", "task_instances")}
    assert tasks == dict.fromkeys([*STEPS, "done"], "success")


def test_restore_is_refused_while_airflow_runs(home: StackHome, state: StackState, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    command(home, "backup", kept)
    told = command(home, "restore", kept, "--json", fails=True)
    assert "Airflow is running" in told["error"]["message"]


def test_a_second_up_changes_nothing(home: StackHome, state: StackState) -> None:
    supervised = {found.pid for found in Supervisor(home, state).statuses()}
    assert bring_up(home) == state
    assert {found.pid for found in Supervisor(home, state).statuses()} == supervised


def test_up_after_everything_was_killed_and_down_leaves_nothing(home: StackHome, state: StackState) -> None:
    before = pids(home)
    kill_all(all_processes(home))
    assert bring_up(home).ports == memory.required(home).ports == state.ports
    assert not before & pids(home)
    assert laptop.down(home, Notes())
    assert all_processes(home) == []
