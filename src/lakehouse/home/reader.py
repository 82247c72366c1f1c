"""The lake as an analyst reads it: tables without personal columns, and masked copies of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from lakehouse.errors import LakehouseError
from lakehouse.home.homes import CATALOG_NAME
from lakehouse.home.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog


def open_lake(settings: Settings | None = None) -> SqlCatalog:
    """The Iceberg catalog with the analyst's login and the reader's key; nothing can be written through it.

    ``open_lake().load_table("gold.fact_order").scan().to_arrow()``; a table with personal columns is
    ``masked.<table>``.

    Raises:
        LakehouseError: no login or key for readers is configured.
    """
    from pyiceberg.catalog.sql import SqlCatalog

    settings = settings or Settings()
    dsn, key = settings.analyst_dsn.get_secret_value(), settings.reader_access_key
    if not dsn or not key:
        raise LakehouseError(
            "No reader of the lake is configured (LAKEHOUSE_ANALYST_DSN, LAKEHOUSE_READER_ACCESS_KEY).",
            'Start the stack with `lakehouse up`, then `eval "$(lakehouse env)"`.',
        )
    # The analyst's search path leads to schema `lake`, which shows what analysts may see of the catalog.
    url = make_url(dsn).set(drivername="postgresql+psycopg2")
    return SqlCatalog(
        CATALOG_NAME,
        **{
            "uri": url.render_as_string(hide_password=False),
            "warehouse": f"s3://{settings.bucket}/lake",
            "init_catalog_tables": "false",
            "s3.endpoint": settings.s3_endpoint,
            "s3.access-key-id": key,
            "s3.secret-access-key": settings.reader_secret_key.get_secret_value(),
            "s3.region": settings.region,
        },
    )
