"""Gold / GOLD: hand-written SQL, recomputed for the affected units only, in Postgres.

A plan resolves every query once (``stage.query``), so that the staging tasks need no SQL parser. Relations in
schema ``stage``: ``gold__changed__<ods table>`` (rows that changed since the last gold publish, before and
after), ``gold__affected__<source>__<unit>`` and ``…__all`` (the units to recompute).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from graphlib import TopologicalSorter
from typing import Any

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.compile.refs import references, rewrite
from lakehouse.contract import GoldModel, Project
from lakehouse.home.homes import Homes
from lakehouse.home.warehouse import run_script
from lakehouse.layer.ledger import Hop, Wanted
from lakehouse.layer.merge import Target, copy_delta_to_lake, merge, stage_delta, staged

_PENDING = """
select publish_id, table_name, inserted_rows + updated_rows + deleted_rows > 0
from ops.publish
where source = :s and layer = 'silver' and status = 'published' and consumed_by is null
"""


def plan(
    conn: Connection, project: Project, source: str, partition_key: str, full_refresh: bool
) -> list[Wanted]:
    """One hop per model to recompute, each after those it reads.

    A model is recomputed when something it reads, directly or through other models, changed; in full when it is
    new or its SQL changed, or that of a model it reads.
    """
    pending = conn.execute(text(_PENDING), {"s": source}).all()
    details = {"consumes": sorted(p for p, _, _ in pending)}
    changed = {table for _, table, any_rows in pending if any_rows}
    stale: dict[str, Wanted] = {}
    for table, upstream in project.stage_order(source, "gold").items():
        model = project.gold[table]
        now = fingerprint(project, model)
        in_full = (
            full_refresh
            or now != _served_fingerprint(conn, table)
            or any(u in stale and stale[u].mode == "full" for u in upstream)
        )
        inputs = model.ods_references | _affected_inputs(project, model)
        if in_full or inputs & changed or any(u in stale for u in upstream):
            mode = "full" if in_full else "affected"
            stale[table] = Wanted(table, partition_key, mode, None, now, details)
    return list(stale.values())


def fingerprint(project: Project, model: GoldModel) -> str:
    """Changes when the model's columns, SQL or unit do; comments and rules in the header do not count."""
    units = [] if model.affected_by == "all" else units_in_order(project, model.source, {model.affected_by})
    queries = [model.sql, *(project.affected_sql(model.source, unit) for unit in units)]
    return hashlib.sha256("\n".join([*queries, repr(model.key), *model.columns]).encode()).hexdigest()


def _served_fingerprint(conn: Connection, table: str) -> str | None:
    """The fingerprint of a model's newest publish, None when there is none."""
    return conn.execute(
        text(
            "select fingerprint from ops.publish where layer = 'gold' and table_name = :t "
            "and status = 'published' order by publish_id desc limit 1"
        ),
        {"t": table},
    ).scalar()


def _affected_inputs(project: Project, model: GoldModel) -> set[str]:
    if model.affected_by == "all":
        return set()
    units = units_in_order(project, model.source, {model.affected_by})
    names = {n for unit in units for n in references(project.affected_sql(model.source, unit))}
    return {n.partition(".")[2] for n in names if n.startswith("changed.")}


def units_in_order(project: Project, source: str, units: set[str]) -> tuple[str, ...]:
    """The units and those that their queries read, each after those it reads."""
    graph: dict[str, list[str]] = {}
    waiting = set(units)
    while waiting:
        unit = min(waiting)  # sets have another order in every process; fingerprints must not
        names = references(project.affected_sql(source, unit))
        graph[unit] = sorted(n.partition(".")[2] for n in names if n.startswith("affected."))
        waiting = (waiting | set(graph[unit])) - graph.keys()
    return tuple(TopologicalSorter(graph).static_order())


def settle_unchanged(conn: Connection, source: str) -> None:
    """No model has anything to do: what silver published without a change is taken up by nobody else."""
    conn.execute(
        text(
            "update ops.publish set consumed_by = publish_id where source = :s and layer = 'silver' "
            "and status = 'published' and consumed_by is null"
        ),
        {"s": source},
    )


def prepare(conn: Connection, project: Project, source: str, hops: list[Hop]) -> None:
    """Everything the staging tasks of one run share: changed rows, affected units, tables, resolved queries."""
    if not hops:
        return
    changed_since = hops[0].details["consumes"]
    planned = {h.table: h for h in hops}
    _prepare_changed(conn, project, source, changed_since)
    _prepare_affected(conn, project, source, planned)
    conn.execute(text("delete from stage.query where source = :s"), {"s": source})
    for table in project.stage_order(source, "gold"):
        if table not in planned:
            continue
        model = project.gold[table]
        query = rewrite(model.sql, _resolver(model, planned[table], planned.keys()))
        conn.execute(
            text("insert into stage.query (source, table_name, query) values (:s, :t, :q)"),
            {"s": source, "t": table, "q": query},
        )


