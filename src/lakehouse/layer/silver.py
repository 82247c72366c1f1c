"""Silver / ODS: the compiled conform query turns bronze text into typed, keyed rows with reasons for refusals.

A row is judged by its own delivery alone; what deliveries mean to each other follows from their dates and kinds. So
the same deliveries give the same rows, in whatever order and company they are taken up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from lakehouse.contract import Contract, Project
from lakehouse.contract.model import History
from lakehouse.engine.difference import difference, matches
from lakehouse.engine.session import Session, open_session
from lakehouse.home.homes import Homes
from lakehouse.layer import conformed
from lakehouse.layer.deliveries import Reading, conform_text, current, pending, plan_table, read_deliveries
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import (
    FATES,
    Publish,
    Role,
    Wanted,
    accounted_batches,
    current_tables,
    mark_accounted,
)
from lakehouse.layer.place import place_rows
from lakehouse.layer.stage import Stage
from lakehouse.layer.steps import Ask, LayerSteps, Plan, Superseding, Work
from lakehouse.layer.target import Target
from lakehouse.quality.gate import Subject, contract_subject, history_subject, removed_subject

#: What bronze has handed over again since the plan, as one of another kind, has not been taken up.
_TAKEN_UP = """
update ops.batch as b set silver_publish_id = :p
from ops.pinned_batch as pin
where
    b.batch_id = any(cast(:b as uuid[])) and pin.run_id = :r and pin.batch_id = b.batch_id
    and pin.handed_over_count = b.handed_over_count
"""
#: What was served of batches that are gone is not any more, and what was refused of them neither.
_LET_GO = """
update ops.batch as b set silver_publish_id = null
from ops.pinned_batch as p
where
    p.run_id = :r and p.role = 'gone' and b.batch_id = p.batch_id and b.table_name = :t
    and (cast(:d as date) is null or b.partition_key = cast(:d as date))
