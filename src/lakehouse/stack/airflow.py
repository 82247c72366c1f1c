"""Airflow as four local processes: their commands, their environment, their metadata database."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lakehouse.errors import StackError
from lakehouse.stack import postgres
from lakehouse.stack.network import LOOPBACK
from lakehouse.stack.state import StackHome, StackState, checkout, write_private
from lakehouse.stack.supervisor import Program

USER = "admin"
GROUP = "airflow"
#: Airflow's log servers listen on all interfaces and no setting changes that, so they are never started: the
#: API server reads the log files of the same machine itself. It asks the log server too while a task runs;
#: nothing listens on this port, so that the answer comes at once.
_NO_LOG_SERVER_PORT = "1"


def programs(home: StackHome, state: StackState) -> list[Program]:
    """The four components."""
    arguments = {
        "airflow-api-server": [
            "api-server", "--host", LOOPBACK, "--port", str(state.ports["airflow"]), "--workers", "1",
        ],
        "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": ["dag-processor"],
        "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
    }  # fmt: skip
    return [
        Program(name, GROUP, [sys.executable, "-m", "airflow", *rest], priority=30, stop_seconds=8)
        for name, rest in arguments.items()
    ]


def parallelism(cpus: int | None = None) -> int:
    """How many tasks run at once: two a core, because a task mostly waits for Postgres; 4 to 16."""
    return min(16, max(4, 2 * (cpus or os.cpu_count() or 2)))


def environment(home: StackHome, state: StackState, server: postgres.PostgresServer) -> dict[str, str]:
    """All of Airflow's settings and connections; there is no configuration file to edit or to leak."""
    url = f"http://{LOOPBACK}:{state.ports['airflow']}"
    project = checkout()
    folder = home.airflow
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(_plugins_folder(home, project)),
        # A local executor whose task processes do not each import the heavy libraries again.
        "AIRFLOW__CORE__EXECUTOR": "lakehouse.orchestrate.executor.PreloadingLocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # The machine's full name may take seconds to resolve, or not resolve at all.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__FERNET_KEY": state.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(home)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.airflow_dsn.replace(
            "postgresql://", "postgresql+psycopg2://"
        ),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(state.ports["airflow"]),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": state.api_secret,
        "AIRFLOW__API__INSTANCE_NAME": "Lakehouse-lite",
        "AIRFLOW__API_AUTH__JWT_SECRET": state.jwt_secret,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": _NO_LOG_SERVER_PORT,
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": _NO_LOG_SERVER_PORT,
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        # After kill -9 a task counts as lost after this many seconds and is retried.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
        # How long the scheduler sleeps when there is nothing to do: every step of a run waits for half of it.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "SCARF_NO_ANALYTICS": "true",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        # Process titles must not overwrite the environment: the stack finds its processes by it.
        "SPT_NOENV": "1",
        # No task does linear algebra; numpy's threads would only get in the way of forking.
        "OPENBLAS_NUM_THREADS": "1",
        # macOS refuses to fork a process that has touched its system libraries.
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        **connections(state, server),
    }


def connections(state: StackState, server: postgres.PostgresServer) -> dict[str, str]:
    """The two Airflow connections through which DAGs reach the homes."""
    s3 = state.store
    warehouse = {
        "conn_type": "postgres",
        "host": LOOPBACK,
        "port": server.port,
        "login": postgres.LOADER,
        "password": server.passwords[postgres.LOADER],
        "schema": postgres.WAREHOUSE_DATABASE,
    }
    store = {
        "conn_type": "aws",
        "login": s3.access_key,
        "password": s3.secret_key,
        "extra": {"endpoint_url": s3.url, "region_name": s3.region},
    }
    return {
        "AIRFLOW_CONN_LAKEHOUSE_WAREHOUSE": json.dumps(warehouse),
        "AIRFLOW_CONN_LAKEHOUSE_S3": json.dumps(store),
        "LAKEHOUSE_BUCKET": state.bucket,
    }


def _plugins_folder(home: StackHome, project: Path) -> Path:
    plugins = project / "plugins"
    return plugins if plugins.is_dir() else home.airflow / "plugins"


def _passwords_file(home: StackHome) -> Path:
    return home.airflow / "passwords.json"


def write_passwords(home: StackHome, state: StackState) -> None:
    """Write the login before Airflow would invent one and print it into a log."""
    write_private(_passwords_file(home), json.dumps({USER: state.airflow_password}) + "\n")


def migrate(home: StackHome, server: postgres.PostgresServer, variables: Mapping[str, str]) -> None:
    """Create or upgrade the metadata database; nothing to do when this version has been there.

    Raises:
        StackError: Airflow's migration failed.
    """
    version, marker = importlib.metadata.version("apache-airflow"), home.airflow / "metadata-version"
    if marker.exists() and marker.read_text() == version:
        return
    if not marker.exists():
        # An earlier first attempt may have been interrupted half-way; nobody has used its result.
        postgres.drop_database(server, postgres.AIRFLOW_DATABASE)
    postgres.create_database(server, postgres.AIRFLOW_DATABASE, postgres.AIRFLOW)
    log = home.logs / "airflow-migrate.log"
    with log.open("ab") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise StackError("Airflow's metadata database could not be prepared.", f"Read {log}.")
    marker.write_text(version)


def wait_until_healthy(port: int, *, given_up: Callable[[], list[str]], timeout: float = 900.0) -> None:
    """Wait until the API answers and scheduler, triggerer and DAG processor have sent a heartbeat.

    Patient, because a busy machine may take minutes for what else takes 20 seconds; ``given_up`` names the
    components that the supervisor has stopped restarting, for which no patience helps.

    Raises:
        StackError: not in time; names what is missing.
    """
    from lakehouse.stack.airflow_api import health

    deadline = time.monotonic() + timeout
    while True:
        components = health(port)
        missing = sorted(name for name, status in components.items() if status != "healthy")
        if components and not missing:
            return
        ended = given_up()
        if ended or time.monotonic() > deadline:
            what = ", ".join(ended or missing) or "its API does not answer"
            raise StackError(
                f"Airflow did not start: {what}.",
                f"Read `lakehouse logs {ended[0] if ended else 'airflow-api-server'}`, then try again.",
            )
        time.sleep(0.5)
