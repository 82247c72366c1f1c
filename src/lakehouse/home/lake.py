"""The lake: Iceberg tables of zstd Parquet on S3. Only this room writes there.

Every object is recorded in ``ops.lake_file`` before it is written and is invisible until a publish names it. That
registry, not a listing of the store, says which files a table had at any of its publishes, and what may be deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from lakehouse.compile.schemas import table_schemas
from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS
from lakehouse.errors import LakehouseError, StaleStage
from lakehouse.home import masked
from lakehouse.home.cache import local_cache
from lakehouse.home.homes import CATALOG_NAME, Homes

if TYPE_CHECKING:
    from lakehouse.home.iceberg import Commit, LakeCatalog

Kind = Literal["changed", "carried", "result", "unit", "metadata", "masked"]
#: What a table is made of.
DATA: tuple[Kind, ...] = ("changed", "carried")

#: Greater than the number of any publish.
_NEWEST = 2**62
#: Deleted in one request.
_DELETED = 500
_FETCHES = 4
#: Tables whose commits are written at a time; most of it is waiting for the store.
_COMMITS = 4
_CHUNK_BYTES = 1 << 20


_ANNOUNCE = """
insert into ops.lake_file (uri, layer, table_name, publish_id, kind, batch_id, partition_key)
select :u, :l, :t, cast(:p as bigint), :k, cast(:b as uuid), cast(:d as date)
where :p = 0 or exists (select 1 from ops.publish where publish_id = :p and status in ('planned', 'staged'))
-- Another try of the same publish is at it, too; what both write is the same.
on conflict (uri) do update set kind = excluded.kind where lake_file.publish_id = excluded.publish_id
"""
#: Left behind by a call that was killed. Whoever reads this holds the lock that the call had.
_HALF_PREPARED = "delete from ops.lake_file where publish_id = 0 and status = 'staged' returning uri"
_PREPARED = """
update ops.lake_file set
    status = case when uri = any(:before) then 'replaced' else 'live' end,
    replaced_by = case when uri = any(:before) then coalesce((
        select p.publish_id from ops.publish as p where p.layer = :l and p.table_name = :t and p.is_current
    ), 0) end
where uri = any(cast(:noted as text[]) || cast(:before as text[]))
"""


@dataclass(frozen=True)
class LakeFile:
    """A data file of a table's state: how many rows it has and which Iceberg snapshot added it."""

    uri: str
    row_count: int
    sequence_number: int | None
    partition_key: str | None


def prepare(homes: Homes, conn: Connection, project: Project) -> None:
    """Create the catalog, its namespaces and all tables; add columns that are new.

    What it writes belongs to no publish: its number is 0.
    """
    from lakehouse.home.iceberg import ensure_table

    catalog = homes.catalog(conn)
    catalog.create_tables()
    for namespace in LAYERS:
        catalog.create_namespace_if_not_exists(namespace)
    forget_half_prepared(homes, conn)
    for identifier, schema in table_schemas(project).items():
        layer, table = identifier.split(".")
        with changing_metadata(homes, conn, catalog, layer, table) as before:
            before.extend(ensure_table(catalog, identifier, _location(homes, layer, table), schema))
    _prepare_masked(homes, conn, catalog, project)


def forget_half_prepared(homes: Homes, conn: Connection) -> int:
    """Delete the metadata that a killed change of no publish has left; returns how many objects.

    The caller holds the lock on the warehouse's tables, as whoever left it did.
    """
    left = conn.execute(text(_HALF_PREPARED)).scalars().all()
    delete_objects(homes, left)
    return len(left)


@contextmanager
def changing_metadata(
    homes: Homes, conn: Connection, catalog: LakeCatalog, layer: str, table: str
) -> Iterator[list[str]]:
    """Register the metadata that changes of a table write which belong to no publish; its number is 0.

    Yields a list, to be filled with the objects of metadata that are replaced. The caller holds the lock on the
    warehouse's tables.
    """
    noted, before = _announced(homes, catalog, layer, table), list[str]()
    yield before
    conn.execute(text(_PREPARED), {"noted": noted, "before": before, "l": layer, "t": table})


