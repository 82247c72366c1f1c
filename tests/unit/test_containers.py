"""docker-compose.yml, Dockerfile and .env.example against each other, the code, and the rules of hardening.

No container is started here; `tests/integration/test_containers_run.py` runs commands and health checks as processes.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lakehouse.cli.main import app
from lakehouse.engine.session import EngineSettings
from lakehouse.home.settings import Keep, Settings
from lakehouse.stack import airflow, credentials, postgres, processes, roles, s3
from lakehouse.stack.service import NEEDED, Deployment

from ..support import compose

ROOT = compose.ROOT
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = compose.EXAMPLE.read_text(encoding="utf-8")
SERVICES = compose.raw()["services"]
SERVERS = sorted(name for name, service in SERVICES.items() if not compose.is_job(service))
#: Where the official image of Postgres keeps everything since version 18.
POSTGRES_VOLUME = "/var/lib/postgresql"
OUR_IMAGES = {name: s for name, s in SERVICES.items() if "build" in s}


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def stage(name: str) -> str:
    """The lines of one stage of the Dockerfile, continuations joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return re.split(r"^FROM .*$", text.partition(f" AS {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, Any]:
    return compose.services(compose.filled_in(tmp_path))


# --- by the specifications --------------------------------------------------------------------------------------


def test_the_compose_file_follows_the_specification(tmp_path: Path) -> None:
    import yaml

    resolved = tmp_path / "compose.yml"
    resolved.write_text(yaml.safe_dump(compose.resolved(compose.filled_in(tmp_path))))
    for path in (compose.COMPOSE, resolved):
        done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))
        assert done.returncode == 0, done.stdout


def test_workflows_follow_the_schema() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(path))
        assert done.returncode == 0, done.stdout


# --- variables --------------------------------------------------------------------------------------------------


def used_variables() -> dict[str, set[str | None]]:
    """Variable → its defaults in the compose file; None where it is required."""
    found: dict[str, set[str | None]] = {}
    for text in compose.texts(compose.raw()):
        for match in compose.VARIABLE.finditer(text):
            default = None if match["kind"] == ":?" else match["rest"]
            found.setdefault(match["name"], set()).add(default)
    return found


def test_the_example_has_every_variable_of_the_compose_file_and_no_other() -> None:
    active = credentials.read(compose.EXAMPLE)
    # The revision is written by whoever builds, never in .env.
    # Compose itself reads the list of profiles.
    assert used_variables().keys() - {"LAKEHOUSE_REVISION"} == active.keys() - {"COMPOSE_PROFILES"}


def test_a_default_is_what_the_example_says() -> None:
    active = credentials.read(compose.EXAMPLE)
    for name, defaults in used_variables().items():
        if name in active and name not in credentials.GENERATED:
            assert defaults == {active[name]}, name


def test_credentials_have_no_default_and_are_placeholders_in_the_example() -> None:
    active = credentials.read(compose.EXAMPLE)
    placeholders = {name for name, value in active.items() if value == credentials.PLACEHOLDER}
    assert placeholders == set(credentials.GENERATED)
    for name in placeholders:
        # The job that refuses them must itself start.
        assert used_variables()[name] == {None, ""}, name


def test_a_compose_file_without_env_starts_nothing() -> None:
    with pytest.raises(LookupError, match="run make secrets"):
        compose.services({})


def read_by_the_code() -> set[str]:
    """Names that the package reads from the environment: by literal name, or as a field of settings."""
    names = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= set(re.findall(r"^(?:LAKEHOUSE|AWS|GX|XDG)_[A-Z0-9_]+$", node.value))
    prefixes = {name for name in names if name.endswith("_")}
    models = (Deployment, Settings, EngineSettings, Keep)
    assert prefixes | {"LAKEHOUSE_"} == {str(model.model_config["env_prefix"]) for model in models}
    for model in models:
        names |= {f"{model.model_config['env_prefix']}{field.upper()}" for field in model.model_fields}
    # How the laptop's stack finds its own processes; nobody sets it.
    return names - prefixes - {processes.MARKER}


def test_every_variable_that_the_code_reads_is_explained_in_the_example_and_nothing_else() -> None:
    explained = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    only_compose = used_variables().keys() - read_by_the_code()
    assert read_by_the_code() - explained == set()
    assert explained - read_by_the_code() - only_compose == {"COMPOSE_PROFILES"}


def test_every_variable_given_to_a_container_is_one_that_is_read(filled: dict[str, Any]) -> None:
    known = read_by_the_code()
    for name, service in OUR_IMAGES.items():
        given = filled[name].get("environment", {})
        foreign = {
            each
            for each in given
            if each not in known and not each.startswith(("MINIO_", "AIRFLOW__", "OTEL_"))
        }
        assert foreign == set(), name
        assert service["image"].startswith("lakehouse-lite/")


