"""Where the two homes are. Everything else in the package takes them as one explicit object."""

from __future__ import annotations

import os
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.errors import LakehouseError

_CACHE_MB = 2048


class Settings(BaseSettings):
    """Endpoints and credentials, read from the environment (``lakehouse env`` prints them)."""

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_", extra="ignore")

    pg_dsn: SecretStr = Field(
        default=SecretStr(""), description="postgresql://user:password@host:port/lakehouse"
    )
    analyst_dsn: SecretStr = Field(default=SecretStr(""), description="The same, of the analyst")
    monitor_dsn: SecretStr = Field(default=SecretStr(""), description="The same, of monitoring")
    s3_endpoint: str = Field(default="", description="URL of the S3 API; AWS_ENDPOINT_URL when empty")
    bucket: str = "lakehouse"
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    landing_access_key: str = Field(default="", description="Of who lands and withdraws; else the access key")
    landing_secret_key: SecretStr = SecretStr("")
    reader_access_key: str = Field(default="", description="Of who reads the lake without personal data")
    reader_secret_key: SecretStr = SecretStr("")
    region: str = ""
    backup_endpoint: str = Field(default="", description="Of the store of backups, when it is another one")
    backup_access_key: str = Field(default="", description="Of the store of backups; else the access key")
    backup_secret_key: SecretStr = SecretStr("")
    data_docs: str = Field(
        default="",
        description="where gates write Data Docs: a folder or s3://<bucket>/<prefix>; nowhere when empty",
    )

    @model_validator(mode="after")
    def _standard_names(self) -> Self:
        """Fall back to the names that AWS tools read, so that one ``env`` serves them all."""
        self.s3_endpoint = self.s3_endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
        self.access_key = self.access_key or os.environ.get("AWS_ACCESS_KEY_ID", "")
        if not self.secret_key.get_secret_value():
            self.secret_key = SecretStr(os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
        self.region = self.region or os.environ.get("AWS_REGION", "") or "us-east-1"
        return self

    def required_dsn(self) -> str:
        """The warehouse's DSN.

        Raises:
            LakehouseError: none is configured.
        """
        dsn = self.pg_dsn.get_secret_value()
        if not dsn:
            raise LakehouseError(
                "No warehouse is configured (LAKEHOUSE_PG_DSN is empty).",
                'Start the stack with `lakehouse up`, then `eval "$(lakehouse env)"`.',
            )
        return dsn


class Keep(BaseSettings):
    """How long maintenance keeps what the contracts do not speak of, read from the environment."""

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_KEEP_", extra="ignore")

    snapshot_days: float = Field(default=7, ge=0, description="how far readers of the lake can travel back")
    orphan_hours: float = Field(default=24, ge=1, description="what nobody knows is left alone for so long")
    ledger_days: float = Field(default=400, ge=30, description="results, pins and failed attempts in ops")
    log_days: float = Field(default=30, ge=1, description="logs of tasks")
    airflow_days: float = Field(default=90, ge=7, description="runs and events in Airflow's own database")


def cache_place() -> tuple[str, int]:
    """Folder and megabytes of the cache of lake files; no folder, no cache.

    Without a model: it is asked for every file that a session reads.
    """
    megabytes = os.environ.get("LAKEHOUSE_CACHE_MB", "")
    return os.environ.get("LAKEHOUSE_CACHE_FOLDER", ""), int(megabytes or _CACHE_MB)
