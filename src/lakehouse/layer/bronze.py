"""Bronze / RAW: one streaming pass over a landed file feeds Parquet on S3 and COPY into Postgres.

The rows go into a relation of their own, which publishing attaches to ``raw.<table>`` as the batch's partition: no
row is written twice.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from lakehouse.compile.ddl import RAW_CONSTANTS, literal
from lakehouse.contract import Project
from lakehouse.engine.session import Session, open_session
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.home.rows import copy_rows, create_stage, wire_schema
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.manifest import read_manifest
from lakehouse.landing.stream import Digest
from lakehouse.layer.erased import Erased, note_leads, read_erased
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import Batch, Publish, Wanted, batch_id, mark_accounted, mark_staged
from lakehouse.layer.place import attach_rows, batch_partition
from lakehouse.layer.stage import Stage, tee
from lakehouse.layer.steps import Ask, LayerSteps, Plan, Superseding, Work
from lakehouse.layer.target import Target
from lakehouse.quality.gate import Subject, raw_subject

log = logging.getLogger(__name__)

_RETIRED = "its rows were retired, as the contract's retention has passed; this is not taken up again"
#: Batches that a plan has seen: whether each is in bronze, whether it is the current one of its key, its kind, when it
#: landed, and when it was retired.
_KNOWN = """
select
    batch_id::text, bronze_publish_id is not null and retired_at is null,
    bronze_publish_id is not null and superseded_by is null, kind, landed_at, retired_at
from ops.batch where batch_id = any(cast(:b as uuid[]))
"""
#: What a manifest says of a batch; the kind of one that is served changes by a publish only.
_NOTED = """
insert into ops.batch as b (
    batch_id, source, table_name, partition_key, source_key, source_hash, size_bytes, landed_at, kind, allow_shrink
) values (
    :batch_id, :source, :table, :partition_key, :source_key, :source_hash, :size_bytes, :landed_at, :kind,
    :allow_shrink
)
on conflict (batch_id) do update set
    allow_shrink = excluded.allow_shrink,
    -- What had been superseded and retired, and comes back, has come anew.
    landed_at = case
        when b.retired_at is not null and b.superseded_by is not null then excluded.landed_at else b.landed_at
    end,
    -- Landed once more as it was delivered: what an erasure has made of it is not there any more.
    landing_key = case when b.landing_key = :landing_key and b.landing_hash = :landing_hash then b.landing_key end,
    landing_hash = case when b.landing_key = :landing_key and b.landing_hash = :landing_hash then b.landing_hash end,
    kind = case
        when b.bronze_publish_id is not null and b.superseded_by is null then b.kind else excluded.kind
    end
"""
_BATCH = """
select
    b.batch_id::text, b.table_name, b.partition_key::text, b.source_key, b.source_hash, b.size_bytes,
    to_char(b.landed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), b.kind, b.allow_shrink,
    coalesce(b.landing_key, b.source_key), coalesce(b.landing_hash, b.source_hash)
from ops.batch as b
inner join ops.accounted as a on a.batch_id = b.batch_id
where a.publish_id = :p
"""
#: The batch is the current one of its key; silver has to take it up (again).
_CURRENT = """
update ops.batch set
    superseded_by = null, silver_publish_id = null, retired_at = null,
    bronze_publish_id = case when retired_at is null then coalesce(bronze_publish_id, :p) else :p end,
    handed_over_count = handed_over_count + 1,
    kind = coalesce(cast(:kind as text), kind)
where batch_id = :b
"""
_SUPERSEDED = """
update ops.batch set superseded_by = :b
where table_name = :t and partition_key = :k and batch_id <> :b and superseded_by is null
"""
#: What is stored says something else now: silver has to take it up again, unless another batch is current.
_REWRITTEN = "update ops.batch set silver_publish_id = null where batch_id = :b and superseded_by is null"
#: Batches that an erasure has taken rows out of, by what is in the landing zone now.
_WAS = """
select table_name, landing_key, landing_hash, batch_id::text, source_key, source_hash from ops.batch
where source = :s and partition_key = cast(:k as date) and landing_key is not null
"""

#: The batches of a bronze run that supersede one, and the rows of both.
_SUPERSEDING = """
select b.table_name, b.partition_key::text, s.read_rows, a.read_rows, b.allow_shrink
from ops.accounted as a
inner join ops.batch as b on b.batch_id = a.batch_id
inner join ops.batch as o
    on o.table_name = b.table_name and o.partition_key = b.partition_key and o.batch_id <> b.batch_id
    and o.bronze_publish_id is not null and o.superseded_by is null
