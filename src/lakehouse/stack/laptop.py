"""Bring the laptop's servers up and down. Every step may be repeated, and may be interrupted anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import psutil

from lakehouse.errors import StackError
from lakehouse.stack import airflow, minio, postgres, processes, roles, s3
from lakehouse.stack import state as memory
from lakehouse.stack.airflow_api import AirflowApi
from lakehouse.stack.claims import claim_ports
from lakehouse.stack.network import LOOPBACK, next_free_port
from lakehouse.stack.postgres import PostgresServer
from lakehouse.stack.state import DEFAULT_PORTS, S3Endpoint, StackHome, StackState
from lakehouse.stack.supervisor import Program, Supervisor, render

POSTGRES, STORE, GUARD = "postgres", "s3", "guard"


class Reporter(Protocol):
    """Who shows a person what is going on."""

    def step(self, name: str) -> AbstractContextManager[Callable[[str], None]]:
        """A step that takes time; the callable changes the text beside it."""

    def note(self, text: str) -> None:
        """Something to know."""

    def warn(self, text: str) -> None:
        """Something to worry about."""


Prepare = Callable[[StackState], None]


def up(
    home: StackHome,
    reporter: Reporter,
    *,
    prepare: Prepare,
    pools: Mapping[str, tuple[int, str]],
    with_airflow: bool = True,
) -> StackState:
    """Start whatever does not run yet and wait until all of it answers.

    ``prepare`` fills the two homes (bucket, schemas) as soon as Postgres and the store answer; ``pools`` are
    Airflow's. Without Airflow only the two homes are started.

    Raises:
        StackError: a server did not come up.
    """
    with home.locked(lambda: reporter.note("Another `lakehouse up` or `down` is at work; waiting for it.")):
        state = _settle(home, reporter)
        server = server_of(state)
        warehouse_ready = threading.Event()
        store = _Background(lambda: _bring_up_store(home, state, reporter, warehouse_ready, prepare))
        try:
            _bring_up_postgres(home, state, server, reporter)
            warehouse_ready.set()
            if with_airflow:
                _bring_up_airflow(home, state, server, reporter)
        finally:
            warehouse_ready.set()
        state = store.result()
        if with_airflow and pools:
            with reporter.step("Airflow pools"), open_airflow(state) as api:
                api.set_pools(pools)
        return state


def _settle(home: StackHome, reporter: Reporter) -> StackState:
    """Leave either the right supervisor running, or a fresh one in its place with nothing left of before."""
    state = memory.load_or_create(home)
    if Supervisor(home, state).alive and state.s3:
        wished = _with_store(state)
        if _fingerprint(home, wished) == _remembered_fingerprint(home):
            return wished
        reporter.note("Settings have changed; restarting the servers.")
    _end_all(home, state)
    state = _with_store(_with_ports(home, state, reporter))
    memory.save(home, state)
    airflow.write_passwords(home.airflow, state.airflow_password, state.airflow_passwords)
    with reporter.step("Supervisor"):
        Supervisor(home, state).start_daemon(
            render(home, state, _programs(home, state)), _environment(home, state)
        )
    memory.write_private(home.run / "fingerprint", _fingerprint(home, state))
    return state


def _with_ports(home: StackHome, state: StackState, reporter: Reporter) -> StackState:
    """Remembered ports, or defaults; a busy one is replaced by the next free one, and told."""
    wanted = {name: state.ports.get(name, default) for name, default in DEFAULT_PORTS.items()}

    def choose(taken: frozenset[int]) -> dict[str, int]:
        ports: dict[str, int] = {}
        for name, port in wanted.items():
            ports[name] = next_free_port(port, taken | frozenset(ports.values()))
        return ports

    ports = claim_ports(home.root, choose)
    for name, port in ports.items():
        if port != wanted[name]:
            reporter.note(f"Port {wanted[name]} is busy: {name} listens on {port}.")
    return replace(state, ports=ports)


def _with_store(state: StackState) -> StackState:
    """The endpoint given from outside, else the store on our own port (MinIO, or moto in the last resort)."""
    given = os.environ.get("LAKEHOUSE_S3_ENDPOINT")
    if given:
        store = S3Endpoint(
            "endpoint",
            given,
            os.environ.get("AWS_ACCESS_KEY_ID", ""),
            os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
            os.environ.get("AWS_REGION", s3.REGION),
            os.environ.get("LAKEHOUSE_LANDING_ACCESS_KEY", ""),
            os.environ.get("LAKEHOUSE_LANDING_SECRET_KEY", ""),
            os.environ.get("LAKEHOUSE_READER_ACCESS_KEY", ""),
            os.environ.get("LAKEHOUSE_READER_SECRET_KEY", ""),
        )
    else:
        kind = state.s3.kind if state.s3 and state.s3.kind != "endpoint" else "minio"
        store = S3Endpoint(
            kind,
            f"http://{LOOPBACK}:{state.ports['s3']}",
            s3.access_key("pipeline"),
            state.s3_keys["pipeline"],
            s3.REGION,
            s3.access_key("landing"),
            state.s3_keys["landing"],
            s3.access_key("reader"),
            state.s3_keys["reader"],
        )
    return replace(state, s3=store, bucket=os.environ.get("LAKEHOUSE_BUCKET", state.bucket))


def server_of(state: StackState) -> PostgresServer:
    """The stack's Postgres."""
    return PostgresServer(state.ports[POSTGRES], state.passwords)


