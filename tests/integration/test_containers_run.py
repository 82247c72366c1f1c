"""Every service of docker-compose.yml as a process: its command, its variables, its health check, in its order.

The packages are those of the image: the Dockerfile's own `uv sync` installs them. What a process cannot show (images,
users, networks, limits, a read-only root) is listed in docs/testing.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client
from pyiceberg.exceptions import NoSuchTableError

from lakehouse.errors import LakehouseError, StackError
from lakehouse.home.masked import MASK
from lakehouse.home.reader import open_lake
from lakehouse.home.settings import Settings
from lakehouse.orchestrate.pools import POOLS
from lakehouse.stack import postgres
from lakehouse.stack.airflow import USER, VIEWER
from lakehouse.stack.airflow_api import AirflowApi
from lakehouse.stack.minio import resolve_minio
from lakehouse.stack.network import any_free_port
from lakehouse.stack.s3 import S3Server, set_users
from lakehouse.stack.service import LOGINS
from lakehouse.stack.tether import Tethered, start_tethered

from ..support import compose

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

ROOT = compose.ROOT
DAY = "2001-01-01"


@dataclass
class Machine:
    """A container engine of the poor: every container is a process, every volume a folder, every host a port."""

    folder: Path
    packages: Path
    project: Path
    variables: dict[str, str]
    ports: dict[str, int] = field(
        default_factory=lambda: {n: any_free_port() for n in ("pg", "s3", "airflow")}
    )
    running: dict[str, Tethered] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = compose.services(self.variables)
        self.services = {n: s for n, s in found.items() if s.get("profiles", ["tools"]) == ["tools"]}

    def place(self, text: str) -> str:
        """A text of the compose file with hosts, ports and paths of this machine."""
        volumes = self.folder / "volumes"
        for host, port in (("minio:9000", "s3"), ("airflow-api-server:8080", "airflow")):
            text = text.replace(f"http://{host}", f"http://127.0.0.1:{self.ports[port]}")
        text = text.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{self.ports['airflow']}")
        text = text.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{self.ports['s3']}")
        for path, volume in (("/var/lib/lakehouse", "home"), ("/var/lib/minio", "minio")):
            text = text.replace(path, str(volumes / volume))
        return {
            "0.0.0.0": "127.0.0.1",  # noqa: S104
            "8080": str(self.ports["airflow"]),
            ":9000": f"127.0.0.1:{self.ports['s3']}",
        }.get(text, text)

    @property
    def binaries(self) -> Path:
        """Where the wheel has what the official image of Postgres has on its path."""
        return postgres.place_for(self.folder / "pg").binaries

    def environment(self, name: str) -> dict[str, str]:
        """The variables of the image and of the service, and nothing of this process."""
        scratch, own = self.folder / "volumes" / "scratch", self.folder / "tmp" / name
        for made in (scratch, own):
            made.mkdir(parents=True, exist_ok=True)
        image = {
            "PATH": f"{self.packages / 'bin'}:{Path(str(resolve_minio())).parent}:{os.defpath}",
            "LAKEHOUSE_PROJECT": str(self.project),
            "LAKEHOUSE_HOME": str(self.folder / "volumes" / "home"),
            "AIRFLOW_HOME": str(own / "airflow"),
            "HOME": str(own),
            "TMPDIR": str(scratch),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        given = {
            key: self.place(str(value)) for key, value in self.services[name].get("environment", {}).items()
        }
        if "PGHOST" in given:
            given |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports["pg"])}
            image["PATH"] = f"{self.binaries}:{image['PATH']}"
        if "LAKEHOUSE_PG_HOST" in given:
            given |= {"LAKEHOUSE_PG_HOST": "127.0.0.1", "LAKEHOUSE_PG_PORT": str(self.ports["pg"])}
        return image | given

    def command(self, name: str) -> list[str]:
        """What the container runs: the image's entry point, if it has one, and the service's command."""
        command = [self.place(part) for part in self.services[name]["command"]]
        ours = self.services[name]["image"].startswith("lakehouse-lite/airflow")
        return ["python", "-m", "lakehouse.stack.service", *command] if ours else command

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def job(self, name: str) -> None:
        done = self.execute(name, self.command(name), timeout=300)
        assert done.returncode == 0, (name, self.log(name).read_text()[-3000:])

    def execute(self, name: str, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run something in a service's container, its output in the service's log."""
        given: dict[str, str] = options.pop("environment", {})
        with self.log(name).open("ab") as output:
            return subprocess.run(
                ["/usr/bin/env", *command],
                env=self.environment(name) | given,
                cwd="/",
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **options,
            )

    def start(self, name: str) -> None:
        if name == "postgres":
            self.running[name] = self.start_postgres()
            return
        self.running[name] = start_tethered(
            ["/usr/bin/env", *self.command(name)], log=self.log(name), environment=self.environment(name)
        )

    def start_postgres(self) -> Tethered:
        """The server of the wheel, with the password and the settings of the compose file."""
        place = postgres.place_for(self.folder / "pg")
        postgres.initialise(place, self.services["postgres"]["environment"]["POSTGRES_PASSWORD"])
        _, *settings = self.services["postgres"]["command"]
        here = ["-clisten_addresses=127.0.0.1", f"-cport={self.ports['pg']}", "-cunix_socket_directories="]
        return start_tethered(
            [str(place.binaries / "postgres"), "-D", str(place.data), *settings, *here],
            log=self.log("postgres"),
            stop_signal=self.services["postgres"]["stop_signal"].removeprefix("SIG"),
            account=place.account,
        )

    def healthy(self, name: str) -> bool:
        """Run the service's health check."""
        _, *check = self.services[name]["healthcheck"]["test"]
        command = [self.place(part) for part in check]
        environment = self.environment(name)
        if name == "postgres":
            environment["PATH"] = f"{self.binaries}:{environment['PATH']}"
            command += ["--port", str(self.ports["pg"])]
        limit = int(self.services[name]["healthcheck"]["timeout"].removesuffix("s"))
        done = subprocess.run(
            ["/usr/bin/env", *command],
            env=environment,
            cwd="/",
            capture_output=True,
            check=False,
            timeout=10 * limit,
        )
        return done.returncode == 0

    def up(self) -> None:
        """Start everything in its order; what waits for health waits for the health check."""
        for name in compose.in_order({n: s for n, s in self.services.items() if "profiles" not in s}):
            if compose.is_job(self.services[name]):
                self.job(name)
                continue
            self.start(name)
            wait_for(partial(self.healthy, name), f"{name} to be healthy", partial(self.alive, name))

    def alive(self, name: str) -> None:
        assert self.running[name].alive, (name, self.log(name).read_text()[-3000:])

    def down(self) -> None:
        for name in reversed(list(self.running)):
            self.running.pop(name).stop()

    def api(self, login: str = USER) -> AirflowApi:
        url = f"http://127.0.0.1:{self.ports['airflow']}"
        return AirflowApi(url, login, self.variables[f"LAKEHOUSE_{LOGINS[login].upper()}"])

    def store(self, key: str = "pipeline") -> S3Client:
        """The object store with a key: `root`, `pipeline`, `landing` or `reader`."""
        user, secret = self.key(key)
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.ports['s3']}",
            aws_access_key_id=user,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )

    def key(self, name: str) -> tuple[str, str]:
        """User and secret of a key of the store."""
        user, secret = {
            "root": ("S3_ROOT_USER", "S3_ROOT_PASSWORD"),
            "pipeline": ("ACCESS_KEY", "SECRET_KEY"),
        }.get(name, (f"{name.upper()}_ACCESS_KEY", f"{name.upper()}_SECRET_KEY"))
        return self.variables[f"LAKEHOUSE_{user}"], self.variables[f"LAKEHOUSE_{secret}"]


