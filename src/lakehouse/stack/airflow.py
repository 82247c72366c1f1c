"""Airflow as four processes: their commands, their environment, their metadata database."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import StackError
from lakehouse.stack import health, postgres
from lakehouse.stack.network import LOOPBACK
from lakehouse.stack.state import S3Endpoint, StackHome, StackState, checkout, write_private
from lakehouse.stack.supervisor import Program

USER = "admin"
OPERATOR, VIEWER = "operator", "viewer"
#: Logins beside it → what they may: trigger, clear and repair runs; look at them.
OTHER_USERS = {OPERATOR: "op", VIEWER: "viewer"}
GROUP = "airflow"
#: Airflow's log servers listen on all interfaces and no setting changes that, so they are never started: the
#: API server reads the log files of the same machine itself. It asks the log server too while a task runs;
#: nothing listens on this port, so that the answer comes at once.
_NO_LOG_SERVER_PORT = "1"


@dataclass(frozen=True)
class AirflowSite:
    """One Airflow: where it lives, how it is reached, and what it may reach."""

    #: ``AIRFLOW_HOME``: a folder that each machine, or container, may have for itself.
    home: Path
    #: Where task logs are written; the API server must see the same folder, or ``remote_logs``.
    logs: Path
    #: The project: DAGs, contracts, SQL.
    project: Path
    plugins: Path
    #: The API server as the other components reach it, and as people do.
    url: str
    public_url: str
    #: Address and port on which the API server listens.
    listen: str
    port: int
    server: postgres.PostgresServer
    store: S3Endpoint
    bucket: str
    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_secret: str = field(repr=False)
    #: The logins that have a password, beside the administrator's.
    other_users: tuple[str, ...] = ()
    #: ``s3://bucket/prefix`` where task logs go when a task has ended; empty: they stay in ``logs``.
    remote_logs: str = ""
    #: Where Data Docs and the site are kept: a folder that all components see, or a prefix of a bucket; empty: of ours.
    data_docs: str = ""
    site: str = ""


def components(listen: str, port: int) -> dict[str, list[str]]:
    """Name → arguments of the ``airflow`` command, for each of the four components."""
    return {
        "airflow-api-server": ["api-server", "--host", listen, "--port", str(port), "--workers", "1"],
        "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": ["dag-processor"],
        "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
    }


def lake_cache(airflow_home: Path) -> Path:
    """Where tasks keep copies of the lake files that they have read."""
    return airflow_home / "cache"


def programs(home: StackHome, state: StackState) -> list[Program]:
    """The four components on a laptop."""
    return [
        Program(name, GROUP, [sys.executable, "-m", "airflow", *arguments], priority=30, stop_seconds=8)
        for name, arguments in components(LOOPBACK, state.ports["airflow"]).items()
    ]


def parallelism(cpus: int | None = None) -> int:
    """How many tasks run at once: two a core, because a task mostly waits for Postgres; 4 to 16."""
    return min(16, max(4, 2 * (cpus or os.cpu_count() or 2)))


def environment(home: StackHome, state: StackState, server: postgres.PostgresServer) -> dict[str, str]:
    """The settings and connections of the laptop's Airflow."""
    url, project = f"http://{LOOPBACK}:{state.ports['airflow']}", checkout()
    return settings(
        AirflowSite(
            home=home.airflow,
            logs=home.airflow / "logs",
            project=project,
            plugins=project / "plugins",
            url=url,
            public_url=url,
            listen=LOOPBACK,
            port=state.ports["airflow"],
            server=server,
            store=state.store,
            bucket=state.bucket,
            fernet_key=state.fernet_key,
            jwt_secret=state.jwt_secret,
            api_secret=state.api_secret,
            data_docs=_data_docs(home),
            site=str(home.site),
            other_users=tuple(state.airflow_passwords),
        )
    )


