"""Silver / ODS: the compiled conform query turns bronze text into typed, keyed rows with reasons for refusals.

Relations of the staging session: ``raw_input`` (the pinned batches), ``conformed`` (all rows read, with ``_reasons``
and ``_rank``), ``result`` (the rows that won their key), ``base`` (the table as it is pinned), ``delta``.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal, raw_columns
from lakehouse.compile.generate import conform_path
from lakehouse.compile.schemas import arrow_schema
from lakehouse.contract import Contract, Project
from lakehouse.contract.model import PARTITION_COLUMN
from lakehouse.engine.difference import difference
from lakehouse.engine.session import Session, open_session
from lakehouse.errors import ContractError, StaleStage
from lakehouse.home.homes import Homes
from lakehouse.home.rows import copy_rows, create_stage, to_wire, wire_schema
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import (
    Publish,
    Wanted,
    accounted_batches,
    current_tables,
    mark_accounted,
)
from lakehouse.layer.place import place_rows
from lakehouse.layer.stage import Stage
from lakehouse.layer.steps import LayerSteps, Plan, Work
from lakehouse.layer.target import Target
from lakehouse.quality.gate import Subject, contract_subject, removed_subject

#: Batches of this partition, and those that were missed before it. What the gate has blocked is only tried again by
#: its own partition's run.
_PENDING = """
select b.table_name, b.batch_id::text, b.partition_key::text
from ops.batch as b
where
    b.source = :source and b.bronze_publish_id is not null and b.silver_publish_id is null
    and b.superseded_by is null and b.partition_key <= cast(:key as date)
    and (b.partition_key = cast(:key as date) or coalesce((
        select r.status from ops.run as r
        where r.source = b.source and r.layer = 'silver' and r.partition_key = b.partition_key
        order by r.run_id desc limit 1
    ), '') <> 'blocked')
order by b.table_name, b.partition_key, b.batch_id
"""
_NEWEST_SERVED = """
select max(partition_key)::text from ops.batch
where table_name = :t and silver_publish_id is not null and superseded_by is null
"""
_DATES_SERVED = """
select exists (
    select 1 from ops.batch
    where table_name = :t and silver_publish_id is not null and partition_key = any(cast(:keys as date[]))
)
"""
_SERVED_SINCE = """
select batch_id::text from ops.batch
where
    table_name = :t and silver_publish_id is not null and superseded_by is null
    and partition_key >= cast(:first as date)
"""
_READ = """
select b.batch_id::text, b.partition_key::text, array_agg(f.uri order by f.uri)
from ops.pinned_batch as p
inner join ops.batch as b on b.batch_id = p.batch_id
inner join ops.lake_file as f on f.batch_id = b.batch_id and f.layer = 'bronze' and f.status = 'live'
where
    p.run_id = :r and b.table_name = :t
    and (:whole or b.batch_id in (select a.batch_id from ops.accounted as a where a.publish_id = :p))
