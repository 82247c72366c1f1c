"""The ledger: which run makes which layer of which partition, from what, and how far it got. Reads and writes ``ops``.

A run pins what it reads when it is planned. Every later step finds its run here and may only move it on from the
state it found: a step of a run that is over, or of a try that was repeated meanwhile, is refused.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, text

from lakehouse.contract.model import DeliveryKind, Layer
from lakehouse.errors import StaleStage

if TYPE_CHECKING:
    from lakehouse.home.iceberg import Commit

#: Namespace of batch ids. Changing it would make every delivered file look new.
_BATCH_NAMESPACE = uuid.UUID("6f1d1c62-8d2e-5c1b-9d0c-3f1b7a5e2c44")

Counts = Mapping[str, int]
#: What can become of a row that was read.
FATES = ("read", "published", "quarantined", "duplicate", "conflicting")
#: What a batch is to a run of silver (see ops.pinned_batch).
Role = Literal["new", "served", "gone"]


@dataclass(frozen=True)
class Batch:
    """A file of a delivery, as ``ops.batch`` knows it.

    ``kind`` and ``allow_shrink`` are what the manifest says. ``landing_key`` and ``landing_hash`` are the file's that
    is there now, which an erasure may have rewritten since it was delivered.
    """

    batch_id: str
    table: str
    partition_key: str
    source_key: str
    source_hash: str
    size_bytes: int
    landed_at: str
    kind: DeliveryKind
    allow_shrink: bool
    landing_key: str
    landing_hash: str

    @property
    def is_empty(self) -> bool:
        """Whether it only says that a delivery was withdrawn: a file has a header at least."""
        return self.size_bytes == 0


@dataclass(frozen=True)
class Wanted:
    """A table (of events: a partition of it) that a plan asks for. ``batches`` are those it accounts for."""

    table: str
    mode: str
    fingerprint: str | None = None
    batches: tuple[str, ...] = ()
    partition_key: str | None = None


@dataclass(frozen=True)
class Pin:
    """The state of a table that a run reads: publish and Iceberg snapshot; ``since``: what the run before saw."""

    layer: Layer
    table: str
    publish_id: int
    snapshot_id: int | None = None
    since_publish_id: int | None = None


@dataclass(frozen=True)
class Run:
    """A row of ``ops.run``."""

    run_id: int
    source: str
    layer: Layer
    partition_key: str
    status: str
    verdict: str | None

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.source} {self.layer} {self.partition_key}"


@dataclass(frozen=True)
class Publish:
    """A row of ``ops.publish``: a table (of events: a partition of it) that a run makes."""

    publish_id: int
    run_id: int
    source: str
    layer: Layer
    table: str
    partition_key: str
    mode: str
    status: str
    base_publish_id: int | None
    fingerprint: str | None
    placement: str | None
    replaced_files: list[str]
    deleted_rows: int | None
    verdict: str | None
    has_refused: bool

    @property
    def stage(self) -> str:
        """The relation of the warehouse that holds its staged rows."""
        date = f"_{self.partition_key.replace('-', '')}" if self.mode == "partition" else ""
        return f"stage.{self.table}__{self.run_id}{date}"

    @property
    def refused(self) -> str:
        """The relation of the warehouse that holds the rows its row rules refused."""
        return f"{self.stage}__refused"


_RUN = "run_id, source, layer, partition_key::text, status, verdict"
_PUBLISH = (
    "publish_id, run_id, source, layer, table_name, partition_key::text, mode, status, base_publish_id, "
    "fingerprint, placement, replaced_files, deleted_rows, verdict, exists (select 1 from ops.accounted as a "
    "where a.publish_id = publish.publish_id and a.quarantined_rows > 0)"
)


def batch_id(source: str, table: str, key: str, sha256: str) -> str:
    """The same bytes under the same key always give the same id (UUIDv5)."""
    return str(uuid.uuid5(_BATCH_NAMESPACE, json.dumps([source, table, key, sha256])))


def latest_run(conn: Connection, source: str, layer: Layer, partition_key: str) -> Run | None:
    """The newest run of a partition, whatever became of it."""
    row = conn.execute(
        text(
            f"select {_RUN} from ops.run where source = :s and layer = :l and partition_key = :k "
            "order by run_id desc limit 1"
        ),
        {"s": source, "l": layer, "k": partition_key},
    ).one_or_none()
    return Run(*row) if row else None


def open_run(conn: Connection, source: str, layer: Layer, partition_key: str) -> Run | None:
    """The run of a partition that is under way (or blocked); None when there is nothing to do.

    Raises:
        StaleStage: another run has published since this one was planned.
    """
    run = latest_run(conn, source, layer, partition_key)
    if run and run.status == "overtaken":
        raise StaleStage(
            f"{run.label}: another run has published since this one was planned.",
            f"Clear the task `plan` and those after it in {source}_{layer}.",
        )
    return run if run and run.status in ("planned", "audited", "blocked") else None


def publishes(conn: Connection, run: Run, tables: Sequence[str] | None = None) -> list[Publish]:
    """The tables of a run, or some of them."""
    rows = conn.execute(
        text(
            f"select {_PUBLISH} from ops.publish where run_id = :r "
            "and (cast(:t as text[]) is null or table_name = any(:t)) order by publish_id"
        ),
        {"r": run.run_id, "t": list(tables) if tables is not None else None},
    )
    return [Publish(*row) for row in rows]


def close_runs(conn: Connection, source: str, layer: Layer, partition_key: str) -> None:
    """End whatever is open for a partition: what it staged is nobody's any more, and what blocked it is settled."""
    run = {"s": source, "l": layer, "k": partition_key}
    mine = "select run_id from ops.run where source = :s and layer = :l and partition_key = :k"
    conn.execute(
        text(
            f"update ops.publish set status = 'closed' where status in ('planned', 'staged') and run_id in ({mine})"
        ),
        run,
    )
    conn.execute(
        text(
            "update ops.run set status = 'abandoned', ended_at = coalesce(ended_at, clock_timestamp()) "
            "where source = :s and layer = :l and partition_key = :k "
            "and status in ('planned', 'audited', 'blocked', 'overtaken')"
        ),
        run,
    )