# --- what is supervised ---------------------------------------------------------------------------------


def _programs(home: StackHome, state: StackState) -> list[Program]:
    place = postgres.place_for(home.root)
    return [
        Program(
            POSTGRES,
            POSTGRES,
            place.command(state.ports[POSTGRES]),
            priority=10,
            stop_signal="INT",  # fast mode: the default waits for clients for ever
            stop_seconds=30,
            user=place.account.name if place.account else None,
        ),
        Program(GUARD, GUARD, ["/bin/sh", str(_guard_script(home))], priority=15),
        # Which store it is turns out later: MinIO may still have to be built.
        Program(STORE, STORE, ["/bin/sh", str(_store_script(home))], priority=20),
        *airflow.programs(home, state),
    ]


def _environment(home: StackHome, state: StackState) -> dict[str, str]:
    """What every server inherits. Variables of other stacks and clouds in the caller's shell stay outside."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "LAKEHOUSE_", "AWS_", "MINIO_", "PG", "_AIRFLOW", "SUPERVISOR_"))
    }
    local = f"{LOOPBACK},localhost"
    bypass = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    bypass = f"{bypass},{local}" if bypass else local
    return {**inherited, "NO_PROXY": bypass, "no_proxy": bypass, **own_environment(home, state)}


def own_environment(home: StackHome, state: StackState) -> dict[str, str]:
    """The variables that the stack itself sets for its servers."""
    return {
        processes.MARKER: str(home.root),
        "LAKEHOUSE_HOME": str(home.root),
        "LAKEHOUSE_PROJECT": str(memory.checkout()),
        "PYTHONUNBUFFERED": "1",
        **airflow.environment(home, state, server_of(state)),
    }


def _fingerprint(home: StackHome, state: StackState) -> str:
    """Changes when a running stack would have to be restarted to be what it is now told to be."""
    parts = [
        render(home, state, _programs(home, state)),
        json.dumps(own_environment(home, state), sort_keys=True),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _remembered_fingerprint(home: StackHome) -> str:
    path = home.run / "fingerprint"
    return path.read_text() if path.exists() else ""


# --- bringing up ----------------------------------------------------------------------------------------


def _bring_up_postgres(
    home: StackHome, state: StackState, server: PostgresServer, reporter: Reporter
) -> None:
    with reporter.step("PostgreSQL"):
        place = postgres.place_for(home.root)
        postgres.initialise(place, state.passwords[postgres.SUPERUSER])
        processes.remove_stale_pid_file(place.data)
        _start(home, state, POSTGRES)
        postgres.wait_until_ready(server.superuser_dsn, timeout=60)
        postgres.create_roles(server)
        postgres.create_database(server, postgres.WAREHOUSE_DATABASE, postgres.LOADER)
        memory.write_private(
            _guard_script(home),
            roles.guard_script(place.binaries / "psql", server.port, server.passwords[roles.GUARD]),
        )
        _start(home, state, GUARD)


def _bring_up_airflow(home: StackHome, state: StackState, server: PostgresServer, reporter: Reporter) -> None:
    with reporter.step("Airflow") as detail:
        detail("metadata database")
        airflow.migrate(home, server, _environment(home, state))
        detail("scheduler, DAG processor, triggerer, API server")
        for program in airflow.programs(home, state):
            _start(home, state, program.name)
        airflow.wait_until_healthy(state.ports["airflow"], given_up=lambda: _given_up(home, state))


def _given_up(home: StackHome, state: StackState) -> list[str]:
    """Servers that ended again and again until the supervisor lost patience."""
    return [found.name for found in Supervisor(home, state).statuses() if found.state == "FATAL"]


def _bring_up_store(
    home: StackHome, state: StackState, reporter: Reporter, warehouse_ready: threading.Event, prepare: Prepare
) -> StackState:
    """Runs beside Postgres and Airflow, because MinIO may have to be built first."""
    before = state.s3
    with reporter.step("S3") as detail:
        ours = state.s3 is not None and state.s3.kind != "endpoint"
        running = any(
            status.name == STORE and status.running for status in Supervisor(home, state).statuses()
        )
        if ours and not running:
            state = _resolve_store(home, state, reporter, detail)
            _start(home, state, STORE)
        if state.s3:
            detail({"minio": "MinIO", "moto": "moto, in memory"}.get(state.s3.kind, state.s3.url))
            s3.wait_until_ready(state.s3.url)
    if state.s3 != before:
        memory.save(home, state)
    warehouse_ready.wait()
    with reporter.step("Bucket and schemas"):
        prepare(state)
    return state


def _resolve_store(
    home: StackHome, state: StackState, reporter: Reporter, detail: Callable[[str], None]
) -> StackState:
    """Decide between MinIO and moto and write down how to start it."""
    if state.s3 is None:
        return state
    data = home.root / "s3" / "data"
    try:
        if not minio.find_minio():
            detail("building MinIO from source: once, about three minutes")
        binary = minio.resolve_minio(detail)
        data.mkdir(parents=True, exist_ok=True)
        kind, command = "minio", s3.minio_command(binary, data, state.ports[STORE])
    except StackError as error:
        reporter.warn(
            f"MinIO is not available: {error}\n"
            "moto takes its place. It keeps EVERYTHING IN MEMORY: all objects are LOST when the stack stops, "
            "and the warehouse will then point to files that no longer exist. Good for a look, not for work."
        )
        kind, command = "moto", s3.moto_command(state.ports[STORE])
    # The root's password is for the store alone, so it is not in the environment that all servers inherit.
    own = s3.minio_environment(s3.ROOT, state.s3_password) if kind == "minio" else {}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in own.items())
    memory.write_private(_store_script(home), f"{exports}exec {shlex.join(command)}\n")
    return replace(state, s3=replace(state.s3, kind=kind))


def _guard_script(home: StackHome) -> Path:
    return home.run / "guard.sh"


def _store_script(home: StackHome) -> Path:
    return home.run / "s3.sh"


def _start(home: StackHome, state: StackState, name: str) -> None:
    program = next(program for program in _programs(home, state) if program.name == name)
    # A client of our own: the connection must not be shared between threads.
    Supervisor(home, state).start(program)


def open_airflow(state: StackState) -> AirflowApi:
    """A client of the stack's Airflow."""
    return AirflowApi(airflow_url(state), airflow.USER, state.airflow_password)