def wait_for(what: Callable[[], Any], why: str, meanwhile: Callable[[], None] = lambda: None) -> Any:
    deadline = time.monotonic() + 300
    while not (found := what()):
        meanwhile()
        assert time.monotonic() < deadline, f"waited in vain for {why}"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the Dockerfile installs, with the Python of this test."""
    target = tmp_path_factory.mktemp("image") / "venv"
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    *_, sync = re.findall(r"uv (sync --frozen .+)", text)
    sync = re.sub(r"\$\{EXTRAS:[^}]*\}", "", sync)
    uv = ROOT / ".tools" / "uv" / "bin" / "uv"
    environment = {
        **os.environ,
        "UV_PROJECT_ENVIRONMENT": str(target),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_COMPILE_BYTECODE": "1",
    }
    python = getattr(sys, "_base_executable", sys.executable)
    subprocess.run(
        [str(uv), *sync.split(), "--python", python],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
    )
    assert not (target / "bin" / "supervisord").exists()
    return target


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `.dockerignore` lets into the image, and nothing else of the checkout."""
    target = tmp_path_factory.mktemp("opt") / "lakehouse"
    target.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "uncommitted")
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in (path for pattern in allowed for path in ROOT.glob(pattern)):
        if source.is_dir():
            shutil.copytree(source, target / source.name, ignore=ignored)
        else:
            shutil.copy(source, target / source.name)
    return target