def ended_relations(conn: Connection, source: str, layer: Layer) -> list[str]:
    """Relations of the warehouse's stage that belong to runs of a layer which are over: their names carry the run."""
    rows = conn.execute(
        text(
            # By what depends on the schema, which has an index: the catalog grows with every partition of RAW.
            "select 'stage.' || c.relname from pg_depend as d inner join pg_class as c on c.oid = d.objid "
            "inner join ops.run as r "
            "on r.run_id = cast(substring(c.relname from '__(\\d+)(?\\:_\\d{8})?(?\\:__refused)?$') as bigint) "
            "where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'stage'::regnamespace "
            "and d.classid = 'pg_class'::regclass and c.relkind = 'r' and r.source = :s and r.layer = :l "
            "and not exists (select 1 from ops.publish as p where p.run_id = r.run_id "
            "and p.status in ('planned', 'staged'))"
        ),
        {"s": source, "l": layer},
    )
    return list(rows.scalars())


def start_run(
    conn: Connection,
    source: str,
    layer: Layer,
    partition_key: str,
    wanted: Sequence[Wanted],
    pins: Iterable[Pin],
) -> Run:
    """Write a plan down: the run, its tables, the batches they account for, and everything it reads.

    A run without tables is published at once: it has seen its inputs, and they ask for nothing.
    """
    run_id = conn.execute(
        text(
            "insert into ops.run (source, layer, partition_key, status, ended_at) values (:s, :l, :k, :status, "
            "case when :status = 'published' then clock_timestamp() end) returning run_id"
        ),
        {"s": source, "l": layer, "k": partition_key, "status": "planned" if wanted else "published"},
    ).scalar_one()
    pinned = list(pins)
    if pinned:
        conn.execute(
            text(
                "insert into ops.pinned_table (run_id, layer, table_name, publish_id, snapshot_id, since_publish_id) "
                "values (:run, :layer, :table, :publish_id, :snapshot_id, :since_publish_id)"
            ),
            [{"run": run_id} | {f.name: getattr(p, f.name) for f in fields(p)} for p in pinned],
        )
    run = Run(run_id, source, layer, partition_key, "planned", None)
    add_tables(conn, run, wanted)
    return run


