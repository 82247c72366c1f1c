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
from lakehouse.stack.s3 import REGION
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
    access_key: str = Field(default="", description="empty: the machine's role")
    secret_key: SecretStr = SecretStr("")
    region: str = REGION
    bucket: str = "lakehouse"
    logs: str = Field(default="", description="s3://bucket/prefix of task logs; empty: they stay on the disk")
    airflow_listen: str = Field(default="0.0.0.0", description="inside the container")  # noqa: S104
    airflow_url: str = Field(default="http://airflow-api-server:8080", description="as components reach it")
    airflow_public_url: str = Field(default="http://127.0.0.1:8080", description="as people reach it")
    airflow_password: SecretStr = SecretStr("")
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

    def server(self, *wanted: str) -> PostgresServer:
        """Postgres, with the passwords of the roles that are asked for."""
        names = {
            postgres.SUPERUSER: "pg_superuser_password",
            postgres.LOADER: "pg_loader_password",
            postgres.ANALYST: "pg_analyst_password",
            roles.MONITOR: "pg_monitor_password",
            roles.GUARD: "pg_guard_password",
            postgres.AIRFLOW: "pg_airflow_password",
        }
        passwords = {role: self.secret(names[role]) for role in wanted or names}
        return PostgresServer(self.pg_port, passwords, host=self.pg_host)

    @property
    def store(self) -> S3Endpoint:
        """The object store. Without an access key the machine's role is used, as AWS's tools do."""
        secret_key = self.secret("secret_key") if self.access_key else ""
        return S3Endpoint("endpoint", self.s3_endpoint, self.access_key, secret_key, self.region)


def airflow_environment(told: Deployment) -> dict[str, str]:
    """Everything that Airflow's components and their tasks read."""
    project = checkout()
    # The site is built as the analyst, where Airflow is told that password.
    readers = [postgres.ANALYST] if told.pg_analyst_password.get_secret_value() else []
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
            server=told.server(postgres.LOADER, postgres.AIRFLOW, *readers),
            store=told.store,
            bucket=told.bucket,
            fernet_key=told.secret("airflow_fernet_key"),
            jwt_secret=told.secret("airflow_jwt_secret"),
            api_secret=told.secret("airflow_api_secret"),
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
    if told.pg_loader_password.get_secret_value():
        own |= homes_environment(told)
    if told.pg_monitor_password.get_secret_value():
        own["LAKEHOUSE_MONITOR_DSN"] = told.server(roles.MONITOR).monitor_dsn
    if command[0] == "airflow" or told.airflow_fernet_key.get_secret_value():
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
        if "api-server" in command or told.airflow_password.get_secret_value():
            home = Path(variables["AIRFLOW_HOME"])
            home.mkdir(parents=True, exist_ok=True)
            airflow.write_passwords(home, told.secret("airflow_password"))
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
    os.execvpe(command[0], command, variables)  # noqa: S606


if __name__ == "__main__":
    main()