@pytest.fixture(scope="module")
def machine(
    server_folder: Path, packages: Path, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    folder = server_folder / "compose"
    folder.mkdir()
    made = Machine(folder, packages, project, compose.filled_in(tmp_path_factory.mktemp("env")))
    try:
        made.up()
        yield made
    finally:
        made.down()


def test_all_services_came_up_healthy_in_their_order(machine: Machine) -> None:
    servers = {name for name, service in machine.services.items() if not compose.is_job(service)}
    assert machine.running.keys() == servers
    assert "landing" not in servers
    with machine.api() as api:
        pools = {pool["name"]: pool["slots"] for pool in api.pages("/pools", "pools")}
        dags = wait_for(lambda: {dag["dag_id"] for dag in api.pages("/dags", "dags")}, "DAGs")
    assert {name: slots for name, (slots, _) in POOLS.items()}.items() <= pools.items()
    assert {"olist_bronze", "olist_silver", "olist_gold"} <= dags


def test_jobs_may_be_repeated(machine: Machine) -> None:
    for name in ("credentials", "database", "store", "homes", "airflow-migrate", "airflow-pools", "operate"):
        machine.job(name)


def test_roles_have_the_passwords_of_the_env_file(machine: Machine) -> None:
    for role, database in (
        ("loader", "lakehouse"),
        ("analyst", "lakehouse"),
        ("monitor", "lakehouse"),
        ("guard", "postgres"),
        ("airflow", "airflow"),
    ):
        user = "airflow" if role == "airflow" else f"lakehouse_{role}"
        psycopg2.connect(
            host="127.0.0.1",
            port=machine.ports["pg"],
            user=user,
            password=machine.variables[f"LAKEHOUSE_PG_{role.upper()}_PASSWORD"],
            dbname=database,
        ).close()


#: What each key tries that is not for it: action, bucket, key.
LAKE, LOGS = "lakehouse", "lakehouse-logs"
NOT_FOR = {
    "pipeline": [
        ("put", LAKE, "landing/olist/x"), ("delete", LAKE, "landing/olist/x"), ("put", LAKE, "x"),
        ("put", LOGS, "elsewhere/x"), ("make", "another", ""), ("unmake", LOGS, ""), ("open", LAKE, ""),
    ],
    "landing": [
        ("get", LAKE, "lake/gold/fact_order/x"), ("put", LAKE, "lake/x"), ("list", LAKE, "lake/"),
        ("list", LOGS, ""), ("get", LOGS, "airflow/x"), ("make", "another", ""),
    ],
    "reader": [
        ("list", LAKE, ""), ("get", LAKE, "landing/olist/x"), ("get", LAKE, "lake/bronze/x"),
        ("get", LAKE, "lake/silver/olist_customers/x"), ("get", LAKE, "lake/gold/dim_customer/x"),
        ("put", LAKE, "lake/gold/fact_order/x"), ("get", LOGS, "airflow/x"), ("make", "another", ""),
    ],
}  # fmt: skip
#: What the root may do and no other key.
FOR_ROOT = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.mark.parametrize("key", sorted(NOT_FOR))
def test_what_a_key_of_the_store_is_not_for_is_refused(machine: Machine, key: str) -> None:
    client = machine.store(key)
    do: dict[str, Callable[[str, str], object]] = {
        "list": lambda bucket, at: client.list_objects_v2(Bucket=bucket, Prefix=at),
        "get": lambda bucket, at: client.get_object(Bucket=bucket, Key=at),
        "put": lambda bucket, at: client.put_object(Bucket=bucket, Key=at, Body=b"x"),
        "delete": lambda bucket, at: client.delete_object(Bucket=bucket, Key=at),
        "make": lambda bucket, _: client.create_bucket(Bucket=bucket),
        "unmake": lambda bucket, _: client.delete_bucket(Bucket=bucket),
        "open": lambda bucket, _: client.put_bucket_policy(Bucket=bucket, Policy=FOR_ROOT),
    }
    for action, bucket, at in NOT_FOR[key]:
        with pytest.raises(ClientError) as refused:
            do[action](bucket, at)
        assert refused.value.response["Error"]["Code"] == "AccessDenied", (action, bucket, at)
    # The root may: the refusals above are not for another reason.
    root = machine.store("root")
    root.create_bucket(Bucket="another")
    root.delete_bucket(Bucket="another")


def test_only_the_root_may_make_keys(machine: Machine) -> None:
    guest = {"lakehouse-guest": ("password-of-nobody", {"Version": "2012-10-17", "Statement": []})}
    for key in ("pipeline", "landing", "reader"):
        endpoint = f"http://127.0.0.1:{machine.ports['s3']}"
        with pytest.raises(StackError, match="AccessDenied"):
            set_users(S3Server(endpoint, *machine.key(key)), guest)


@pytest.mark.parametrize("login", sorted(LOGINS))
def test_a_login_of_airflow_may_do_what_its_role_is_for(machine: Machine, login: str) -> None:
    with machine.api(login) as api:
        wait_for(lambda: api.exists("/dags/olist_bronze"), "the DAG")
        assert not api.exists("/config")
        unpause = partial(api.call, "PATCH", "/dags/olist_bronze", json={"is_paused": False})
        if login == VIEWER:
            with pytest.raises(LakehouseError, match="403"):
                unpause()
        else:
            unpause()


def test_no_credential_is_in_a_log(machine: Machine) -> None:
    written = "".join(path.read_text(errors="replace") for path in machine.folder.glob("*.log"))
    from lakehouse.stack.credentials import GENERATED

    assert [name for name in GENERATED if machine.variables[name] in written] == []


def test_the_log_of_a_task_lies_on_s3_and_is_shown_from_there(machine: Machine) -> None:
    """A day of the past without a delivery: the run looks for it and is skipped, and its log says so."""
    with machine.api() as api:
        wait_for(lambda: api.exists("/dags/olist_bronze"), "the DAG")
        body = {"logical_date": None, "partition_key": DAY}
        run = api.call("POST", "/dags/olist_bronze/dagRuns", json=body)["dag_run_id"]
        path = f"/dags/olist_bronze/dagRuns/{run}"
        wait_for(lambda: api.call("GET", path)["state"] in ("success", "failed"), "the end of the run")
        keys = wait_for(
            lambda: _objects(machine, "lakehouse-logs", "airflow/dag_id=olist_bronze/"), "logs on S3"
        )
        assert any("task_id=find_delivery" in key for key in keys)
        shutil.rmtree(machine.folder / "volumes" / "home" / "airflow-logs" / "dag_id=olist_bronze")
        log = api.call("GET", f"{path}/taskInstances/find_delivery/logs/1", params={"full_content": True})
    text = json.dumps(log["content"])
    assert DAY in text
    assert "s3://lakehouse-logs" in text
    assert _objects(machine, "lakehouse", "airflow/") == []


def _objects(machine: Machine, bucket: str, prefix: str) -> list[str]:
    found = machine.store().list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in found.get("Contents", [])]


