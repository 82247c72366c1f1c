"""Silver / ODS: the compiled conform query turns a batch's text into typed, keyed rows with reasons for refusals.

It runs where the contract says: in Postgres over RAW, or in DuckDB over bronze Parquet. Either way the outcome
is ``stage.silver__<table>__conformed`` (all rows read, with ``_reasons`` and ``_rank``); from there the path is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from lakehouse.compile.ddl import ODS_TECHNICAL, literal
from lakehouse.compile.generate import conform_path
from lakehouse.compile.schemas import bronze_schema
from lakehouse.contract import Contract, Project
from lakehouse.contract.model import PARTITION_COLUMN
from lakehouse.errors import ContractError
from lakehouse.home.homes import Homes
from lakehouse.home.warehouse import run_script
from lakehouse.layer.copies import copy_batches, duckdb_over
from lakehouse.layer.ledger import Hop, Wanted
from lakehouse.layer.merge import Target, copy_delta_to_lake, merge, stage_delta, staged

_DUCKDB_ROWS = 64 * 1024

_PENDING = """
select p.table_name, p.batch_id::text, p.partition_key::text, array_agg(p.publish_id order by p.publish_id)
from ops.publish as p
join ops.batch as b on b.batch_id = p.batch_id
where
    p.source = :source and p.layer = 'bronze' and p.status = 'published'
    and p.consumed_by is null and b.superseded_by is null and p.partition_key <= cast(:key as date)
    and (p.partition_key = cast(:key as date) or not exists (
        select 1 from ops.publish as s
        where s.layer = 'silver' and s.batch_id = p.batch_id and s.status = 'blocked'
    ))
group by p.table_name, p.batch_id, p.partition_key
order by p.table_name, p.partition_key
"""
_SERVED = """
select distinct s.batch_id::text, s.partition_key::text, b.superseded_by is null
from ops.publish as s
join ops.batch as b on b.batch_id = s.batch_id
where s.layer = 'silver' and s.status = 'published' and s.table_name = :table
"""
_FILES = """
select distinct on (batch_id) batch_id::text, details -> 'files'
from ops.publish
where layer = 'bronze' and status = 'published' and details ? 'files' and table_name = :table
order by batch_id, publish_id desc
"""


def plan(conn: Connection, project: Project, source: str, partition_key: str) -> list[Wanted]:
    """One hop per batch that bronze serves and silver has not taken up, of this partition or missed before it.

    Batches that the gate has blocked are only tried again by their own partition's run.
    """
    rows = conn.execute(text(_PENDING), {"source": source, "key": partition_key}).all()
    wanted = []
    for contract in project.tables(source):
        pending = {batch: (key, hops) for table, batch, key, hops in rows if table == contract.table}
        if not pending:
            continue
        mode, batches = _input(conn, contract, {b: key for b, (key, _) in pending.items()})
        files: dict[str, list[str]] = dict(conn.execute(text(_FILES), {"table": contract.table}).all())
        inputs = [{"batch_id": b, "delivery": key, "files": files[b]} for b, key in sorted(batches.items())]
        for batch, (key, hops) in pending.items():
            details = {"inputs": inputs, "consumes": hops}
            wanted.append(Wanted(contract.table, key, mode, batch, contract.compute_home, details))
    return wanted


def _input(conn: Connection, contract: Contract, pending: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The mode, and the batches (with their dates) that have to be conformed together.

    * ``partition``: events; a delivery is all there is of its date, and replaces it.
    * ``upsert``: the usual case for entities; the newest delivery's rows win.
    * ``late``: an older delivery arrives after a newer one, which must keep winning.
    * ``rebuild``: a batch is superseded; what only it had brought must go again.
    """
    if contract.partition_column:
        return "partition", pending
    served = conn.execute(text(_SERVED), {"table": contract.table}).all()
    served_dates = {key for _, key, _ in served}
    current = {batch: key for batch, key, is_current in served if is_current} | pending
    if any(key in served_dates for key in pending.values()):
        return "rebuild", current
    first = min(pending.values())
    if any(key > first for _, key, is_current in served if is_current):
        return "late", {b: key for b, key in current.items() if key >= first}
    return "upsert", pending


def target(contract: Contract, hops: list[Hop]) -> Target:
    """ODS as the merge sees it."""
    mode, scope = hops[0].mode, None
    if mode == "rebuild":
        scope = "true"
    elif mode == "partition":
        dates = ", ".join(f"date {literal(h.partition_key)}" for h in hops)
        scope = f"t.{PARTITION_COLUMN} in ({dates})"
    return Target("silver", "ods", contract.table, contract.stored_key, tuple(ODS_TECHNICAL), scope)