inner join ops.accounted as s on s.publish_id = o.bronze_publish_id and s.batch_id = o.batch_id
where a.publish_id = any(:p) order by 1, 2
"""


class Bronze(LayerSteps):
    """Landed files as they are."""

    layer = "bronze"
    replaces = False

    def plan(self, homes: Homes, conn: Connection, project: Project, ask: Ask) -> Plan:
        """One table per file of the delivery that is not served as the current one of its key, of its kind.

        Bytes that are in bronze, but were superseded, are of another kind now or are asked for again, are *revived*:
        looked at again and handed to silver once more. An empty batch is what a *withdrawn* delivery leaves. The kind
        is pinned as the publish's fingerprint. What was retired stays away while its contract's retention says so.

        Raises:
            LakehouseError: there is no such delivery, it lacks a contract's file, or does not tell a file's kind.
        """
        if ask.scope == "erased":
            return _plan_rewriting(conn, project, ask)
        batches = _delivered(homes, conn, project, ask.source, ask.partition_key)
        rows = conn.execute(text(_KNOWN), {"b": [b.batch_id for b in batches]}).all()
        known = {batch: (stored, kind if current else None) for batch, stored, current, kind, *_ in rows}
        retired = _stay_retired(project, batches, rows)
        conn.execute(text(_NOTED), [{"source": ask.source} | vars(b) for b in batches])
        wanted = []
        for b in batches:
            stored, served_kind = known.get(b.batch_id, (False, None))
            if b.batch_id in retired:
                log.info("%s: %s", b.source_key, _RETIRED)
            elif ask.means(b.table) and (served_kind != b.kind or ask.scope != "pending"):
                mode = "withdraw" if b.is_empty else "revive" if stored else "batch"
                wanted.append(Wanted(b.table, mode, fingerprint=b.kind, batches=(b.batch_id,)))
        return Plan(tuple(wanted))

    def prepare(self, work: Work) -> None:
        """Look in the delivery for what leads to persons who were erased, table by table: tasks know one file each."""
        with work.homes.engine.begin() as conn:
            erased = read_erased(conn, work.run.source)
            if erased:
                note_leads(work.homes, conn, work.project, erased, work.run.partition_key)

    def stage(self, work: Work, conn: Connection, publish: Publish, attempt: str) -> dict[str, int]:
        """Parse the landed file into both homes' stages, or what is stored of it, without the erased persons.

        Raises:
            FileDefect: the file is broken, or its bytes are not those of the manifest.
        """
        batch = Batch(*conn.execute(text(_BATCH), {"p": publish.publish_id}).one())
        target = Target.of(work.project, "bronze", publish.table)
        with (
            open_session(work.homes) as session,
            Stage(work.homes, conn, session, target, publish) as staging,
        ):
            erased = read_erased(conn, work.run.source)
            if erased and not erased.concerns(work.project.contracts[batch.table]):
                erased = None
            changes = {"inserted": 0, "updated": 0, "deleted": 0, "unchanged": 0, "carried": 0}
            placement, replaced = "attach", list[str]()
            if publish.mode == "batch":
                changes["inserted"] = rows = _parse(work, conn, staging, batch, erased)
            elif publish.mode == "rewrite":
                replaced = _stored(conn, batch)
                changes["updated"] = rows = _rewrite(work, conn, staging, batch, erased)
            else:
                placement = "none"
                changes["unchanged"] = rows = _look_again(conn, staging, batch)
            counts = {"read": rows, "published": rows}
            mark_accounted(conn, publish, {batch.batch_id: counts})
            mark_staged(conn, publish, attempt, placement=placement, counts=changes, replaced_files=replaced)
        return counts | changes

    def sql(self, project: Project, table: str) -> str:
        """The COPY that the parsed file streams into; the same rows go to a Parquet file of the lake."""
        contract = project.contracts[table]
        names = ",\n    ".join(Target.of(project, "bronze", table).columns)
        return (
            f"-- {contract.file_name} is parsed once, all fields as text. Its rows go to Parquet and, on the way, to:\n"
            f"copy raw.{table} (\n    {names}\n) from stdin (format binary)"
        )

    def subjects(self, work: Work, conn: Connection, inputs: Inputs, session: Session) -> Iterable[Subject]:
        """The rows as landed; of a batch that is served again those that are stored."""
        for publish in inputs.publishes:
            contract = work.project.contracts[publish.table]
            if publish.mode in ("batch", "rewrite"):
                yield raw_subject(contract, inputs.result(session, publish))
            elif publish.mode == "revive":
                relation = publish.stage.replace("stage.", "stored__")
                batch = Batch(*conn.execute(text(_BATCH), {"p": publish.publish_id}).one())
                session.files(
                    relation, _stored(conn, batch), Target.of(work.project, "bronze", publish.table).columns
                )
                yield raw_subject(contract, relation)

    def superseding(self, work: Work, conn: Connection, inputs: Inputs) -> Sequence[Superseding]:
        """The batches that take the place of others."""
        ids = {"p": [p.publish_id for p in inputs.publishes if p.mode != "rewrite"]}
        return [Superseding(*row) for row in conn.execute(text(_SUPERSEDING), ids)]

    def place(self, work: Work, conn: Connection, publish: Publish) -> None:
        """Attach the staged rows to RAW as the batch's partition."""
        if publish.placement == "none":
            return
        batch = Batch(*conn.execute(text(_BATCH), {"p": publish.publish_id}).one())
        target = Target.of(work.project, "bronze", publish.table)
        name = batch_partition(publish.table, batch.batch_id)
        attach_rows(conn, target, publish, name, f"for values in ({literal(batch.batch_id)})")

    def settle(self, work: Work, conn: Connection, publish: Publish) -> None:
        """Make the batch the current one of its key, of the kind that was planned."""
        batch = Batch(*conn.execute(text(_BATCH), {"p": publish.publish_id}).one())
        names = {"p": publish.publish_id, "b": batch.batch_id, "t": batch.table, "k": batch.partition_key}
        if publish.mode == "rewrite":
            conn.execute(text(_REWRITTEN), names)
            return
        conn.execute(text(_CURRENT), names | {"kind": publish.fingerprint})
        conn.execute(text(_SUPERSEDED), names)


