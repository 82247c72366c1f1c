"""Gold / GOLD: hand-written SQL over pinned silver, recomputed for the affected units only.

A run's plan computes the affected units once and keeps each as a small file of the run; its staging tasks read them.
Relations of a session: ``ods.<table>`` as pinned; ``gold.<table>`` as it will be after this run, and in the queries
of units as it is; ``changed.<table>`` (rows that changed since the run before, as they were and as they are);
``affected.<unit>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from graphlib import TopologicalSorter

from sqlalchemy import Connection, text

from lakehouse.compile.gold_tables import gold_query
from lakehouse.contract import GoldModel, Project
from lakehouse.contract.model import reads
from lakehouse.engine.difference import NO_DIFFERENCE, changed_rows, difference
from lakehouse.engine.session import Session, open_session
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import Pin, Publish, Wanted, current_tables, seen_by_last_run
from lakehouse.layer.place import place_rows
from lakehouse.layer.stage import NOT_WRITTEN, Stage
from lakehouse.layer.steps import Ask, LayerSteps, Plan, Work
from lakehouse.layer.target import Target
from lakehouse.quality.gate import Subject, gold_subject

ALL = "all"
_FULL = "full"
#: Name of a unit's file (see :func:`_unit_name`) to where it is and how many values it has.
UnitFiles = dict[str, tuple[str, int]]
#: Tables of silver with at least one row written between two of their publishes.
_CHANGED = """
select exists (
    select 1 from ops.publish
    where
        layer = 'silver' and table_name = :t and status = 'published'
        and publish_id > :since and publish_id <= :upto and inserted_rows + updated_rows + deleted_rows > 0
)
"""
_FINGERPRINTS = (
    "select table_name, fingerprint from ops.publish where source = :s and layer = 'gold' and is_current"
)


class Gold(LayerSteps):
    """The star and the marts."""

    layer = "gold"

    def plan(self, homes: Homes, conn: Connection, project: Project, ask: Ask) -> Plan:
        """One table per model to recompute.

        A model is recomputed when something it reads, directly or through other models, changed since the last
        run; in full when it is new or its SQL changed, or that of a model it reads, or when it is asked for again:
        what a partition has brought to gold cannot be told from the rest.
        """
        pins = tuple(_pins(conn, ask))
        changed = {p.table for p in pins if p.layer == "silver" and _has_changed(conn, p)}
        served: dict[str, str] = dict(conn.execute(text(_FINGERPRINTS), {"s": ask.source}).all())
        stale: dict[str, Wanted] = {}
        for table, upstream in project.stage_order(ask.source, "gold").items():
            model = project.gold[table]
            now = fingerprint(project, model)
            in_full = (
                ask.scope != "pending"
                or now != served.get(table)
                or any(u in stale and stale[u].mode == _FULL for u in upstream)
            )
            inputs = model.ods_references | _unit_inputs(project, model)
            if in_full or inputs & changed or any(u in stale for u in upstream):
                stale[table] = Wanted(table, _FULL if in_full else "affected", now)
        unseen = any(p.layer == "silver" and p.publish_id != p.since_publish_id for p in pins)
        return Plan(tuple(w for t, w in stale.items() if ask.means(t)), pins, settles=unseen)

    def prepare(self, work: Work) -> None:
        """Compute the units to recompute, one file each."""
        with work.homes.engine.begin() as conn, open_session(work.homes) as session:
            inputs = Inputs(conn, work.project, work.run)
            for in_full in (False, True):
                planned = [p for p in inputs.publishes if (p.mode == _FULL) == in_full]
                names = {work.project.gold[p.table].unit for p in planned} - {ALL}
                if not names:
                    continue
                order = units_in_order(work.project, work.run.source, names)
                _register_unit_inputs(session, inputs, work, order, in_full=in_full)
                for unit in order:
                    _compute_unit(session, work.project, work.run.source, unit, in_full=in_full)
                    _keep_unit(work.homes, conn, session, planned[0], unit, in_full=in_full)

    def stage(self, work: Work, conn: Connection, publish: Publish, attempt: str) -> dict[str, int]:
        """Run the model's query, compare with the pinned table, write both homes."""
        model = work.project.gold[publish.table]
        target = Target.of(work.project, "gold", publish.table)
        inputs = Inputs(conn, work.project, work.run)
        live = inputs.pinned("gold", publish.table)
        with (
            open_session(work.homes) as session,
            Stage(work.homes, conn, session, target, publish) as staging,
        ):
            units = _unit_files(conn, inputs)
            if _touches_no_unit(units, model, publish):
                return {"read": 0, "published": 0} | staging.done(attempt, NO_DIFFERENCE, NOT_WRITTEN)
            _register_inputs(session, inputs, units, model, in_full=publish.mode == _FULL)
            session.table("result", gold_query(model))
            session.files("base", [f.uri for f in live], target.columns)
            found = difference(
                session,
                columns=tuple(target.columns),
                technical=target.technical,
                key=target.key,
                publish_id=publish.publish_id,
                scope=_scope(model, in_full=publish.mode == _FULL),
            )
            written = staging.write(found, live, None, attachable=True)
            changes = staging.done(attempt, found, written)
        rows = found.inserted + found.updated + found.unchanged
        return {"read": rows, "published": rows} | changes

    def sql(self, project: Project, table: str) -> str:
        """The model's own query, and those of the units to recompute, which the plan has run."""
        model = project.gold[table]
        units = [] if model.unit == ALL else units_in_order(project, model.source, {model.unit})
        before = [
            f"-- affected.{unit}, computed by the plan\n{project.affected_sql(model.source, unit).strip()}"
            for unit in units
        ]
        return ";\n\n".join([f"-- {table}\n{gold_query(model)}", *reversed(before)])

    def reads(self, project: Project, table: str) -> list[str]:
        """The tables that its query names, and those whose changes make it stale."""
        model = project.gold[table]
        silver = sorted(model.ods_references | _unit_inputs(project, model))
        return [f"silver.{t}" for t in silver] + [f"gold.{t}" for t in sorted(model.gold_references)]

    def subjects(self, work: Work, conn: Connection, inputs: Inputs, session: Session) -> Iterable[Subject]:
        """The complete result of each table."""
        subjects, units = [], _unit_files(conn, inputs)
        for publish in inputs.publishes:
            model = work.project.gold[publish.table]
            may_be_empty = _touches_no_unit(units, model, publish)
            subjects.append(gold_subject(model, inputs.result(session, publish), may_be_empty=may_be_empty))
        inputs.others(session, subjects, changed_only=all(p.mode != _FULL for p in inputs.publishes))
        return subjects

    def place(self, work: Work, conn: Connection, publish: Publish) -> None:
        """Attach or merge the rows."""
        place_rows(conn, Target.of(work.project, "gold", publish.table), publish)


