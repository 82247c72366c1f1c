"""One service of a deployment: read what it is told, refuse what is unsafe, become its command.

The entry point of the container image. It gives Airflow the same settings and connections as on a laptop, from
:func:`lakehouse.stack.airflow.settings`; what is in the environment already wins, so that an executor, a log folder
or a secrets backend is set from outside and not by other code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.errors import StackError
from lakehouse.stack import airflow, credentials, postgres, roles
from lakehouse.stack.postgres import PostgresServer
from lakehouse.stack.s3 import REGION, ROOT
from lakehouse.stack.state import S3Endpoint, checkout


class Deployment(BaseSettings):
    """What a deployment is told by its environment. `.env.example` explains every variable."""

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_", extra="ignore")

    home: Path = Path("/var/lib/lakehouse")
    pg_host: str = "postgres"
    pg_port: int = 5432
    pg_superuser_password: SecretStr = SecretStr("")
    pg_loader_password: SecretStr = SecretStr("")
    pg_analyst_password: SecretStr = SecretStr("")
    pg_monitor_password: SecretStr = SecretStr("")
    pg_guard_password: SecretStr = SecretStr("")
    pg_airflow_password: SecretStr = SecretStr("")
    s3_endpoint: str = Field(default="", description="empty: AWS itself")
    s3_root_user: str = Field(default=ROOT, description="of MinIO, for set-up only")
    s3_root_password: SecretStr = SecretStr("")
    access_key: str = Field(default="", description="the pipeline's; empty: the machine's role")
    secret_key: SecretStr = SecretStr("")
    landing_access_key: str = ""
    landing_secret_key: SecretStr = SecretStr("")
    reader_access_key: str = ""
    reader_secret_key: SecretStr = SecretStr("")
    region: str = REGION
    bucket: str = "lakehouse"
    logs: str = Field(default="", description="s3://bucket/prefix of task logs; empty: they stay on the disk")
    airflow_listen: str = Field(default="0.0.0.0", description="inside the container")  # noqa: S104
    airflow_url: str = Field(default="http://airflow-api-server:8080", description="as components reach it")
    airflow_public_url: str = Field(default="http://127.0.0.1:8080", description="as people reach it")
    airflow_password: SecretStr = SecretStr("")
    airflow_operator_password: SecretStr = SecretStr("")
    airflow_viewer_password: SecretStr = SecretStr("")
    airflow_fernet_key: SecretStr = SecretStr("")
    airflow_jwt_secret: SecretStr = SecretStr("")
    airflow_api_secret: SecretStr = SecretStr("")

    def secret(self, name: str) -> str:
        """A credential that this service cannot do without.

        Raises:
            StackError: it is missing, a placeholder, or can be guessed.
        """
        value: str = getattr(self, name).get_secret_value()
        credentials.check({f"LAKEHOUSE_{name.upper()}": value})
        return value

    def has(self, name: str) -> bool:
        """Whether this service was given a credential."""
        return bool(getattr(self, name).get_secret_value())

    def given(self, name: str) -> str:
        """A credential that this service may be without; empty when it is.

        Raises:
            StackError: it is a placeholder, or can be guessed.
        """
        return self.secret(name) if self.has(name) else ""

    def server(self, *wanted: str) -> PostgresServer:
        """Postgres, with the passwords of the roles that are asked for."""
        passwords = {role: self.secret(_PASSWORDS[role]) for role in wanted or _PASSWORDS}
        return PostgresServer(self.pg_port, passwords, host=self.pg_host)

    @property
    def store(self) -> S3Endpoint:
        """The object store. Without an access key the machine's role is used, as AWS's tools do."""
        secret_key = self.secret("secret_key") if self.access_key else ""
        return S3Endpoint("endpoint", self.s3_endpoint, self.access_key, secret_key, self.region)

    def store_keys(self) -> dict[str, tuple[str, str]]:
        """``pipeline``, ``landing``, ``reader`` → access key and secret key, for who makes them.

        Raises:
            StackError: one is missing or can be guessed, or two have one name.
        """
        keys = {
            "pipeline": (self.access_key, self.secret("secret_key")),
            "landing": (self.landing_access_key, self.secret("landing_secret_key")),
            "reader": (self.reader_access_key, self.secret("reader_secret_key")),
        }
        names = (self.s3_root_user, *(name for name, _ in keys.values()))
        credentials.check_users(dict(zip(credentials.USERS, names, strict=True)))
        return keys


_PASSWORDS = {
    postgres.SUPERUSER: "pg_superuser_password",
    postgres.LOADER: "pg_loader_password",
    postgres.ANALYST: "pg_analyst_password",
    roles.MONITOR: "pg_monitor_password",
    roles.GUARD: "pg_guard_password",
    postgres.AIRFLOW: "pg_airflow_password",
}
#: Component of Airflow → the credentials that it cannot do without, beside that of its database: who stores or reads
#: connections, who signs the tokens of people and tasks, who runs tasks.
NEEDED = {
    "api-server": ("airflow_fernet_key", "airflow_jwt_secret", "airflow_api_secret"),
    "scheduler": ("airflow_fernet_key", "airflow_jwt_secret", "pg_loader_password"),
    "celery": ("airflow_fernet_key", "pg_loader_password"),
    "dag-processor": ("airflow_fernet_key",),
    "triggerer": ("airflow_fernet_key",),
}
#: Login of Airflow → its password.
LOGINS = {
    airflow.USER: "airflow_password",
    airflow.OPERATOR: "airflow_operator_password",
    airflow.VIEWER: "airflow_viewer_password",
}


def airflow_environment(told: Deployment, component: str = "") -> dict[str, str]:
    """Everything that a component of Airflow and its tasks read, as far as it is told.

    Raises:
        StackError: a credential that the component needs is missing, a placeholder, or can be guessed.
    """
    project = checkout()
    for name in NEEDED.get(component, ()):
        told.secret(name)
    # The loader is for tasks; the site is built as the analyst.
    readers = [role for role in (postgres.LOADER, postgres.ANALYST) if told.has(_PASSWORDS[role])]
    # Each container has its own: only what is derived from the environment lies there.
    home = Path(os.environ.get("AIRFLOW_HOME", "/tmp/airflow"))  # noqa: S108
    return airflow.settings(
        airflow.AirflowSite(
            home=home,
            logs=told.home / "airflow-logs",
            project=project,
            plugins=project / "plugins",
            url=told.airflow_url,
            public_url=told.airflow_public_url,
            listen=told.airflow_listen,
            port=8080,
            server=told.server(postgres.AIRFLOW, *readers),
            store=told.store,
            bucket=told.bucket,
            fernet_key=told.given("airflow_fernet_key"),
            jwt_secret=told.given("airflow_jwt_secret"),
            api_secret=told.given("airflow_api_secret"),
            # Airflow would invent a password for a login that has none.
            other_users=tuple(name for name in airflow.OTHER_USERS if told.has(LOGINS[name])),
            remote_logs=told.logs,
        )
    )


def homes_environment(told: Deployment) -> dict[str, str]:
    """What the command ``lakehouse`` reads, as the loader."""
    return {"LAKEHOUSE_PG_DSN": told.server(postgres.LOADER).loader_dsn}


def environment(command: Sequence[str], told: Deployment, given: Mapping[str, str]) -> dict[str, str]:
    """The variables a command runs with: of Airflow and of the homes, where it is told enough; what is given wins.

    Raises:
        StackError: a credential that is needed is missing, a placeholder, or can be guessed.
    """
    own: dict[str, str] = {}
    if told.has("pg_loader_password"):
        own |= homes_environment(told)
    if told.has("pg_monitor_password"):
        own["LAKEHOUSE_MONITOR_DSN"] = told.server(roles.MONITOR).monitor_dsn
    if command[0] == "airflow":
        own |= airflow_environment(told, command[1] if len(command) > 1 else "")
    elif told.has("airflow_fernet_key"):
        own |= airflow_environment(told)
    return {**own, **given}


def main() -> None:
    """``python -m lakehouse.stack.service COMMAND …``: prepare the environment, then become the command."""
    command = sys.argv[1:]
    if not command:
        raise SystemExit("usage: python -m lakehouse.stack.service COMMAND [ARGUMENT …]")
    try:
        told = Deployment()
        variables = environment(command, told, os.environ)
        if command[:2] == ["airflow", "api-server"]:
            home = Path(variables["AIRFLOW_HOME"])
            home.mkdir(parents=True, exist_ok=True)
            words = {login: told.secret(name) for login, name in LOGINS.items()}
            airflow.write_passwords(home, words.pop(airflow.USER), words)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
    os.execvpe(command[0], command, variables)  # noqa: S606


if __name__ == "__main__":
    main()