def _stay_retired(project: Project, batches: Sequence[Batch], known: Sequence[Any]) -> set[str]:
    """The batches that were retired while they were the current ones of their key, and are still too old."""
    tables = {b.batch_id: project.contracts[b.table] for b in batches}
    found = set()
    for batch, _stored, is_current, _kind, landed_at, retired_at in known:
        days = tables[batch].retention_days
        if retired_at and is_current and days and landed_at + timedelta(days=days) <= datetime.now(UTC):
            found.add(batch)
    return found


def _plan_rewriting(conn: Connection, project: Project, ask: Ask) -> Plan:
    """Of each table one stored batch of the partition, current or not, that shows persons who were erased."""
    erased = read_erased(conn, ask.source)
    found = erased.stored(conn, project, ask.partition_key) if erased else {}
    return Plan(
        tuple(Wanted(t, "rewrite", fingerprint=kind, batches=(batch,)) for t, (batch, kind) in found.items())
    )


def _delivered(
    homes: Homes, conn: Connection, project: Project, source: str, partition_key: str
) -> list[Batch]:
    manifest = read_manifest(homes.s3_client(), homes.bucket, source, partition_key)
    if manifest is None:
        raise LakehouseError(
            f"There is no delivery of {source} for {partition_key} (no manifest on {homes.bucket}).",
            f"Land it: lakehouse land {source} --date {partition_key}",
        )
    known = conn.execute(text(_WAS), {"s": source, "k": partition_key})
    rewritten = {tuple(present): was for *present, was in ((t, k, h, tuple(w)) for t, k, h, *w in known)}
    batches = []
    for contract in project.tables(source):
        file = manifest.file(contract.name)
        if file is None:
            raise LakehouseError(
                f"The delivery of {source} for {partition_key} has no file for {contract.name}.",
                f"Land the whole delivery again: lakehouse land {source} --date {partition_key}",
            )
        if file.kind is None:
            raise LakehouseError(
                f"The manifest of {source} for {partition_key} does not say whether {contract.name} is a full or an "
                "increment delivery: an older version wrote it.",
                f"Land the same files again: lakehouse land {source} --date {partition_key}",
            )
        delivered = (batch_id(source, contract.table, file.key, file.sha256), file.key, file.sha256)
        batch, key, sha256 = rewritten.get((contract.table, file.key, file.sha256), delivered)
        batches.append(
            Batch(
                batch_id=batch,
                table=contract.table,
                partition_key=partition_key,
                source_key=key,
                source_hash=sha256,
                size_bytes=file.bytes,
                landed_at=manifest.landed_at.isoformat(),
                kind=file.kind,
                allow_shrink=manifest.allow_shrink,
                landing_key=file.key,
                landing_hash=file.sha256,
            )
        )
    return batches