def _pins(conn: Connection, ask: Ask) -> list[Pin]:
    """Silver and gold as readers see them now; of silver also what the last run of gold has seen.

    A run for one table reads of silver what that run has read: what came since is news to the other tables, too.
    """
    seen = seen_by_last_run(conn, ask.source, "gold")
    pins = []
    for pin in current_tables(conn, ask.source, ["silver", "gold"]):
        since = seen.get((pin.layer, pin.table), 0) if pin.layer == "silver" else None
        pins.append(replace(pin, since_publish_id=since))
    return [_as_seen(conn, pin) for pin in pins] if ask.table else pins


def _as_seen(conn: Connection, pin: Pin) -> Pin:
    if not pin.since_publish_id:
        return pin
    snapshot = conn.execute(
        text("select snapshot_id from ops.publish where publish_id = :p"), {"p": pin.since_publish_id}
    ).scalar()
    return replace(pin, publish_id=pin.since_publish_id, snapshot_id=snapshot)


def _has_changed(conn: Connection, pin: Pin) -> bool:
    given = {"t": pin.table, "since": pin.since_publish_id or 0, "upto": pin.publish_id}
    return bool(conn.execute(text(_CHANGED), given).scalar())


def fingerprint(project: Project, model: GoldModel) -> str:
    """Changes when the model's columns, SQL or unit do; descriptions and rules do not count."""
    units = [] if model.unit == ALL else units_in_order(project, model.source, {model.unit})
    queries = [gold_query(model), *(project.affected_sql(model.source, unit) for unit in units)]
    return hashlib.sha256("\n".join([*queries, repr(model.key)]).encode()).hexdigest()


def _unit_inputs(project: Project, model: GoldModel) -> set[str]:
    """The silver tables whose changes make units of the model stale."""
    if model.unit == ALL:
        return set()
    units = units_in_order(project, model.source, {model.unit})
    return {t for unit in units for t in reads("changed", project.affected_sql(model.source, unit))}


def units_in_order(project: Project, source: str, units: set[str]) -> tuple[str, ...]:
    """The units and those that their queries read, each after those it reads."""
    graph: dict[str, list[str]] = {}
    waiting = set(units)
    while waiting:
        unit = min(waiting)  # sets have another order in every process; fingerprints must not
        graph[unit] = sorted(set(reads("affected", project.affected_sql(source, unit))))
        waiting = (waiting | set(graph[unit])) - graph.keys()
    return tuple(TopologicalSorter(graph).static_order())