def _announced(homes: Homes, catalog: LakeCatalog, layer: str, table: str) -> list[str]:
    """Register what a catalog writes for a table, as no publish's; returns the list that grows with it."""
    noted: list[str] = []

    def note(uri: str) -> None:
        noted.append(uri)
        announce(homes, layer=layer, table=table, publish_id=0, kind="metadata", uri=uri)

    catalog.announce_with(note)
    return noted


def _prepare_masked(homes: Homes, conn: Connection, catalog: LakeCatalog, project: Project) -> None:
    """Create the masked copies of tables with personal columns; anew when others of their columns are personal."""
    from lakehouse.home.iceberg import ensure_table

    wanted = masked.personal_tables(project)
    catalog.create_namespace_if_not_exists(masked.NAMESPACE)
    there = {name[-1] for name in catalog.list_tables(masked.NAMESPACE)}
    for table in sorted(there):
        shown = catalog.load_table(f"{masked.NAMESPACE}.{table}").properties
        if table not in wanted or masked.properties(wanted[table][2]).items() - shown.items():
            _forget_masked(homes, catalog, table)
            there.remove(table)
    for table, (layer, schema, personal) in wanted.items():
        with changing_metadata(homes, conn, catalog, layer, table) as before:
            identifier, kept = f"{masked.NAMESPACE}.{table}", masked.properties(personal)
            before.extend(ensure_table(catalog, identifier, masked.location(homes, table), schema, kept))
            if table not in there:
                before.extend(_mask_what_is_there(homes, conn, catalog, layer, table, personal))


def _forget_masked(homes: Homes, catalog: LakeCatalog, table: str) -> None:
    """Drop a masked copy with all of its objects: they may show what is personal by now.

    The registry forgets them in a transaction of its own: the copy that follows has files of the same names.
    """
    catalog.drop_table(f"{masked.NAMESPACE}.{table}")
    with homes.engine.begin() as conn:
        known = text("delete from ops.lake_file where starts_with(uri, :l) returning uri")
        uris = conn.execute(known, {"l": f"{masked.location(homes, table)}/"}).scalars().all()
        delete_objects(homes, uris)


def _mask_what_is_there(
    homes: Homes, conn: Connection, catalog: LakeCatalog, layer: str, table: str, personal: frozenset[str]
) -> list[str]:
    """Fill a new masked copy from the files its table has; returns the objects of metadata that this replaced."""
    from lakehouse.home.iceberg import prepare_commit

    twins = []
    for file in files_at(conn, layer, table, _NEWEST):
        to = masked.twin(homes, layer, file.uri)
        announce(
            homes,
            layer=layer,
            table=table,
            publish_id=0,
            kind="masked",
            uri=to,
            partition_key=file.partition_key,
        )
        masked.write_twin(homes, file.uri, to, personal)
        twins.append(to)
    commit = prepare_commit(catalog, f"{masked.NAMESPACE}.{table}", add=twins, drop={}, properties={})
    if commit is None:
        return []
    conn.execute(
        text("update ops.lake_file set status = 'live', sequence_number = :n where uri = any(:u)"),
        {"n": commit.sequence_number, "u": twins},
    )
    return list(commit.replaced_metadata)


def _location(homes: Homes, namespace: str, table: str) -> str:
    return f"{homes.lake_root}/{namespace}/{table}"


