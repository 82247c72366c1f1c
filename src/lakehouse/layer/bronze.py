"""Bronze / RAW: one streaming pass over a landed file feeds Parquet on S3 and COPY into Postgres.

The rows go into a table of their own, ``stage.bronze__<table>``, which publishing attaches to ``raw.<table>``
as the batch's partition: no row is written twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal, raw_columns
from lakehouse.compile.schemas import bronze_schema
from lakehouse.contract import Contract, Project
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.home import lake, warehouse
from lakehouse.home.homes import Homes
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.manifest import read_manifest
from lakehouse.landing.stream import Digest
from lakehouse.layer.copies import announce_file, copy_batches, record_agreement
from lakehouse.layer.ledger import Hop, Wanted, batch_id
from lakehouse.layer.merge import staged


def plan(homes: Homes, conn: Connection, project: Project, source: str, partition_key: str) -> list[Wanted]:
    """One hop per file of the delivery that the ledger does not show as served.

    Raises:
        LakehouseError: there is no such delivery, or it lacks a contract's file.
    """
    manifest = read_manifest(homes.s3_client(), homes.bucket, source, partition_key)
    if manifest is None:
        raise LakehouseError(
            f"There is no delivery of {source} for {partition_key} (no manifest on {homes.bucket}).",
            f"Land it: lakehouse land {source} --date {partition_key}",
        )
    known: dict[str, bool] = dict(
        conn.execute(
            text("select batch_id::text, superseded_by is null from ops.batch where source = :s"),
            {"s": source},
        ).all()
    )
    wanted = []
    for contract in project.tables(source):
        file = manifest.file(contract.name)
        if file is None:
            raise LakehouseError(
                f"The delivery of {source} for {partition_key} has no file for {contract.name}.",
                f"Land the whole delivery again: lakehouse land {source} --date {partition_key}",
            )
        batch = batch_id(source, contract.table, file.key, file.sha256)
        if known.get(batch):
            continue
        details = {
            "key": file.key,
            "sha256": file.sha256,
            "bytes": file.bytes,
            "landed_at": manifest.landed_at.isoformat(),
        }
        mode = "revive" if batch in known else "batch"
        wanted.append(Wanted(contract.table, partition_key, mode, batch, None, details))
    return wanted


def stage(
    homes: Homes, conn: Connection, contract: Contract, hop: Hop
) -> tuple[dict[str, int], dict[str, object]]:
    """Parse the landed file into both homes' stages. Returns counts and details for the ledger.

    Raises:
        FileDefect: the file is broken, or its bytes are not those of the manifest.
    """
    types = raw_columns(contract)
    if hop.mode == "revive":
        return _look_again(homes, conn, contract, hop, types), {}
    relation = staged("bronze", contract.table)
    _create_stage(conn, contract, hop, relation)
    uri = announce_file(homes, hop)
    body = homes.s3_client().get_object(Bucket=homes.bucket, Key=hop.details["key"])["Body"]
    digest = Digest()
    batches = read_batches(body, contract, hop.details["key"], digest)
    columns = [c.raw_name for c in contract.columns] + ["_source_line"]
    with lake.parquet_writer(homes, uri, bronze_schema(contract)) as writer:
        rows = copy_batches(conn, relation, columns, _tee(batches, writer, contract, hop))
    if digest.sha256 != hop.details["sha256"]:
        raise FileDefect(
            f"{hop.details['key']} is not the file its manifest names (SHA-256 {digest.sha256[:12]}…).",
            f"Somebody overwrote it. Land it again: lakehouse land {hop.source} --date {hop.partition_key}",
        )
    record_agreement(homes, conn, hop, types, relation, [uri])
    return _counts(rows), {"files": [uri], "replaced": []}


def _look_again(
    homes: Homes, conn: Connection, contract: Contract, hop: Hop, types: dict[str, str]
) -> dict[str, int]:
    """The batch is in both homes since it came first; compare them once more. Returns the counts."""
    files = conn.execute(
        text(
            "select details -> 'files' from ops.publish where layer = 'bronze' and status = 'published' "
            "and batch_id = :b and details ? 'files' order by publish_id desc limit 1"
        ),
        {"b": hop.batch_id},
    ).scalar_one()
    stored = f"(select * from raw.{contract.table} where _batch_id = {literal(hop.batch_id or '')}) q"
    record_agreement(homes, conn, hop, types, stored, files)
    return _counts(conn.execute(text(f"select count(*) from {stored}")).scalar_one())


def _counts(rows: int) -> dict[str, int]:
    counted = {"read": rows, "published": rows, "quarantined": 0, "duplicate": 0}
    return counted | {"inserted": rows, "updated": 0, "deleted": 0, "unchanged": 0}


def _create_stage(conn: Connection, contract: Contract, hop: Hop, relation: str) -> None:
    """A table like RAW whose technical columns fill themselves; the check lets ATTACH skip its scan."""
    constants = {
        "_batch_id": hop.batch_id or "",
        "_source_key": hop.details["key"],
        "_source_hash": hop.details["sha256"],
        "_ingested_at": hop.details["landed_at"],
    }
    defaults = ", ".join(f"alter column {n} set default {literal(v)}" for n, v in constants.items())
    warehouse.run_script(
        conn,
        f"drop table if exists {relation};"
        f"create table {relation} (like raw.{contract.table});"
        f"alter table {relation} {defaults}, add check (_batch_id = {literal(hop.batch_id or '')});",
    )


def _tee(
    batches: Iterator[pa.RecordBatch], writer: pq.ParquetWriter, contract: Contract, hop: Hop
) -> Iterator[pa.RecordBatch]:
    """Write each batch, with its technical columns, to the lake on its way to the warehouse."""
    constants = [hop.batch_id, hop.details["key"], hop.details["sha256"]]
    schema = bronze_schema(contract)
    landed_at = pa.scalar(datetime.fromisoformat(hop.details["landed_at"]), pa.timestamp("us", tz="UTC"))
    for batch in batches:
        size = batch.num_rows
        columns = [
            *batch.columns[:-1],
            *(pa.repeat(pa.scalar(value, pa.string()), size) for value in constants),
            batch.column(batch.num_columns - 1),
            pa.repeat(landed_at, size),
        ]
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        yield batch


def publish(conn: Connection, contract: Contract, hop: Hop) -> None:
    """Attach the staged rows to RAW as the batch's partition and make the batch the current one of its key."""
    if hop.mode != "revive":
        partition = f"{contract.table}__{(hop.batch_id or '').replace('-', '')[:12]}"
        warehouse.run_script(
            conn,
            f"alter table {staged('bronze', contract.table)} set schema raw;"
            f"alter table raw.bronze__{contract.table} rename to {partition};"
            f"alter table raw.{contract.table} attach partition raw.{partition} "
            f"for values in ({literal(hop.batch_id or '')});"
            f"analyze raw.{partition};",
        )
    conn.execute(
        text(
            "insert into ops.batch (batch_id, source, table_name, partition_key, source_key, source_hash, "
            "size_bytes, landed_at) values (:b, :s, :t, :k, :key, :hash, :bytes, :landed) "
            "on conflict (batch_id) do update set superseded_by = null"
        ),
        {
            "b": hop.batch_id,
            "s": hop.source,
            "t": hop.table,
            "k": hop.partition_key,
            "key": hop.details["key"],
            "hash": hop.details["sha256"],
            "bytes": hop.details["bytes"],
            "landed": hop.details["landed_at"],
        },
    )
    conn.execute(
        text(
            "update ops.batch set superseded_by = :b where table_name = :t and partition_key = :k "
            "and batch_id <> :b and superseded_by is null"
        ),
        {"b": hop.batch_id, "t": hop.table, "k": hop.partition_key},
    )