def _resolver(model: GoldModel, hop: Hop, planned: Any) -> Callable[[str], str]:
    def resolve(name: str) -> str:
        schema, _, table = name.partition(".")
        if name == "delivery":
            return f"(select date {literal(hop.partition_key)} as partition_key)"
        if schema == "gold" and table != model.table and table in planned:
            return staged("gold", table, "next")
        if schema == "affected":
            return affected_relation(model.source, table, in_full=hop.mode == "full")
        return name

    return resolve


def affected_relation(source: str, unit: str, *, in_full: bool) -> str:
    """The staged list of a unit's values to recompute."""
    return staged("gold", f"affected__{source}__{unit}", "all" if in_full else "")


def _prepare_changed(conn: Connection, project: Project, source: str, publish_ids: list[int]) -> None:
    """Views of the rows that changed, as they are and as they were."""
    ids = ", ".join(str(i) for i in publish_ids) or "-1"
    for contract in project.tables(source):
        table = contract.table
        run_script(
            conn,
            f"drop view if exists {staged('gold', f'changed__{table}')} cascade;"
            f"create view {staged('gold', f'changed__{table}')} as "
            f"select * from ods.{table} where _publish_id in ({ids}) "
            f"union all select r.* from ops.preimage p, jsonb_populate_record(null::ods.{table}, p.record) r "
            f"where p.table_name = {literal(table)} and p.publish_id in ({ids});",
        )


def _prepare_affected(conn: Connection, project: Project, source: str, planned: dict[str, Hop]) -> None:
    for in_full in (False, True):
        hops = {t: hop for t, hop in planned.items() if (hop.mode == "full") == in_full}
        units = {project.gold[t].affected_by for t in hops} - {"all"}
        for unit in units_in_order(project, source, units):
            _prepare_unit(conn, project, source, unit, next(iter(hops.values())))


def _prepare_unit(conn: Connection, project: Project, source: str, unit: str, hop: Hop) -> None:
    in_full = hop.mode == "full"

    def resolve(name: str) -> str:
        schema, _, table = name.partition(".")
        if name == "delivery":
            return f"(select date {literal(hop.partition_key)} as partition_key)"
        if schema == "affected":
            return affected_relation(source, table, in_full=in_full)
        if schema == "changed":
            return f"ods.{table}" if in_full else staged("gold", f"changed__{table}")
        return name

    relation = affected_relation(source, unit, in_full=in_full)
    query = rewrite(project.affected_sql(source, unit), resolve)
    kept = _served_units(project, source, unit) if in_full else ""
    run_script(
        conn,
        f"drop table if exists {relation} cascade;"
        f"create unlogged table {relation} as select distinct {unit} from ({query}{kept}) q "
        f"where {unit} is not null; analyze {relation};",
    )


def _served_units(project: Project, source: str, unit: str) -> str:
    """The units that gold serves now: a full recomputation must be able to empty them."""
    return "".join(
        f" union all select {m.scope} from gold.{m.table}"
        for m in project.models(source)
        if m.affected_by == unit
    )


def target(model: GoldModel, hop: Hop) -> Target:
    """The gold table as the merge sees it."""
    in_full = hop.mode == "full"
    scope = "true"
    if model.scope:
        relation = affected_relation(model.source, model.affected_by, in_full=in_full)
        scope = f"t.{model.scope} in (select {model.affected_by} from {relation})"
    if in_full:
        scope = "true"
    return Target("gold", "gold", model.table, model.key, ("_publish_id",), scope)


def stage(
    homes: Homes, conn: Connection, model: GoldModel, hop: Hop
) -> tuple[dict[str, int], dict[str, Any]]:
    """Run the model's resolved query, compare with what is served, write the lake's side.

    Returns the counts and details for the ledger.
    """
    result = staged("gold", model.table, "result")
    query = conn.execute(
        text("select query from stage.query where table_name = :t"), {"t": model.table}
    ).scalar_one()
    run_script(
        conn,
        f"drop table if exists {result} cascade; create unlogged table {result} as {query}; analyze {result};",
    )
    into = target(model, hop)
    delta = stage_delta(conn, into, hop.lead_publish_id)
    rows = delta["inserted"] + delta["updated"] + delta["unchanged"]
    counts = {"read": rows, "published": rows, "quarantined": 0, "duplicate": 0} | delta
    return counts, copy_delta_to_lake(homes, conn, hop, into)


def publish(conn: Connection, model: GoldModel, hop: Hop) -> dict[str, int]:
    """Merge the staged rows into the gold table. Returns what the merge did."""
    return merge(conn, target(model, hop), hop.lead_publish_id, keep_preimages=False)


def forget_preimages(conn: Connection, consumed: list[int]) -> None:
    """Gold has seen what these silver publishes changed."""
    conn.execute(text("delete from ops.preimage where publish_id = any(:ids)"), {"ids": consumed})
