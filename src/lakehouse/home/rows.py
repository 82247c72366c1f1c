"""Rows on their way into the warehouse: one binary COPY into a relation of the stage, then attach or merge.

A relation that holds a whole table or a whole partition is attached: nothing is written again. Otherwise its rows
are merged by key. Both change the parent's rows only; views and grants on it stay as they are.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
from pgpq import ArrowToPostgresBinaryEncoder
from sqlalchemy import Connection

from lakehouse.compile.ddl import literal
from lakehouse.home.warehouse import cursor, run_script

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Says what a staged row does to the table: insert, update, delete.
OPERATION = "_op"
#: Arrow's type of what the lake keeps otherwise.
_WIRE: dict[str, pa.DataType] = {"smallint": pa.int16(), "uuid": pa.binary(16)}


def wire_schema(columns: dict[str, str], schema: pa.Schema) -> pa.Schema:
    """The types in which columns (name → Postgres type) are sent: the lake's, but for small integers and uuids."""
    return pa.schema([pa.field(n, _WIRE.get(t, schema.field(n).type)) for n, t in columns.items()])


def to_wire(batch: pa.RecordBatch, wire: pa.Schema) -> pa.RecordBatch:
    """A batch of the lake as it is sent: some of its columns, in the wire's types."""
    arrays = [
        _uuids(batch.column(field.name))
        if field.type == _WIRE["uuid"]
        else batch.column(field.name).cast(field.type)
        for field in wire
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=wire)


def _uuids(column: pa.Array[Any]) -> pa.Array[Any]:
    """Uuids as bytes. There are few different ones: they name batches."""
    texts = pc.unique(column)
    known = pa.array([text and UUID(text).bytes for text in texts.to_pylist()], _WIRE["uuid"])
    return known.take(pc.index_in(column, value_set=texts))


class _Feed(io.RawIOBase):
    """Arrow batches as the bytes that COPY reads; the next batch is made while the server takes one.

    So the two processes work at the same time, and nothing is held but these two. psycopg2 turns what goes wrong in
    here into an error of the server; ``error`` keeps what it was. Leaving it waits for the batch that is being made.
    """

    def __init__(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._chunks = self._encode(batches, schema)
        self._ahead = ThreadPoolExecutor(1)
        self._next = self._ahead.submit(next, self._chunks, b"")
        self._pending = memoryview(b"")
        self.rows = 0
        self.error: Exception | None = None

    def __exit__(self, *_: object) -> None:
        self._ahead.shutdown()

    def _encode(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
        encoder = ArrowToPostgresBinaryEncoder(schema)
        yield encoder.write_header()
        for batch in batches:
            if batch.num_rows:
                self.rows += batch.num_rows
                # The encoder keeps small batches for later; nothing at all would mean the end to whoever reads.
                if chunk := encoder.write_batch(to_wire(batch, schema)):
                    yield chunk
        yield encoder.finish()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with the next bytes; 0 at the end."""
        if not self._pending:
            try:
                self._pending = memoryview(self._next.result())
            except Exception as error:
                self.error = error
                raise
            self._next = self._ahead.submit(next, self._chunks, b"")
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._pending))
        target[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size


def copy_rows(
    conn: Connection,
    relation: str,
    wire: pa.Schema,
    batches: Generator[pa.RecordBatch],
    *,
    frozen: bool = False,
) -> int:
    """COPY batches, in the types of ``wire`` (see :func:`wire_schema`), into a relation while they are made.

    Returns the rows. The generator is closed at the end, also when COPY breaks off: left to the garbage collector,
    files and threads of its would be closed at any time, in any thread.

    ``frozen``: write the rows as seen by everybody, so that no later read or vacuum has to touch their pages again.
    Possible because the relation was made in the same transaction (see :func:`create_stage`).

    Raises:
        Exception: whatever making the batches raised.
    """
    names = ", ".join(wire.names)
    try:
        with closing(batches), _Feed(batches, wire) as feed, cursor(conn) as cur:
            cur.copy_expert(
                f"copy {relation} ({names}) from stdin (format binary{', freeze' if frozen else ''})",
                io.BufferedReader(feed, 1 << 20),
                1 << 20,
            )
    except psycopg2.Error:
        if feed.error is not None:
            raise feed.error from None
        raise
    return feed.rows


def create_stage(
    conn: Connection, relation: str, columns: dict[str, str], defaults: dict[str, str] | None = None
) -> None:
    """An empty relation without constraints; ``defaults`` fill columns that are not sent.

    In the transaction that also fills it: a database with a minimal log then writes the rows once, not twice.
    """
    given = {name: f" default {literal(value)}" for name, value in (defaults or {}).items()}
    body = ", ".join(f"{name} {kind}{given.get(name, '')}" for name, kind in columns.items())
    run_script(conn, f"drop table if exists {relation};create table {relation} ({body})")


def show_refused(conn: Connection, relations: Sequence[str]) -> None:
    """Let readers of ``ops.refused`` see relations of the stage, until they are dropped. Safe to repeat."""
    for relation in relations:
        shown = "select 1 from pg_inherits where inhrelid = to_regclass(%(relation)s)"
        if conn.exec_driver_sql(shown, {"relation": relation}).scalar() is None:
            run_script(conn, f"alter table {relation} inherit ops.refused_stage")


def attach(conn: Connection, staged: str, parent: str, partition: str, bound: str) -> None:
    """Make a staged relation a partition of a table, in place of the one that is there.

    Args:
        conn: an open transaction.
        staged: the relation, with the parent's columns and indexes.
        parent: such as ``ods.olist_orders``.
        partition: the partition's name without schema.
        bound: ``default`` or ``for values in (…)``.
    """
    schema = parent.partition(".")[0]
    if conn.exec_driver_sql(f"select to_regclass('{schema}.{partition}')").scalar() is not None:
        run_script(
            conn,
            f"alter table {parent} detach partition {schema}.{partition};drop table {schema}.{partition};",
        )
    run_script(
        conn,
        f"alter table {staged} set schema {schema};"
        f"alter table {schema}.{staged.partition('.')[2]} rename to {partition};"
        f"alter table {parent} attach partition {schema}.{partition} {bound};",
    )


def detach(conn: Connection, parent: str, partition: str) -> int:
    """Take a partition out of a table and drop it; returns how many rows it had, 0 when there is none of the name."""
    relation = f"{parent.partition('.')[0]}.{partition}"
    if conn.exec_driver_sql(f"select to_regclass('{relation}')").scalar() is None:
        return 0
    rows = int(conn.exec_driver_sql(f"select count(*) from {relation}").scalar_one())
    run_script(conn, f"alter table {parent} detach partition {relation};drop table {relation};")
    return rows


def merge(
    conn: Connection, staged: str, table: str, key: Sequence[str], columns: Sequence[str]
) -> dict[str, int]:
    """Apply staged rows (the table's columns and ``_op``) by key. Returns inserted, updated and deleted rows."""
    on = " and ".join(f"t.{k} = s.{k}" for k in key)
    names = ", ".join(columns)
    sets = ", ".join(f"{c} = s.{c}" for c in columns if c not in key)
    statements = {
        "deleted": f"delete from {table} t using {staged} s where s.{OPERATION} = 'delete' and {on}",
        "updated": f"update {table} t set {sets} from {staged} s where s.{OPERATION} = 'update' and {on}",
        "inserted": f"insert into {table} ({names}) select {names} from {staged} where {OPERATION} = 'insert'",
    }
    return {what: conn.exec_driver_sql(sql).rowcount for what, sql in statements.items()}