def test_a_delivery_reaches_gold_and_nothing_is_written_into_the_image(machine: Machine) -> None:
    before = sorted(machine.project.rglob("*"))
    with (ROOT / ".ci" / "compose_smoke.py").open() as script:
        operator = "LAKEHOUSE_AIRFLOW_OPERATOR_PASSWORD"
        done = machine.execute(
            "landing",
            ["python", "-m", "lakehouse.stack.service", "python", "-"],
            stdin=script,
            environment={
                operator: machine.variables[operator],
                "LAKEHOUSE_AIRFLOW_URL": f"http://127.0.0.1:{machine.ports['airflow']}",
            },
            timeout=400,
        )
    assert done.returncode == 0, machine.log("landing").read_text()[-3000:]
    after = sorted(path for path in machine.project.rglob("*") if "__pycache__" not in path.parts)
    assert after == before


def test_a_reader_fetches_open_tables_and_masked_copies_and_nothing_personal(machine: Machine) -> None:
    """After the delivery above: by the catalog as the analyst, and object by object."""
    settings = Settings.model_validate(
        {
            "analyst_dsn": f"postgresql://lakehouse_analyst:{machine.variables['LAKEHOUSE_PG_ANALYST_PASSWORD']}"
            f"@127.0.0.1:{machine.ports['pg']}/lakehouse",
            "s3_endpoint": f"http://127.0.0.1:{machine.ports['s3']}",
            "reader_access_key": machine.variables["LAKEHOUSE_READER_ACCESS_KEY"],
            "reader_secret_key": machine.variables["LAKEHOUSE_READER_SECRET_KEY"],
        }
    )
    lake = open_lake(settings)
    assert lake.load_table("gold.fact_order").scan().to_arrow().num_rows == 500
    hidden = lake.load_table("masked.dim_customer").scan().to_arrow()
    assert hidden.num_rows > 0
    assert set(hidden["city"].to_pylist()) == {MASK}
    with pytest.raises(NoSuchTableError):
        lake.load_table("gold.dim_customer")
    reader, closed = machine.store("reader"), _objects(machine, "lakehouse", "lake/gold/dim_customer/")
    assert closed
    for key in closed:
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.get_object(Bucket="lakehouse", Key=key)


def test_a_component_that_ended_is_found_out(machine: Machine) -> None:
    machine.running.pop("airflow-triggerer").stop()
    wait_for(lambda: not machine.healthy("airflow-triggerer"), "the triggerer to be missed")
    assert machine.healthy("airflow-scheduler")
    machine.start("airflow-triggerer")
    wait_for(lambda: machine.healthy("airflow-triggerer"), "the triggerer to be back")


def test_every_server_ends_by_its_signal_and_is_then_unhealthy(machine: Machine) -> None:
    """Runs last: ends everything, clients first, each within its grace period."""
    for name in reversed(list(machine.running)):
        server = machine.running.pop(name)
        grace = machine.services[name]["stop_grace_period"]
        seconds = int(grace[:-1]) * (60 if grace.endswith("m") else 1)
        began = time.monotonic()
        server.stop(timeout=seconds + 30)
        assert time.monotonic() - began < seconds, name
        assert server.process.returncode != -signal.SIGKILL, name
        # The guard's check does the guard's work: it is about Postgres. An engine sees itself that a process ended.
        assert name == "guard" or not machine.healthy(name), name
