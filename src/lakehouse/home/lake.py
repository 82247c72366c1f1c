"""The lake: Iceberg tables of zstd Parquet on S3. Only this module writes there.

Data files are written before they are published and are invisible until then. Every file holds rows of one
publish (silver, gold) or one batch (bronze), so replacing a publish's rows drops whole files by metadata alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection

from lakehouse.compile.ddl import ods_columns
from lakehouse.compile.gold_tables import gold_columns
from lakehouse.compile.schemas import arrow_schema, bronze_schema
from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS
from lakehouse.home.homes import Homes

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog

#: Rows per row group: large enough to compress, small enough to stream.
ROW_GROUP_ROWS = 128 * 1024
_TABLE_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    "write.metadata.previous-versions-max": "20",
    "write.metadata.delete-after-commit.enabled": "true",
}


def prepare(homes: Homes, conn: Connection, project: Project) -> None:
    """Create the catalog, its namespaces and all tables; add columns that are new."""
    catalog = homes.catalog(conn)
    catalog.create_tables()
    for namespace in LAYERS:
        catalog.create_namespace_if_not_exists(namespace)
    for contract in project.contracts.values():
        ensure_table(homes, catalog, "bronze", contract.table, bronze_schema(contract))
        ensure_table(homes, catalog, "silver", contract.table, arrow_schema(ods_columns(contract)))
    for model in project.gold.values():
        schema = arrow_schema(gold_columns(model) | {"_publish_id": "bigint"})
        ensure_table(homes, catalog, "gold", model.table, schema)


def ensure_table(homes: Homes, catalog: SqlCatalog, namespace: str, table: str, schema: pa.Schema) -> None:
    """Create an Iceberg table, or add the columns it lacks."""
    identifier = f"{namespace}.{table}"
    if not catalog.table_exists(identifier):
        location = f"{homes.lake_root}/{namespace}/{table}"
        catalog.create_table(identifier, schema, location=location, properties=_TABLE_PROPERTIES)
        return
    iceberg = catalog.load_table(identifier)
    if set(schema.names) - {f.name for f in iceberg.schema().fields}:
        with iceberg.update_schema() as update:
            update.union_by_name(schema)


def new_file_uri(homes: Homes, namespace: str, table: str) -> str:
    """A name for a data file that nobody else will use."""
    return f"{homes.lake_root}/{namespace}/{table}/data/{uuid.uuid4()}.parquet"


@contextmanager
def parquet_writer(homes: Homes, uri: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A streaming zstd Parquet writer to the store."""
    path = uri.removeprefix("s3://")
    with (
        homes.filesystem().open_output_stream(path) as sink,
        pq.ParquetWriter(sink, schema, compression="zstd", write_batch_size=ROW_GROUP_ROWS) as writer,
    ):
        yield writer


def publish_files(
    catalog: SqlCatalog,
    identifier: str,
    *,
    add: Iterable[str],
    drop_publish_ids: Iterable[int] = (),
    properties: dict[str, str],
) -> None:
    """Point an Iceberg table at new files, and away from all files of the given publishes.

    Joins the transaction of the connection that the catalog is bound to.
    """
    from pyiceberg.expressions import In

    uris, dropped = list(add), list(drop_publish_ids)
    if not uris and not dropped:
        return
    with catalog.load_table(identifier).transaction() as transaction:
        if dropped:
            transaction.delete(In(term="_publish_id", literals=set(dropped)), snapshot_properties=properties)
        if uris:
            # Names are unique by construction; checking them would read every manifest.
            transaction.add_files(uris, snapshot_properties=properties, check_duplicate_files=False)


def etags(homes: Homes, uris: Iterable[str]) -> dict[str, str]:
    """URI → the store's token for the object's present bytes, '' when there is no such object."""
    from botocore.exceptions import ClientError

    wanted = list(uris)
    if not wanted:
        return {}
    client, found = homes.s3_client(), {}
    for uri in wanted:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            found[uri] = client.head_object(Bucket=bucket, Key=key)["ETag"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("404", "NoSuchKey"):
                raise
            found[uri] = ""
    return found


def delete_objects(homes: Homes, uris: Iterable[str]) -> None:
    """Remove data files that were never published."""
    unwanted = list(uris)
    if not unwanted:
        return
    client = homes.s3_client()
    for uri in unwanted:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        client.delete_object(Bucket=bucket, Key=key)
