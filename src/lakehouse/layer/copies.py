"""Rows from one home to the other while they are staged, and the proof that both now hold the same."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as pads
from sqlalchemy import Connection, text

from lakehouse.compile.schemas import arrow_schema
from lakehouse.errors import StaleStage
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.home.warehouse import copy_in, copy_out
from lakehouse.layer.checksum import checksum_query
from lakehouse.layer.ledger import Hop

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CSV = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")
_BLOCK_BYTES = 8 << 20


class _CsvFeed(io.RawIOBase):
    """Arrow batches as the CSV that COPY reads, made while it reads: nothing is held but one batch.

    psycopg2 turns what goes wrong in here into an error of the server; ``error`` keeps what it was.
    """

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._pending = memoryview(b"")
        self.error: Exception | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with the next bytes; 0 at the end."""
        while not self._pending:
            try:
                batch = next(self._batches, None)
            except Exception as error:
                self.error = error
                raise
            if batch is None:
                return 0
            sink = pa.BufferOutputStream()
            pacsv.write_csv(batch, sink, _CSV)
            self._pending = memoryview(sink.getvalue()).cast("B")
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._pending))
        target[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size


def copy_batches(
    conn: Connection, relation: str, columns: list[str], batches: Iterator[pa.RecordBatch]
) -> int:
    """COPY Arrow batches into a relation while they are made; returns the rows.

    Raises:
        Exception: whatever making the batches raised.
    """
    feed = _CsvFeed(batches)
    try:
        return copy_in(conn, relation, columns, io.BufferedReader(feed, 1 << 20))
    except psycopg2.Error:
        if feed.error is not None:
            raise feed.error from None
        raise


def warehouse_to_lake(
    homes: Homes, conn: Connection, hop: Hop, columns: dict[str, str], queries: Iterable[str]
) -> list[str]:
    """Write the rows of each query to a Parquet file of its own; returns the files that got rows.

    ``columns`` maps the queries' columns to Postgres types. The files are invisible until published, and
    recorded beforehand, so that those of a killed task are found and removed.
    """
    schema = arrow_schema(columns)
    uris = []
    for query in queries:
        with tempfile.TemporaryFile(prefix="lakehouse-copy-") as spool:
            if copy_out(conn, query, spool) == 0:
                continue
            spool.seek(0)
            uri = announce_file(homes, hop)
            with lake.parquet_writer(homes, uri, schema) as writer:
                for batch in _read_csv(spool, schema):
                    writer.write_batch(batch)
        uris.append(uri)
    return uris


def _read_csv(spool: IO[bytes], schema: pa.Schema) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        spool,
        read_options=pacsv.ReadOptions(column_names=schema.names, block_size=_BLOCK_BYTES),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def announce_file(homes: Homes, hop: Hop) -> str:
    """Name a lake file that is about to be written, and record it first, in a transaction of its own."""
    uri = lake.new_file_uri(homes, hop.layer, hop.table)
    with homes.engine.begin() as conn:
        conn.execute(
            text("insert into ops.staged_file (uri, publish_id) values (:u, :p)"),
            {"u": uri, "p": hop.publish_id},
        )
    return uri


def check_files(homes: Homes, hops: Iterable[Hop]) -> None:
    """Make sure that the staged lake files are those whose checksums were taken.

    Raises:
        StaleStage: a file is gone or was overwritten.
    """
    known = {uri: (hop, etag) for hop in hops for uri, etag in hop.details.get("etags", {}).items()}
    for uri, etag in lake.etags(homes, known).items():
        hop, staged = known[uri]
        if etag != staged:
            raise StaleStage(
                f"{hop.layer}.{hop.table} for {hop.run_partition_key}: {uri} is not the file that was staged.",
                f"Clear the task `stage.{hop.table}` and those after it in {hop.source}_{hop.layer}.",
            )


def discard_files(homes: Homes, hop: Hop) -> None:
    """Remove what earlier attempts at this table wrote to the lake and never published."""
    with homes.engine.begin() as conn:
        uris = (
            conn.execute(
                text(
                    "delete from ops.staged_file f using ops.publish p where f.publish_id = p.publish_id "
                    "and p.layer = :l and p.table_name = :t returning f.uri"
                ),
                {"l": hop.layer, "t": hop.table},
            )
            .scalars()
            .all()
        )
        lake.delete_objects(homes, uris)


def record_agreement(
    homes: Homes, conn: Connection, hop: Hop, columns: dict[str, str], relation: str, uris: list[str]
) -> None:
    """Compute row count and column checksums in both homes and put them side by side for the gate.

    Args:
        homes: the two homes.
        conn: the warehouse, where the staged rows are.
        hop: what is being staged.
        columns: the columns to compare, with their Postgres types.
        relation: the staged rows in the warehouse.
        uris: the files that should hold the same rows in the lake; read back from the store.
    """
    warehouse = conn.exec_driver_sql(checksum_query(columns, relation, "postgres")).one()
    in_lake = _lake_checksums(homes, columns, uris)
    conn.execute(
        text("delete from stage.agreement where layer = :l and table_name = :t"),
        {"l": hop.layer, "t": hop.table},
    )
    conn.execute(
        text("insert into stage.agreement values (:source, :layer, :publish, :table, :column, :w, :l)"),
        [
            {
                "source": hop.source,
                "layer": hop.layer,
                "publish": hop.publish_id,
                "table": hop.table,
                "column": name,
                "w": ours,
                "l": theirs,
            }
            for name, ours, theirs in zip(["row_count", *columns], warehouse, in_lake, strict=True)
        ],
    )


def _lake_checksums(homes: Homes, columns: dict[str, str], uris: list[str]) -> tuple[str, ...]:
    if not uris:
        return ("0", *("0:" for _ in columns))
    with duckdb_over(homes, {"staged": uris}, arrow_schema(columns)) as duck:
        found: tuple[str, ...] | None = duck.execute(checksum_query(columns, "staged", "duckdb")).fetchone()
    if found is None:  # an aggregate without GROUP BY always returns a row
        raise AssertionError("no checksums")
    return found


@contextmanager
def duckdb_over(
    homes: Homes, relations: dict[str, list[str]], schema: pa.Schema
) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with lake files as relations, streamed through pyarrow (no extension to download).

    Columns of ``schema`` that a file lacks, because the contract gained them later, are null.
    """
    filesystem = homes.filesystem()
    with tempfile.TemporaryDirectory(prefix="lakehouse-duckdb-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": 2,
            "memory_limit": "1GB",
            "temp_directory": spill,
        }
        with duckdb.connect(config=config) as duck:
            for name, uris in relations.items():
                paths = [uri.removeprefix("s3://") for uri in uris]
                duck.register(name, pads.dataset(paths, schema, filesystem=filesystem, format="parquet"))
            yield duck