def test_minio_gets_the_variables_of_the_laptop(filled: dict[str, Any]) -> None:
    given = filled["minio"]["environment"]
    assert given == s3.minio_environment(given["MINIO_ROOT_USER"], given["MINIO_ROOT_PASSWORD"])


#: Credential → the services that hold it, beside the one that looks at all of them. The superuser's and the root's are
#: with their server and with the job that sets it up.
TASKS = {"airflow-scheduler", "airflow-worker"}
COMPONENTS = TASKS | {"airflow-api-server", "airflow-dag-processor", "airflow-triggerer"}
HOLDERS = {
    "LAKEHOUSE_PG_SUPERUSER_PASSWORD": {"postgres", "database"},
    "LAKEHOUSE_PG_LOADER_PASSWORD": {"database", "homes", "landing", "operate"} | TASKS,
    "LAKEHOUSE_PG_ANALYST_PASSWORD": {"database"} | TASKS,  # tasks build the site
    "LAKEHOUSE_PG_MONITOR_PASSWORD": {"database", "metrics", "grafana"},
    "LAKEHOUSE_GRAFANA_PASSWORD": {"grafana"},
    "LAKEHOUSE_PG_GUARD_PASSWORD": {"database", "guard"},
    "LAKEHOUSE_PG_AIRFLOW_PASSWORD": {"database", "airflow-migrate"} | COMPONENTS,
    "LAKEHOUSE_S3_ROOT_PASSWORD": {"minio", "store"},
    "LAKEHOUSE_SECRET_KEY": {"store", "homes", "operate", "airflow-api-server", "airflow-triggerer"} | TASKS,
    "LAKEHOUSE_LANDING_SECRET_KEY": {"store", "landing", "operate"},
    "LAKEHOUSE_READER_SECRET_KEY": {"store"},
    "LAKEHOUSE_AIRFLOW_PASSWORD": {"airflow-api-server"},
    "LAKEHOUSE_AIRFLOW_OPERATOR_PASSWORD": {"airflow-api-server", "airflow-pools"},
    "LAKEHOUSE_AIRFLOW_VIEWER_PASSWORD": {"airflow-api-server"},
    "LAKEHOUSE_AIRFLOW_FERNET_KEY": COMPONENTS,
    "LAKEHOUSE_AIRFLOW_JWT_SECRET": {"airflow-api-server", "airflow-scheduler"},
    "LAKEHOUSE_AIRFLOW_API_SECRET": {"airflow-api-server"},
    "LAKEHOUSE_REDIS_PASSWORD": {"redis"} | TASKS,
}


def test_only_what_needs_a_credential_is_given_it(tmp_path: Path) -> None:
    """By value: under whatever name, in a variable, a command or a health check."""
    variables = compose.filled_in(tmp_path)
    told = {name: "\n".join(compose.texts(found)) for name, found in compose.services(variables).items()}
    holders = {
        credential: {name for name, text in told.items() if variables[credential] in text}
        for credential in credentials.GENERATED
    }
    assert holders == {credential: known | {"credentials"} for credential, known in HOLDERS.items()}


def test_a_component_is_given_what_its_entry_point_insists_on(filled: dict[str, Any]) -> None:
    for component, needed in NEEDED.items():
        name = "airflow-worker" if component == "celery" else f"airflow-{component}"
        assert {f"LAKEHOUSE_{each.upper()}" for each in needed} <= filled[name]["environment"].keys()