def settings(site: AirflowSite) -> dict[str, str]:
    """All of an Airflow's settings and connections; there is no configuration file to edit or to leak."""
    return {
        "AIRFLOW_HOME": str(site.home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(site.project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(site.plugins),
        "LAKEHOUSE_DATA_DOCS": site.data_docs or f"s3://{site.bucket}/data-docs",
        "LAKEHOUSE_CACHE_FOLDER": str(lake_cache(site.home)),
        "LAKEHOUSE_SITE": site.site or f"s3://{site.bucket}/site",
        # A local executor whose task processes do not each import the heavy libraries again.
        "AIRFLOW__CORE__EXECUTOR": "lakehouse.orchestrate.executor.PreloadingLocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Stage tasks show the whole of their SQL; the default cuts it at 4,096.
        "AIRFLOW__CORE__MAX_TEMPLATED_FIELD_LENGTH": "65536",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{site.url}/execution/",
        # The machine's full name may take seconds to resolve, or not resolve at all.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for name, role in _users(site.other_users).items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(site.home)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": site.server.airflow_dsn.replace(
            "postgresql://", "postgresql+psycopg2://"
        ),
        "AIRFLOW__API__BASE_URL": site.public_url,
        "AIRFLOW__API__HOST": site.listen,
        "AIRFLOW__API__PORT": str(site.port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__INSTANCE_NAME": "Lakehouse-lite",
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(site.logs),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": _NO_LOG_SERVER_PORT,
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": _NO_LOG_SERVER_PORT,
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": _QUIET,
        **remote_logging(site.remote_logs),
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(site.home / "bundles"),
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
        **_keys(site),
        **connections(site.server, site.store, site.bucket),
    }


def _keys(site: AirflowSite) -> dict[str, str]:
    """What encrypts and signs, as far as a component is told: not each of them needs all."""
    keys = {
        "AIRFLOW__CORE__FERNET_KEY": site.fernet_key,
        "AIRFLOW__API__SECRET_KEY": site.api_secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": site.jwt_secret,
    }
    return {name: key for name, key in keys.items() if key}


#: How connections are made is nobody's business in a task's log, nor is what an operator says of itself.
_QUIET = " ".join(
    f"{logger}=WARNING"
    for logger in (
        "airflow.providers.amazon",
        "airflow.task.operators.airflow.providers.standard.operators.python",
        "airflow.task.operators.lakehouse.orchestrate.planner",
        "aiobotocore",
        "botocore",
        "pyiceberg",
    )
)


def remote_logging(folder: str) -> dict[str, str]:
    """Settings that send the log of every task that has ended to ``s3://…``, and read it there."""
    if not folder:
        return {}
    return {
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": folder.rstrip("/"),
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "lakehouse_s3",
    }


def connections(server: postgres.PostgresServer, s3: S3Endpoint, bucket: str) -> dict[str, str]:
    """The Airflow connections through which DAGs reach the homes, and the warehouse as its readers see it."""

    def database(role: str, name: str = postgres.WAREHOUSE_DATABASE) -> str:
        return json.dumps(
            {
                "conn_type": "postgres",
                "host": server.host,
                "port": server.port,
                "login": role,
                "password": server.passwords[role],
                "schema": name,
            }
        )

    store = {
        "conn_type": "aws",
        "login": s3.access_key,
        "password": s3.secret_key,
        "extra": {"endpoint_url": s3.url, "region_name": s3.region},
    }
    # The loader is for what runs tasks; the analyst for the site, and a deployment may do without it.
    readers = {"WAREHOUSE": postgres.LOADER, "ANALYST": postgres.ANALYST}
    found = {
        "AIRFLOW_CONN_LAKEHOUSE_S3": json.dumps(store),
        "LAKEHOUSE_BUCKET": bucket,
        **{
            f"AIRFLOW_CONN_LAKEHOUSE_{name}": database(role)
            for name, role in readers.items()
            if role in server.passwords
        },
    }
    # Maintenance is a task, and tasks know no other way to Airflow's own database.
    if {postgres.LOADER, postgres.AIRFLOW} <= server.passwords.keys():
        found["AIRFLOW_CONN_LAKEHOUSE_AIRFLOW"] = database(postgres.AIRFLOW, postgres.AIRFLOW_DATABASE)
    return found


def _data_docs(home: StackHome) -> str:
    """A folder of the stack's own; or, as in production, a prefix on S3 that the environment names."""
    given = os.environ.get("LAKEHOUSE_DATA_DOCS", "")
    return given if given.startswith("s3://") else str(home.data_docs)


def _passwords_file(home: Path) -> Path:
    return home / "passwords.json"


def _users(others: Iterable[str]) -> dict[str, str]:
    """Login → role. Airflow would invent a password for a login that has none, and print it into a log."""
    return {USER: "admin"} | {name: OTHER_USERS[name] for name in others}


def write_passwords(home: Path, password: str, others: Mapping[str, str] | None = None) -> None:
    """Write the logins into ``AIRFLOW_HOME`` before Airflow would invent them and print them into a log.

    Args:
        home: ``AIRFLOW_HOME``.
        password: the administrator's.
        others: login → password of ``OTHER_USERS``.
    """
    write_private(_passwords_file(home), json.dumps({USER: password, **(others or {})}) + "\n")


def _marker(home: StackHome) -> Path:
    return home.airflow / "metadata-version"


def is_migrated(home: StackHome) -> bool:
    """Whether this stack's Airflow has a database."""
    return _marker(home).exists()


def migrate(home: StackHome, server: postgres.PostgresServer, variables: Mapping[str, str]) -> None:
    """Create or upgrade the metadata database; nothing to do when this version has been there.

    Raises:
        StackError: Airflow's migration failed.
    """
    version, marker = importlib.metadata.version("apache-airflow"), _marker(home)
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
    deadline = time.monotonic() + timeout
    while True:
        found = health.airflow(f"http://{LOOPBACK}:{port}")
        missing = sorted(name for name, status in found.items() if status != "healthy")
        if found and not missing:
            return
        ended = given_up()
        if ended or time.monotonic() > deadline:
            what = ", ".join(ended or missing) or "its API does not answer"
            raise StackError(
                f"Airflow did not start: {what}.",
                f"Read `lakehouse logs {ended[0] if ended else 'airflow-api-server'}`, then try again.",
            )
        time.sleep(0.5)