def add_tables(conn: Connection, run: Run, wanted: Iterable[Wanted]) -> None:
    """Write down which tables a run makes, each from its pinned state, and the batches they account for."""
    base = {p.table: p.publish_id or None for p in pins_of(conn, run).values() if p.layer == run.layer}
    for w in wanted:
        publish_id = conn.execute(
            text(
                "insert into ops.publish (run_id, source, layer, table_name, partition_key, mode, fingerprint, "
                "base_publish_id) values (:run, :s, :l, :t, :k, :m, :f, :base) returning publish_id"
            ),
            {
                "run": run.run_id, "s": run.source, "l": run.layer, "t": w.table,
                "k": w.partition_key or run.partition_key,
                "m": w.mode, "f": w.fingerprint, "base": base.get(w.table),
            },
        ).scalar_one()  # fmt: skip
        conn.execute(
            text(
                "insert into ops.accounted (publish_id, batch_id, table_name) "
                "select :p, unnest(cast(:b as uuid[])), :t"
            ),
            {"p": publish_id, "b": list(w.batches), "t": w.table},
        )


def pin_batches(conn: Connection, run: Run, batches: Mapping[str, Role]) -> None:
    """Write down which batches a run reads: batch id → what it is to silver."""
    conn.execute(
        text(
            "insert into ops.pinned_batch (run_id, batch_id, role, handed_over_count) "
            "select :r, b.batch_id, p.role, b.handed_over_count "
            "from unnest(cast(:b as uuid[]), cast(:n as text[])) as p (batch_id, role) "
            "inner join ops.batch as b using (batch_id)"
        ),
        {"r": run.run_id, "b": list(batches), "n": list(batches.values())},
    )


def current_tables(conn: Connection, source: str, layers: Sequence[Layer]) -> list[Pin]:
    """The states that readers see now, of every published table of these layers. One statement: one moment."""
    rows = conn.execute(
        text(
            "select layer, table_name, publish_id, snapshot_id from ops.publish "
            "where source = :s and layer = any(:l) and is_current"
        ),
        {"s": source, "l": list(layers)},
    )
    return [Pin(*row) for row in rows]


def seen_by_last_run(conn: Connection, source: str, layer: Layer) -> dict[tuple[str, str], int]:
    """(layer, table) → the publish that the newest published run of a layer has read."""
    rows = conn.execute(
        text(
            "select layer, table_name, publish_id from ops.pinned_table where run_id = (select max(run_id) "
            "from ops.run where source = :s and layer = :l and status = 'published')"
        ),
        {"s": source, "l": layer},
    )
    return {(pinned, table): publish_id for pinned, table, publish_id in rows}


def pins_of(conn: Connection, run: Run) -> dict[tuple[str, str], Pin]:
    """(layer, table) → what a run reads of it."""
    rows = conn.execute(
        text(
            "select layer, table_name, publish_id, snapshot_id, since_publish_id from ops.pinned_table "
            "where run_id = :r"
        ),
        {"r": run.run_id},
    )
    return {(row[0], row[1]): Pin(*row) for row in rows}


def begin_attempt(conn: Connection, publish: Publish) -> str:
    """Mark a table as being staged by this try; earlier tries that are still at work will be refused."""
    attempt = str(uuid.uuid4())
    done = conn.execute(
        text(
            "update ops.publish set attempt = :a where publish_id = :p and status in ('planned', 'staged') "
            "returning publish_id"
        ),
        {"a": attempt, "p": publish.publish_id},
    ).one_or_none()
    if done is None:
        raise _over(publish)
    return attempt


def mark_staged(
    conn: Connection,
    publish: Publish,
    attempt: str,
    *,
    placement: str,
    counts: Counts,
    replaced_files: Sequence[str],
) -> None:
    """Record what staging found; takes back the verdict of an earlier gate.

    Raises:
        StaleStage: the run is over, or another try stages this table.
    """
    sets = ", ".join(f"{name}_rows = :{name}" for name in counts)
    done = conn.execute(
        text(
            "update ops.publish set status = 'staged', verdict = null, message = null, placement = :placement, "
            f"staged_at = clock_timestamp(), replaced_files = :replaced, {sets} "
            "where publish_id = :id and attempt = :attempt and status in ('planned', 'staged') returning publish_id"
        ),
        {"id": publish.publish_id, "attempt": attempt, "placement": placement,
         "replaced": list(replaced_files), **counts},
    ).one_or_none()  # fmt: skip
    if done is None:
        raise _over(publish)
    conn.execute(
        text(
            "update ops.run set status = 'planned', verdict = null, report = null "
            "where run_id = :r and status in ('audited', 'blocked')"
        ),
        {"r": publish.run_id},
    )


def _over(publish: Publish) -> StaleStage:
    return StaleStage(
        f"{publish.layer}.{publish.table} for {publish.partition_key}: this run is over, or another try is at work.",
        f"If no other run is under way, clear the task `plan` and those after it in {publish.source}_{publish.layer}.",
    )