def stage(
    homes: Homes, conn: Connection, project: Project, contract: Contract, hops: list[Hop]
) -> tuple[dict[int, dict[str, int]], dict[str, Any]]:
    """Conform the hops' batches, compare with ODS, write the lake's side.

    Returns the counts of each hop (by publish id) and details for the ledger.
    """
    lead = next(h for h in hops if h.leads)
    conformed = staged("silver", contract.table, "conformed")
    run_script(conn, f"drop table if exists {conformed} cascade")
    if contract.compute_home == "lake":
        _conform_in_duckdb(homes, conn, project, contract, lead.details["inputs"])
    else:
        _conform_in_postgres(conn, project, contract, lead.details["inputs"])
    partition = f", _delivery as {PARTITION_COLUMN}" if contract.partition_column else ""
    names = ", ".join(c.name for c in contract.columns)
    run_script(
        conn,
        f"analyze {conformed};"
        f"create view {staged('silver', contract.table, 'result')} as "
        f"select {names}, _batch_id, _source_line{partition} from {conformed} where _reasons = '' and _rank = 1;",
    )
    into = target(contract, hops)
    delta = stage_delta(conn, into, lead.lead_publish_id)
    counts = _counts(conn, conformed, hops)
    for hop in hops:
        counts[hop.publish_id] |= delta if hop.leads else dict.fromkeys(delta, 0)
    return counts, copy_delta_to_lake(homes, conn, lead, into)


def conform_text(project: Project, contract: Contract, dialect: str) -> str:
    """The committed conform query.

    Raises:
        ContractError: it has not been generated.
    """
    path = project.root / conform_path(contract.table, dialect)
    if not path.exists():
        raise ContractError(f"{path.relative_to(project.root)} does not exist.", "Run `make generate`.")
    return path.read_text(encoding="utf-8")


def _conform_in_postgres(
    conn: Connection, project: Project, contract: Contract, inputs: list[dict[str, Any]]
) -> None:
    dates = ", ".join(f"({literal(i['batch_id'])}::uuid, date {literal(i['delivery'])})" for i in inputs)
    ids = ", ".join(literal(i["batch_id"]) for i in inputs)
    run_script(
        conn,
        "drop view if exists pg_temp.raw_input;"
        f"create temporary view raw_input as select r.*, b._delivery from raw.{contract.table} r "
        f"join (values {dates}) b (_batch_id, _delivery) using (_batch_id) where r._batch_id in ({ids});"
        f"create unlogged table {staged('silver', contract.table, 'conformed')} as "
        f"{conform_text(project, contract, 'postgres')};"
        "drop view pg_temp.raw_input;",
    )


def _conform_in_duckdb(
    homes: Homes, conn: Connection, project: Project, contract: Contract, inputs: list[dict[str, Any]]
) -> None:
    relation = staged("silver", contract.table, "conformed")
    columns = {c.name: c.type.sql for c in contract.columns} | {
        "_batch_id": "uuid",
        "_source_line": "bigint",
        "_delivery": "date",
        "_reasons": "text",
        "_rank": "bigint",
    }
    run_script(
        conn, f"create unlogged table {relation} ({', '.join(f'{n} {t}' for n, t in columns.items())})"
    )
    batches = {f"batch_{i}": entry["files"] for i, entry in enumerate(inputs)}
    union = " union all ".join(
        f"select *, date {literal(entry['delivery'])} as _delivery from batch_{i}"
        for i, entry in enumerate(inputs)
    )
    with duckdb_over(homes, batches, bronze_schema(contract)) as duck:
        duck.execute(f"create temporary view raw_input as {union}")
        reader = duck.sql(conform_text(project, contract, "duckdb")).to_arrow_reader(_DUCKDB_ROWS)
        copy_batches(conn, relation, list(columns), _streamed(reader))


def _streamed(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    yield from reader


def _counts(conn: Connection, conformed: str, hops: list[Hop]) -> dict[int, dict[str, int]]:
    found = {
        row[0]: {"read": row[1], "published": row[2], "quarantined": row[3], "duplicate": row[4]}
        for row in conn.exec_driver_sql(
            "select _batch_id::text, count(*), count(*) filter (where _reasons = '' and _rank = 1), "
            "count(*) filter (where _reasons <> ''), count(*) filter (where _reasons = '' and _rank > 1) "
            f"from {conformed} group by 1"
        )
    }
    nothing = {"read": 0, "published": 0, "quarantined": 0, "duplicate": 0}
    return {h.publish_id: dict(found.get(h.batch_id or "", nothing)) for h in hops}


def publish(conn: Connection, contract: Contract, hops: list[Hop], keep_preimages: bool) -> dict[str, int]:
    """Merge the staged rows into ODS and file the refused ones. Returns what the merge did."""
    into = target(contract, hops)
    if contract.partition_column:
        for hop in hops:
            name = f"ods.{contract.table}_p{hop.partition_key.replace('-', '')}"
            run_script(
                conn,
                f"create table if not exists {name} partition of ods.{contract.table} "
                f"for values in ({literal(hop.partition_key)})",
            )
    lead = next(h for h in hops if h.leads)
    done = merge(conn, into, lead.lead_publish_id, keep_preimages)
    for hop in hops:
        conn.execute(
            text(
                "insert into ops.quarantine "
                "select :p, :t, c._batch_id, c._source_line, c._reasons, to_jsonb(r.*) "
                f"from {staged('silver', contract.table, 'conformed')} c join raw.{contract.table} r "
                "on r._batch_id = c._batch_id and r._source_line = c._source_line "
                "where c._reasons <> '' and c._batch_id = :b and r._batch_id = :b"
            ),
            {"p": hop.publish_id, "t": contract.table, "b": hop.batch_id},
        )
    return done
