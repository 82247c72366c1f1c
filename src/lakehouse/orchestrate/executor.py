"""Airflow's local executor, whose task processes start with the heavy libraries already imported.

Every task is a process forked from the scheduler, and would otherwise import the same libraries again: 3 to 4
seconds of CPU for a staging task, 9 for a gate, where the work itself often takes less than one. Making the first
S3 client of a process costs 0.4 seconds more, for reading where AWS has its endpoints.
"""

from __future__ import annotations

import importlib
import logging
import time

from airflow.executors.local_executor import LocalExecutor

#: Libraries only, nothing of this package: an edited module must count for the next task, without a restart.
LIBRARIES = (
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.amazon.aws.triggers.s3",
    "airflow.providers.postgres.hooks.postgres",
    "airflow.providers.standard.operators.branch",
    "airflow.providers.standard.operators.python",
    "duckdb",
    "great_expectations",
    "great_expectations.render.view.view",
    "jinja2.ext",
    "pgpq",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.fs",
    "pyarrow.parquet",
    "pydantic_settings",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlglot.dialects.duckdb",
    "yaml",
)


class PreloadingLocalExecutor(LocalExecutor):
    """``LocalExecutor`` for ``[core] executor``. Where processes are not forked (macOS) it is just that."""

    def start(self) -> None:
        """Import, then fork the workers."""
        if self.is_mp_using_fork:
            began = time.monotonic()
            logging.getLogger("great_expectations").setLevel(logging.ERROR)  # hundreds of lines at import
            for name in LIBRARIES:
                importlib.import_module(name)
            _read_endpoints()
            self.log.info("Imported %d libraries in %.1f s", len(LIBRARIES), time.monotonic() - began)
        super().start()


def _read_endpoints() -> None:
    """Make boto3's default session read its tables; clients made from it in forked processes share them.

    Nothing is contacted, and nobody's credentials are looked for.
    """
    import boto3

    boto3.client("s3", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-")  # noqa: S106