def _parse(work: Work, conn: Connection, staging: Stage, batch: Batch, erased: Erased | None) -> int:
    """The file's rows into both homes; returns how many."""
    contract = work.project.contracts[batch.table]
    body = work.homes.s3_client().get_object(Bucket=work.homes.bucket, Key=batch.landing_key)["Body"]
    digest = Digest()
    with closing(read_batches(body, contract, batch.landing_key, digest)) as read:
        shown = erased.take_out(staging.session, contract, read) if erased else read
        rows, uri = _write(work, conn, staging, batch, shown)
    if digest.sha256 != batch.landing_hash:
        raise FileDefect(
            f"{batch.landing_key} is not the file its manifest names (SHA-256 {digest.sha256[:12]}…).",
            f"Somebody overwrote it. Land it again: lakehouse land {work.run.source} --date {batch.partition_key}",
        )
    _agree(staging, batch, uri, rows)
    return rows


def _rewrite(work: Work, conn: Connection, staging: Stage, batch: Batch, erased: Erased | None) -> int:
    """What is stored of a batch once more, without the personal values of erased persons; returns the rows."""
    contract, session, columns = work.project.contracts[batch.table], staging.session, staging.target.columns
    session.files("main.stored", _stored(conn, batch), columns)
    sent = pa.schema([f for f in staging.target.schema if f.name not in staging.target.constants])
    query = f"select {', '.join(sent.names)} from stored"
    if erased:
        query = erased.without(session, contract, "stored", sent.names)
    with closing(session.batches(f"{query} order by _source_line", sent)) as read:
        rows, uri = _write(work, conn, staging, batch, read)
    _agree(staging, batch, uri, rows)
    return rows


def _write(
    work: Work, conn: Connection, staging: Stage, batch: Batch, read: Iterator[pa.RecordBatch]
) -> tuple[int, str]:
    """A batch's rows (without what is the same in all) into both homes; returns how many, and the lake's file."""
    target, relation = staging.target, staging.publish.stage
    constants = {
        "_batch_id": batch.batch_id,
        "_source_key": batch.source_key,
        "_source_hash": batch.source_hash,
        "_ingested_at": batch.landed_at,
    }
    create_stage(conn, relation, target.columns, constants)
    uri = staging.announce("changed", batch.partition_key, batch.batch_id)
    sent = [n for n in target.columns if n not in constants]
    wire = wire_schema({n: target.columns[n] for n in sent}, target.schema)
    schema = _lake_schema(target.schema)
    batches = tee(work.homes, uri, schema, _with(read, constants, schema))
    return copy_rows(conn, relation, wire, batches, frozen=True), uri


def _agree(staging: Stage, batch: Batch, uri: str, rows: int) -> None:
    """Note the written file, and compare both homes."""
    relation = staging.publish.stage
    staging.note(uri, rows)
    staging.agree([uri], relation, "".join(staging.target.ddl.for_stage(relation, literal(batch.batch_id))))


def _lake_schema(schema: pa.Schema) -> pa.Schema:
    """The lake's schema, with texts that are the same in all rows as dictionaries: they cost next to nothing then."""
    fields = [
        f.with_type(pa.dictionary(pa.int32(), pa.string()))
        if f.name in RAW_CONSTANTS and f.type == pa.string()
        else f
        for f in schema
    ]
    return pa.schema(fields)


def _with(
    batches: Iterator[pa.RecordBatch], constants: dict[str, str], schema: pa.Schema
) -> Generator[pa.RecordBatch]:
    """Give each batch the technical columns, which are the same in all rows."""
    landed_at = pa.scalar(datetime.fromisoformat(constants["_ingested_at"]), pa.timestamp("us", tz="UTC"))
    for batch in batches:
        rows = batch.num_rows
        first = pa.repeat(pa.scalar(0, pa.int32()), rows)
        given: dict[str, pa.Array[Any]] = {
            name: pa.DictionaryArray.from_arrays(first, pa.array([text])) for name, text in constants.items()
        }
        given["_ingested_at"] = pa.repeat(landed_at, rows)
        columns = [given[name] if name in given else batch.column(name) for name in schema.names]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _look_again(conn: Connection, staging: Stage, batch: Batch) -> int:
    """The batch is in both homes since it came first; compare them once more. Returns its rows."""
    if batch.is_empty:
        return 0
    stored = f"raw.{batch.table} where _batch_id = {literal(batch.batch_id)}"
    staging.agree(_stored(conn, batch), stored)
    return int(conn.execute(text(f"select count(*) from {stored}")).scalar_one())


def _stored(conn: Connection, batch: Batch) -> list[str]:
    """The lake files that hold a batch since it came first."""
    rows = conn.execute(
        text("select uri from ops.lake_file where batch_id = :b and layer = 'bronze' and status = 'live'"),
        {"b": batch.batch_id},
    )
    return list(rows.scalars())