def _register_unit_inputs(
    session: Session, inputs: Inputs, work: Work, units: tuple[str, ...], *, in_full: bool
) -> None:
    """What the queries of units read; in full every row counts as changed."""
    queries = [work.project.affected_sql(work.run.source, unit) for unit in units]
    named = {
        schema: sorted({t for q in queries for t in reads(schema, q)})
        for schema in ("ods", "gold", "changed")
    }
    served = [m.table for m in work.project.models(work.run.source) if in_full and m.unit in units]
    for table in {*named["ods"], *(named["changed"] if in_full else ())}:
        inputs.table(session, "ods", table)
    for table in {*named["gold"], *served}:
        inputs.table(session, "gold", table, after=False)
    for table in named["changed"]:
        if in_full:
            session.view(f"changed.{table}", f"select * from ods.{table}")
        else:
            _register_changed(session, inputs, work, table)


def _register_changed(session: Session, inputs: Inputs, work: Work, table: str) -> None:
    target = Target.of(work.project, "silver", table)
    pin = inputs.pin("silver", table)
    now, before = inputs.pinned("silver", table), inputs.before("silver", table)
    both = {f.uri for f in now} & {f.uri for f in before}
    session.files(f"main.after__{table}", [f.uri for f in now if f.uri not in both], target.columns)
    session.files(f"main.before__{table}", [f.uri for f in before if f.uri not in both], target.columns)
    since = pin.since_publish_id or 0 if pin else 0
    changed_rows(
        session, f"changed.{table}", f"main.before__{table}", f"main.after__{table}", target.key, since
    )


def _compute_unit(session: Session, project: Project, source: str, unit: str, *, in_full: bool) -> None:
    """Make ``affected.<unit>``; in full also what gold serves now, so that a unit can be emptied."""
    served = "".join(
        f" union all select {m.scope} from gold.{m.table}"
        for m in project.models(source)
        if in_full and m.unit == unit
    )
    session.table(
        f"affected.{unit}",
        f"select distinct {unit} from (select * from (\n{project.affected_sql(source, unit)}\n){served}) as q "
        f"where {unit} is not null",
    )


def _unit_name(unit: str, *, in_full: bool) -> str:
    return f"affected__{unit}" + ("__all" if in_full else "")


def _keep_unit(
    homes: Homes, conn: Connection, session: Session, publish: Publish, unit: str, *, in_full: bool
) -> None:
    """Write the unit's values to a file of the run."""
    table = _unit_name(unit, in_full=in_full)
    uri = lake.announce(homes, layer="gold", table=table, publish_id=publish.publish_id, kind="unit")
    query = f"select {unit} from affected.{unit} order by 1"
    schema = session.schema(query)
    rows = lake.write(homes, uri, schema, session.batches(query, schema))
    lake.written(homes, conn, uri, rows)


def _register_inputs(
    session: Session, inputs: Inputs, units: UnitFiles, model: GoldModel, *, in_full: bool
) -> None:
    """What a model's query reads."""
    for table in sorted(model.ods_references):
        inputs.table(session, "ods", table, changed_only=not in_full)
    for table in sorted(model.gold_references):
        inputs.table(session, "gold", table)
    if model.unit != ALL:
        uri, _ = units[_unit_name(model.unit, in_full=in_full)]
        session.parquet(f"affected.{model.unit}", [uri])


def _unit_files(conn: Connection, inputs: Inputs) -> UnitFiles:
    """Where the plan has kept the values of each unit, and how many they are."""
    found = conn.execute(
        text(
            "select distinct on (table_name) table_name, uri, row_count from ops.lake_file "
            "where kind = 'unit' and etag is not null and publish_id = any(:p) "
            "order by table_name, recorded_at desc"
        ),
        {"p": [p.publish_id for p in inputs.publishes]},
    )
    return {name: (uri, rows) for name, uri, rows in found}


def _touches_no_unit(units: UnitFiles, model: GoldModel, publish: Publish) -> bool:
    """Whether what changed concerns no row of the model: its query would return none, and replace none."""
    if publish.mode == _FULL or model.unit == ALL or not model.scope:
        return False
    _, rows = units[_unit_name(model.unit, in_full=False)]
    return rows == 0


def _scope(model: GoldModel, *, in_full: bool) -> str:
    """The rows of the served table that the result replaces completely."""
    if in_full or not model.scope:
        return "true"
    return f"t.{model.scope} in (select {model.unit} from affected.{model.unit})"