def announce(
    homes: Homes,
    *,
    layer: str,
    table: str,
    publish_id: int,
    kind: Kind,
    uri: str | None = None,
    batch_id: str | None = None,
    partition_key: str | None = None,
) -> str:
    """Record an object that is about to be written, in a transaction of its own; returns its (new) name.

    Raises:
        StaleStage: the publish is over; nobody would use the object, nor delete it.
    """
    from lakehouse.home.iceberg import new_data_file

    uri = uri or new_data_file(_location(homes, layer, table))
    with homes.engine.begin() as conn:
        announced = conn.execute(
            text(_ANNOUNCE),
            {"u": uri, "l": layer, "t": table, "p": publish_id, "k": kind, "b": batch_id, "d": partition_key},
        ).rowcount
    if not announced:
        raise StaleStage(
            f"{layer}.{table}: publish {publish_id} is over, nothing more can be staged for it.",
            "If no other run is under way, clear the task `plan` and those after it.",
        )
    return uri


def write(homes: Homes, uri: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Stream batches into a Parquet file; returns the rows."""
    rows = 0
    with parquet_writer(homes, uri, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


@contextmanager
def parquet_writer(homes: Homes, uri: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A streaming zstd Parquet writer to the store; each batch becomes a row group.

    Arrow's own schema is left out: readers see Parquet's types, whatever the batches were made of.
    """
    path = uri.removeprefix("s3://")
    with (
        homes.filesystem().open_output_stream(path) as sink,
        pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer,
    ):
        yield writer


def fetch(homes: Homes, uris: Sequence[str], folder: Path) -> list[Path]:
    """Bring lake files into a local folder, several at a time, from this machine's cache or the store.

    Returns their paths.
    """
    client, kept = homes.s3_client(), local_cache()

    def one(uri: str) -> Path:
        bucket, key = place_of(uri)
        path = folder / key.rpartition("/")[2]
        if kept and kept.take(uri, path):
            return path
        # One plain request: the transfer manager's threads cost more than a small file takes.
        with path.open("xb") as file:  # never into a copy that others read
            shutil.copyfileobj(client.get_object(Bucket=bucket, Key=key)["Body"], file, _CHUNK_BYTES)
        if kept:
            kept.keep(uri, path)
        return path

    if len(uris) < 2:
        return [one(uri) for uri in uris]
    with ThreadPoolExecutor(_FETCHES) as pool:
        return list(pool.map(one, uris))


def written(homes: Homes, conn: Connection, uri: str, rows: int) -> None:
    """Note what a staged file holds, and what the store says of it."""
    bucket, key = place_of(uri)
    found = homes.s3_client().head_object(Bucket=bucket, Key=key)
    conn.execute(
        text("update ops.lake_file set row_count = :n, etag = :e, size_bytes = :s where uri = :u"),
        {"n": rows, "e": found["ETag"], "s": found["ContentLength"], "u": uri},
    )


def etags(homes: Homes, uris: Iterable[str]) -> dict[str, str]:
    """URI → the store's token for the object's present bytes, '' when there is no such object."""
    store = homes.filesystem()

    def one(uri: str) -> str:
        # A tenth of what boto3 takes for the same request.
        try:
            with store.open_input_file(uri.removeprefix("s3://")) as file:
                return str(file.metadata()["ETag"].decode())
        except FileNotFoundError:
            return ""

    wanted = list(uris)
    if len(wanted) < 2:
        return {uri: one(uri) for uri in wanted}
    with ThreadPoolExecutor(_FETCHES) as pool:
        return dict(zip(wanted, pool.map(one, wanted), strict=True))


def files_at(
    conn: Connection, layer: str, table: str, publish_id: int, partitions: Sequence[str] | None = None
) -> list[LakeFile]:
    """The data files that a table had at one of its publishes (0: before the first); of some partitions only."""
    found = conn.execute(
        text(
            "select uri, row_count, sequence_number, partition_key::text from ops.lake_file "
            "where layer = :l and table_name = :t and kind in ('changed', 'carried') and status <> 'staged' "
            "and (replaced_by is null or replaced_by > :p) and publish_id <= :p "
            "and (cast(:d as date[]) is null or partition_key = any(cast(:d as date[]))) order by uri"
        ),
        {"l": layer, "t": table, "p": publish_id, "d": list(partitions) if partitions is not None else None},
    )
    return [LakeFile(*row) for row in found]


@dataclass(frozen=True)
class StagedFile:
    """A file that a publish has staged; ``etag``: the store's token for the bytes that were written."""

    publish_id: int
    kind: Kind
    uri: str
    etag: str


def staged_files(conn: Connection, publish_ids: Iterable[int]) -> list[StagedFile]:
    """What some publishes have staged, in one statement."""
    found = conn.execute(
        text(
            "select publish_id, kind, uri, etag from ops.lake_file "
            "where publish_id = any(:p) and etag is not null order by uri"
        ),
        {"p": list(publish_ids)},
    )
    return [StagedFile(*row) for row in found]


@dataclass(frozen=True)
class Replacement:
    """What a publish does to the files of its table; or, where ``personal`` columns are named, to its masked copy."""

    layer: str
    table: str
    publish_id: int
    partition_key: str
    replaced: Sequence[str]
    personal: frozenset[str] = frozenset()

    @property
    def identifier(self) -> str:
        """The Iceberg table."""
        return f"{masked.NAMESPACE if self.personal else self.layer}.{self.table}"

    def location(self, homes: Homes) -> str:
        """Where the Iceberg table lies."""
        return (
            masked.location(homes, self.table) if self.personal else _location(homes, self.layer, self.table)
        )


@dataclass(frozen=True)
class Prepared:
    """A replacement whose Iceberg commit is written. ``added``, ``dropped``: its data files."""

    replacement: Replacement
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    commit: Commit | None


def publish_alone(homes: Homes, conn: Connection, wanted: Replacement) -> Commit | None:
    """Write and publish a table's commit in one transaction, which holds the locks of its layer and of all tables.

    For what needs no gate: files that go, or are put together. A transaction that does not end leaves metadata of no
    publish, for :func:`forget_half_prepared`.
    """
    catalog = homes.catalog(conn, writes_only=True)
    noted = _announced(homes, catalog, wanted.layer, wanted.table)
    prepared = _prepare(homes, catalog, conn, wanted)
    adopted = text("update ops.lake_file set publish_id = :p where uri = any(:u)")
    conn.execute(adopted, {"p": wanted.publish_id, "u": noted})
    return publish_files(homes, conn, wanted, [prepared])


def prepare_publish(homes: Homes, replacements: Sequence[Replacement]) -> list[Prepared]:
    """Write the Iceberg commits of some publishes, several tables at a time. Nobody sees them yet.

    Of several publishes of one table only the first is written: the others begin where that one ends.
    """
    first = {r.identifier: r for r in reversed(replacements)}
    catalog = _commits_of(homes, None, first.values())
    with ThreadPoolExecutor(_COMMITS) as pool:
        return list(pool.map(lambda r: _prepare(homes, catalog, None, r), first.values()))


def _commits_of(homes: Homes, conn: Connection | None, wanted: Iterable[Replacement]) -> LakeCatalog:
    """A catalog that writes the commits of these replacements; with ``conn`` on top of what it has done."""
    at = {r.location(homes): r for r in wanted}

    def note(uri: str) -> None:
        r = at[uri.rpartition("/metadata/")[0]]
        announce(homes, layer=r.layer, table=r.table, publish_id=r.publish_id, kind="metadata", uri=uri)

    catalog = homes.catalog(conn, writes_only=True)
    catalog.announce_with(note)
    return catalog


def _prepare(homes: Homes, catalog: LakeCatalog, conn: Connection | None, wanted: Replacement) -> Prepared:
    """Write one Iceberg commit."""
    from lakehouse.home.iceberg import PUBLISH_ID, prepare_commit

    with nullcontext(conn) if conn is not None else homes.engine.connect() as reading:
        staged = staged_files(reading, [wanted.publish_id])
        add = [f.uri for f in staged if f.kind in DATA]
        replaced = list(wanted.replaced)
        if wanted.personal:
            add = _write_twins(homes, reading, wanted, add)
            replaced = [masked.twin(homes, wanted.layer, uri) for uri in replaced]
        added_by = text("select uri, sequence_number from ops.lake_file where uri = any(:u)")
        drop: dict[str, int] = dict(reading.execute(added_by, {"u": replaced}).all())
    properties = {
        PUBLISH_ID: str(wanted.publish_id),
        "lakehouse.partition-key": wanted.partition_key,
    }
    commit = prepare_commit(catalog, wanted.identifier, add=add, drop=drop, properties=properties)
    return Prepared(wanted, tuple(add), tuple(replaced), commit)


def _write_twins(homes: Homes, conn: Connection, wanted: Replacement, uris: Sequence[str]) -> list[str]:
    """Write the masked copies of data files; an earlier try may have begun to."""
    twins = {masked.twin(homes, wanted.layer, uri): uri for uri in uris}
    known = text("select uri from ops.lake_file where uri = any(:u)")
    there = set(conn.execute(known, {"u": list(twins)}).scalars())
    for to, uri in twins.items():
        if to not in there:
            announce(
                homes,
                layer=wanted.layer,
                table=wanted.table,
                publish_id=wanted.publish_id,
                kind="masked",
                uri=to,
            )
        masked.write_twin(homes, uri, to, wanted.personal)
    return list(twins)


def _again(homes: Homes, conn: Connection, wanted: Replacement) -> Prepared:
    """Write a commit on top of what the transaction has done."""
    return _prepare(homes, _commits_of(homes, conn, [wanted]), conn, wanted)


def publish_files(
    homes: Homes, conn: Connection, wanted: Replacement, prepared: Sequence[Prepared]
) -> Commit | None:
    """Make a publish's staged files the table's, and the replaced ones its past, in Iceberg and in the registry."""
    from lakehouse.home.iceberg import move_pointer

    done = next((p for p in prepared if p.replacement == wanted), None) or _again(homes, conn, wanted)
    if done.commit and not move_pointer(conn, CATALOG_NAME, done.commit):
        # The table has moved on since; while this transaction has the lock it does not again.
        done = _again(homes, conn, wanted)
        if not (done.commit and move_pointer(conn, CATALOG_NAME, done.commit)):
            raise StaleStage(f"{wanted.identifier} is being changed by somebody else.", "Run this again.")
    if done.commit:
        gone = [*done.dropped, *done.commit.replaced_metadata]
        conn.execute(
            text(
                "update ops.lake_file set status = 'live', sequence_number = :n "
                "where uri = any(:u) and publish_id = :p"
            ),
            # Manifests that were merged right away are not live: the sweep deletes them as staged ones.
            {
                "n": done.commit.sequence_number,
                "u": [*done.added, *done.commit.metadata],
                "p": wanted.publish_id,
            },
        )
        conn.execute(
            text("update ops.lake_file set status = 'replaced', replaced_by = :p where uri = any(:u)"),
            {"p": wanted.publish_id, "u": gone},
        )
    return done.commit


def place_of(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def delete_objects(homes: Homes, uris: Iterable[str]) -> None:
    """Remove objects; those that are gone already do not matter.

    Raises:
        LakehouseError: the store has refused some.
    """
    client, kept = homes.s3_client(), local_cache()
    for some in _batched([place_of(uri) for uri in uris], _DELETED):
        keys: list[Any] = [{"Key": key} for _, key in some]
        answer = client.delete_objects(Bucket=some[0][0], Delete={"Objects": keys, "Quiet": True})
        if refused := answer.get("Errors"):
            first = refused[0]
            raise LakehouseError(
                f"The object store did not delete {len(refused)} objects, such as {first.get('Key')}: "
                f"{first.get('Code')} {first.get('Message')}",
                "Look at what the pipeline's key may do (policies/pipeline.json), then try again.",
            )
        for bucket, key in some:
            if kept:
                kept.forget(f"s3://{bucket}/{key}")


def _batched(items: list[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