group by b.batch_id, b.partition_key
order by b.partition_key, b.batch_id
"""
_NOTHING = {"read": 0, "published": 0, "quarantined": 0, "duplicate": 0}
_REFUSED = {"batch_id": "uuid", "source_line": "bigint", "reasons": "text", "record": "text"}


class Silver(LayerSteps):
    """Typed rows, one per key."""

    layer = "silver"

    def plan(
        self,
        homes: Homes,
        conn: Connection,
        project: Project,
        source: str,
        partition_key: str,
        full_refresh: bool,
    ) -> Plan:
        """One table (of events: one partition) per set of batches that bronze serves and silver has not taken up."""
        rows = conn.execute(text(_PENDING), {"source": source, "key": partition_key}).all()
        wanted: list[Wanted] = []
        batches: dict[str, bool] = {}
        for contract in project.tables(source):
            pending = {batch: key for table, batch, key in rows if table == contract.table}
            if not pending:
                continue
            batches |= dict.fromkeys(pending, True)
            if contract.partition_column:
                wanted += [
                    Wanted(contract.table, "partition", batches=(batch,), partition_key=key)
                    for batch, key in pending.items()
                ]
                continue
            mode, others = _mode(conn, contract, pending)
            batches |= {b: False for b in others if b not in pending}
            wanted.append(Wanted(contract.table, mode, batches=tuple(pending)))
        pins = tuple(current_tables(conn, source, ["silver"]))
        return Plan(tuple(wanted), pins, batches) if wanted else Plan()

    def stage(self, work: Work, conn: Connection, publish: Publish, attempt: str) -> dict[str, int]:
        """Conform the batches, compare with the pinned table, write both homes."""
        contract = work.project.contracts[publish.table]
        target = Target.of(work.project, "silver", publish.table)
        partition = publish.partition_key if target.has_dates else None
        live = Inputs(conn, work.project, work.run).pinned("silver", publish.table, partition and [partition])
        with (
            open_session(work.homes) as session,
            Stage(work.homes, conn, session, target, publish) as staging,
        ):
            _conform(conn, session, work.project, contract, publish)
            session.files("base", [f.uri for f in live], target.columns)
            found = difference(
                session,
                columns=tuple(target.columns),
                technical=target.technical,
                key=target.key,
                publish_id=publish.publish_id,
                # An upsert deletes nothing; of what is recomputed as a whole, what is missing goes.
                scope="true" if publish.mode in ("rebuild", "partition") else None,
            )
            counts = _account(conn, session, publish)
            _write_refused(conn, session, contract, publish, sum(c["quarantined"] for c in counts.values()))
            written = staging.write(found, live, partition, attachable=True)
            mark_accounted(conn, publish, counts)
            changes = staging.done(attempt, found, written)
        total = {
            name: sum(c[name] for c in counts.values())
            for name in ("read", "published", "quarantined", "duplicate")
        }
        return total | changes

    def subjects(self, work: Work, conn: Connection, inputs: Inputs, session: Session) -> Iterable[Subject]:
        """The complete result of each table, and the rows that are about to be deleted."""
        subjects = []
        for publish in inputs.publishes:
            contract = work.project.contracts[publish.table]
            subjects.append(contract_subject(contract, inputs.result(session, publish)))
            if publish.deleted_rows:
                gone = inputs.removed(session, publish)
                removed = removed_subject(contract, gone, work.project.contracts.values())
                subjects += [removed] if removed.expectations else []
        inputs.others(session, subjects)
        return subjects

    def place(self, work: Work, conn: Connection, publish: Publish) -> None:
        """Attach or merge the rows, and file the refused ones."""
        place_rows(conn, Target.of(work.project, "silver", publish.table), publish)
        if publish.has_refused:
            _file_refused(conn, publish)

    def settle(self, work: Work, conn: Connection, publish: Publish) -> None:
        """The batches are in silver."""
        conn.execute(
            text("update ops.batch set silver_publish_id = :p where batch_id = any(cast(:b as uuid[]))"),
            {"p": publish.publish_id, "b": accounted_batches(conn, publish)},
        )


def _mode(conn: Connection, contract: Contract, pending: dict[str, str]) -> tuple[str, list[str]]:
    """How a table of entities takes up batches, and the served batches that have to be conformed with them.

    * ``upsert``: the usual case; the newest delivery's rows win.
    * ``late``: an older delivery arrives after a newer one, which must keep winning.
    * ``rebuild``: a batch is superseded; what only it had brought must go again.
    """
    table = {"t": contract.table}
    keys = list(pending.values())
    if conn.execute(text(_DATES_SERVED), table | {"keys": keys}).scalar():
        return "rebuild", list(conn.execute(text(_SERVED_SINCE), table | {"first": "0001-01-01"}).scalars())
    first = min(keys)
    newest = conn.execute(text(_NEWEST_SERVED), table).scalar()
    if newest and newest > first:
        return "late", list(conn.execute(text(_SERVED_SINCE), table | {"first": first}).scalars())
    return "upsert", []


def conform_text(project: Project, contract: Contract) -> str:
    """The committed conform query.

    Raises:
        ContractError: it has not been generated.
    """
    path = project.root / conform_path(contract.table)
    if not path.exists():
        raise ContractError(f"{path.relative_to(project.root)} does not exist.", "Run `make generate`.")
    return path.read_text(encoding="utf-8")


def _conform(
    conn: Connection, session: Session, project: Project, contract: Contract, publish: Publish
) -> None:
    """Make ``raw_input``, ``conformed`` and ``result``."""
    read = conn.execute(
        text(_READ),
        {
            "r": publish.run_id,
            "t": publish.table,
            "p": publish.publish_id,
            "whole": publish.mode != "partition",
        },
    ).all()
    parts = []
    for number, (_, delivery, uris) in enumerate(read):
        session.files(f"raw.batch_{number}", uris, raw_columns(contract))
        parts.append(f"select *, date {literal(delivery)} as _delivery from raw.batch_{number}")
    session.view("raw_input", " union all ".join(parts))
    session.table("conformed", conform_text(project, contract))
    names = ", ".join(c.name for c in contract.columns)
    partition = f", _delivery as {PARTITION_COLUMN}" if contract.partition_column else ""
    session.view(
        "result",
        f"select {names}, _batch_id, _source_line{partition} from conformed where _reasons = '' and _rank = 1",
    )


def _account(conn: Connection, session: Session, publish: Publish) -> dict[str, dict[str, int]]:
    """Batch id → rows read, published, quarantined, duplicate."""
    mine = accounted_batches(conn, publish)
    listed = ", ".join(literal(batch) for batch in mine)
    found = session.rows(
        "select _batch_id, count(*), count(*) filter (where _reasons = '' and _rank = 1), "
        "count(*) filter (where _reasons <> ''), count(*) filter (where _reasons = '' and _rank > 1) "
        f"from conformed where _batch_id in ({listed}) group by 1"
    )
    return dict.fromkeys(mine, _NOTHING) | {
        batch: dict(zip(_NOTHING, counts, strict=True)) for batch, *counts in found
    }


def _write_refused(
    conn: Connection, session: Session, contract: Contract, publish: Publish, expected: int
) -> None:
    """Stage the refused rows of the publish's batches as they were landed, with the reasons."""
    if not expected:
        return
    create_stage(conn, publish.refused, _REFUSED)
    listed = ", ".join(literal(batch) for batch in accounted_batches(conn, publish))
    landed = [c.raw_name for c in contract.columns] + ["_source_line"]
    record = ", ".join(f"{literal(name)}, r.{name}" for name in landed)
    query = (
        "select c._batch_id as batch_id, c._source_line as source_line, c._reasons as reasons, "
        f"cast(json_object({record}) as text) as record from conformed as c "
        "inner join raw_input as r on c._batch_id = r._batch_id and c._source_line = r._source_line "
        f"where c._reasons <> '' and c._batch_id in ({listed})"
    )
    schema = arrow_schema(_REFUSED)
    wire = wire_schema(_REFUSED, schema)
    copy_rows(conn, publish.refused, wire, (to_wire(b, wire) for b in session.batches(query, schema)))


def _file_refused(conn: Connection, publish: Publish) -> None:
    """Quarantine the refused rows, as many as were counted.

    Raises:
        StaleStage: they are not as many.
    """
    filed = conn.execute(
        text(
            "insert into ops.quarantine select :p, :t, batch_id, source_line, reasons, record::jsonb "
            f"from {publish.refused}"
        ),
        {"p": publish.publish_id, "t": publish.table},
    ).rowcount
    counted = conn.execute(
        text("select coalesce(sum(quarantined_rows), 0) from ops.accounted where publish_id = :p"),
        {"p": publish.publish_id},
    ).scalar_one()
    if filed != counted:
        raise StaleStage(
            f"{publish.layer}.{publish.table}: {counted} rows were refused, {filed} are in {publish.refused}.",
            f"Clear the task `plan` and those after it in {publish.source}_{publish.layer}.",
        )
    conn.execute(text(f"drop table {publish.refused}"))
