"""Writes a result once into each home, where no reader sees it, and proves that both hold the same.

The delta of a result streams, batch by batch, into one Parquet file of the lake and one COPY into the warehouse's
stage. Lake files that lose rows are replaced by files of the rows that stay.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.engine.difference import Difference, carried
from lakehouse.engine.rowhash import count_and_hash, count_and_quick_hash
from lakehouse.engine.session import Session
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.home.rows import OPERATION, copy_rows, create_stage, wire_schema
from lakehouse.home.warehouse import run_script
from lakehouse.layer.ledger import Publish, mark_staged
from lakehouse.layer.target import Target

#: Small files of a table are written into one when there are so many.
_SMALL_FILES = 8
SMALL_ROWS = 64 * 1024
_FORGET = (
    "update ops.lake_file set etag = null where publish_id = :p and kind in ('changed', 'carried', 'result')"
)


@dataclass(frozen=True)
class Written:
    """What staging put where. ``carried_rows`` are those that moved with their file."""

    placement: str
    replaced_files: tuple[str, ...]
    carried_rows: int


NOT_WRITTEN = Written("none", (), 0)


class Stage:
    """One table being staged by one try, in one transaction of the warehouse.

    Leaving it by an error deletes what the try has written to the lake. (What a killed one has written is found in
    the registry later.)
    """

    def __init__(
        self, homes: Homes, conn: Connection, session: Session, target: Target, publish: Publish
    ) -> None:
        self.homes = homes
        self.conn = conn
        self.session = session
        self.target = target
        self.publish = publish
        self._announced: list[str] = []
        mine = {"p": publish.publish_id}
        # What an earlier try has staged does not count any more.
        conn.execute(text(_FORGET), mine)
        conn.execute(text("delete from ops.agreement where publish_id = :p"), mine)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # The error that brought us here is the one to tell.
            with suppress(Exception):
                lake.delete_objects(self.homes, self._announced)

    def write(
        self, found: Difference, live: list[lake.LakeFile], partition: str | None, *, attachable: bool
    ) -> Written:
        """Write ``delta`` of the session into both homes.

        Args:
            found: what the delta is.
            live: the table's pinned files (of the partition, for a table of events).
            partition: the delivery's date for the new file of a table of events.
            attachable: whether the delta, when nothing else is left, is a whole table or partition.
        """
        placement = self._changed(found, partition, attachable=attachable)
        replaced = self._replaced(found, live)
        moved = self._carry(replaced, partition) if replaced else 0
        if found.unchanged:
            self._file(
                "result", "select *, cast(null as bigint) as _publish_id from result", partition, loose=True
            )
        return Written(placement, tuple(replaced), moved)

    def _changed(self, found: Difference, partition: str | None, *, attachable: bool) -> str:
        """Both homes' copies of the delta; returns how the warehouse's enters its table."""
        if found.inserted + found.updated + found.deleted == 0:
            return "none"
        # What lacks a required value cannot be stored; it is staged all the same, for the gate to name it.
        lacking = self._lacks_values()
        attach = attachable and not lacking and found.inserted + found.updated > 0
        attach = attach and (found.base == 0 or found.replaces_all)
        relation = self.publish.stage
        columns = self.target.columns | ({} if attach else {OPERATION: "text"})
        create_stage(self.conn, relation, columns)
        uri = self.announce("changed", partition) if found.inserted + found.updated else None
        written = _loose(self.target.schema) if lacking else self.target.schema
        streamed = _loose(self.target.schema).append(pa.field(OPERATION, pa.string()))
        kept = f" where {OPERATION} <> 'delete'" if attach else ""
        query = f"select {', '.join(streamed.names)} from delta{kept}"
        wire = wire_schema(columns, streamed)
        batches = tee(self.homes, uri, written, self.session.batches(query, streamed))
        # Frozen rows would be seen by a statement that is under way; where one table is published at a time, that
        # cannot show it half of what belongs together.
        copy_rows(self.conn, relation, wire, batches, frozen=self.target.has_dates)
        if uri:
            self.note(uri, found.inserted + found.updated)
        indexes = (
            "".join(self.target.ddl.for_stage(relation, partition and literal(partition))) if attach else ""
        )
        kept = "" if attach else f" where {OPERATION} <> 'delete'"
        # A rough picture is enough, and costs a fifth.
        statistics = f"set local default_statistics_target = 20; analyze {relation}"
        self.agree([uri] if uri else [], relation + kept, f"{indexes}{statistics}")
        return "attach" if attach else "merge"

    def _lacks_values(self) -> bool:
        lacking = " or ".join(
            f"{name} is null" for name in self.target.columns if name in self.target.ddl.required
        )
        return bool(
            self.session.value(
                f"select exists (select 1 from delta where {OPERATION} <> 'delete' and ({lacking}))"
            )
        )

    def done(self, attempt: str, found: Difference, written: Written) -> dict[str, int]:
        """Record in the ledger what this try has staged; returns the rows by what happens to them.

        Raises:
            StaleStage: the run is over, or another try stages the table.
        """
        changes = {
            "inserted": found.inserted,
            "updated": found.updated,
            "deleted": found.deleted,
            "unchanged": found.unchanged,
            "carried": written.carried_rows,
        }
        mark_staged(
            self.conn,
            self.publish,
            attempt,
            placement=written.placement,
            counts=changes,
            replaced_files=written.replaced_files,
        )
        return changes

    def agree(self, uris: list[str], relation: str, prepare: str = "") -> None:
        """Read the staged rows back from both homes, side by side, and record counts and hashes for the gate.

        ``prepare`` is run in the warehouse first. What is the same in all rows of a batch is not hashed: it was
        not sent row by row.
        """
        columns = {n: t for n, t in self.target.columns.items() if n not in self.target.constants}
        with ThreadPoolExecutor(1) as beside:
            lake_side = beside.submit(self._in_lake, uris, columns)
            if prepare:
                run_script(self.conn, prepare)
            query = count_and_hash(relation, columns, "warehouse")
            found = self.conn.exec_driver_sql(query.replace("%", "%%")).one()
        self._record("changed", (found[0], found[1]), lake_side.result())

    def _in_lake(self, uris: list[str], columns: dict[str, str]) -> tuple[int, str]:
        self.session.files("written", uris, self.target.columns)
        rows, hashed = self.session.rows(count_and_hash("written", columns, "engine"))[0]
        return rows, hashed

    def _replaced(self, found: Difference, live: list[lake.LakeFile]) -> list[str]:
        """The files that lost rows; and, when there are many small ones, these too."""
        small = [f.uri for f in live if f.row_count < SMALL_ROWS]
        too_many = small if len(small) >= _SMALL_FILES else []
        return list(dict.fromkeys([*found.touched, *too_many]))

    def _carry(self, replaced: list[str], partition: str | None) -> int:
        """Write the rows that stay of the replaced files; compare what they were with what was written."""
        local = [self.session.local[uri] for uri in replaced]
        query = carried(local, list(self.target.columns), self.target.key)
        before = self.session.rows(count_and_quick_hash(f"({query}) as q", self.target.columns))[0]
        if before[0] == 0:
            return 0
        uri = self._file("carried", query, partition)
        self.session.files("written", [uri], self.target.columns)
        after = self.session.rows(count_and_quick_hash("written", self.target.columns))[0]
        self._record("carried", before, after)
        return int(before[0])

    def _file(self, kind: lake.Kind, query: str, partition: str | None, *, loose: bool = False) -> str:
        schema = _loose(self.target.schema) if loose else self.target.schema
        uri = self.announce(kind, partition)
        named = f"select {', '.join(schema.names)} from ({query}) as q"
        self.note(uri, lake.write(self.homes, uri, schema, self.session.batches(named, schema)))
        return uri

    def announce(self, kind: lake.Kind, partition: str | None, batch_id: str | None = None) -> str:
        """Name a lake file that is about to be written."""
        uri = lake.announce(
            self.homes,
            layer=self.target.layer,
            table=self.target.table,
            publish_id=self.publish.publish_id,
            kind=kind,
            batch_id=batch_id,
            partition_key=partition,
        )
        self._announced.append(uri)
        return uri

    def note(self, uri: str, rows: int) -> None:
        """Record what a written file holds; true when this try's transaction is committed."""
        lake.written(self.homes, self.conn, uri, rows)

    def _record(self, part: str, warehouse: tuple[int, str], in_lake: tuple[int, str]) -> None:
        self.conn.execute(
            text(
                "insert into ops.agreement (publish_id, part, warehouse_rows, warehouse_hash, lake_rows, lake_hash) "
                "values (:p, :part, :wr, :wh, :lr, :lh)"
            ),
            {"p": self.publish.publish_id, "part": part, "wr": warehouse[0], "wh": warehouse[1],
             "lr": in_lake[0], "lh": in_lake[1]},
        )  # fmt: skip


def tee(
    homes: Homes, uri: str | None, schema: pa.Schema, batches: Generator[pa.RecordBatch]
) -> Generator[pa.RecordBatch]:
    """Hand batches on while their rows (those to be deleted left out) are written to a lake file in the background.

    Who stops before the end closes it: the file, the thread and ``batches`` are closed with it.
    """
    if uri is None:
        yield from batches
        return
    with (
        closing(batches),
        lake.parquet_writer(homes, uri, schema) as writer,
        ThreadPoolExecutor(1) as background,
    ):
        writing: Future[None] | None = None
        for batch in batches:
            if writing:
                writing.result()  # one batch ahead, no more
            writing = background.submit(writer.write_batch, _kept(batch, schema))
            yield batch
        if writing:
            writing.result()


def _loose(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])


def _kept(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if OPERATION in batch.schema.names:
        batch = batch.filter(pc.not_equal(batch.column(OPERATION), pa.scalar("delete")))
    return batch.select(schema.names).cast(schema)
