"""A staging session of silver: from the pinned batches of a table to its rows.

Relations: ``delivered_<n>`` (one batch each), ``touched`` (the keys that are worked out anew; not made when it is all
of them), ``raw_input``, ``conformed`` (all rows read, judged), ``initial`` (what was known just before), ``versions``
(what was said of each key, over time), ``result`` (the table's rows).
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from lakehouse.compile.conform import value_sql
from lakehouse.compile.ddl import literal, raw_columns
from lakehouse.compile.schemas import arrow_schema
from lakehouse.contract import Contract, Project
from lakehouse.contract.model import PARTITION_COLUMN, History
from lakehouse.engine.difference import matches
from lakehouse.engine.session import Session
from lakehouse.engine.versions import LINEAGE, versions
from lakehouse.errors import StaleStage
from lakehouse.home.rows import copy_rows, create_stage, wire_schema
from lakehouse.layer.deliveries import Reading, conform_text
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import FATES, Publish, accounted_batches

_REFUSED = {"batch_id": "uuid", "source_line": "bigint", "reasons": "text", "record": "text"}
#: Before every delivery: the state of a table that keeps no history has no date.
_BEGINNING = "0001-01-01"


def conform(session: Session, project: Project, contract: Contract, reading: Reading) -> None:
    """Make ``conformed``: every row of the deliveries that came, and of the others the rows of touched keys."""
    parts = []
    for number, delivered in enumerate(reading.deliveries):
        session.files(f"main.delivered_{number}", delivered.uris, raw_columns(contract))
    if not reading.all_keys:
        _touch(session, contract, reading)
    for number, delivered in enumerate(reading.deliveries):
        if delivered.role == "gone":
            continue
        some = delivered.role == "served" and not reading.all_keys
        only = f" where exists (select 1 from touched where {_is_touched(contract)})" if some else ""
        parts.append(
            f"select *, date {literal(delivered.date)} as _delivery from delivered_{number} as r{only}"
        )
    nothing = f"select *, date '{_BEGINNING}' as _delivery from delivered_0 where false"
    session.view("raw_input", " union all ".join(parts or [nothing]))
    session.table("conformed", conform_text(project, contract))


def _touch(session: Session, contract: Contract, reading: Reading) -> None:
    """Make ``touched``: the keys of the deliveries that came or went."""
    names = ", ".join(f"{value_sql(contract.column(k), _raw(contract, k))} as {k}" for k in contract.key)
    changed = [n for n, d in enumerate(reading.deliveries) if d.role != "served"]
    rows = " union all ".join(f"select {names} from delivered_{n} as r" for n in changed)
    session.table("touched", f"select distinct * from ({rows}) as q")


def _raw(contract: Contract, column: str) -> str:
    return f"r.{contract.column(column).raw_name}"


def _is_touched(contract: Contract) -> str:
    return " and ".join(
        f"touched.{k} = {value_sql(contract.column(k), _raw(contract, k))}" for k in contract.key
    )


def worked_out(contract: Contract, reading: Reading) -> str:
    """A condition on ``t`` (typed rows): their keys are worked out anew."""
    if reading.all_keys:
        return "true"
    return f"exists (select 1 from touched as r where {matches('t', 'r', contract.key)})"


def winners(session: Session, contract: Contract) -> None:
    """Make ``result`` of a single delivery: the rows that won their key."""
    names = ", ".join(c.name for c in contract.columns)
    partition = f", _delivery as {PARTITION_COLUMN}" if contract.partition_column else ""
    session.view(
        "result",
        f"select {names}, {', '.join(LINEAGE)}{partition} from conformed where _reasons = '' and _rank = 1",
    )


def current_rows(session: Session, contract: Contract) -> None:
    """Make ``result`` out of ``versions``: what is said of each key now."""
    names = ", ".join([*(c.name for c in contract.columns), *LINEAGE])
    session.view("result", f"select {names} from versions where valid_to is null and not is_deleted")


def history_rows(session: Session, history: History) -> None:
    """Make ``result`` out of ``versions``: everything that was said of each key."""
    names = ", ".join([*(c.name for c in history.columns), *LINEAGE])
    session.view("result", f"select {names} from versions")


def say_versions(session: Session, inputs: Inputs, contract: Contract, reading: Reading, mode: str) -> None:
    """Make ``versions`` of the keys that are worked out, from the state just before the first changed delivery."""
    columns = {c.name: c.type.sql for c in contract.columns}
    names = ", ".join([*columns, *LINEAGE])
    given = columns | {"_batch_id": "uuid", "_source_line": "bigint"}
    touched = worked_out(contract, reading)
    if mode == "rebuild":
        session.files("main.known", [], given)
        initial = f"select {names}, date '{_BEGINNING}' as valid_from, false as is_deleted from known"
    elif contract.history:
        since = literal(reading.since)
        kept = contract.history.table
        session.files(
            "main.known",
            [f.uri for f in inputs.pinned("silver", kept)],
            given | {"valid_from": "date", "valid_to": "date", "is_deleted": "boolean"},
        )
        initial = (
            f"select {names}, valid_from, is_deleted from known as t "
            f"where valid_from < {since} and coalesce(valid_to >= {since}, true) and {touched}"
        )
    else:
        # Where a delivery went, what is served may come from it: then older deliveries are read instead.
        trusted = (
            []
            if any(d.role == "gone" for d in reading.deliveries)
            else inputs.pinned("silver", contract.table)
        )
        session.files("main.known", [f.uri for f in trusted], given)
        initial = (
            f"select {names}, date '{_BEGINNING}' as valid_from, false as is_deleted from known as t "
            f"where {touched}"
        )
    session.view("initial", initial)
    session.values("fulls", {"delivery": "date"}, [(date,) for date in reading.complete_dates])
    versions(session, columns=tuple(columns), key=contract.key)


def account(conn: Connection, session: Session, publish: Publish) -> dict[str, dict[str, int]]:
    """Batch id → rows by fate, of the batches that a publish accounts for."""
    mine = accounted_batches(conn, publish)
    found = session.rows(
        "select _batch_id, count(*), count(*) filter (where _reasons = '' and _rank = 1), "
        "count(*) filter (where _reasons <> ''), count(*) filter (where _reasons = '' and _rank > 1 and _repeats), "
        "count(*) filter (where _reasons = '' and _rank > 1 and not _repeats) "
        f"from conformed where _batch_id in ({', '.join(literal(batch) for batch in mine)}) group by 1"
    )
    nothing = dict.fromkeys(FATES, 0)
    return dict.fromkeys(mine, nothing) | {
        batch: dict(zip(FATES, counts, strict=True)) for batch, *counts in found
    }


def write_refused(
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
    copy_rows(conn, publish.refused, wire_schema(_REFUSED, schema), session.batches(query, schema))


def file_refused(conn: Connection, publish: Publish) -> None:
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