returning b.batch_id::text
"""
_FORGET_REFUSED = """
delete from ops.quarantine
where table_name = :t and batch_id = any(cast(:b as uuid[])) and publish_id < :p
"""


class Silver(LayerSteps):
    """Typed rows, one per key, and what was said of them before."""

    layer = "silver"

    def plan(self, homes: Homes, conn: Connection, project: Project, ask: Ask) -> Plan:
        """One table (of events: one partition) per set of batches that bronze serves and silver has not taken up.

        Of everything that is asked for again, what bronze serves is judged again.
        """
        new = pending(conn, ask.source, ask.partition_key)
        wanted: list[Wanted] = []
        batches: dict[str, Role] = {}
        for contract in project.tables(ask.source):
            if not ask.means(contract.table):
                continue
            mine = new.get(contract.table, {})
            if ask.scope == "partition":
                mine |= current(conn, contract.table, ask.partition_key)
            tables, roles = plan_table(conn, project, contract, mine, reconform=ask.scope == "everything")
            wanted += tables
            batches |= roles
        pins = tuple(current_tables(conn, ask.source, ["silver"]))
        return Plan(tuple(wanted), pins, batches) if wanted else Plan()

    def stage(self, work: Work, conn: Connection, publish: Publish, attempt: str) -> dict[str, int]:
        """Conform the batches, compare with the pinned table, write both homes."""
        table = work.project.silver[publish.table]
        contract = table.of if isinstance(table, History) else table
        target = Target.of(work.project, "silver", publish.table)
        partition = publish.partition_key if target.has_dates else None
        inputs = Inputs(conn, work.project, work.run)
        live = inputs.pinned("silver", publish.table, partition and [partition])
        reading = read_deliveries(conn, contract, publish)
        with (
            open_session(work.homes) as session,
            Stage(work.homes, conn, session, target, publish) as staging,
        ):
            conformed.conform(session, work.project, contract, reading)
            session.files("base", [f.uri for f in live], target.columns)
            scope = _result(session, inputs, table, reading, publish)
            found = difference(
                session,
                columns=tuple(target.columns),
                technical=target.technical,
                key=target.key,
                publish_id=publish.publish_id,
                scope=scope,
            )
            counts = {} if isinstance(table, History) else conformed.account(conn, session, publish)
            refused = sum(c["quarantined"] for c in counts.values())
            conformed.write_refused(conn, session, contract, publish, refused)
            written = staging.write(found, live, partition, attachable=True)
            mark_accounted(conn, publish, counts)
            changes = staging.done(attempt, found, written)
        return {name: sum(c[name] for c in counts.values()) for name in FATES} | changes

    def sql(self, project: Project, table: str) -> str:
        """The compiled conform query."""
        return conform_text(project, project.contracts[table])

    def reads(self, project: Project, table: str) -> list[str]:
        """Its history, from which a late delivery is worked out."""
        return [f"silver.{kept}" for kept in project.staged_with(table)]

    def subjects(self, work: Work, conn: Connection, inputs: Inputs, session: Session) -> Iterable[Subject]:
        """The complete result of each table, and the rows that are about to be deleted."""
        subjects = []
        for publish in inputs.publishes:
            table = work.project.silver[publish.table]
            result = inputs.result(session, publish)
            if isinstance(table, History):
                subjects.append(history_subject(table, result))
                continue
            # What a rework finds of the keys it touches may be that they are gone.
            may_be_empty = publish.mode == "rework" or _is_withdrawn(conn, table, publish)
            subjects.append(contract_subject(table, result, may_be_empty=may_be_empty))
            if publish.deleted_rows:
                gone = inputs.removed(session, publish)
                removed = removed_subject(table, gone, work.project.contracts.values())
                subjects += [removed] if removed.expectations else []
        inputs.others(session, subjects)
        return subjects

    def superseding(self, work: Work, conn: Connection, inputs: Inputs) -> Sequence[Superseding]:
        """The tables that lose rows because a complete delivery lacks them."""
        found = []
        for publish in inputs.publishes:
            contract = work.project.contracts.get(publish.table)
            if contract is None or not publish.deleted_rows:
                continue
            read = read_deliveries(conn, contract, publish).deliveries
            complete = [d for d in read if d.role == "new" and d.kind == "full"]
            if not complete:
                continue
            partition = [publish.partition_key] if contract.partition_column else None
            served = sum(f.row_count for f in inputs.pinned("silver", publish.table, partition))
            allowed = any(d.allow_shrink for d in complete)
            left = served - publish.deleted_rows
            found.append(Superseding(publish.table, publish.partition_key, served, left, allowed))
        return found

    def place(self, work: Work, conn: Connection, publish: Publish) -> None:
        """Attach or merge the rows, and file the refused ones."""
        place_rows(conn, Target.of(work.project, "silver", publish.table), publish)
        if publish.has_refused:
            conformed.file_refused(conn, publish)

    def settle(self, work: Work, conn: Connection, publish: Publish) -> None:
        """The batches are in silver, and those that are gone are not."""
        contract = work.project.contracts.get(publish.table)
        if contract is None:  # a history goes with its table
            return
        mine = {"p": publish.publish_id, "r": publish.run_id, "t": publish.table}
        day = publish.partition_key if contract.partition_column else None
        gone = list(conn.execute(text(_LET_GO), mine | {"d": day}).scalars())
        taken = accounted_batches(conn, publish)
        conn.execute(text(_FORGET_REFUSED), mine | {"b": [*gone, *taken]})
        conn.execute(text(_TAKEN_UP), mine | {"b": taken})


def _is_withdrawn(conn: Connection, contract: Contract, publish: Publish) -> bool:
    return not any(d.uris for d in read_deliveries(conn, contract, publish).present)


def _result(
    session: Session,
    inputs: Inputs,
    table: Contract | History,
    reading: Reading,
    publish: Publish,
) -> str | None:
    """Make ``result``; returns which rows of the table it replaces completely (see :func:`difference`)."""
    contract = table.of if isinstance(table, History) else table
    if contract.partition_column:
        conformed.winners(session, contract)
        return "true"
    first_only = publish.mode == "upsert" and len(reading.deliveries) == 1
    if first_only and not contract.history:
        # Nothing else has been said of these keys by anybody who is newer.
        conformed.winners(session, contract)
        seen = f"select 1 from conformed as r where {matches('t', 'r', contract.key)}"
        return f"not exists ({seen})" if reading.complete_dates else None
    conformed.say_versions(session, inputs, contract, reading, publish.mode)
    touched = conformed.worked_out(contract, reading)
    if not isinstance(table, History):
        conformed.current_rows(session, contract)
        return touched
    conformed.history_rows(session, table)
    if publish.mode == "rebuild":
        return touched
    return f"{touched} and coalesce(t.valid_to >= date '{reading.since}', true)"