def test_what_is_optional_is_in_no_ordinary_start() -> None:
    profiles = {name: found["profiles"] for name, found in SERVICES.items() if "profiles" in found}
    assert profiles == {
        "airflow-worker": ["celery"],
        "redis": ["celery"],
        "landing": ["tools"],
        "operate": ["tools"],
        "metrics": ["monitoring"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


# --- hardening --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    uid, _, gid = service["user"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"pid", "ipc", "network_mode", "devices"} & service.keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.search(r":v?\d+\.\d+", image), image
    assert "latest" not in image
    if name not in OUR_IMAGES:
        assert re.search(r"@sha256:[0-9a-f]{64}$", image), image


def test_base_images_are_pinned_and_new_enough() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    found = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert found
    assert (3, 11) <= (int(found[1]), int(found[2])) <= (3, 13)
    origins = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert origins == {"${PYTHON_IMAGE}", "uv"}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_restarts_and_tells_its_health(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"].keys() == {"test", "interval", "timeout", "start_period", "retries"}
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert "stop_grace_period" in service


def test_ports_are_published_on_the_chosen_address_only(filled: dict[str, Any]) -> None:
    published = {name: service.get("ports", []) for name, service in filled.items() if "ports" in service}
    assert published == {
        "postgres": ["127.0.0.1:5432:5432"],
        "minio": ["127.0.0.1:9000:9000"],
        "airflow-api-server": ["127.0.0.1:8080:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    for service in SERVICES.values():
        assert all(port.startswith("${LAKEHOUSE_BIND:-127.0.0.1}:${") for port in service.get("ports", []))


# --- what it points to exists -----------------------------------------------------------------------------------


def test_volumes_are_named_declared_used_and_owned_by_their_user(filled: dict[str, Any]) -> None:
    used: dict[str, set[str]] = {}
    for name, service in filled.items():
        for mount in service.get("volumes", []):
            volume, path = mount.split(":")
            used.setdefault(volume, set()).add(path)
            if name in OUR_IMAGES:
                user = "minio" if name == "minio" else "lakehouse"
                target = stage("minio" if name == "minio" else "airflow")
                made = re.findall(
                    rf"install --directory --owner {user} --group {user} --mode 0700 (.+)", target
                )
                assert path in " ".join(made).split(), (name, path)
                assert f"--uid {service['user'].split(':')[0]} " in target
    assert used.keys() == compose.raw()["volumes"].keys()
    assert all(len(paths) == 1 for paths in used.values())


def test_files_that_are_given_to_containers_exist() -> None:
    given = compose.raw()["configs"]
    used = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}
    assert used == given.keys()
    for config in given.values():
        assert (ROOT / config["file"]).is_file()


def test_services_wait_for_health_and_for_the_end_of_jobs() -> None:
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            expected = (
                "service_completed_successfully" if compose.is_job(SERVICES[other]) else "service_healthy"
            )
            assert wait == {"condition": expected}, (name, other)
    order = compose.in_order(SERVICES)
    assert order[0] == "credentials"
    everything = {name for name in SERVICES if name != "credentials"}
    for name in everything:
        assert SERVICES[name]["depends_on"], name


def test_hosts_are_services(filled: dict[str, Any]) -> None:
    hosts = set()
    for service in filled.values():
        for text in compose.texts(
            [service.get("environment"), service.get("command"), service.get("healthcheck")]
        ):
            hosts |= set(re.findall(r"^http://([^:/]+)", text))
        hosts |= (
            {service["environment"]["LAKEHOUSE_PG_HOST"]} if "LAKEHOUSE_PG_HOST" in str(service) else set()
        )
    assert (
        hosts - {"127.0.0.1"} == {"postgres", "minio", "airflow-api-server", "prometheus"} & SERVICES.keys()
    )


def test_commands_are_those_of_the_laptop(filled: dict[str, Any]) -> None:
    for name, arguments in airflow.components("0.0.0.0", 8080).items():  # noqa: S104
        assert filled[name]["command"] == ["airflow", *arguments]
    assert filled["airflow-worker"]["command"][:3] == ["airflow", "celery", "worker"]
    data = Path("/var/lib/minio/data")
    assert filled["minio"]["command"] == s3.minio_command(Path("minio"), data, 9000, listen="")
    settings = [f"-c{name}={value}" for name, value in postgres.SETTINGS.items()]
    assert filled["postgres"]["command"] == ["postgres", *settings]
    shell, option, loop = filled["guard"]["command"]
    assert (shell, option, loop) == ("sh", "-c", roles.guard_loop("psql"))
    assert filled["guard"]["environment"].keys() == set(
        re.findall(r"export (\w+)=", roles.guard_script(Path(), 1, ""))
    )
    assert filled["guard"]["image"] == filled["postgres"]["image"]
    initdb = filled["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    assert initdb == list(postgres.INITDB_OPTIONS)


def test_the_images_defaults_are_the_services_of_the_compose_file(filled: dict[str, Any]) -> None:
    for name, service in (("minio", "minio"), ("airflow", "airflow-api-server")):
        *_, command = re.findall(r"^CMD (\[.+\])$", stage(name), re.MULTILINE)
        assert ast.literal_eval(command) == filled[service]["command"]
        (health,) = re.findall(r"^HEALTHCHECK .*?CMD (\[.+\])$", stage(name), re.MULTILINE)
        assert ast.literal_eval(health) == filled[service]["healthcheck"]["test"][1:]
        assert f"\nUSER {filled[service]['user']}\n" in stage(name)


def test_modules_and_subcommands_exist(filled: dict[str, Any]) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, service in filled.items():
        lines = [service.get("command", []), service.get("healthcheck", {}).get("test", [])[1:]]
        for line in lines:
            if line[:2] == ["python", "-m"]:
                assert importlib.util.find_spec(line[2]), (name, line)
            if line[:1] == ["lakehouse"]:
                assert line[1] in commands, (name, line)


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    sources = [
        part
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for part in line.split()[:-1]
    ]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source == "." or any(fnmatch(source.split("/")[0], line) for line in allowed), source
    assert {"contracts", "dags", "docs", "great_expectations", "plugins", "sql", "src"} <= allowed
    assert not allowed & {"data", "tests", ".env", ".git", ".lakehouse", ".venv", ".tools"}


def test_the_build_uses_the_makefiles_uv_and_leaves_out_what_only_the_laptop_needs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (wanted,) = re.findall(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE)
    assert re.findall(r"^ARG UV_VERSION=(\S+)$", DOCKERFILE, re.MULTILINE) == [wanted]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]}
    syncs = re.findall(r"uv sync .+", stage("builder"))
    assert len(syncs) == 2
    for sync in syncs:
        assert "--frozen" in sync
        assert "--no-dev" in sync
        assert set(re.findall(r"--no-install-package (\S+)", sync)) <= required
    (version,) = re.findall(r"^ARG VERSION=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert version == project["version"]
    assert {service["image"].partition(":")[2] for service in OUR_IMAGES.values()} == {version}


# --- Kubernetes -------------------------------------------------------------------------------------------------


def kubernetes() -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) → object."""
    import yaml

    text = (ROOT / "docs" / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load(text)["items"]}


def pods() -> dict[str, dict[str, Any]]:
    """Name → pod of every job and deployment, and of a task."""
    import yaml

    found = {
        n: o["spec"]["template"]["spec"]
        for (kind, n), o in kubernetes().items()
        if kind in ("Job", "Deployment")
    }
    task = yaml.safe_load(kubernetes()["ConfigMap", "airflow-task"]["data"]["task.yaml"])
    return found | {"task": task["spec"]}


def test_kubernetes_runs_the_commands_and_checks_of_the_compose_file(filled: dict[str, Any]) -> None:
    for name, pod in pods().items():
        if name == "task":
            continue
        (container,) = pod["containers"]
        assert container["args"] == filled[name]["command"], name
        probe = container.get("readinessProbe") or container.get("livenessProbe")
        if probe:
            assert ["CMD", *probe["exec"]["command"]] == filled[name]["healthcheck"]["test"], name


@pytest.mark.parametrize("name", sorted(pods()))
def test_a_pod_is_confined_and_mounts_what_its_service_writes_to(name: str, filled: dict[str, Any]) -> None:
    pod, service = pods()[name], filled["airflow-scheduler" if name == "task" else name]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == service["user"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    written = {mount.split(":")[1] for mount in service.get("volumes", [])}
    written |= {mount.split(":")[0] for mount in service["tmpfs"]}
    assert {m["mountPath"] for m in container["volumeMounts"]} >= written
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert container["image"].endswith(service["image"])
    assert "memory" in container["resources"]["limits"]
    # Nobody but the scheduler may ask Kubernetes for anything.
    assert pod["automountServiceAccountToken"] is (name == "airflow-scheduler")


def test_kubernetes_variables_are_read_and_credentials_are_in_secrets() -> None:
    given = kubernetes()["ConfigMap", "lakehouse"]["data"]
    assert {name for name in given if not name.startswith("AIRFLOW__")} <= read_by_the_code()
    assert not set(given) & set(credentials.GENERATED)
    holders = {name for name, pod in pods().items() if "lakehouse-setup" in str(pod["containers"])}
    assert holders == {"database"}
    assert "secretRef" not in str(pods()), "no pod is given a whole secret"


def references(pod: dict[str, Any]) -> set[tuple[str, str]]:
    """(secret, key) of a pod's variables."""
    found = [entry.get("valueFrom", {}).get("secretKeyRef") for entry in pod["containers"][0]["env"]]
    return {(each["name"], each["key"]) for each in found if each}


def test_a_pod_holds_the_credentials_of_its_service_and_no_others(filled: dict[str, Any]) -> None:
    for name, pod in pods().items():
        service = filled["airflow-worker" if name == "task" else name]
        given = service["environment"].keys() & set(credentials.GENERATED)
        assert {key for _, key in references(pod)} == given or name == "guard", name
    assert references(pods()["guard"]) == {("lakehouse", "LAKEHOUSE_PG_GUARD_PASSWORD")}


def test_the_page_makes_the_secrets_that_pods_refer_to(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deploy" / "kubernetes.md").read_text(encoding="utf-8")
    credentials.write(compose.EXAMPLE, tmp_path / ".env")
    made = set()
    for line, secret in re.findall(r"^(grep .+ >(lakehouse\S*)\.env)$", page, re.MULTILINE):
        subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True)
        made |= {(secret, key) for key in credentials.read(tmp_path / f"{secret}.env")}
    wanted = {reference for pod in pods().values() for reference in references(pod)}
    # The key of the store is there only where no role is used.
    assert made == wanted - {("lakehouse", "LAKEHOUSE_SECRET_KEY")}
