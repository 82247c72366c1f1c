"""`up` and `down` of the servers under the supervisor: repeated, after kill -9, with busy ports.

Without Airflow, which takes half a minute to start; test_stack_airflow.py has it.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from lakehouse.cli.status import services
from lakehouse.stack import laptop, processes
from lakehouse.stack import state as memory
from lakehouse.stack.network import LOOPBACK
from lakehouse.stack.postgres import place_for
from lakehouse.stack.s3 import S3Server
from lakehouse.stack.state import StackHome, StackState
from lakehouse.stack.supervisor import Supervisor

from .stack_support import Notes, all_processes, kill_all, listening_addresses, new_home, pids, up

pytestmark = pytest.mark.servers


@pytest.fixture
def home(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[StackHome]:
    made = new_home(server_folder / f"home-{request.node.name[:40]}")
    yield made
    laptop.delete(made, Notes())


def query(home: StackHome, statement: str) -> list[tuple[object, ...]]:
    state = memory.required(home)
    connection = psycopg2.connect(laptop.server_of(state).loader_dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def supervised(home: StackHome, state: StackState) -> set[int]:
    """The servers as their supervisor knows them; a process that is about to exec shows no environment."""
    return {status.pid for status in Supervisor(home, state).statuses() if status.running}


def test_second_up_changes_nothing_and_down_leaves_no_process(home: StackHome) -> None:
    before = supervised(home, up(home))
    assert len(before) == 3
    assert supervised(home, up(home)) == before
    assert laptop.down(home, Notes()) is True
    assert all_processes(home) == []
    assert laptop.down(home, Notes()) is False


def test_everything_listens_on_loopback_only(home: StackHome) -> None:
    up(home)
    # MinIO listens on every loopback address there is.
    assert {LOOPBACK} <= listening_addresses(home) <= {LOOPBACK, "::1"}


def test_secrets_are_generated_once_and_private(home: StackHome) -> None:
    first = up(home)
    secrets = [
        first.airflow_password,
        first.s3_password,
        first.supervisor_password,
        *first.passwords.values(),
    ]
    assert len(set(secrets)) == len(secrets)
    readable = []
    for path in home.root.rglob("*"):
        if path.is_file() and "data" not in path.parts and stat.S_IMODE(path.stat().st_mode) & 0o077:
            text = path.read_text(errors="replace")
            readable += [str(path) for secret in secrets if secret in text]
    assert readable == []
    assert stat.S_IMODE((home.root / "state.json").stat().st_mode) == 0o600
    laptop.down(home, Notes())
    again = up(home)
    assert (again.passwords, again.airflow_password) == (first.passwords, first.airflow_password)


def test_a_busy_port_is_replaced_told_and_remembered(home: StackHome) -> None:
    wanted = memory.load_or_create(home).ports["postgres"]
    notes = Notes()
    with socket.socket() as squatter:
        squatter.bind((LOOPBACK, wanted))
        squatter.listen()
        got = up(home, notes).ports["postgres"]
        assert got != wanted
        assert notes.notes == [f"Port {wanted} is busy: postgres listens on {got}."]
        laptop.down(home, Notes())
    quiet = Notes()
    assert up(home, quiet).ports["postgres"] == got
    assert quiet.notes == []


def test_up_after_the_supervisor_was_killed(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    state = up(home)
    query(home, "CREATE TABLE kept AS SELECT 1 AS value")
    supervisor = Supervisor(home, state).pid()
    kill_all([process for process in all_processes(home) if process.pid == supervisor])
    orphans = pids(home)
    assert orphans
    monkeypatch.setenv("LAKEHOUSE_HOME", str(home.root))
    told = {service.name: service.state for service in services(state)}
    assert told == {"postgres": "ORPHANED", "s3": "ORPHANED", "airflow-api-server": "STOPPED"}
    up(home)
    assert query(home, "SELECT value FROM kept") == [(1,)]
    assert not orphans & pids(home)


def test_up_after_everything_was_killed(home: StackHome) -> None:
    up(home)
    query(home, "CREATE TABLE kept AS SELECT 1 AS value")
    kill_all(all_processes(home))
    assert all_processes(home) == []
    assert (place_for(home.root).data / "postmaster.pid").exists()
    up(home)
    assert query(home, "SELECT value FROM kept") == [(1,)]


def test_a_killed_server_comes_back_by_itself(home: StackHome) -> None:
    state = up(home)
    store = next(status for status in Supervisor(home, state).statuses() if status.name == "s3")
    os.kill(store.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = next(status for status in Supervisor(home, state).statuses() if status.name == "s3")
        if found.running and found.pid != store.pid:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the supervisor did not restart the store")


def test_a_pid_file_of_before_a_reboot_is_not_believed(home: StackHome) -> None:
    up(home)
    data = place_for(home.root).data
    stale = (data / "postmaster.pid").read_text().split("\n")
    laptop.down(home, Notes())
    # After a reboot the pid belongs to somebody else.
    (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *stale[1:]]))
    assert processes.postmaster(data) is None
    up(home)
    assert query(home, "SELECT 1") == [(1,)]


def test_interrupted_up_can_be_continued(home: StackHome) -> None:
    environment = {**os.environ, "LAKEHOUSE_HOME": str(home.root)}
    command = [sys.executable, "-m", "lakehouse.cli.main", "up", "--without-airflow"]
    for seconds in (0.6, 1.0, 1.6):
        interrupted = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        time.sleep(seconds)
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate(timeout=60)
    up(home)
    assert query(home, "SELECT 1") == [(1,)]


def test_a_given_store_is_used_and_none_started(
    home: StackHome, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_S3_ENDPOINT", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    state = up(home)
    assert (state.store.kind, state.store.url) == ("endpoint", s3_server.endpoint)
    store = next(status for status in Supervisor(home, state).statuses() if status.name == "s3")
    assert not store.running


def test_without_minio_and_a_way_to_build_it_moto_steps_in_loudly(
    home: StackHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("LAKEHOUSE_UV", "/bin/false")
    monkeypatch.setenv("GOPROXY", "off")
    notes = Notes()
    state = up(home, notes)
    assert state.store.kind == "moto"
    assert "IN MEMORY" in notes.warnings[0]
    assert list((tmp_path / "lakehouse-lite").glob("build-*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_as_root_a_private_home_is_left_private(server_folder: Path) -> None:
    private = server_folder / "private"
    private.mkdir(mode=0o700)
    home = new_home(private / "home")
    try:
        up(home)
        assert query(home, "SELECT 1") == [(1,)]
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert not place_for(home.root).data.is_relative_to(private)
    finally:
        laptop.delete(home, Notes())


def test_two_homes_run_side_by_side(home: StackHome, server_folder: Path) -> None:
    other = new_home(server_folder / "home-beside")
    same_ports = replace(memory.load_or_create(other), ports=memory.load_or_create(home).ports)
    memory.save(other, same_ports)
    try:
        first, second = up(home), up(other)
        assert not set(first.ports.values()) & set(second.ports.values())
        laptop.down(other, Notes())
        assert query(home, "SELECT 1") == [(1,)]
    finally:
        laptop.delete(other, Notes())


def test_the_guard_restores_a_role_that_changed_itself_while_the_stack_runs(home: StackHome) -> None:
    state = up(home)
    dsn = laptop.server_of(state).analyst_dsn
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("alter role lakehouse_analyst password 'mine now'")
    connection.close()
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg2.connect(dsn).close()
            break
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