def airflow_url(state: StackState) -> str:
    """Where the UI and the API are."""
    return f"http://{LOOPBACK}:{state.ports['airflow']}"


class _Background:
    """A function in a daemon thread: Ctrl-C does not have to wait for it."""

    def __init__(self, work: Callable[[], StackState]) -> None:
        self._outcome: StackState | BaseException = StackError("The step beside was not finished.")
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], StackState]) -> None:
        try:
            self._outcome = work()
        except BaseException as error:  # handed over to the main thread, which raises it
            self._outcome = error

    def result(self) -> StackState:
        """Wait, and return or raise what the function did."""
        self._thread.join()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


# --- bringing down --------------------------------------------------------------------------------------


def down(home: StackHome, reporter: Reporter) -> bool:
    """Stop every process of this home; True when there was something to stop.

    Raises:
        StackError: a process could not be ended.
    """
    state = memory.load(home)
    if state is None or not home.run.exists():
        return False
    with home.locked(lambda: reporter.note("Another `lakehouse up` or `down` is at work; waiting for it.")):
        return _end_all(home, state, reporter)


def delete(home: StackHome, reporter: Reporter) -> None:
    """Stop everything, then delete the home: data, logs, secrets. There is no way back."""
    if not home.root.exists():
        return
    down(home, reporter)
    data = postgres.place_for(home.root).data
    with reporter.step("Deleting data"):
        # As root the data may lie outside the home, see `postgres.place_for`.
        shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(home.root)


def _end_all(home: StackHome, state: StackState, reporter: Reporter | None = None) -> bool:
    """Clients first, Postgres last; with or without a supervisor to ask."""
    ended = False
    supervisor = Supervisor(home, state)
    if supervisor.alive:
        ended = True
        _stop_supervised(home, supervisor, reporter)
    orphans = processes.of_stack(home.root)
    data = postgres.place_for(home.root).data
    ended = ended or bool(orphans) or processes.postmaster(data) is not None
    processes.end([process for process in orphans if process.name() != POSTGRES])
    processes.end_postmaster(data)
    remaining = processes.of_stack(home.root)
    if remaining:
        raise StackError(
            f"These processes could not be ended: {', '.join(str(process.pid) for process in remaining)}.",
            "End them by hand (`kill -9 PID`), then try again.",
        )
    return ended


def _stop_supervised(home: StackHome, supervisor: Supervisor, reporter: Reporter | None) -> None:
    supervised = {status.pid for status in supervisor.statuses() if status.group != airflow.GROUP}
    with _step(reporter, "Airflow"):
        supervisor.stop_group(airflow.GROUP)
        # Tasks run in process groups of their own and outlive their scheduler.
        keep = supervised | {supervisor.pid()}
        tasks = [process for process in processes.of_stack(home.root) if process.pid not in keep]
        processes.end([task for task in tasks if task.name() != POSTGRES])
    with _step(reporter, "S3, PostgreSQL"):
        pid = supervisor.shutdown()
        _wait_for_end(pid, timeout=60)


def _wait_for_end(pid: int, *, timeout: float) -> None:
    try:
        psutil.Process(pid).wait(timeout)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        return  # what is left is found and ended as an orphan


def _step(reporter: Reporter | None, name: str) -> AbstractContextManager[object]:
    return reporter.step(f"Stopping {name}") if reporter else nullcontext()