def mark_accounted(conn: Connection, publish: Publish, counts: Mapping[str, Counts]) -> None:
    """Record what became of the rows of each batch: batch id → rows by :data:`FATES`."""
    if not counts:
        return
    nothing = dict.fromkeys(FATES, 0)
    conn.execute(
        text(
            "update ops.accounted set read_rows = :read, published_rows = :published, "
            "quarantined_rows = :quarantined, duplicate_rows = :duplicate, conflicting_rows = :conflicting "
            "where publish_id = :p and batch_id = :b"
        ),
        [{"p": publish.publish_id, "b": batch} | nothing | dict(found) for batch, found in counts.items()],
    )


def accounted_batches(conn: Connection, publish: Publish) -> list[str]:
    """The batches that a table's publish accounts for."""
    rows = conn.execute(
        text("select batch_id::text from ops.accounted where publish_id = :p order by 1"),
        {"p": publish.publish_id},
    )
    return list(rows.scalars())


def mark_audited(
    conn: Connection,
    run: Run,
    verdict: str,
    message: str | None,
    report: Mapping[str, Any],
    tables: Mapping[str, tuple[str, str | None]],
) -> None:
    """Record a gate's verdict, message and report on a run, and on its tables (table → verdict, message).

    Raises:
        StaleStage: the run is over.
    """
    status = "blocked" if verdict == "blocked" else "audited"
    done = conn.execute(
        text(
            "update ops.run set status = :status, verdict = :v, message = :m, report = cast(:report as jsonb), "
            "audited_at = clock_timestamp() "
            "where run_id = :r and status in ('planned', 'audited', 'blocked') returning run_id"
        ),
        {"status": status, "v": verdict, "m": message, "r": run.run_id, "report": json.dumps(report)},
    ).one_or_none()
    if done is None:
        raise StaleStage(
            f"{run.label}: this run is over.", f"Clear the task `plan` of {run.source}_{run.layer}."
        )
    if tables:
        conn.execute(
            text("update ops.publish set verdict = :v, message = :m where run_id = :r and table_name = :t"),
            [{"v": v, "m": m, "r": run.run_id, "t": table} for table, (v, m) in tables.items()],
        )


def mark_published(conn: Connection, publish: Publish, commit: Commit | None) -> None:
    """Make a publish the state of its table that readers see; without a commit to the lake its snapshot stays."""
    table = {"l": publish.layer, "t": publish.table}
    before = conn.execute(
        text(
            "update ops.publish set is_current = false where layer = :l and table_name = :t and is_current "
            "returning snapshot_id"
        ),
        table,
    ).scalar()
    conn.execute(
        text(
            "update ops.publish set status = 'published', is_current = true, snapshot_id = :s, "
            "published_at = clock_timestamp() where publish_id = :p"
        ),
        {"p": publish.publish_id, "s": commit.snapshot_id if commit else before},
    )
    conn.execute(
        text("update ops.accounted set is_published = true where publish_id = :p"), {"p": publish.publish_id}
    )


def end_run(conn: Connection, run: Run, status: str) -> None:
    """Record that a run is published or overtaken. What an overtaken run has staged is nobody's any more."""
    conn.execute(
        text("update ops.run set status = :s, ended_at = clock_timestamp() where run_id = :r"),
        {"s": status, "r": run.run_id},
    )
    if status != "published":
        conn.execute(
            text("update ops.publish set status = 'closed' where run_id = :r and status <> 'published'"),
            {"r": run.run_id},
        )


def note_failure(conn: Connection, source: str, layer: Layer, partition_key: str, message: str) -> None:
    """Write down why a step of the run under way has failed, for whoever asks for the state of its partition."""
    conn.execute(
        text(
            "update ops.run set message = :m where source = :s and layer = :l and partition_key = :k "
            "and status in ('planned', 'audited')"
        ),
        {"s": source, "l": layer, "k": partition_key, "m": message},
    )


def forget_work_at_hand(conn: Connection) -> None:
    """End all runs that are at work, and forget what they had staged and who had or wanted a turn: in a restored
    ledger, which came without the stage and without these processes.
    """
    for statement in (
        "update ops.publish set status = 'closed' where status in ('planned', 'staged')",
        "update ops.run set status = 'abandoned', ended_at = clock_timestamp() where status in ('planned', 'audited')",
        "delete from ops.lake_file where status = 'staged'",
        "delete from ops.turn",
    ):
        conn.execute(text(statement))
